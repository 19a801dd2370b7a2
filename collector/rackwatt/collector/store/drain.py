# SPDX-License-Identifier: Apache-2.0
"""From the spool to the store: decode, encode, write, and only then move the cursor."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from rackwatt.collector.ingest.counts import REFUSED
from rackwatt.collector.ingest.spool import STORE, Batch, DeadLetter, Record, Spool
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Row, Store, StoreRefused, StoreUnavailable, WriteResult
from rackwatt.collector.store.letters import to_payload
from rackwatt.collector.store.rolling import Rollups
from rackwatt.collector.store.rows import rows_of
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import Reason, UnreadableEnvelope, decode_envelope, decode_readings
from rackwatt.wire.readings import KINDS
from rackwatt.wire.topics import Topic, TopicError

_log = logging.getLogger(__name__)

BATCH_MESSAGES: Final = 1000
"""Smaller batches leave connections to the store idle, larger ones keep the event loop longer."""
_LEAST_MESSAGES: Final = 10
BATCH_BYTES: Final = 8_000_000
"""Of payload: decoded it takes some ten times as much memory."""


class Drain:
    """Moves messages from the spool's `store` cursor into a store.

    Characteristics: a store that is down or slow holds up nothing but itself; a batch is written
    again after a failure, and overwrites itself; after each failure half as many messages are
    tried, since a slow store may get done within its time-out with fewer, and twice as many
    after a success; rows that the store refuses, and messages in the spool that cannot be read,
    become dead letters.

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
        self._failed = False
        self._limit = BATCH_MESSAGES
        self.points = 0
        self.refused = spool.tallies.get(REFUSED, 0)
        """Rows that went to the dead letters."""
        self.unreadable = 0
        """Messages in the spool that went there: a damaged file, or one of another version."""
        self.up = False
        """Whether the store took the last batch; before the first one, whether it answers."""

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

    async def _keep_draining(self) -> None:
        backoff = Backoff(first=0.5, cap=30.0)
        while True:
            try:
                await self._store.start()
                self.up = not self._failed
                await self._drain(backoff)
            except (StoreUnavailable, StoreRefused) as error:
                self.up, self._failed = False, True
                self._limit = max(_LEAST_MESSAGES, self._limit // 2)
                asked = getattr(error, "retry_after", None)
                wait = max(backoff.next(), asked or 0.0)
                _log.warning("store: %s; trying again in %.1f s", error, wait)
                await asyncio.sleep(wait)

    async def _drain(self, backoff: Backoff) -> None:
        after = self._spool.cursor(STORE)
        while True:
            await self._spool.wait(after, timeout=5.0)
            records = await self._spool.read(after, self._limit, BATCH_BYTES)
            if not records:
                continue
            letters: list[DeadLetter] = []
            rows = [row for record in records for row in self._rows(record, letters)]
            result = await self._store.write(rows)
            await self._roll_up(rows, result)
            await self._bury([*letters, *self._letters(result.rejected)])
            self._limit = min(BATCH_MESSAGES, self._limit * 2)
            self.points += result.written
            self.refused += len(result.rejected)
            self.unreadable += len(letters)
            self.up, self._failed = True, False
            backoff.reset()
            after = records[-1].id
            self._spool.passed(STORE, after)

    async def _roll_up(self, rows: Sequence[Row], result: WriteResult) -> None:
        """Have rollups made of what is in the store; what it refused would not be read back."""
        if self.rollups is not None:
            refused = {id(row) for row, _ in result.rejected}
            stored = [row for row in rows if id(row) not in refused] if refused else rows
            await self.rollups.take(stored)

    def _rows(self, record: Record, letters: list[DeadLetter]) -> list[Row]:
        try:
            topic = Topic.parse(record.topic)
            if topic.last not in KINDS:
                return []
            decoded = decode_readings(topic.last, decode_envelope(record.payload))
        except (TopicError, UnreadableEnvelope) as error:
            # Raised on, it would end the collector, and again after each start.
            _log.error("spool: message %d cannot be read: %s", record.id, error)
            now = self._clock.now_ms()
            letter = DeadLetter(now, record.topic, record.payload, Reason.UNREADABLE, str(error))
            letters.append(letter)
            return []
        return rows_of(self._site, topic.last, topic.agent, decoded.readings)

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
