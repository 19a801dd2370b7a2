# SPDX-License-Identifier: Apache-2.0
"""Where the running year and month stand: export ratio and balance, by the closed books.

A local day's sums are kept in memory and read again only after an entry of it was written. After
a restart they are read anew, newest first and a few days a turn: until all days of the month or
the year are there, its figures are unknown.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwatt.collector.accounting.accumulator import Accumulator, Sums
from rackwatt.collector.accounting.calendar import Span, span_at, spans
from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.accounting.period import figures
from rackwatt.collector.accounting.rules import Outside
from rackwatt.collector.accounting.tallies import Tally
from rackwatt.collector.copies.book import Book
from rackwatt.collector.ledger.chain import INTERVAL
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import Site

_log = logging.getLogger(__name__)

SECONDS: Final = 60.0
"""Between two looks at the books, once all days are known."""
_DAYS_AT_ONCE: Final = 2
_EXPORT: Final = "export"
_RESIDUAL: Final = "residual_ratio"
_AFTER_LOSSES: Final = "after_losses_ratio"
_KEPT: Final = (_EXPORT, _RESIDUAL, _AFTER_LOSSES, "origins", "load")
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What the closed books say of the running local year and month; ``None`` = unknown.

    Attributes:
        export_ratio: Export over own production, of the year so far.
        export_cap_ratio: What the law allows, if the site file says so.
        month_residual_ratio: Residual over sources, of the month so far.
        month_flagged: Whether it is beyond the site's limit, after modelled losses.
        year: All that is known of the year so far; only what is summed up for it is filled in.
        year_peak_watts: The highest mean load of a whole UTC hour of the year so far.
        month_after_losses_ratio: The month's residual less modelled losses, over sources; ``None``
            also where the site names none.
    """

    export_ratio: float | None = None
    export_cap_ratio: float | None = None
    month_residual_ratio: float | None = None
    month_flagged: bool | None = None
    year: PeriodFigures | None = None
    year_peak_watts: float | None = None
    month_after_losses_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class _Day:
    """Sums of a local day."""

    tallies: Mapping[str, Tally]
    peak_watts: float | None


def _day(sums: Sums) -> _Day:
    loads = [  # Wh of an hour are W
        load
        for hour in sums.hours.values()
        if hour.milliseconds == _HOUR_MS and (load := hour.value("load")) is not None
    ]
    return _Day({name: sums.tallies[name] for name in _KEPT}, max(loads, default=None))


class Standings:
    """Follows the books of one site.

    Characteristics: opens `ledger.db` for reading in each turn, so that turns may be taken in any
    thread, one at a time.

    Args:
        site: the site.
        path: `ledger.db`.
    """

    def __init__(self, site: Site, path: Path) -> None:
        self._site = site
        self._path = path
        self._seq: int | None = None
        self._days: dict[int, _Day] = {}
        self.complete = False
        """Whether all closed days of the year are known."""
        self.empty = False
        """Whether nothing is closed yet."""
        self.now = Standing(export_cap_ratio=site.export_cap_ratio)

    def turn(self) -> Standing:
        """Look at the books, at a few days at most; blocks.

        A ledger that cannot be read now leaves what was known before.
        """
        try:
            with closing(Book(self._path)) as book:
                self.now = self._look(book)
        except sqlite3.Error as error:
            _log.warning("the books could not be read for the year's figures: %s", error)
        return self.now

    def _look(self, book: Book) -> Standing:
        unknown = Standing(export_cap_ratio=self._site.export_cap_ratio)
        self._forget_changed(book)
        first, closed = book.first_ms(), book.closed_through_ms()
        self.empty = first is None or closed is None
        if first is None or closed is None:
            return unknown
        zone = self._site.timezone
        month = span_at(closed - 1, "1mo", zone)
        year = _year(month, first, closed, self._site)
        days = list(spans(year.start_ms, closed, "1d", zone))
        self._days = {day.start_ms: self._days[day.start_ms] for day in days
                      if day.start_ms in self._days}  # fmt: skip
        wanted = [day for day in reversed(days) if day.start_ms not in self._days]
        for day in wanted[:_DAYS_AT_ONCE]:
            rows = book.rows(day.start_ms, day.end_ms)
            self._days[day.start_ms] = _day(Accumulator(booked(row) for row in rows).sums)
        missing = {day.start_ms for day in wanted[_DAYS_AT_ONCE:]}
        self.complete = not missing
        of_year = self._figures(days, year.start_ms, closed) if self.complete else None
        inside = [day for day in days if day.start_ms >= month.start_ms]
        of_month = after = None
        if missing.isdisjoint(day.start_ms for day in inside):
            of_month = self._figures(inside, max(month.start_ms, first), closed)
            after = of_month.after_losses_ratio
        return Standing(
            None if of_year is None else of_year.export.ratio,
            self._site.export_cap_ratio,
            None if of_month is None else of_month.residual_ratio.value,
            None if of_month is None else of_month.residual_month_flag,
            of_year,
            None if of_year is None else self._peak(days),
            None if after is None else after.value,
        )

    def _peak(self, days: Iterable[Span]) -> float | None:
        peaks = (self._days[day.start_ms].peak_watts for day in days)
        return max((peak for peak in peaks if peak is not None), default=None)

    def _forget_changed(self, book: Book) -> None:
        """Days of which an entry is new are read again."""
        newest = book.newest_seq()
        if self._seq is not None and newest > self._seq:
            zone = self._site.timezone
            day: Span | None = None
            for _, kind, start_ms in book.touched(self._seq, newest):
                if kind != INTERVAL:
                    continue
                if day is None or not day.start_ms <= start_ms < day.end_ms:
                    day = span_at(start_ms, "1d", zone)
                    inside = [at for at in self._days if day.start_ms <= at < day.end_ms]
                    for at in inside:
                        del self._days[at]
        self._seq = newest

    def _figures(self, days: Iterable[Span], start_ms: int, end_ms: int) -> PeriodFigures:
        whole = Accumulator()
        if self._site.modelled_losses:
            whole.sums.seen.add("losses_modelled")
        for day in days:
            for name, tally in self._days[day.start_ms].tallies.items():
                whole.sums.tallies[name].merge(tally)
        return figures(whole, rules_of(self._site, start_ms), Outside(start_ms, end_ms))


def _year(month: Span, first_ms: int, closed_ms: int, site: Site) -> Span:
    """The local year that a month is in, as far as it is booked."""
    label = month.label[:4]
    start = month
    while start.start_ms > first_ms:
        before = span_at(start.start_ms - 1, "1mo", site.timezone)
        if before.label[:4] != label:
            break
        start = before
    return Span(max(start.start_ms, first_ms), closed_ms, label)
