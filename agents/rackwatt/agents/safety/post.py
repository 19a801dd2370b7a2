# SPDX-License-Identifier: Apache-2.0
"""One POST to one Alertmanager, and its answer: all the HTTP that the safety path needs (ADR 0009).

A connection per message, one deadline over all of it, no redirect, no proxy, nothing read but the
answer's head; it can be cancelled at any point.
"""

import asyncio
import base64
import contextlib
import email.utils
import http.client
import io
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rackwatt.agents.safety.settings import AlertmanagerSettings

_PATH: Final = "/api/v2/alerts"
_HEAD_BYTES: Final = 32_768
_REASON_BYTES: Final = 500


class PostError(Exception):
    """An Alertmanager did not take a message; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an Alertmanager answered."""

    status: int
    date_ms: int | None
    """Its clock, in ms since 1970 UTC, to the second; None: it did not say."""


class Target:
    """An Alertmanager to post to.

    Args:
        settings: its address and the way in.
        folder: where relative paths begin.
        timeout: of one message, in s.

    Raises:
        OSError: the file of its authority cannot be read.
    """

    def __init__(self, settings: AlertmanagerSettings, folder: Path, timeout: float) -> None:
        parts = urlsplit(settings.url)
        self.name = settings.url
        self._settings = settings
        self._folder = folder
        self._timeout = timeout
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._netloc = parts.netloc
        self._path = parts.path.rstrip("/") + _PATH
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            authority = settings.ca_file
            self._tls = ssl.create_default_context(
                cafile=None if authority is None else folder / authority
            )

    async def post(self, alerts: Sequence[dict[str, Any]]) -> Answer:
        """Send alerts, as API v2 has them.

        Raises:
            PostError: it could not be reached, was too slow, or refused.
        """
        try:
            request = self._request(json.dumps(alerts).encode())
            async with asyncio.timeout(self._timeout):
                return await self._exchange(request)
        except TimeoutError:
            raise PostError(f"no answer within {self._timeout:g} s") from None
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise PostError(str(error) or type(error).__name__) from error

    def _request(self, body: bytes) -> bytes:
        head = [
            f"POST {self._path} HTTP/1.1",
            f"Host: {self._netloc}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "User-Agent: rackwatt-agent",
            "Connection: close",
            *self._authorization(),
        ]
        return ("\r\n".join(head) + "\r\n\r\n").encode("ascii") + body

    def _authorization(self) -> list[str]:
        settings = self._settings
        if settings.bearer_token_file is not None:
            return [f"Authorization: Bearer {self._secret(settings.bearer_token_file)}"]
        if settings.username is not None and settings.password_file is not None:
            pair = f"{settings.username}:{self._secret(settings.password_file)}"
            return [f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}"]
        return []

    def _secret(self, file: Path) -> str:
        text = (self._folder / file).read_text(encoding="utf-8").strip()
        if not text.isprintable():
            raise PostError(f"{file} holds more than one line")
        return text

    async def _exchange(self, request: bytes) -> Answer:
        reader, writer = await asyncio.open_connection(
            self._host, self._port, ssl=self._tls, limit=_HEAD_BYTES
        )
        try:
            writer.write(request)
            await writer.drain()
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                raise PostError("it closed the connection without an answer") from None
            except asyncio.LimitOverrunError:
                raise PostError("its answer is no HTTP") from None
            answer = _answer(head)
            if not 200 <= answer.status < 300:
                reason = await reader.read(_REASON_BYTES)
                raise PostError(f"HTTP {answer.status}: {_shown(reason)}")
            return answer
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                # TLS says goodbye; a peer that does not answer that must not hold us.
                async with asyncio.timeout(0.2):
                    await writer.wait_closed()


def _answer(head: bytes) -> Answer:
    line, _, rest = head.partition(b"\r\n")
    parts = line.decode("latin-1").split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdecimal():
        raise PostError(f"its answer is no HTTP: {_shown(line)}")
    date = http.client.parse_headers(io.BytesIO(rest)).get("Date")
    date_ms = None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if date is not None:
            date_ms = int(email.utils.parsedate_to_datetime(date).timestamp() * 1000)
    return Answer(int(parts[1]), date_ms)


def _shown(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200].strip()
