# SPDX-License-Identifier: Apache-2.0
"""Makes rollups while readings are drained: minutes from memory, late ones from the store.

What arrives for a minute is kept in memory until the minute is 60 s past, and then folded. What
comes later still, or from before this process, or beyond the memory that is allowed, is made by
reading the raw rows of that minute back from the store; an hour is made of the minutes in the
store. So the result is the one that undisturbed delivery would have given.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rackwatt.collector.store.base import Row, StoreError, StoreUnavailable, WriteResult
from rackwatt.collector.store.marks import ALL, Level, Mark, Marks
from rackwatt.collector.store.read import StoredRow
from rackwatt.collector.store.rollups import (
    HOUR_MS,
    HOUR_RULES,
    MINUTE_MS,
    MINUTE_RULES,
    Point,
    Rules,
    fold,
    hour_name,
    minute_name,
)
from rackwatt.wire.clock import Clock

_log = logging.getLogger(__name__)

LATE_MS: Final = 60_000
"""A minute is made so long after its end."""
EVERY_SECONDS: Final = 10.0
MAX_POINTS: Final = 200_000
"""Readings in memory, some 1 kB each; beyond this the fullest minutes are read back instead."""
MAX_DEVICES: Final = 200
"""Late devices of a minute that are asked for by name; more are all asked for."""
_CHUNK: Final = 200
"""Devices folded before others on the event loop have their turn."""

Tags = tuple[tuple[str, str], ...]
_Key = tuple[Level, str, int]
"""Level, kind, start."""


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


@dataclass(slots=True)
class _Device:
    tags: Tags
    newest_ms: int
    points: list[Point] = field(default_factory=list)


@dataclass(slots=True)
class _Minute:
    """A minute of a kind whose readings are all in memory."""

    mark: int
    count: int = 0
    devices: dict[str, _Device] = field(default_factory=dict)


class Rollups:
    """The rollups of one collector.

    Characteristics: lives on the event loop, reads the store in threads; `take` and `flush` may
    run at once. Nothing is forgotten at a restart: a mark on the disk stands for every minute
    and hour that is to be made.

    Args:
        store: where raw rows are and rollups go.
        marks: not started.
        clock: tells which minutes are past.
        max_points: readings kept in memory at most.
    """

    def __init__(
        self, store: RollupStore, marks: Marks, clock: Clock, *, max_points: int = MAX_POINTS
    ) -> None:
        self._store = store
        self._marks = marks
        self._clock = clock
        self._max_points = max_points
        self._open: dict[tuple[str, int], _Minute] = {}
        self._again: dict[_Key, dict[str, list[int]]] = {}
        self._unsaved: list[Mark] = []
        """Marks that are not on the disk yet: what they stand for is given again."""
        self._through = 0
        self._next = 1
        self._points = 0
        self._said = ""
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
        return len(self._ready()) + sum(minute < self._through for _, minute in self._open)

    async def aclose(self) -> None:
        """Let go; what is not made is made after the next start."""
        await self._marks.aclose()

    # -- taking in -----------------------------------------------------------------------------

    async def take(self, rows: Iterable[Row]) -> None:
        """Take rows that the store has; when this returns, their rollups will be made.

        Raises:
            StoreUnavailable: the marks cannot be written; give the same rows again.
        """
        fresh, added = self._unsaved, 0
        for row in rows:
            time_ms, tags = row.time_ms, row.tags
            minute = time_ms - time_ms % MINUTE_MS
            found = self._open.get((row.measurement, minute))
            if found is None:
                found = self._begin(row, minute, fresh)
                if found is None:
                    continue
            name = tags[0][1] if tags[0][0] == "device" else _device(tags)
            device = found.devices.get(name)
            if device is None:
                device = found.devices[name] = _Device(tags, time_ms)
            elif time_ms >= device.newest_ms:
                device.tags, device.newest_ms = tags, time_ms
            device.points.append((time_ms, row.fields))
            found.count += 1
            added += 1
        self._points += added
        while self._points > self._max_points:
            self._spill()
        if fresh:
            saving = list(fresh)
            try:
                await self._marks.add(saving)
            except sqlite3.Error as error:
                raise StoreUnavailable(f"marks of rollups cannot be kept: {error}") from error
            del fresh[: len(saving)]

    def _begin(self, row: Row, minute: int, fresh: list[Mark]) -> _Minute | None:
        """Open a minute in memory; None when it is read back instead, or has no rollups."""
        kind = row.measurement
        if kind not in MINUTE_RULES:
            return None
        if minute < self._through or ("minute", kind, minute) in self._again:
            self._want(("minute", kind, minute), _device(row.tags), fresh)
            return None
        mark = self._mark(("minute", kind, minute), ALL)
        fresh.append(mark)
        opened = self._open[kind, minute] = _Minute(mark.id)
        return opened

    def _mark(self, key: _Key, device: str) -> Mark:
        number = self._next
        self._next += 1
        level, kind, start = key
        return Mark(number, level, kind, device, start)

    def _want(self, key: _Key, device: str, fresh: list[Mark]) -> None:
        """Note what is to be made by reading back."""
        waiting = self._again.setdefault(key, {})
        if ALL in waiting or device in waiting:
            return
        if device != ALL and len(waiting) >= MAX_DEVICES:
            device = ALL
        mark = self._mark(key, device)
        fresh.append(mark)
        waiting[device] = [mark.id]

    def _spill(self) -> None:
        """Forget the readings of the fullest minute: the store has them."""
        key = max(self._open, key=lambda at: self._open[at].count)
        minute = self._open.pop(key)
        self._points -= minute.count
        self._put_back(("minute", *key), {ALL: [minute.mark]})

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
        due = (self._clock.now_ms() - LATE_MS) // MINUTE_MS * MINUTE_MS
        self._through = max(self._through, due)
        for key in sorted(at for at in self._open if at[1] < self._through):
            await self._from_memory(key)
        failure: StoreError | None = None
        for level in ("minute", "hour"):  # hours are made of minutes
            for keys in self._groups(level):
                try:
                    await self._read_back(keys)
                except StoreUnavailable:
                    raise
                except StoreError as error:
                    failure = error  # it may write and not read: the rest is made all the same
        if failure is not None:
            raise failure

    def _ready(self) -> list[_Key]:
        spans = {"minute": MINUTE_MS, "hour": HOUR_MS}
        return sorted(key for key in self._again if key[2] + spans[key[0]] <= self._through)

    def _groups(self, level: str) -> list[list[_Key]]:
        """What is read back together: an hour's late minutes of a kind."""
        groups: dict[tuple[str, int, bool], list[_Key]] = {}
        for key in self._ready():
            if key[0] == level:
                whole = ALL in self._again[key] or level == "hour"
                start = key[2] if whole else key[2] // HOUR_MS * HOUR_MS
                groups.setdefault((key[1], start, whole), []).append(key)
        return list(groups.values())

    async def _from_memory(self, key: tuple[str, int]) -> None:
        minute = self._open.pop(key)
        self._points -= minute.count
        kind, start = key
        rows: list[Row] = []
        for number, device in enumerate(minute.devices.values()):
            if number % _CHUNK == _CHUNK - 1:
                await asyncio.sleep(0)
            fields = fold(MINUTE_RULES[kind], device.points)
            if fields:
                rows.append(Row(minute_name(kind), device.tags, fields, start))
        waiting: dict[_Key, dict[str, list[int]]] = {("minute", kind, start): {ALL: [minute.mark]}}
        await self._write(rows, waiting)

    async def _read_back(self, keys: Sequence[_Key]) -> None:
        waiting = {key: self._again.pop(key) for key in keys}
        level, kind, first = keys[0]
        span = MINUTE_MS if level == "minute" else HOUR_MS
        names = {name for devices in waiting.values() for name in devices}
        asked = (first, keys[-1][2] + span, () if ALL in names else names)
        try:
            rows = await asyncio.to_thread(self._made, level, kind, asked)
        except BaseException:
            for key, devices in waiting.items():
                self._put_back(key, devices)
            raise
        await self._write(rows, waiting)

    def _made(self, level: Level, kind: str, asked: tuple[int, int, Collection[str]]) -> list[Row]:
        """Fold what the store holds; in a thread."""
        if level == "minute":
            source, made, span, rules = kind, minute_name(kind), MINUTE_MS, MINUTE_RULES[kind]
        else:
            source, made, span, rules = (
                minute_name(kind), hour_name(kind), HOUR_MS, HOUR_RULES[kind],
            )  # fmt: skip
        found: list[Row] = []
        for _, rows in self._store.history(source, *asked):
            found += _fold_stored(made, span, rules, rows)
        return found

    async def _write(
        self, rows: Sequence[Row], waiting: Mapping[_Key, dict[str, list[int]]]
    ) -> None:
        """Write rollups, take their marks away, and mark the hours of new minutes."""
        try:
            result = await self._store.write(rows) if rows else WriteResult()
        except BaseException:
            for key, devices in waiting.items():
                self._put_back(key, devices)
            raise
        self.written += result.written
        self.refused += len(result.rejected)
        for row, reason in result.rejected[:1]:
            _log.error("rollup %s of %s refused: %s", row.measurement, row.time_ms, reason)
        hours: list[Mark] = []
        for (level, kind, start), devices in waiting.items():
            for device in devices if level == "minute" else ():
                self._want(("hour", kind, start // HOUR_MS * HOUR_MS), device, hours)
        ids = [
            number for devices in waiting.values() for each in devices.values() for number in each
        ]
        try:
            await self._marks.done(ids, self._through, hours)
        except sqlite3.Error as error:
            self._unsaved += hours
            raise StoreUnavailable(f"marks of rollups cannot be kept: {error}") from error


def _device(tags: Tags) -> str:
    return next((value for name, value in tags if name == "device"), ALL)


def _fold_stored(
    measurement: str, span: int, rules: Rules, rows: Iterable[StoredRow]
) -> Iterator[Row]:
    """A device's rollups of what is stored of it."""
    spans: dict[int, list[StoredRow]] = {}
    for row in rows:
        spans.setdefault(row.time_ms // span * span, []).append(row)
    for start, part in spans.items():
        points: list[Point] = [(row.time_ms, row.fields) for row in part]
        fields = fold(rules, points)
        if fields:
            tags = tuple(sorted(max(part, key=lambda row: row.time_ms).tags.items()))
            yield Row(measurement, tags, fields, start)
