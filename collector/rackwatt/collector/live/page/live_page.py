# SPDX-License-Identifier: Apache-2.0
"""The frame that all open pages show: serialised once, whoever listens, and when anybody does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from math import isfinite
from typing import Any, Final, Protocol

from rackwatt.collector.live.page.changes import changes

MAX_LISTENERS: Final = 1000
"""Open event streams at most; more are turned away and try again later."""
HEARTBEAT_SECONDS: Final = 10.0
HEARTBEAT: Final = b": waiting\n\n"
_AT_ONCE: Final = 50
"""Listeners that are woken together: some milliseconds of the event loop."""


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

    def subscribe(self, *, changes_only: bool = False) -> AsyncIterator[bytes]:
        """Return an iterator over events with frames, the current one first.

        Args:
            changes_only: after it, of each frame what is new only.

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
    """Hands each published frame to every listener, as a server-sent event.

    Nothing is queued: a listener that is busy when frames come gets the newest one when it is
    back. So a slow client costs no memory and skips frames. A listener that wants changes gets
    them as long as it misses none, else the whole frame. Listeners are woken a few at a time, so
    that a thousand of them hold up nobody else. Not thread-safe: publish from the event loop that
    serves the page.

    Args:
        max_listeners: open event streams at most.
        heartbeat_seconds: when nothing was published for so long, a comment goes out, so that
            proxies and browsers keep the stream.
    """

    def __init__(
        self,
        max_listeners: int = MAX_LISTENERS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._max_listeners = max_listeners
        self._heartbeat_seconds = heartbeat_seconds
        self._listeners = 0
        self._version = 0
        self._before: Mapping[str, Any] = {}
        self._frame: Mapping[str, Any] = {}
        self._texts: dict[bool, bytes] = {}
        self._waiting: list[asyncio.Future[bool]] = []
        self._heartbeat: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many event streams are open."""
        return self._listeners

    def publish(self, frame: Mapping[str, Any]) -> None:
        """Make ``frame`` the current one and wake all listeners; it must not change any more."""
        self._before, self._frame = self._frame, frame
        self._texts = {}
        self._version += 1
        self._wake(news=True)

    def close(self) -> None:
        """End all event streams, so that the server can shut down at once."""
        self._closed = True
        self._wake(news=True)

    def subscribe(self, *, changes_only: bool = False) -> AsyncIterator[bytes]:
        """Return an iterator over events, the current frame first.

        Args:
            changes_only: after it, of each frame what is new only.

        Raises:
            TooManyListenersError: When ``max_listeners`` streams are open.
        """
        if self._listeners >= self._max_listeners:
            raise TooManyListenersError(self._max_listeners)
        return self._events(changes_only=changes_only)

    async def _events(self, *, changes_only: bool) -> AsyncIterator[bytes]:
        self._listeners += 1
        seen = 0
        try:
            while not self._closed:
                if seen != self._version:
                    missed_none = 0 < seen == self._version - 1
                    seen = self._version
                    yield self._text(changed=changes_only and missed_none)
                elif not await self._wait():
                    yield HEARTBEAT
        finally:
            self._listeners -= 1

    def _text(self, *, changed: bool) -> bytes:
        """The current frame as an event; made once, whoever listens."""
        text = self._texts.get(changed)
        if text is None:
            change = changes(self._before, self._frame) if changed else None
            if change is not None:
                text = b"event: changes\ndata: " + serialise(change) + b"\n\n"
            elif changed:
                text = self._text(changed=False)
            else:
                text = b"event: frame\ndata: " + serialise(self._frame) + b"\n\n"
            self._texts[changed] = text
        return text

    async def _wait(self) -> bool:
        """Whether there is something new; else it is time for a heartbeat."""
        loop = asyncio.get_running_loop()
        news: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(news)
        if self._heartbeat is None:
            beat = self._heartbeat_seconds
            self._heartbeat = loop.call_later(beat, lambda: self._wake(news=False))
        return await news

    def _wake(self, *, news: bool) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        waiting, self._waiting = self._waiting, []
        _release(waiting, news)


def _release(waiting: list[asyncio.Future[bool]], news: bool) -> None:
    """Wake some; the others when these have had their turn."""
    for future in waiting[:_AT_ONCE]:
        if not future.done():
            future.set_result(news)
    if len(waiting) > _AT_ONCE:
        waiting[0].get_loop().call_soon(_release, waiting[_AT_ONCE:], news)


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

    def subscribe(self, *, changes_only: bool = False) -> AsyncIterator[bytes]:
        """Return an iterator over events with frames, the current one first."""
        return self._broadcaster.subscribe(changes_only=changes_only)
