# SPDX-License-Identifier: Apache-2.0
"""The frame that all open pages show: serialised once, whoever listens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from math import isfinite
from typing import Any, Final, Protocol

MAX_LISTENERS: Final = 1000
"""Open event streams at most; more are turned away and try again later."""


class TooManyListenersError(Exception):
    """All places for event streams are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} event streams are open already")


class PageSource(Protocol):
    """What the page's routes read from."""

    def frame(self) -> Mapping[str, Any]:
        """Return the current frame; empty before the first."""

    def history(self) -> Mapping[str, Any]:
        """Return the last hour of figures."""

    def subscribe(self) -> AsyncIterator[bytes]:
        """Return an iterator over serialised frames, the current one first.

        Raises:
            TooManyListenersError: When no more event streams can be opened.
        """


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def serialise(value: object) -> bytes:
    """Return ``value`` as JSON that browsers can read: a number that is none becomes null."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False)
    return text.encode()


class Broadcaster:
    """Hands each published frame to every listener.

    Nothing is queued: a listener that is busy when frames come gets the newest one when it is
    back. So a slow client costs no memory and skips frames. Not thread-safe: publish from the
    event loop that serves the page.
    """

    def __init__(self, max_listeners: int = MAX_LISTENERS) -> None:
        self._max_listeners = max_listeners
        self._listeners = 0
        self._version = 0
        self._latest = b""
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many event streams are open."""
        return self._listeners

    def publish(self, frame: Mapping[str, Any]) -> None:
        """Serialise ``frame`` once and wake all listeners."""
        self._latest = serialise(frame)
        self._version += 1
        self._wake()

    def close(self) -> None:
        """End all event streams, so that the server can shut down at once."""
        self._closed = True
        self._wake()

    def subscribe(self) -> AsyncIterator[bytes]:
        """Return an iterator over serialised frames, the current one first.

        Raises:
            TooManyListenersError: When ``max_listeners`` streams are open.
        """
        if self._listeners >= self._max_listeners:
            raise TooManyListenersError(self._max_listeners)
        return self._frames()

    async def _frames(self) -> AsyncIterator[bytes]:
        self._listeners += 1
        seen = 0
        try:
            while not self._closed:
                if seen != self._version:
                    seen = self._version
                    yield self._latest
                else:
                    await self._changed.wait()
        finally:
            self._listeners -= 1

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class LivePage:
    """A page source for a process that makes one frame a second.

    Args:
        history: Called for each ``/api/history``.
        max_listeners: Open event streams at most.
    """

    def __init__(
        self, history: Callable[[], Mapping[str, Any]], max_listeners: int = MAX_LISTENERS
    ) -> None:
        self._history = history
        self._frame: Mapping[str, Any] = {}
        self._broadcaster = Broadcaster(max_listeners)

    def publish(self, frame: Mapping[str, Any]) -> None:
        """Make ``frame`` the current one and send it to all open pages."""
        self._frame = frame
        self._broadcaster.publish(frame)

    def close(self) -> None:
        """End all event streams; call it before the server shuts down."""
        self._broadcaster.close()

    def frame(self) -> Mapping[str, Any]:
        """Return the current frame; empty before the first."""
        return self._frame

    def history(self) -> Mapping[str, Any]:
        """Return the last hour of figures."""
        return self._history()

    def subscribe(self) -> AsyncIterator[bytes]:
        """Return an iterator over serialised frames, the current one first."""
        return self._broadcaster.subscribe()
