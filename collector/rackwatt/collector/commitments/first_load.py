# SPDX-License-Identifier: Apache-2.0
"""Since when a phase carries load, by the closed books: four quarter hours of each local day."""

import json
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from math import fsum
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.accounting.calendar import Span, spans
from rackwatt.collector.accounting.commitments import NOT_YET, Commitment, Measured
from rackwatt.collector.copies.book import Book
from rackwatt.collector.site import Site

_log = logging.getLogger(__name__)

_APART_MS: Final = 6 * 3_600_000
_QUARTER_MS: Final = 900_000
_QUARTERS_OF_HOUR: Final = 4
_DAYS_AT_ONCE: Final = 20
READING: Final = "reading_books"
NO_BOOKS: Final = "no_books"


@dataclass(slots=True)
class _Sought:
    """One promise of a day, and what the books have said so far."""

    commitment: Commitment
    halls: tuple[str, ...]
    known: bool = False
    """Whether the last quarter hour that was looked at says what the load was."""

    def there(self, row: Mapping[str, Any]) -> bool:
        """Whether a quarter hour has the load. Watt-hours that are unknown may be anything."""
        if self.halls:
            halls = row.get("halls") or {}
            parts = [(halls.get(name) or {}).get("it") for name in self.halls]
        else:
            parts = [row.get("it")]
        self.known = None not in parts
        watts = _QUARTERS_OF_HOUR * fsum(part for part in parts if part is not None)
        wanted = self.commitment.value
        return watts > 0.0 if wanted is None else watts >= wanted


class FirstLoads:
    """Looks for the first day of each phase that was promised.

    Characteristics: opens `ledger.db` for reading in each turn, so that turns may be taken in any
    thread, one at a time. A day that was found stays so until the next start.

    Args:
        site: the site.
        path: `ledger.db`.
    """

    def __init__(self, site: Site, path: Path) -> None:
        halls = {phase.id: phase.halls for phase in site.phases}
        self._sought = [
            _Sought(one, halls.get(one.phase, ()))
            for one in site.commitments
            if one.kind == "in_service"
        ]
        self._site = site
        self._path = path
        self._next_ms: int | None = None
        self.complete = not self._sought
        """Whether all closed days are looked at, or nothing is sought."""
        self.found: Mapping[str, Measured] = {
            one.commitment.id: Measured(reason=READING) for one in self._sought
        }
        """By commitment."""

    def turn(self) -> None:
        """Look at some days; blocks. A ledger that cannot be read now changes nothing."""
        if all(self.found[one.commitment.id].day is not None for one in self._sought):
            self.complete = True
            return
        try:
            with closing(Book(self._path)) as book:
                self._look(book)
        except sqlite3.Error as error:
            _log.warning("the books could not be read for the phases' first days: %s", error)

    def _look(self, book: Book) -> None:
        first, closed = book.first_ms(), book.closed_through_ms()
        if first is None or closed is None:
            self.complete = True
            self._say(NO_BOOKS)
            return
        start = first if self._next_ms is None else max(self._next_ms, first)
        days = list(spans(start, closed, "1d", self._site.timezone))
        for day in days[:_DAYS_AT_ONCE]:
            self._day(book, day, closed, censored=day.start_ms <= first)
            # A day that is still open is looked at again.
            self._next_ms = day.start_ms if day.end_ms > closed else day.end_ms
        self.complete = len(days) <= _DAYS_AT_ONCE
        if self.complete:
            self._say(NOT_YET)

    def _day(self, book: Book, day: Span, closed_ms: int, *, censored: bool) -> None:
        open_ = [one for one in self._sought if self.found[one.commitment.id].day is None]
        for start in range(day.start_ms, min(day.end_ms, closed_ms), _APART_MS):
            at = start - start % _QUARTER_MS
            for text in book.attributions(at, at + _QUARTER_MS).values():
                row = json.loads(text)
                for one in [one for one in open_ if one.there(row)]:
                    open_.remove(one)
                    label = date.fromisoformat(day.label)
                    one_found = Measured(day=label, or_before=censored)
                    self.found = {**self.found, one.commitment.id: one_found}

    def _say(self, reason: str) -> None:
        """Say why there is no day yet, of those that are not found."""
        for one in self._sought:
            name = one.commitment.id
            if self.found[name].day is None:
                why = reason if one.known or reason != NOT_YET else "unknown"
                self.found = {**self.found, name: Measured(reason=why)}
