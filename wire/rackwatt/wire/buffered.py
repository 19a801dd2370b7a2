# SPDX-License-Identifier: Apache-2.0
"""A socket that is read and written in large pieces, for a library that asks for single bytes.

The MQTT library reads each message with four calls to the system and acknowledges it with one,
a turn of the event loop each. Here what came is read at once and handed out from memory, and
what is sent within a turn goes out with one call. It knows nothing of what the bytes mean.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Final

_log = logging.getLogger(__name__)

READ_BYTES: Final = 262_144
"""Read in one go: all else on the event loop waits while it is taken in."""
WRITE_BYTES: Final = 262_144
"""Waiting to be sent, beyond which the library must keep the rest."""
_AGAIN_SECONDS: Final = 0.01
_BUSY: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BufferedSocket:
    """Stands in for a connected, non-blocking socket, in the event loop's thread.

    Args:
        sock: what it stands in for.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._data = b""
        self._at = 0
        self._out = bytearray()
        self._flush: asyncio.Handle | None = None
        self._ended = False
        self._error: OSError | None = None

    def fileno(self) -> int:
        """As the socket's."""
        return self.sock.fileno()

    def fill(self) -> bool:
        """Read what is here, once; whether there is anything to say, the connection's end too."""
        parts = [self._data[self._at :]] if self.pending() else []
        try:
            data = self.sock.recv(READ_BYTES)
            self._ended = not data
            parts.append(data)
            while isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
                parts.append(self.sock.recv(READ_BYTES))
        except _BUSY:
            pass
        except OSError as error:
            self._error = error
        self._data, self._at = b"".join(parts), 0
        return bool(self._data) or self._ended or self._error is not None

    def pending(self) -> int:
        """Bytes that `recv` gives without asking the system."""
        return len(self._data) - self._at

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes of what was read.

        Raises:
            BlockingIOError: nothing is left of it.
            OSError: what the system said when it was asked.
        """
        at = self._at
        data = self._data[at : at + size]
        if data or self._ended:
            self._at = at + len(data)
            return data
        if self._error is not None:
            raise self._error
        raise BlockingIOError

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send with whatever else is sent in this turn of the loop.

        Raises:
            BlockingIOError: too much waits already.
            OSError: what the system said before.
        """
        if self._error is not None:
            raise self._error
        if len(self._out) >= WRITE_BYTES:
            self._send_now()
            if len(self._out) >= WRITE_BYTES:
                raise BlockingIOError
        self._out += data
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self._send_now)
        return len(data)

    def _send_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        try:
            while self._out:
                del self._out[: self.sock.send(self._out)]
        except _BUSY:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(_AGAIN_SECONDS, self._send_now)
        except OSError as error:
            # Its reader finds the end of the connection too.
            _log.debug("while sending: %s", error)
            self._error = error
            self._out.clear()

    def close(self) -> None:
        """Send what can be sent now, and close."""
        with contextlib.suppress(*_BUSY, OSError):
            while self._out:
                del self._out[: self.sock.send(self._out)]
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._out.clear()
        self.sock.close()
