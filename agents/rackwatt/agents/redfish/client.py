# SPDX-License-Identifier: Apache-2.0
"""HTTP to one service: GET, and the POST and DELETE of its session. Nothing else can leave.

A service's controller is small. It is asked with few requests at a time, left alone for as long
as it asks (`Retry-After`), and for a growing while when it does not answer.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from rackwatt.agents.redfish.settings import (
    Credentials,
    DeviceRow,
    MissingSecret,
    Settings,
    resolve,
)
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.readings import Quality

ROOT: Final = "/redfish/v1/"
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a small answer must not become a big one
    "OData-Version": "4.0",
}
_MOST_BYTES: Final = 8 * 1024 * 1024
_STRIKES: Final = 3
"""Requests in a row that may run into their time-out before the service is left alone."""
_URGENT: Final = 2
"""Requests at the same time for what must not wait, beside the others."""
_SESSIONS: Final = "/redfish/v1/SessionService/Sessions"


class GetFailed(Exception):  # noqa: N818 - the message is what matters
    """Nothing came of a request.

    Attributes:
        quality: of the values that it should have given.
        gone: the service says that there is no such resource.
    """

    def __init__(self, quality: Quality, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.quality = quality
        self.gone = gone


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole."""

    code: int
    headers: httpx.Headers
    content: bytes
    token: str | None
    """Of the session that asked."""


class Client:
    """One service.

    Args:
        row: the service.
        settings: time-outs and waits.
        credentials: how to identify; None: not at all.
        config_dir: where relative paths start.
        clock: of the waits.

    Raises:
        OSError: `ca_file` cannot be read.
    """

    def __init__(
        self,
        row: DeviceRow,
        settings: Settings,
        credentials: Credentials | None,
        config_dir: Path,
        clock: Clock,
    ) -> None:
        self._url = row.url
        self._settings = settings
        self._credentials = credentials
        self._config_dir = config_dir
        self._clock = clock
        self._http = httpx.AsyncClient(
            base_url=row.url,
            verify=_trust(row, config_dir),
            timeout=settings.timeout,
            trust_env=False,
            follow_redirects=False,
            headers=_HEADERS,
            limits=httpx.Limits(max_connections=settings.parallel + _URGENT + 1),
        )
        self._slots = asyncio.Semaphore(settings.parallel)
        self._urgent = asyncio.Semaphore(_URGENT)
        self._gate = asyncio.Lock()
        self._backoff = Backoff(settings.retry_first, settings.retry_cap)
        self._login_backoff = Backoff(settings.login_retry, 16 * settings.login_retry)
        self._quiet_until = float("-inf")
        self._why = GetFailed(Quality.TIMEOUT, "not asked yet")
        self._strikes = 0
        self._headers: dict[str, str] = {}
        self._session: str | None = None
        self._cache: dict[str, tuple[str, dict[str, Any]]] = {}

    async def get(self, path: str, *, fixed: bool = False, urgent: bool = False) -> dict[str, Any]:
        """A resource.

        Args:
            path: on the service.
            fixed: it seldom changes: its ETag is used, where it has one. Never for readings:
                some services do not change the ETag with them.
            urgent: it must not queue behind what can wait.

        Raises:
            GetFailed: nothing came of it.
        """
        headers = {}
        if fixed and path in self._cache:
            headers["If-None-Match"] = self._cache[path][0]
        answer = await self._ask(path, headers, self._urgent if urgent else self._slots)
        if answer.code == httpx.codes.NOT_MODIFIED and path in self._cache:
            return self._cache[path][1]
        resource = _resource(path, answer)
        tag = answer.headers.get("ETag")
        if fixed and tag:
            self._cache[path] = (tag, resource)
        return resource

    async def _ask(self, path: str, headers: Mapping[str, str], slots: asyncio.Semaphore) -> Answer:
        answer = await self._send("GET", path, headers, slots)
        if answer.code == httpx.codes.UNAUTHORIZED and self._credentials is not None:
            await self._renew(answer.token)
            answer = await self._send("GET", path, headers, slots)
            if answer.code == httpx.codes.UNAUTHORIZED:
                raise self._leave(
                    self._login_backoff.next(), Quality.EXCEPTION, "the login is not accepted"
                )
        self._judge(path, answer)
        return answer

    async def _send(
        self,
        method: Literal["GET", "POST"],
        path: str,
        headers: Mapping[str, str],
        slots: asyncio.Semaphore,
        body: object = None,
    ) -> Answer:
        self._check_quiet()
        if method == "GET" and path != ROOT:
            await self._login()
        async with slots:
            self._check_quiet()
            request = self._http.build_request(
                method, path, headers={**self._headers, **headers}, json=body
            )
            try:
                async with asyncio.timeout(self._settings.timeout):
                    response = await self._http.send(request, stream=True)
                    try:
                        content = await _read(response)
                    finally:
                        await response.aclose()
            except (TimeoutError, httpx.TimeoutException) as error:
                raise self._late(path) from error
            except httpx.ConnectError as error:
                raise self._leave(self._backoff.next(), Quality.TIMEOUT, _why(error)) from error
            except (httpx.HTTPError, httpx.InvalidURL, _TooLarge) as error:
                raise GetFailed(Quality.EXCEPTION, f"{path}: {_why(error)}") from error
        self._strikes = 0
        token = request.headers.get("X-Auth-Token")
        return Answer(response.status_code, response.headers, content, token)

    def _check_quiet(self) -> None:
        if self._clock.monotonic() < self._quiet_until:
            raise GetFailed(self._why.quality, str(self._why))

    def _late(self, path: str) -> GetFailed:
        self._strikes += 1
        text = f"{path}: no answer in {self._settings.timeout:g} s"
        if self._strikes < _STRIKES:
            return GetFailed(Quality.TIMEOUT, text)
        return self._leave(self._backoff.next(), Quality.TIMEOUT, text)

    def _leave(self, seconds: float, quality: Quality, text: str) -> GetFailed:
        """Ask nothing for a while."""
        self._why = GetFailed(quality, text)
        self._quiet_until = self._clock.monotonic() + seconds
        self._strikes = 0
        return self._why

    def _judge(self, path: str, answer: Answer) -> None:
        code = answer.code
        if code in {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS}:
            wait = retry_after(answer.headers.get("Retry-After"), self._clock.now_ms() / 1000)
            if wait is not None:
                wait = min(max(wait, 0.0), self._settings.retry_after_cap)
                text = f"{path}: busy (HTTP {code}), asks to be left alone for {wait:g} s"
                raise self._leave(wait, Quality.TIMEOUT, text)
        if code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise GetFailed(Quality.NOT_SUPPORTED, f"{path}: HTTP {code}", gone=True)
        if code not in {httpx.codes.OK, httpx.codes.NOT_MODIFIED}:
            raise GetFailed(Quality.EXCEPTION, f"{path}: HTTP {code}")
        self._backoff.reset()

    # -- the session --------------------------------------------------------------------------

    async def _renew(self, used: str | None) -> None:
        """A new session, unless another request has made one since `used` was sent."""
        async with self._gate:
            if self._headers.get("X-Auth-Token") == used:
                self._headers = {}
                self._session = None
        await self._login()

    async def _login(self) -> None:
        if self._credentials is None or self._headers:
            return
        async with self._gate:
            if self._headers:
                return
            self._check_quiet()
            try:
                secret = resolve(self._credentials, self._config_dir)
            except MissingSecret as error:
                wait = self._login_backoff.next()
                raise self._leave(wait, Quality.EXCEPTION, str(error)) from error
            if self._credentials.login == "basic":
                auth = httpx.BasicAuth(secret.user, secret.password)
                request = next(auth.auth_flow(self._http.build_request("GET", ROOT)))
                self._headers = {"Authorization": request.headers["Authorization"]}
                return
            body = {"UserName": secret.user, "Password": secret.password}
            answer = await self._send("POST", _SESSIONS, {}, self._urgent, body)
            token = answer.headers.get("X-Auth-Token")
            if not 200 <= answer.code < 300 or not token:
                raise self._refused(answer)
            self._login_backoff.reset()
            self._headers = {"X-Auth-Token": token or ""}
            self._session = own_path(answer.headers.get("Location"), self._url)

    def _refused(self, answer: Answer) -> GetFailed:
        if answer.code in {503, 429}:  # busy is no refusal
            self._judge("login", answer)
        wait = self._login_backoff.next()
        text = f"login refused (HTTP {answer.code}); next try in {wait:.0f} s"
        return self._leave(wait, Quality.EXCEPTION, text)

    # -- events -------------------------------------------------------------------------------

    @asynccontextmanager
    async def stream(self, path: str, last: str, patience: float) -> AsyncIterator[httpx.Response]:
        """An event stream, opened.

        Args:
            path: on the service.
            last: id of the last event that was heard, or nothing.
            patience: silence, in s, after which the connection counts as dead.

        Raises:
            GetFailed: it could not be opened, or broke.
        """
        self._check_quiet()
        await self._login()
        headers = {**self._headers, "Accept": "text/event-stream"}
        if last:
            headers["Last-Event-ID"] = last
        timeout = httpx.Timeout(self._settings.timeout, read=patience)
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                kind = answer.headers.get("Content-Type", "")
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    await self._renew(headers.get("X-Auth-Token"))
                if answer.status_code != httpx.codes.OK or "text/event-stream" not in kind:
                    text = f"{path}: no event stream (HTTP {answer.status_code}, {kind or '-'})"
                    raise GetFailed(Quality.EXCEPTION, text)
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise GetFailed(Quality.EXCEPTION, f"{path}: {_why(error)}") from error

    async def aclose(self) -> None:
        """Log out and close the connections; a service that is gone is no error."""
        session, self._session = self._session, None
        try:
            if session is not None and self._clock.monotonic() >= self._quiet_until:
                async with asyncio.timeout(self._settings.timeout):
                    await self._http.delete(session, headers=self._headers)
        except (TimeoutError, httpx.HTTPError):
            pass
        finally:
            self._headers = {}
            await self._http.aclose()


class _TooLarge(Exception):  # noqa: N818 - never leaves this module
    """An answer that no controller would give."""


async def _read(response: httpx.Response) -> bytes:
    """The body, but not more than a controller's resource may take."""
    chunks = bytearray()
    async for chunk in response.aiter_bytes():
        chunks += chunk
        if len(chunks) > _MOST_BYTES:
            raise _TooLarge(f"more than {_MOST_BYTES} bytes")
    return bytes(chunks)


def _resource(path: str, answer: Answer) -> dict[str, Any]:
    try:
        resource = json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise GetFailed(Quality.EXCEPTION, f"{path}: no JSON") from error
    if not isinstance(resource, dict):
        raise GetFailed(Quality.EXCEPTION, f"{path}: no JSON object")
    return resource


def _trust(row: DeviceRow, config_dir: Path) -> ssl.SSLContext | bool:
    if not row.url.startswith("https:"):
        return True
    cafile = None if row.ca_file is None else str(config_dir / row.ca_file)
    context = ssl.create_default_context(cafile=cafile)
    context.check_hostname = row.check_name
    return context


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait; None where the header is missing or no header.

    Args:
        header: seconds, or a date.
        now: UTC seconds.
    """
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return parsedate_to_datetime(header).timestamp() - now
    except ValueError:
        return None


def own_path(location: str | None, base: str | None) -> str | None:
    """The path of a link, where it stays on the service; None: nothing may be sent there.

    Args:
        location: the link.
        base: address of the service, where links may hold it.
    """
    if not location:
        return None
    if base is not None:
        location = location.removeprefix(base)
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return None
    return parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else None


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
