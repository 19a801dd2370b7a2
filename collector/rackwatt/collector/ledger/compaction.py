# SPDX-License-Identifier: Apache-2.0
"""Compaction of inputs: old readings go, those at the edges of days stay.

Inputs of a day (of the site's zone) are kept whole for the longest of 35 days and the agents'
retention plus 7 days. From then on, late data for that day waits in ``held``, and no row of it is
booked from inputs again: its own booking, which the row holds, is what it can be checked against.
A day later its inputs go, so that the day after still finds its neighbours. Of each series the
first and the last reading of a day stay for good: with them every register's count over any day
and any month can be shown.

Each call does a bounded piece of work in a transaction of its own. The pages that become free are
used again: the file stops growing.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.calendar import span_at
from rackwatt.collector.accounting.vocabulary import DAY_MS
from rackwatt.collector.ledger.dirty import Dirty
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, FIRST, Meta
from rackwatt.collector.ledger.months import OUTBOX_RETENTION_MS
from rackwatt.collector.ledger.records import RETENTION_MS

_MARGIN_MS: Final = 7 * DAY_MS
DELETED: Final = "deleted"
"""Inputs of days before it are gone but for their edges."""
_SERIES: Final = "deleted_series"
"""The last series that was cleared of the day that begins there."""
_SLICE_MS: Final = 3_600_000


def keep_ms(retention_ms: int = OUTBOX_RETENTION_MS) -> int:
    """Return how long inputs are kept whole."""
    return max(RETENTION_MS, retention_ms + _MARGIN_MS)


class Compaction:
    """Clears inputs, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, dirty: Dirty) -> None:
        self._db = connection
        self._meta = Meta(connection)
        self._dirty = dirty

    @property
    def deleted_ms(self) -> int:
        """Before that, inputs are gone but for the edges of days."""
        return self._meta.get(DELETED) or 0

    def due(self, now_ms: int, zone: ZoneInfo, retention_ms: int) -> bool:
        """Move on what is compacted; say whether there is something to delete."""
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        if first is None or closed is None:
            return False
        limit = min(now_ms - keep_ms(retention_ms), closed)
        compacted = self._meta.get(COMPACTED)
        begin = span_at(first, "1d", zone).start_ms if compacted is None else compacted
        horizon = max(begin, span_at(limit, "1d", zone).start_ms)
        earliest = self._dirty.earliest()
        if earliest is not None and earliest < horizon:
            horizon = begin
        if horizon != compacted and horizon > first:
            self._meta.set(COMPACTED, horizon)
        return self._next_day(zone) is not None

    def step(self, zone: ZoneInfo, budget: int) -> int:
        """Delete readings, about as many as the budget; return how many went."""
        deleted = 0
        while deleted < budget and (day := self._next_day(zone)) is not None:
            series = self._next_series()
            if series is None:
                self._meta.set(DELETED, day[1])
                self._meta.set(_SERIES, 0)
                continue
            cleared, complete = self._clear(series, *day, budget - deleted)
            deleted += cleared
            if complete:
                self._meta.set(_SERIES, series)
        return deleted

    def _next_day(self, zone: ZoneInfo) -> tuple[int, int] | None:
        compacted, first = self._meta.get(COMPACTED), self._meta.get(FIRST)
        if compacted is None or first is None:
            return None
        start = self._meta.get(DELETED)
        start = span_at(first, "1d", zone).start_ms if start is None else start
        end = span_at(start, "1d", zone).end_ms
        return (start, end) if end <= compacted - DAY_MS else None

    def _next_series(self) -> int | None:
        found = self._db.execute(
            "SELECT min(id) FROM series WHERE id > ?", (self._meta.get(_SERIES) or 0,)
        ).fetchone()[0]
        return None if found is None else int(found)

    def _clear(self, series: int, start: int, end: int, budget: int) -> tuple[int, bool]:
        """Delete what lies between a day's first and last reading; say whether all of it went."""
        low, high = self._db.execute(
            "SELECT min(time_ms), max(time_ms) FROM inputs"
            " WHERE series = ? AND time_ms >= ? AND time_ms <= ?",
            (series, start, end),
        ).fetchone()
        if low is None:
            return 0, True
        deleted = 0
        for left, right in _slices(low + 1, high):
            deleted += self._db.execute(
                "DELETE FROM inputs WHERE series = ? AND time_ms >= ? AND time_ms < ?",
                (series, left, right),
            ).rowcount
            if deleted >= budget and right < high:
                return deleted, False
        return deleted, True


def _slices(low: int, high: int) -> Iterator[tuple[int, int]]:
    for left in range(low, high, _SLICE_MS):
        yield left, min(left + _SLICE_MS, high)
