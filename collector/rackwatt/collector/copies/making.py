# SPDX-License-Identifier: Apache-2.0
"""Makes points out of the ledger: entries as they come, and sums of spans. Blocks."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rackwatt.collector.accounting.calendar import spans
from rackwatt.collector.copies.book import Book
from rackwatt.collector.copies.periods import Books, period_rows
from rackwatt.collector.copies.rows import (
    Places,
    attribution_rows,
    interval_rows,
    place_figures,
)
from rackwatt.collector.copies.spans import Sum
from rackwatt.collector.copies.sums import Key, Sums, sum_days, sum_quarters, sum_rows
from rackwatt.collector.ledger.by_meter import MeterSums, MeterTerms, meter_sums
from rackwatt.collector.ledger.chain import ATTRIBUTION, INTERVAL, Entry
from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Row

_DAYS_KEPT: Final = 40
"""Sums of days in memory, so that a month need not read all its quarter hours each time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A piece of the journal.

    Attributes:
        entries: number, kind and start of each.
        rows: their points.
        last_seq: the number of the journal's newest entry.
        closed_through_ms: end of its newest interval.
    """

    entries: list[tuple[int, str, int]]
    rows: list[Row]
    last_seq: int
    closed_through_ms: int


@dataclass(frozen=True, slots=True)
class _Day:
    through_seq: int
    sums: Sums


class Maker:
    """Reads the ledger and makes points. Belongs to the thread of its book.

    Args:
        site: the site.
        book: the ledger.
    """

    def __init__(self, site: Site, book: Book) -> None:
        self.book = book
        self._site = site
        racks = {rack.id: (rack.hall, rack.row) for rack in site.racks}
        self._places = Places(site.id, racks)
        self._days: OrderedDict[int, _Day] = OrderedDict()
        self._metered_days: OrderedDict[int, tuple[int, MeterSums]] = OrderedDict()
        self._terms = MeterTerms(site)
        self._gone: dict[int, dict[Key, tuple[str, ...]]] = {}

    def batch(self, after_seq: int, limit: int) -> Batch:
        """The entries that follow one, as points.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """
        entries = self.book.entries(after_seq, limit)
        rows = [row for entry in entries for row in self._rows(entry)]
        return Batch(
            [(entry.seq, entry.kind, entry.start_ms) for entry in entries],
            rows,
            self.book.newest_seq(),
            self.book.closed_through_ms() or 0,
        )

    def _rows(self, entry: Entry) -> list[Row]:
        place = self._places, entry.start_ms, entry.revision
        if entry.kind == INTERVAL:
            return interval_rows(*place, json.loads(entry.text))
        if entry.kind == ATTRIBUTION:
            data, before = json.loads(entry.text), self._before(entry)
            self._note_gone(entry.start_ms, data, before)
            return attribution_rows(*place, data, before)
        return []

    def _before(self, entry: Entry) -> Mapping[str, Any]:
        """The row of the revision before; empty before the first."""
        text = self.book.text_before(entry) if entry.revision > 1 else None
        before: Mapping[str, Any] = {} if text is None else json.loads(text)
        return before

    def _note_gone(self, start_ms: int, data: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """Remember places that a quarter hour no longer has: sums must be told of them, too."""
        if not before:
            return
        now = place_figures(self._places, data)
        was = place_figures(self._places, before)
        gone = {key: tuple(figures) for key, figures in was.items() if key not in now}
        if gone:
            self._gone.setdefault(start_ms, {}).update(gone)

    def again(self, after_seq: int, through_seq: int) -> list[tuple[int, str, int]]:
        """Number, kind and start of entries that were copied, and perhaps not summed."""
        touched = list(self.book.touched(after_seq, through_seq))
        for entry in self.book.revised_quarters(after_seq, through_seq):
            self._note_gone(entry.start_ms, json.loads(entry.text), self._before(entry))
        return touched

    def sums(self, item: Sum) -> list[Row]:
        """The sums of a span as points; none when nothing is booked in it.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """
        if item.group == "interval":
            first, through = self.book.first_ms() or 0, self.book.closed_through_ms() or 0
            zone = self._site.timezone
            books = Books(self.book.rows, first, through, lambda: self._meter_sums(item), zone)
            return period_rows(self._site.id, rules_of(self._site, item.start_ms), item, books)
        sums, seq = self._place_sums(item)
        gone = {
            key: names
            for start, places in self._gone.items()
            if item.start_ms <= start < item.end_ms
            for key, names in places.items()
        }
        return sum_rows(sums, gone, item, seq)

    def _meter_sums(self, item: Sum) -> MeterSums:
        """Energies by meter; those of a month's days from memory."""
        if item.every != "1mo":
            return meter_sums(self.book.meters(item.start_ms, item.end_ms), self._terms)
        whole = MeterSums()
        for span in spans(item.start_ms, item.end_ms, "1d", self._site.timezone):
            newest = self.book.newest_quarter(span.start_ms, span.end_ms)
            kept = self._metered_days.get(span.start_ms)
            if kept is None or kept[0] != newest:
                found = meter_sums(self.book.meters(span.start_ms, span.end_ms), self._terms)
                kept = newest, found
            whole.merge(kept[1])
            self._metered_days[span.start_ms] = kept
            self._metered_days.move_to_end(span.start_ms)
        while len(self._metered_days) > _DAYS_KEPT:
            self._metered_days.popitem(last=False)
        return whole

    def _place_sums(self, item: Sum) -> tuple[Sums, int]:
        if item.every != "1mo":
            return self._quarters(item.start_ms, item.end_ms)
        days = [
            self._day(span.start_ms, span.end_ms)
            for span in spans(item.start_ms, item.end_ms, "1d", self._site.timezone)
        ]
        return sum_days(day.sums for day in days), max(day.through_seq for day in days)

    def _quarters(self, start_ms: int, end_ms: int) -> tuple[Sums, int]:
        seq = 0

        def read() -> Any:
            nonlocal seq
            for number, text in self.book.quarters(start_ms, end_ms):
                seq = max(seq, number)
                yield json.loads(text)

        return sum_quarters(self._places, read()), seq

    def _day(self, start_ms: int, end_ms: int) -> _Day:
        """A day's sums, from memory while no entry of it is newer."""
        newest = self.book.newest_quarter(start_ms, end_ms)
        kept = self._days.get(start_ms)
        if kept is None or kept.through_seq != newest:
            sums, _ = self._quarters(start_ms, end_ms)
            kept = _Day(newest, sums)
        self._days[start_ms] = kept
        self._days.move_to_end(start_ms)
        while len(self._days) > _DAYS_KEPT:
            self._days.popitem(last=False)
        return kept
