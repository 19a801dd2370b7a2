# SPDX-License-Identifier: Apache-2.0
"""Follows the collectors: their spools, to be booked, and their state, to be shown."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger.months import Gap
from rackwatt.collector.live.spoolclient import CollectorClient, CollectorUnavailable
from rackwatt.collector.roles.backlog import Backlog, Book, Piece
from rackwatt.collector.roles.collect import SPOOL_READ_BYTES, SPOOL_READ_MESSAGES
from rackwatt.collector.roles.sorting import Batch
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks

_log = logging.getLogger(__name__)

FIRST_READ_SECONDS: Final = 30.0
"""So long after the start, intervals close whether every collector was read or not."""
VIEW_SECONDS: Final = 5.0
"""A collector that does not answer for so long is shown as away."""
_POLL_PAUSE_SECONDS: Final = 0.2
"""Between two readings of a spool: makes batches, costs a tenth of the allowed delay."""
_BUSY_PAUSES: Final = 2.5
"""So many pauses where much comes: half a second, a quarter of that delay."""
_BUSY_MESSAGES: Final = 200
_EPOCHS_PER_MS: Final = 4096

Show = Callable[[Sequence[Record]], Awaitable[Batch]]
"""Reads a piece of a spool and shows it; what of it is to be booked."""
Cursor = Callable[[str], Awaitable[int]]
"""What was booked of the spool of that name."""


class Following:
    """The collectors of an accountant.

    Characteristics: a collector that is away holds up nobody; what was read is shown at once and
    booked beside that; a collector keeps it until it is told that it is booked.

    Args:
        urls: where they are.
        token: what they want to see.
        clock: where the time comes from.
        with_metrics: fetch the metrics of the only one, too.
        ca_file: who signed their certificates; None: an authority that the system knows.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        clock: Clock,
        *,
        with_metrics: bool = False,
        ca_file: Path | None = None,
    ) -> None:
        self._tls = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._urls = urls
        self._token = token
        self._clock = clock
        self._with_metrics = with_metrics and len(urls) == 1
        self._read: dict[str, int | None] = {}
        self._backlogs: list[Backlog] = []
        self._started = clock.monotonic()
        self.offsets: dict[str, float] = {}
        """Our clock minus an agent's, in s."""
        self.doubts: dict[str, list[dict[str, Any]]] = {}
        """Messages that were taken while their agent's clock was off."""
        self.views: dict[str, dict[str, Any]] = {}
        """The state of those that answer."""
        self.metrics: dict[str, bytes] = {}

    async def run(self, show: Show, book: Book, cursor: Cursor) -> None:
        """Follow until cancelled."""
        client = httpx.AsyncClient(trust_env=False, verify=self._tls)
        async with client as http, asyncio.TaskGroup() as tasks:
            for url in self._urls:
                one, backlog = CollectorClient(url, self._token, http), Backlog(book)
                self._backlogs.append(backlog)
                tasks.create_task(backlog.run(), name=f"book {url}")
                tasks.create_task(self._follow(one, backlog, show, cursor), name=f"follow {url}")
                tasks.create_task(self._look(one), name=f"look {url}")

    async def _follow(
        self, client: CollectorClient, backlog: Backlog, show: Show, cursor: Cursor
    ) -> None:
        backoff = Backoff(first=0.5, cap=15.0)
        while True:
            try:
                name = await client.identity()
                # Whose clock is off must be known before anything is booked.
                self._see(client.url, await client.state())
                await backlog.drained()
                backlog.booked = after = await cursor(name)
                while True:
                    records = await client.spool(name, after, backlog.booked)
                    behind = _is_full(records)
                    self._read[client.url] = records[-1].received_ms if behind else None
                    backoff.reset()
                    if records:
                        after, first_ms = records[-1].id, records[0].received_ms
                        batch = await show(records)
                        await backlog.put(Piece(batch, len(records), first_ms, after, name))
                    if not behind:
                        await asyncio.sleep(_pause(len(records)))
            except CollectorUnavailable as error:
                self._read[client.url] = None
                wait = backoff.next()
                _log.warning("%s; trying again in %.1f s", error, wait)
                await asyncio.sleep(wait)

    async def _look(self, client: CollectorClient) -> None:
        """A collector's state, once a second; a turn that is missed is skipped."""
        seen = self._clock.monotonic()
        async for _ in ticks(1.0, self._clock):
            try:
                view = await client.state()
                if self._with_metrics:
                    self.metrics[client.url] = await client.metrics()
            except CollectorUnavailable:
                if self._clock.monotonic() - seen > VIEW_SECONDS:
                    self.views.pop(client.url, None)
                    self.metrics.pop(client.url, None)
                continue
            seen = self._clock.monotonic()
            self._see(client.url, view)

    def _see(self, url: str, view: dict[str, Any]) -> None:
        self.views[url] = view
        self.offsets |= view["clock_offsets"]
        for agent in view["clock_offsets"]:
            self.doubts.pop(agent, None)
        self.doubts |= view.get("clock_epochs", {})  # a collector of an older version has none

    def horizon(self, now: int) -> int | None:
        """Up to when intervals may close: now, or what is booked of a spool's backlog.

        Closing by the clock while a backlog is read would book incomplete intervals, only to
        restate them a moment later. A collector that is away holds up nothing.
        """
        if len(self._read) < len(self._urls):
            started = self._clock.monotonic() - self._started
            return None if started < FIRST_READ_SECONDS else now
        waiting = [backlog.oldest_ms for backlog in self._backlogs]
        return min([now, *(at for at in (*self._read.values(), *waiting) if at is not None)])

    def gaps(self) -> list[Gap] | None:
        """Messages that are missing or lost; None while not every collector tells of its own."""
        if len(self.views) < len(self._urls):
            return None
        return [
            Gap(row["agent"], row["epoch"] // _EPOCHS_PER_MS, lost=lost)
            for view in self.views.values()
            for row in view["watch"]
            for lost, ranges in ((False, row["missing"]), (True, row["lost"]))
            if ranges
        ]


def _is_full(records: Sequence[Record]) -> bool:
    """Whether there was more than a collector gives at once."""
    if len(records) >= SPOOL_READ_MESSAGES:
        return True
    return sum(len(record.payload) for record in records) >= SPOOL_READ_BYTES


def _pause(messages: int) -> float:
    return _POLL_PAUSE_SECONDS * (_BUSY_PAUSES if messages >= _BUSY_MESSAGES else 1.0)
