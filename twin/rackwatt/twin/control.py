# SPDX-License-Identifier: Apache-2.0
"""Faults at run time: a loopback port that takes one JSON object per line.

The port and a token stand in `twin/control.json`, readable by the owner only, so that another
user of the machine cannot break the site. Requests: `{"token", "do": "inject", "name", "target",
"duration"?, "value"?}`, `{"token", "do": "clear", "name"?, "target"?}`, `{"token", "do": "list"}`.
Answers: `{"ok": true, …}` or `{"ok": false, "error"}`.
"""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from rackwatt.twin.faults import Fault, FaultError

_LONGEST_LINE: Final = 65_536
_TIMEOUT: Final = 5.0


class Target(Protocol):
    """What can be broken: the running twin."""

    def inject(self, name: str, target: str, duration: float | None, value: float | None) -> None:
        """Switch a fault on; raises FaultError."""

    def clear(self, name: str | None, target: str | None) -> list[Fault]:
        """Switch faults off."""

    def active(self) -> tuple[Fault, ...]:
        """Those that are on."""


def control_file(data_dir: Path) -> Path:
    """Where port and token stand."""
    return data_dir / "twin" / "control.json"


class ControlServer:
    """Listens on loopback while the twin runs."""

    def __init__(self, target: Target, data_dir: Path, port: int) -> None:
        self._target = target
        self._file = control_file(data_dir)
        self._port = port
        self._token = secrets.token_urlsafe(24)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken or the file cannot be written.
        """
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=_LONGEST_LINE
        )
        self._file.unlink(missing_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            json.dump({"port": self._port, "token": self._token}, stream)

    async def aclose(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._file.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ValueError, ConnectionError):  # an overlong line, a hang-up
                async with asyncio.timeout(_TIMEOUT):
                    line = await reader.readline()
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except TimeoutError:
            pass
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "error": "a line must hold one JSON object"}
        if not isinstance(request, dict) or not hmac.compare_digest(
            str(request.get("token", "")).encode(), self._token.encode()
        ):
            return {"ok": False, "error": "wrong token"}
        try:
            return {"ok": True, **self._do(request)}
        except (FaultError, KeyError, TypeError, ValueError) as error:
            return {"ok": False, "error": str(error)}

    def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        what = request.get("do")
        if what == "inject":
            duration, value = request.get("duration"), request.get("value")
            self._target.inject(
                str(request["name"]),
                str(request["target"]),
                None if duration is None else float(duration),
                None if value is None else float(value),
            )
            return {}
        if what == "clear":
            gone = self._target.clear(request.get("name"), request.get("target"))
            return {"cleared": len(gone)}
        if what == "list":
            return {"faults": [_shown(fault) for fault in self._target.active()]}
        raise FaultError(f"do: {what!r} is none of inject, clear, list")


def _shown(fault: Fault) -> dict[str, Any]:
    return {
        "name": fault.name,
        "target": fault.target,
        "until": fault.until,
        "value": fault.value,
    }


def _ask(data_dir: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    known = json.loads(control_file(data_dir).read_text(encoding="ascii"))
    with socket.create_connection(("127.0.0.1", known["port"]), timeout=_TIMEOUT) as connection:
        line = json.dumps({**request, "token": known["token"]})
        connection.sendall(line.encode() + b"\n")
        with connection.makefile("rb") as stream:
            answer: dict[str, Any] = json.loads(stream.readline())
    if not answer.get("ok"):
        raise FaultError(str(answer.get("error")))
    return answer


def inject(
    data_dir: Path,
    name: str,
    target: str,
    duration: float | None = None,
    value: float | None = None,
) -> None:
    """Break something of the twin that runs on `data_dir`; names and targets: `faults`.

    Args:
        data_dir: of the run.
        name: of the fault.
        target: device or GPU.
        duration: seconds; None: until cleared.
        value: of faults that take one.

    Raises:
        FaultError: the twin refuses.
        OSError: no twin runs there.
    """
    _ask(
        data_dir,
        {"do": "inject", "name": name, "target": target, "duration": duration, "value": value},
    )


def clear(data_dir: Path, name: str | None = None, target: str | None = None) -> int:
    """Mend what `inject` broke, and say how many faults that were; None stands for any.

    Raises:
        OSError: no twin runs there.
    """
    return int(_ask(data_dir, {"do": "clear", "name": name, "target": target})["cleared"])


def active(data_dir: Path) -> list[dict[str, Any]]:
    """The faults that are on: name, target, until (UTC seconds or None), value.

    Raises:
        OSError: no twin runs there.
    """
    return list(_ask(data_dir, {"do": "list"})["faults"])
