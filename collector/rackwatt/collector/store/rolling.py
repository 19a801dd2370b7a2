# SPDX-License-Identifier: Apache-2.0
"""Makes rollups while readings are drained: from memory, and late ones from the store.

What arrives for a minute is gathered in memory until the minute is 60 s past, and then written; an
hour is gathered of its minutes. What comes later still, or from before this process, or beyond the
memory that is allowed, or out of order, is made by reading the rows of that minute, or the minutes
of that hour, back from the store. So the result is the one that undisturbed delivery would have
given.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import numpy as np

from rackwatt.collector.store.base import Row, StoreError, StoreUnavailable, WriteResult
from rackwatt.collector.store.gathering import Floats, Gathered, Layout
from rackwatt.collector.store.marks import ALL, Level, Mark, Marks
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.read import StoredRow
from rackwatt.collector.store.reading_back import read_back
from rackwatt.collector.store.rollups import HOUR_MS, HOUR_RULES, MINUTE_MS, MINUTE_RULES
from rackwatt.collector.store.sorting import Part, parts_of
from rackwatt.wire.clock import Clock

_log = logging.getLogger(__name__)

LATE_MS: Final = 60_000
"""A minute is made so long after its end."""
EVERY_SECONDS: Final = 10.0
MAX_LINES: Final = 1_500_000
"""Devices' minutes and hours in memory, some 280 bytes each; beyond this the largest minute is
read back instead. A site of 285,000 devices has three spans open at once, and four at the hour."""
MAX_DEVICES: Final = 200
"""Late devices of a minute that are asked for by name; more are all asked for."""
_CHUNK: Final = 2_000
"""Devices made before others on the event loop have their turn."""

_Key = tuple[Level, str, int]
"""Level, kind, start."""
_SPANS: Final[Mapping[Level, int]] = {"minute": MINUTE_MS, "hour": HOUR_MS}
_SUFFIXES: Final[Mapping[Level, str]] = {"minute": "_1m", "hour": "_1h"}


class RollupStore(Protocol):
    """A store that takes rows and can be asked for them."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """See `Store.write`."""

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """Each device with its rows of a half-open span in order of time; blocks.

        Raises:
            StoreUnavailable: it cannot be asked now.
            StoreRefused: it may not be asked.
        """


class Rollups:
    """The rollups of one collector.

    Characteristics: lives on the event loop, reads the store in threads; `take` and `flush` may
    run at once. Nothing is forgotten at a restart: a mark on the disk stands for every minute
    and hour that is to be made.

    Args:
        store: where raw rows are and rollups go.
        marks: not started.
        clock: tells which minutes are past.
        max_lines: devices' minutes and hours kept in memory at most.
    """

    def __init__(
        self, store: RollupStore, marks: Marks, clock: Clock, *, max_lines: int = MAX_LINES
    ) -> None:
        self._store = store
        self._marks = marks
        self._clock = clock
        self._max_lines = max_lines
        self._layouts: dict[tuple[Level, str], Layout] = {}
        self._sizes: dict[tuple[Level, str], int] = {}
        """Devices of the newest span that was made."""
        self._open: dict[_Key, Gathered] = {}
        self._closing: dict[_Key, Gathered] = {}
        """What is past and being written, or waits for the store."""
        self._again: dict[_Key, dict[str, list[int]]] = {}
        self._unsaved: list[Mark] = []
        """Marks that are not on the disk yet: what they stand for is given again."""
        self._through = 0
        self._next = 1
        self._said = ""
        self.position: Callable[[], int] = clock.now_ms
        """Up to when messages have been drained, in ms of their receipt: what waits in the spool
        is not late."""
        self.written = 0
        self.refused = 0

    async def start(self) -> None:
        """Find out what the process before left to be made.

        Raises:
            sqlite3.Error: the marks cannot be read.
        """
        left = await self._marks.start()
        self._through = left.through_ms
        for mark in left.marks:
            key = mark.level, mark.kind, mark.start_ms
            self._again.setdefault(key, {}).setdefault(mark.device, []).append(mark.id)
            self._next = max(self._next, mark.id + 1)

    @property
    def pending(self) -> int:
        """Minutes and hours that are due and not made."""
        keys = {*self._again, *self._open, *self._closing}
        return sum(key[2] + _SPANS[key[0]] <= self._through for key in keys)

    async def aclose(self) -> None:
        """Let go; what is not made is made after the next start."""
        await self._marks.aclose()

    # -- taking in -----------------------------------------------------------------------------

    async def take(self, points: Points) -> None:
        """Take rows that the store has; when this returns, their rollups will be made.

        Raises:
            StoreUnavailable: the marks cannot be written; give the same rows again.
        """
        parts = parts_of(points)
        self._prepare(parts)
        while self._unsaved:  # what is open now may be past when its mark is on the disk
            await self._save()
            self._prepare(parts)
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(0)
                self._prepare((part,))
            self._add(part)
        while sum(map(len, self._open.values())) > self._max_lines and self._spill():
            pass
        if self._unsaved:
            await self._save()

    async def _save(self) -> None:
        saving = list(self._unsaved)
        try:
            await self._marks.add(saving)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"marks of rollups cannot be kept: {error}") from error
        del self._unsaved[: len(saving)]

    def _prepare(self, parts: Sequence[Part]) -> None:
        """See that each part has a minute in memory, or that it is marked to be read back."""
        for part in parts:
            key: _Key = ("minute", part.kind, part.minute)
            if key in self._open or part.kind not in MINUTE_RULES:
                continue
            if part.minute < self._through or key in self._again or key in self._closing:
                late = {one.device for one in (*part.series, *part.moving)}
                self._want(key, late, self._unsaved)
            else:
                self._open[key] = self._gather(key, self._unsaved)

    def _gather(self, key: _Key, fresh: list[Mark]) -> Gathered:
        level, kind, _ = key
        layout = self._layouts.get((level, kind))
        if layout is None:
            rules = MINUTE_RULES[kind] if level == "minute" else HOUR_RULES[kind]
            layout = self._layouts[level, kind] = Layout(rules)
        mark = self._mark(key, ALL)
        fresh.append(mark)
        return Gathered(layout, mark.id, self._sizes.get((level, kind), 0))

    def _add(self, part: Part) -> None:
        key: _Key = ("minute", part.kind, part.minute)
        gathered = self._open.get(key)
        if gathered is None:
            return
        back = {one.device for one in part.moving}
        if part.series:
            old = gathered.add(part.names, part.series, part.numbers, part.times, part.values)
            back.update(one.device for one in old)
        if back:
            gathered.left |= back
            self._want(key, back, self._unsaved)
            if ALL in self._again[key]:
                del self._open[key]
                self._put_back(key, {ALL: [gathered.mark]})

    def _mark(self, key: _Key, device: str) -> Mark:
        number = self._next
        self._next += 1
        level, kind, start = key
        return Mark(number, level, kind, device, start)

    def _want(self, key: _Key, devices: Collection[str], fresh: list[Mark]) -> None:
        """Note what is to be made by reading back."""
        waiting = self._again.setdefault(key, {})
        if ALL in waiting:
            return
        new = [device for device in devices if device not in waiting]
        if ALL not in new and len(waiting) + len(new) > MAX_DEVICES:
            new = [ALL]
        for device in new:
            mark = self._mark(key, device)
            fresh.append(mark)
            waiting[device] = [mark.id]

    def _want_hour(self, key: _Key, devices: Collection[str], fresh: list[Mark]) -> None:
        """The same of an hour, which may be in memory: its mark stands for all."""
        hour = self._open.get(key)
        if hour is None:
            self._want(key, devices, fresh)
        elif ALL in devices:
            del self._open[key]
            self._put_back(key, {ALL: [hour.mark]})
        else:
            hour.left.update(devices)

    def _spill(self) -> bool:
        """Forget what was gathered of the largest span: the store has its rows."""
        key = max(self._open, key=lambda at: len(self._open[at]))
        gathered = self._open.pop(key)
        self._put_back(key, {ALL: [gathered.mark]})
        return bool(self._open)

    def _put_back(self, key: _Key, waiting: Mapping[str, list[int]]) -> None:
        kept = self._again.setdefault(key, {})
        for device, ids in waiting.items():
            kept.setdefault(device, []).extend(ids)

    # -- giving out ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Make what is due until cancelled; a store that is down is tried again."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.flush()
            except StoreError as error:
                if str(error) != self._said:
                    _log.warning("rollups: %s; trying again", error)
                self._said = str(error)
            else:
                self._said = ""

    async def flush(self) -> None:
        """Make what is due.

        Raises:
            StoreUnavailable, StoreRefused: some could not be made; they wait.
        """
        reached = min(self._clock.now_ms(), self.position())
        self._through = max(self._through, (reached - LATE_MS) // MINUTE_MS * MINUTE_MS)
        failure: StoreError | None = None
        levels: tuple[Level, ...] = ("minute", "hour")  # hours are made of minutes
        for level in levels:
            for key in self._due(level, self._open):
                self._closing[key] = self._open.pop(key)
            for key in self._due(level, self._closing):
                await self._close(key)
            for keys in self._groups(level):
                try:
                    await self._read_back(keys)
                except StoreUnavailable:
                    raise
                except StoreError as error:
                    failure = error  # it may write and not read: the rest is made all the same
        if failure is not None:
            raise failure

    def _due(self, level: Level, keys: Collection[_Key]) -> list[_Key]:
        span = _SPANS[level]
        return sorted(key for key in keys if key[0] == level and key[2] + span <= self._through)

    def _groups(self, level: Level) -> list[list[_Key]]:
        """What is read back together: an hour's late minutes of a kind."""
        groups: dict[tuple[str, int, bool], list[_Key]] = {}
        for key in self._due(level, self._again):
            whole = ALL in self._again[key] or level == "hour"
            start = key[2] if whole else key[2] // HOUR_MS * HOUR_MS
            groups.setdefault((key[1], start, whole), []).append(key)
        return list(groups.values())

    async def _close(self, key: _Key) -> None:
        """Write what was gathered; what fails goes on where it was."""
        gathered = self._closing[key]
        level, _, start = key
        fresh: list[Mark] = []
        try:
            for points, numbers in gathered.parts(_CHUNK, _SUFFIXES[level], start):
                refused = await self._write(points) if points else set[str]()
                if level == "minute":
                    self._into_hour(key, gathered, (points, numbers), refused, fresh)
                await asyncio.sleep(0)
            if level == "hour" and gathered.left:
                self._want(key, gathered.left, fresh)
        except BaseException:
            self._unsaved += fresh
            raise
        await self._done([gathered.mark], fresh)
        del self._closing[key]
        self._sizes[key[:2]] = len(gathered)

    def _into_hour(
        self,
        key: _Key,
        minute: Gathered,
        made: tuple[Points, Floats],
        refused: set[str],
        fresh: list[Mark],
    ) -> None:
        """Gather minutes that are in the store."""
        _, kind, start = key
        begin = start // HOUR_MS * HOUR_MS
        at: _Key = ("hour", kind, begin)
        hour = self._open.get(at)
        if hour is None:
            if at in self._again or at in self._closing:
                self._want(at, {ALL}, fresh)
                return
            hour = self._open[at] = self._gather(at, fresh)
        points, numbers = made
        hour.left.update(refused, minute.left)
        if not points:
            return
        slots = np.array([one.number for one in points.series], np.int64)
        times = np.full(len(slots), start, np.int64)
        old = hour.add(minute.names, points.series, slots, times, numbers)
        hour.left.update(one.device for one in old)
        hour.left.update(
            one.device
            for one in points.series
            if one.slot < 0 and not one.holds(begin, begin + HOUR_MS)
        )

    async def _read_back(self, keys: Sequence[_Key]) -> None:
        waiting = {key: self._again.pop(key) for key in keys}
        level, kind, first = keys[0]
        names = {name for devices in waiting.values() for name in devices}
        asked = (first, keys[-1][2] + _SPANS[level], () if ALL in names else names)
        try:
            async with aclosing(read_back(self._store, level, kind, asked)) as pieces:
                async for rows in pieces:
                    await self._write(rows)
        except BaseException:
            for key, devices in waiting.items():
                self._put_back(key, devices)
            raise
        hours: list[Mark] = []
        if level == "minute":
            for (_, _, start), devices in waiting.items():
                self._want_hour(("hour", kind, start // HOUR_MS * HOUR_MS), devices, hours)
        await self._done(
            [number for each in waiting.values() for ids in each.values() for number in ids], hours
        )

    async def _write(self, rows: Sequence[Row]) -> set[str]:
        """Write rollups; returns the devices of those that were refused."""
        result = await self._store.write(rows)
        self.written += result.written
        self.refused += len(result.rejected)
        for row, reason in result.rejected[:1]:
            _log.error("rollup %s of %s refused: %s", row.measurement, row.time_ms, reason)
        return {dict(row.tags).get("device", ALL) for row, _ in result.rejected}

    async def _done(self, ids: Sequence[int], fresh: list[Mark]) -> None:
        """Take marks away, and set others in their place."""
        try:
            await self._marks.done(ids, self._through, fresh)
        except sqlite3.Error as error:
            self._unsaved += fresh
            raise StoreUnavailable(f"marks of rollups cannot be kept: {error}") from error
