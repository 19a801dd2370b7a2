# SPDX-License-Identifier: Apache-2.0
"""Limits of an HTTP connection that uvicorn does not have: slow, silent and too many clients."""

import asyncio
import socket
import sys
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rackwatt.collector.headers import SECURITY_HEADERS
from rackwatt.collector.refusals import Reason, Refusals

MAX_CONNECTIONS: Final = 1500
"""1,000 event streams, and room for everybody else; one more is closed at once."""
HEADER_BYTES: Final = 16 * 1024
"""Request line and headers together, at most; more is a 400."""
HEADER_SECONDS: Final = 10.0
"""A request must be there so long after the connection, or after the answer before it."""
UNREAD_SECONDS: Final = 30.0
"""A client that takes nothing of what it is sent for so long is gone (Linux)."""


class Connection(H11Protocol):
    """HTTP/1.1 for one client."""

    refusals = Refusals()
    """Where what is refused is counted; a listener has a class of its own, see `counting`."""
    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse("connections", f"cut: more than {MAX_CONNECTIONS} connections")
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        if self._overdue is not None:
            self._overdue.cancel()

    def data_received(self, data: bytes) -> None:
        """Some of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer is on its way."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """The clock runs while no answer is being made: whatever else the client sends."""
        waiting = getattr(self.cycle, "response_complete", True)  # None: no request so far
        if not waiting:
            if self._overdue is not None:
                self._overdue.cancel()
                self._overdue = None
        elif self._overdue is None:
            self._overdue = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def _too_late(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse("timeout", f"cut: no whole request within {HEADER_SECONDS:.0f} s")
        else:
            self.transport.abort()  # a browser's spare connection

    def _refuse(self, reason: Reason, what: str) -> None:
        self._note(reason, what)
        self.transport.abort()

    def _note(self, reason: Reason, what: str) -> None:
        self.refusals.note(reason, self.client[0] if self.client else "?", what)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so, once, with the headers of every answer."""
        cause = sys.exc_info()[1]
        if getattr(cause, "error_status_hint", 400) == 431:
            self._note("too_large", f"400: headers of more than {HEADER_BYTES} bytes")
        else:
            self._note("malformed", "400: this is no HTTP")
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("connection", "close"),
            *((name.lower(), value) for name, value in SECURITY_HEADERS),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=msg.encode("ascii")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()


def counting(refusals: Refusals) -> type[Connection]:
    """Connections of one listener."""
    return type("CountedConnection", (Connection,), {"refusals": refusals})


def forget_the_deaf(listener: socket.socket) -> None:
    """Connections of `listener` end when their client takes nothing any more.

    Without it one whose machine was switched off keeps its place for a quarter of an hour, and
    one that reads nothing on purpose for ever.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, round(UNREAD_SECONDS * 1000))
