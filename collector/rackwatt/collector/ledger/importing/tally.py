# SPDX-License-Identifier: Apache-2.0
"""What all rows come to: sums, ratios of sums, and what was odd."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from math import fsum
from typing import Final

from rackwatt.collector.accounting.calendar import Span, span_at
from rackwatt.collector.ledger.importing.adding import Added
from rackwatt.collector.ledger.importing.booking import BookedRow

LISTED: Final = 20
"""Gaps and changes of the offset that are named one by one."""


@dataclass(frozen=True, slots=True)
class Known:
    """A sum over the rows in which a figure is known.

    Attributes:
        value: The sum.
        seconds: How long these rows are, together.
    """

    value: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PeriodRatio:
    """A ratio of sums over the rows in which both terms are known, with their time."""

    over: float
    under: float
    seconds: float

    @property
    def value(self) -> float | None:
        """The ratio, ``None`` without a denominator."""
        return self.over / self.under if self.under > 0.0 else None


@dataclass(slots=True)
class Month:
    """One local month's balance, over the rows whose residual is known."""

    residual: float = 0.0
    supplied: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that no row covers, before a row."""

    line: int
    time: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """A row whose time has another offset than the one before."""

    line: int
    time: str
    before: timedelta
    after: timedelta


class Tally:
    """Adds up rows as they come.

    Args:
        zone: Whose clocks tell months.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._month: Span | None = None
        self.months: dict[str, Month] = {}
        self.flags: Counter[str] = Counter()
        self.gaps: list[Gap] = []
        self.gap_count = 0
        self.gap_seconds = 0.0
        self.offsets: list[OffsetChange] = []
        self.offset_count = 0
        self.sums: dict[str, Known] = {}
        self.ratios: dict[str, PeriodRatio] = {}
        self.rows = 0
        self.seconds = 0.0
        self.first: BookedRow | None = None
        self.last: BookedRow | None = None

    def add(self, booked: BookedRow, supplied: float | None) -> None:
        """Add a row.

        Args:
            booked: The row.
            supplied: What sources and battery gave to the bus, Wh.
        """
        if self.first is None:
            self.first = booked
        self.last = booked
        self.rows += 1
        if booked.flags:
            self._odd(booked)
        if supplied is not None and booked.account.residual is not None:
            self._monthly(booked, booked.account.residual, supplied)

    def _odd(self, booked: BookedRow) -> None:
        row = booked.row
        self.flags.update(booked.flags)
        if row.gap_us:
            self.gap_count += 1
            self.gap_seconds += row.gap_us / 1e6
            if len(self.gaps) < LISTED:
                self.gaps.append(Gap(row.line, row.time, row.gap_us / 1e6))
        if row.offset_before is not None:
            self.offset_count += 1
            if len(self.offsets) < LISTED:
                change = OffsetChange(row.line, row.time, row.offset_before, row.offset)
                self.offsets.append(change)

    def _monthly(self, booked: BookedRow, residual: float, supplied: float) -> None:
        start_ms = booked.row.start_us // 1000
        if self._month is None or not self._month.start_ms <= start_ms < self._month.end_ms:
            self._month = span_at(start_ms, "1mo", self._zone)
        month = self.months.setdefault(self._month.label, Month())
        month.residual += residual
        month.supplied += supplied
        month.seconds += booked.row.seconds

    def finish(self, added: Added) -> None:
        """That was the last row.

        Args:
            added: What the lines come to.
        """
        self.seconds = fsum(added.seconds)
        for name, (terms, lengths) in added.sums.items():
            self.sums[name] = Known(fsum(terms), fsum(lengths))
        for name, (over, under, lengths) in added.ratios.items():
            self.ratios[name] = PeriodRatio(fsum(over), fsum(under), fsum(lengths))
