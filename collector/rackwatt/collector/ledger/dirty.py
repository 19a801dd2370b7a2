# SPDX-License-Identifier: Apache-2.0
"""Which closed intervals and quarter hours wait to be booked again, and why."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.chain import AUTHOR
from rackwatt.collector.ledger.inputs import Touched
from rackwatt.collector.ledger.meta import CLOSED, FINAL, FIRST, Meta
from rackwatt.collector.ledger.records import INTERVAL_MS, interval_of

CLOSING: Final = "closed"
LATE: Final = "late_data"
CARRIED: Final = "battery"
HOUR: Final = "hour_closed"
RELEASED: Final = "released"
RESTATED: Final = "restated"
RESTATING: Final = frozenset(
    {LATE, CARRIED, RELEASED, RESTATED, "inventory", "new_series", "maintenance"}
)
"""Causes that count as restatements; that a coarse register's hour settles is foreseen."""

QUARTER_MS: Final = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Why:
    """Why an interval is booked again, and on whose word."""

    cause: str
    author: str = AUTHOR


class Dirty:
    """The dirty set, inside the caller's transaction.

    Args:
        connection: The ledger's.
        meta: Where the books begin and end.
    """

    def __init__(self, connection: sqlite3.Connection, meta: Meta) -> None:
        self._db = connection
        self._meta = meta

    def mark(self, touched: Touched, why: Why) -> tuple[int, int] | None:
        """Mark the closed intervals of a span; an earlier, stronger cause stays.

        Intervals of final months stay as they are.

        Returns:
            The span of those: the start of the first and of the last one.
        """
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        if first is None or closed is None:
            return None
        # A reading on a boundary belongs to both sides of it.
        low, high = interval_of(touched.low_ms - 1), interval_of(touched.high_ms)
        if touched.everything:
            low, high = first, closed - INTERVAL_MS
        if touched.whole_hours:
            low = low // HOUR_MS * HOUR_MS
            high = (high // HOUR_MS + 1) * HOUR_MS - INTERVAL_MS
        low, high = max(low, first), min(high, closed - INTERVAL_MS)
        self.span(max(low, self._meta.floor()), high, why)
        final = min(high, (self._meta.get(FINAL) or 0) - INTERVAL_MS)
        return (low, final) if low <= final else None

    def span(self, low: int, high: int, why: Why) -> None:
        """Mark intervals by the starts of the first and the last one."""
        self._db.executemany(
            "INSERT INTO dirty VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET cause = excluded.cause, author = excluded.author"
            " WHERE cause = ? OR excluded.cause = ?",
            (
                (start, why.cause, why.author, CARRIED, RESTATED)
                for start in range(low, high + 1, INTERVAL_MS)
            ),
        )

    def carry(self, start: int) -> None:
        """Note that the battery's state before an interval has changed."""
        self._db.execute("INSERT OR IGNORE INTO dirty VALUES (?, ?, ?)", (start, CARRIED, AUTHOR))

    def earliest(self) -> int | None:
        """The start of the first interval that waits."""
        found = self._db.execute("SELECT min(start_ms) FROM dirty").fetchone()[0]
        return None if found is None else int(found)

    def within(self, start: int, end: int) -> dict[int, Why]:
        """What waits in a half-open span."""
        rows = self._db.execute(
            "SELECT start_ms, cause, author FROM dirty WHERE start_ms >= ? AND start_ms < ?",
            (start, end),
        )
        return {at: Why(cause, author) for at, cause, author in rows}

    def clear(self, start: int, end: int) -> None:
        """Forget what waited in a half-open span."""
        self._db.execute("DELETE FROM dirty WHERE start_ms >= ? AND start_ms < ?", (start, end))

    # --- quarter hours -------------------------------------------------------------------------

    def quarters(self, low: int, high: int, why: Why) -> None:
        """Mark the quarter hours of a span of time, both ends included; the first cause stays.

        Quarter hours of final months stay as they are, and those whose inputs are compacted.
        """
        floor = self._meta.floor()
        low = max(low, floor) // QUARTER_MS * QUARTER_MS
        self._db.executemany(
            "INSERT OR IGNORE INTO quarters VALUES (?, ?, ?)",
            (
                (start, why.cause, why.author)
                for start in range(low, high + 1, QUARTER_MS)
                if start >= floor
            ),
        )

    def quarters_due(self, end_ms: int, limit: int) -> list[tuple[int, Why]]:
        """Quarter hours that wait and have ended by then, oldest first."""
        rows = self._db.execute(
            "SELECT start_ms, cause, author FROM quarters WHERE start_ms <= ?"
            " ORDER BY start_ms LIMIT ?",
            (end_ms - QUARTER_MS, limit),
        )
        return [(at, Why(cause, author)) for at, cause, author in rows]

    def quarter_done(self, start: int) -> None:
        """Forget a quarter hour."""
        self._db.execute("DELETE FROM quarters WHERE start_ms = ?", (start,))
