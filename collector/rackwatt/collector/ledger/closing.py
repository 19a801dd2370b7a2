# SPDX-License-Identifier: Apache-2.0
"""Books hours: meters what waits, and takes the battery through it, row by row."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.bases import Noting
from rackwatt.collector.ledger.chain import INTERVAL, parsed
from rackwatt.collector.ledger.dirty import (
    CARRIED,
    CLOSING,
    HOUR,
    QUARTER_MS,
    RESTATING,
    Dirty,
    Why,
)
from rackwatt.collector.ledger.journal import (
    Booking,
    Journal,
    New,
    Shown,
    battery_in,
    booking_of,
)
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, FIRST, RESTATEMENTS, Meta
from rackwatt.collector.ledger.metered import Metered
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.rules import Rules

_CARRIED: Final = Why(CARRIED)


@dataclass(slots=True)
class Booked:
    """What came of booking some intervals.

    Attributes:
        new: Booked for the first time.
        restated: Later revisions, foreseen ones left out.
        changed: The battery's last end state is another one than before.
    """

    new: int = 0
    restated: int = 0
    changed: bool = False


class Closer:
    """Books what waits, an hour at a time, inside the caller's transaction.

    Args:
        connection: The ledger's.
        journal: Where rows go.
        dirty: What waits.
        metered: Makes bookings of inputs.
        rules: Battery and factors.
        basis: Notes them in the journal.

    Attributes:
        quarters: Whether quarter hours are to be marked whose intervals change.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        journal: Journal,
        dirty: Dirty,
        metered: Metered,
        rules: Rules,
        basis: Noting,
    ) -> None:
        self._db = connection
        self._meta = Meta(connection)
        self._journal = journal
        self._dirty = dirty
        self._metered = metered
        self._rules = rules
        self._basis = basis
        self.quarters = False

    def pending(self, due: int) -> int | None:
        """The earliest interval that waits to be booked."""
        closed = self._meta.get(CLOSED)
        if closed is None:
            return None
        fresh = closed if closed < due else None
        waiting = [start for start in (self._dirty.earliest(), fresh) if start is not None]
        return min(waiting, default=None)

    def book_hours(self, due: int, at_most: int, done: Booked) -> None:
        """Book what waits in the next hours; count it in ``done``."""
        for _ in range(at_most):
            start = self.pending(due)
            if start is None:
                return
            hour = self._book_hour(start, due)
            done.new, done.restated = done.new + hour.new, done.restated + hour.restated

    def _book_hour(self, start: int, due: int) -> Booked:
        """Book what waits in one hour, from ``start`` on."""
        meta = self._meta
        closed, first = meta.get(CLOSED) or 0, meta.get(FIRST) or 0
        hour = start // HOUR_MS * HOUR_MS
        through = min(hour + HOUR_MS, max(closed, due))
        complete = through == hour + HOUR_MS
        dirty = self._dirty.within(hour, through)
        if complete and closed < through:
            # Only now does a coarse register give the hour its sum.
            start = max(hour, first, meta.floor())
            stronger = {at: why for at, why in dirty.items() if why.cause != CARRIED}
            dirty = dict.fromkeys(range(start, closed, INTERVAL_MS), Why(HOUR)) | stronger
        dirty |= dict.fromkeys(range(max(closed, start), through, INTERVAL_MS), Why(CLOSING))
        bookings = self._bookings(dirty, hour, complete=complete)
        done = self._book(range(start, through, INTERVAL_MS), dirty, bookings)
        self._dirty.clear(hour, through)
        if done.changed and through < closed:
            self._dirty.carry(through)
        if through > closed:
            meta.set(CLOSED, through)
        if done.restated:
            meta.set(RESTATEMENTS, (meta.get(RESTATEMENTS) or 0) + done.restated)
        return done

    def _bookings(
        self, dirty: Mapping[int, Why], hour: int, *, complete: bool
    ) -> dict[int, Booking]:
        """Meter intervals of one hour anew, and note what registers did meanwhile.

        Where inputs are compacted, a row's own booking is all there is.
        """
        compacted = self._meta.get(COMPACTED) or 0
        starts = [at for at, why in dirty.items() if why.cause != CARRIED and at >= compacted]
        if not starts:
            return {}
        low, high = min(starts), max(starts) + INTERVAL_MS
        if complete:
            low, high = hour, hour + HOUR_MS
        boundaries = list(range(low, high + 1, INTERVAL_MS))
        found, events = self._metered.bookings(boundaries)
        self._db.execute("DELETE FROM events WHERE time_ms > ? AND time_ms <= ?", (low, high))
        self._db.executemany(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)",
            (
                (event.time_ms, device, name, event.code, event.before, event.after)
                for device, name, event in events
                if low < event.time_ms <= high
            ),
        )
        wanted = set(starts)
        return {
            at: b for (at, _), b in zip(pairwise(boundaries), found, strict=True) if at in wanted
        }

    def _book(
        self, starts: Sequence[int], dirty: Mapping[int, Why], bookings: Mapping[int, Booking]
    ) -> Booked:
        """Book intervals in order, the battery going through them."""
        stored = self._journal.shown(INTERVAL, starts[0], starts[-1] + 1)
        state = None
        before = ""
        done = Booked()
        news: list[New] = []
        for start in starts:
            old = stored.get(start)
            if old is not None and start not in dirty and not done.changed:
                state, before = None, old.text
                continue
            if state is None:
                state = battery_in(before) if before else self.state_before(start)
            booking = bookings.get(start)
            if booking is None:
                booking = booking_of(parsed(stored[start].text))
            entering = state
            text, state = self._rules.row(start, booking, entering)
            if old is not None and old.text == text and self._fits(old, start, booking, entering):
                done.changed = False
                continue
            done.changed = old is None or battery_in(old.text) != state
            why = dirty.get(start, _CARRIED)
            revision = 1 if old is None else old.revision + 1
            news.append(New(start, revision, why.cause, why.author, text))
            done.new += revision == 1
            done.restated += revision > 1 and why.cause in RESTATING
            if self.quarters:
                quarter = start // QUARTER_MS * QUARTER_MS
                self._dirty.quarters(quarter, quarter, why)
        if news:
            self._basis.note()
        self._journal.extend(INTERVAL, news)
        return done

    def _fits(self, old: Shown, start: int, booking: Booking, state: BatteryState) -> bool:
        """Whether a row that stays comes out the same by the rules in force where it stands."""
        rules = self._basis.rules_of(old.seq)
        return rules is None or rules.row(start, booking, state)[0] == old.text

    def state_before(self, start: int) -> BatteryState:
        """The battery at the start of an interval."""
        for row in self._journal.latest(start - INTERVAL_MS, start):
            return row.battery
        return self._rules.opening(self._meta.get(FIRST) or start)
