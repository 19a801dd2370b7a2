# SPDX-License-Identifier: Apache-2.0
"""From the spool to the store: decode, encode, write, and only then move the cursor."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from rackwatt.collector.ingest.counts import REFUSED
from rackwatt.collector.ingest.spool import STORE, Batch, DeadLetter, Record, Spool
from rackwatt.collector.site import Site
from rackwatt.collector.store.ahead import ReadAhead
from rackwatt.collector.store.base import Row, Store, StoreRefused, StoreUnavailable, WriteResult
from rackwatt.collector.store.letters import to_payload
from rackwatt.collector.store.points import Points, Values
from rackwatt.collector.store.rolling import Rollups
from rackwatt.collector.store.rows import rows_of
from rackwatt.collector.store.series import SeriesBook
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import Reason, UnreadableEnvelope
from rackwatt.wire.readings import KINDS
from rackwatt.wire.topics import TopicError

_log = logging.getLogger(__name__)

BATCH_MESSAGES: Final = 2000
_LEAST_MESSAGES: Final = 10
PACE_SECONDS: Final = 0.2
"""Between two batches of what comes live: a request of 4,000 rows costs little more than one of
40, and a second is allowed."""
_SLICE_SECONDS: Final = 0.01
"""Of work, before others on the event loop have their turn."""
DELAYS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Bounds in s of how old a row may be when it is stored, for counting."""


@dataclass(slots=True)
class Prepared:
    """A batch of messages, ready to be written."""

    last: Record
    points: Points
    rows: list[Row]
    """What is no row of numbers: events."""
    letters: list[DeadLetter]


class Drain:
    """Moves messages from the spool's `store` cursor into a store.

    Characteristics: a store that is down or slow holds up nothing but itself; while a batch is
    written the next one is made ready, and the cursor follows in order; a batch is written again
    after a failure, and overwrites itself; after each failure half as many messages are tried,
    since a slow store may get done within its time-out with fewer, and twice as many after a
    success; rows that the store refuses, and messages in the spool that cannot be read, become
    dead letters.

    Args:
        spool: where messages come from.
        store: where they go to, not started.
        site: tells where each device sits.
        clock: where the time comes from.
        rollups: made of what was stored, not started; None: none are made.
    """

    def __init__(
        self,
        spool: Spool,
        store: Store,
        site: Site,
        clock: Clock,
        rollups: Rollups | None = None,
    ) -> None:
        self._spool = spool
        self._store = store
        self._site = site
        self._clock = clock
        self.rollups = rollups
        self._series = SeriesBook(site)
        self._reader = ReadAhead(spool)
        self._drained_ms = 0
        self._failed = False
        self._tried = asyncio.Event()
        """Set after each batch that was written, or could not be."""
        self._hurried = False
        self._limit = BATCH_MESSAGES
        self.points = 0
        self.refused = spool.tallies.get(REFUSED, 0)
        """Rows that went to the dead letters."""
        self.unreadable = 0
        """Messages in the spool that went there: a damaged file, or one of another version."""
        self.up = False
        """Whether the store took the last batch; before the first one, whether it answers."""
        self.lag_seconds = 0.0
        """How old the oldest row of the last batch was when it was stored."""
        self.delays = [0] * (len(DELAYS) + 1)
        """Rows stored, by their age then: up to each of `DELAYS`, and above."""
        if rollups is not None:
            rollups.position = self._position

    async def run(self) -> None:
        """Drain until cancelled.

        Raises:
            sqlite3.Error: the marks of rollups cannot be read.
        """
        try:
            if self.rollups is None:
                await self._keep_draining()
                return
            await self.rollups.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_draining(), name="drain-readings")
                tasks.create_task(self.rollups.run(), name="drain-rollups")
        finally:
            if self.rollups is not None:
                await self.rollups.aclose()
            await self._store.aclose()

    async def finish(self, timeout: float) -> None:
        """Wait until all that the spool has is stored; beside `run`, when nothing more comes.

        What a store that is down or slow has not taken by then is stored after the next start.

        Args:
            timeout: seconds to wait at most.
        """
        self._hurried = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self._failed and self._spool.cursor(STORE) < self._spool.last_id:
                    self._tried.clear()
                    await self._tried.wait()
        behind = self._spool.last_id - self._spool.cursor(STORE)
        if behind:
            _log.warning("store: %d messages are left for the next start", behind)

    async def _keep_draining(self) -> None:
        backoff = Backoff(first=0.5, cap=30.0)
        while True:
            try:
                await self._store.start()
                self.up = not self._failed
                await self._drain(backoff)
            except (StoreUnavailable, StoreRefused) as error:
                self.up, self._failed = False, True
                self._tried.set()
                self._limit = max(_LEAST_MESSAGES, self._limit // 2)
                asked = getattr(error, "retry_after", None)
                wait = max(backoff.next(), asked or 0.0)
                _log.warning("store: %s; trying again in %.1f s", error, wait)
                await asyncio.sleep(wait)

    def _position(self) -> int:
        """Up to when messages were received that are all in the store, in ms."""
        if self._spool.cursor(STORE) >= self._spool.last_id:
            return self._clock.now_ms()
        return self._drained_ms

    async def _drain(self, backoff: Backoff) -> None:
        after = self._spool.cursor(STORE)
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                prepared = await self._ahead(after, writing)
                if writing is not None:
                    await writing
                    writing = None
                if prepared is not None:
                    after = prepared.last.id
                    writing = asyncio.create_task(
                        self._write(prepared, backoff), name="drain-write"
                    )
        finally:
            self._reader.close()
            if writing is not None:
                writing.cancel()
                await asyncio.wait((writing,))
                if not writing.cancelled():
                    writing.exception()

    async def _ahead(self, after: int, writing: asyncio.Task[None] | None) -> Prepared | None:
        """Make the next batch ready; None: the one before has failed, or nothing came."""
        if writing is None:
            await self._spool.wait(after, timeout=5.0)
        elif self._spool.last_id - after < self._limit:
            # All that there is was taken: let some more come.
            await asyncio.wait((writing,))
            pace = 0.0 if self._hurried else PACE_SECONDS
            await asyncio.sleep(pace if writing.exception() is None else 0.0)
        if writing is not None and writing.done() and writing.exception() is not None:
            return None
        records = await self._reader.read(after, self._limit)
        return await self._prepare(records) if records else None

    async def _prepare(self, records: Sequence[Record]) -> Prepared:
        """Decode, and find out where each device stood; in slices."""
        prepared = Prepared(records[-1], Points([], [], []), [], [])
        until = self._clock.monotonic() + _SLICE_SECONDS
        for number, record in enumerate(records):
            self._add(record, prepared)
            if number % 16 == 15 and self._clock.monotonic() >= until:
                await asyncio.sleep(0)
                until = self._clock.monotonic() + _SLICE_SECONDS
        return prepared

    def _add(self, record: Record, prepared: Prepared) -> None:
        try:
            message = self._spool.decodings.decoded(record)
        except (TopicError, UnreadableEnvelope) as error:
            # Raised on, it would end the collector, and again after each start.
            _log.error("spool: message %d cannot be read: %s", record.id, error)
            now = self._clock.now_ms()
            letter = DeadLetter(now, record.topic, record.payload, Reason.UNREADABLE, str(error))
            prepared.letters.append(letter)
            return
        kind, agent = message.topic.last, message.topic.agent
        if kind not in KINDS:
            return
        if kind == "event":
            prepared.rows += rows_of(self._site, kind, agent, message.readings)
            return
        known = self._series.fixed[kind]
        points = prepared.points
        for reading in message.readings:
            values = reading.values
            if not any(values.values()) and _is_empty(values):
                continue
            series = known.get(reading.device)
            if series is None:
                series = self._series.find(kind, agent, reading.device, reading.time_ms)
            points.series.append(series)
            points.values.append(values)
            points.times.append(reading.time_ms)

    async def _write(self, batch: Prepared, backoff: Backoff) -> None:
        result = WriteResult()
        if batch.points:
            result = await self._store.write(batch.points)
        if batch.rows:
            more = await self._store.write(batch.rows)
            rejected = (*result.rejected, *more.rejected)
            result = WriteResult(result.written + more.written, rejected)
        await self._roll_up(batch.points, result)
        await self._bury([*batch.letters, *self._letters(result.rejected)])
        self._limit = min(BATCH_MESSAGES, self._limit * 2)
        self.points += result.written
        self.refused += len(result.rejected)
        self.unreadable += len(batch.letters)
        self.up, self._failed = True, False
        self._count_delays(batch.points.times)
        backoff.reset()
        self._drained_ms = batch.last.received_ms
        self._spool.passed(STORE, batch.last.id)
        self._tried.set()

    def _count_delays(self, times: Sequence[int]) -> None:
        now = self._clock.now_ms()
        if times:
            self.lag_seconds = (now - min(times)) / 1000
            ages = (now - np.array(times, np.int64)) / 1000
            found = np.bincount(np.searchsorted(DELAYS, ages), minlength=len(DELAYS) + 1)
            self.delays = [old + new for old, new in zip(self.delays, found.tolist(), strict=True)]

    def within(self) -> Iterator[tuple[str, int]]:
        """Rows stored while they were at most so many seconds old; `+Inf`: all."""
        bounds = [f"{bound:g}" for bound in DELAYS] + ["+Inf"]
        return zip(bounds, accumulate(self.delays), strict=True)

    async def _roll_up(self, points: Points, result: WriteResult) -> None:
        """Have rollups made of what is in the store; what it refused would not be read back."""
        if self.rollups is None:
            return
        if result.rejected:
            refused = {(row.measurement, row.tags, row.time_ms) for row, _ in result.rejected}
            points = points.only(
                [(row.measurement, row.tags, row.time_ms) not in refused for row in points]
            )
        await self.rollups.take(points)

    def _letters(self, rejected: Sequence[tuple[Row, str]]) -> Iterator[DeadLetter]:
        now = self._clock.now_ms()
        for row, reason in rejected:
            yield DeadLetter(now, row.measurement, to_payload(row), Reason.REFUSED_BY_STORE, reason)

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        rows = sum(letter.reason == Reason.REFUSED_BY_STORE for letter in letters)
        total = {REFUSED: self.refused + rows}
        try:
            await self._spool.append(Batch(deadletters=list(letters), tallies=total))
        except sqlite3.Error as error:
            raise StoreUnavailable(f"dead letters cannot be kept: {error}") from error


def _is_empty(values: Values) -> bool:
    return all(value is None for value in values.values())
