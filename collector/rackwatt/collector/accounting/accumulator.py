# SPDX-License-Identifier: Apache-2.0
"""Adds booked intervals up; days merge into months, and no order can show in the result."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.claims import hour_of
from rackwatt.collector.accounting.sums import ExactSum
from rackwatt.collector.accounting.tallies import (
    HOURLY,
    TALLIES,
    Column,
    HourSums,
    Tally,
    columns_of,
)

_PENDING: Final = 4096


class Sums:
    """All sums over some intervals.

    Attributes:
        tallies: See :data:`TALLIES`.
        hours: UTC hours by their start.
        flags: In how many intervals each flag stands.
        seen: Sources and sinks that are there, ``water:fresh``, ..., ``heat_reused``.
        categories: PUE categories that occur.
        completeness: Completeness times length, ms.
        count: How many intervals.
        restated: How many of them were restated.
        milliseconds: How long they are together.
        first_ms: Where the first one begins; ``None`` without any.
        last_ms: Where the last one ends.
        ups_ms: Where the last one ends in which a UPS was open.
    """

    def __init__(self) -> None:
        self.tallies = {name: Tally(len(columns)) for name, columns in TALLIES.items()}
        self.hours: dict[int, HourSums] = {}
        self.flags: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.categories: set[int | None] = set()
        self.completeness = ExactSum()
        self.count = 0
        self.restated = 0
        self.milliseconds = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.ups_ms: int | None = None

    def take(self, intervals: Sequence[BookedInterval]) -> None:
        """Add intervals, at least one."""
        columns = columns_of(intervals)
        lengths = [interval.milliseconds for interval in intervals]
        for name, wanted in TALLIES.items():
            self.tallies[name].take([columns[column] for column in wanted], lengths)
        self._take_hours(intervals, columns, lengths)
        self._take_marks(intervals, lengths)

    def merge(self, other: "Sums") -> None:
        """Add what another one holds; it stays as it is."""
        for name, tally in self.tallies.items():
            tally.merge(other.tallies[name])
        for start, hour in other.hours.items():
            self.hours.setdefault(start, HourSums()).merge(hour)
        self.flags.update(other.flags)
        self.seen |= other.seen
        self.categories |= other.categories
        self.completeness.merge(other.completeness)
        self.count += other.count
        self.restated += other.restated
        self.milliseconds += other.milliseconds
        self.first_ms = _least(self.first_ms, other.first_ms)
        self.last_ms = _most(self.last_ms, other.last_ms)
        self.ups_ms = _most(self.ups_ms, other.ups_ms)

    def _take_hours(
        self,
        intervals: Sequence[BookedInterval],
        columns: Mapping[str, Column],
        lengths: Sequence[int],
    ) -> None:
        members: dict[int, list[int]] = {}
        for index, interval in enumerate(intervals):
            members.setdefault(hour_of(interval.start_ms), []).append(index)
        for start, indexes in members.items():
            hour = self.hours.setdefault(start, HourSums())
            hour.milliseconds += sum(lengths[index] for index in indexes)
            for name in HOURLY:
                column = columns[name].values
                hour.take(name, [column[index] for index in indexes])
            own = [intervals[index].claims for index in indexes]
            for contract in {name for claims in own for name in claims}:
                hour.claims.add(contract)
                hour.take(f"claim:{contract}", [claims.get(contract, 0.0) for claims in own])

    def _take_marks(self, intervals: Sequence[BookedInterval], lengths: Sequence[int]) -> None:
        self.flags.update(chain.from_iterable(interval.flags for interval in intervals))
        for interval in intervals:
            self.seen.update(interval.sources, interval.sinks)
            self.seen.update(f"water:{source}" for source in interval.water)
            if interval.heat_metered:
                self.seen.add("heat_reused")
            if interval.losses_in_model:
                self.seen.add("losses_modelled")
            self.categories.add(interval.pue_category)
        self.completeness.extend(
            interval.completeness * ms for interval, ms in zip(intervals, lengths, strict=True)
        )
        self.count += len(intervals)
        self.restated += sum(interval.restated for interval in intervals)
        self.milliseconds += sum(lengths)
        self.first_ms = _least(self.first_ms, min(i.start_ms for i in intervals))
        self.last_ms = _most(self.last_ms, max(i.end_ms for i in intervals))
        open_ms = max((i.end_ms for i in intervals if i.ups_open), default=None)
        self.ups_ms = _most(self.ups_ms, open_ms)


class Accumulator:
    """Adds booked intervals up, in any order, each of them once.

    Characteristics: exact, so that two ways to the same intervals give the same figures; small,
    for it keeps sums and not intervals. Not thread-safe.
    """

    def __init__(self, intervals: Iterable[BookedInterval] = ()) -> None:
        self._pending: list[BookedInterval] = []
        self._sums = Sums()
        for interval in intervals:
            self.add(interval)

    @property
    def sums(self) -> Sums:
        """All sums so far."""
        if self._pending:
            self._sums.take(self._pending)
            self._pending = []
        return self._sums

    def add(self, interval: BookedInterval) -> None:
        """Add one interval, in its latest revision."""
        self._pending.append(interval)
        if len(self._pending) >= _PENDING:
            self._sums.take(self._pending)
            self._pending = []

    def merge(self, other: "Accumulator") -> None:
        """Add what another one holds; it stays as it is."""
        self.sums.merge(other.sums)


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _most(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
