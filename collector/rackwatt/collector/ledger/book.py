# SPDX-License-Identifier: Apache-2.0
"""The ledger: applies readings exactly once, closes intervals, restates them when data is late."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState, initial
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.accounting.interval import account
from rackwatt.collector.accounting.vocabulary import DAY_MS, HOUR_MS
from rackwatt.collector.ledger.inputs import Inputs, Touched
from rackwatt.collector.ledger.journal import Booking, Journal, LedgerRow, canonical, row_of
from rackwatt.collector.ledger.metered import Metered
from rackwatt.collector.ledger.records import (
    GRACE_MS,
    INTERVAL_MS,
    InputRecord,
    interval_of,
)
from rackwatt.collector.ledger.schema import SCHEMA
from rackwatt.collector.ledger.sites import SiteBooks, cadence_ms
from rackwatt.wire.database import connect
from rackwatt.wire.inventory import InventoryItem

_log = logging.getLogger(__name__)

LATE: Final = "late_data"
CARRIED: Final = "battery"
HOUR: Final = "hour_closed"
RESTATING: Final = frozenset({LATE, CARRIED, "released", "inventory", "new_series"})
"""Causes that count as restatements; that a coarse register's hour settles is foreseen."""

_LOOK_BACK_MS: Final = 2 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Closing:
    """What one call of :meth:`Ledger.close_intervals` did.

    Attributes:
        closed: Intervals booked for the first time.
        restated: Later revisions, foreseen ones (``hour_closed``) left out.
        closed_through_ms: End of the last closed interval, ``None`` before the first.
    """

    closed: int
    restated: int
    closed_through_ms: int | None


class Ledger:
    """The book of record of one site, in one SQLite file.

    Characteristics: synchronous and single-threaded: one writer calls it from one thread. Every
    public call is one or more transactions, each complete by itself: after a crash the ledger
    goes on where the last one ended. Readers use connections of their own. The rows depend on
    the readings, the site and the factors alone, not on the order or the number of deliveries.

    Inputs are kept for ever for now. Compaction (35 days, then the readings next to interval,
    month and day boundaries) belongs into :class:`~.inputs.Inputs` and must leave each remaining
    interval's neighbouring readings in place.

    Args:
        path: The file ``ledger.db``; made if it is missing.
        site: Roles, terms and cadences by time.
        factors: Emission factors.
        battery: How the battery is booked.
        initial_watt_hours: Its stock before the first interval.

    Raises:
        sqlite3.Error: The file is no database or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        site: SiteBooks,
        factors: SiteFactors,
        battery: BatteryParameters | None = None,
        initial_watt_hours: float = 0.0,
    ) -> None:
        self._battery = BatteryParameters() if battery is None else battery
        self._initial = initial_watt_hours
        self._factors = factors
        self._db = connect(path)
        self._db.executescript(SCHEMA)
        self._inputs = Inputs(self._db, partial(cadence_ms, site))
        self._metered = Metered(site, self._inputs, self._battery)
        self._journal = Journal(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- writing -------------------------------------------------------------------------------

    def apply(self, records: Iterable[InputRecord], cursor: int, name: str = "spool") -> None:
        """Take readings in, exactly once: they, what they touch and the cursor are one step.

        Args:
            records: Readings of kind power, in any order, repeated or not.
            cursor: What to go on from after a restart; see :meth:`cursor`.
            name: Which log the cursor is of, where there are several.

        Raises:
            sqlite3.Error: Nothing was taken in.
        """
        kept = list(records)
        with self._transaction():
            self._take_in(kept, LATE)
            self._db.execute(
                "INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET id = excluded.id",
                (name, cursor),
            )

    def release(self, device: str) -> None:
        """Book the held readings of a device, whose clock someone has judged to be right."""
        with self._transaction():
            self._take_in(self._inputs.release(device), "released")

    def inventory(self, items: Iterable[InventoryItem], time_ms: int) -> None:
        """Note what is known of registers, and meters whose serial number has changed.

        Args:
            items: Devices.
            time_ms: Since when this is so.
        """
        with self._transaction():
            for item in items:
                changed = [
                    self._inputs.set_spec(
                        item.device, name, spec.modulus_watt_hours, spec.resolution_watt_hours
                    )
                    for name, spec in item.registers.items()
                ]
                before = self._inputs.set_serial(item.device, item.serial, time_ms)
                if before is not None:
                    _log.warning("%s was replaced by %s", before, item.serial)
                if before is not None or any(changed):
                    low = max(time_ms - _LOOK_BACK_MS, self._meta("first") or 0)
                    self._mark(Touched(low, time_ms, whole_hours=True), "inventory")

    def close_intervals(self, now_ms: int) -> Closing:
        """Close what is due, complete or not, and book again what late data touched.

        An interval is due 30 s after its end. Rows that come out as they were keep their revision.

        Args:
            now_ms: The present, ms since 1970 UTC.
        """
        closed = restated = 0
        due = interval_of(now_ms - GRACE_MS)
        while (start := self._pending(due)) is not None:
            with self._transaction():
                counts = self._book_hour(start, due)
            closed, restated = closed + counts[0], restated + counts[1]
        return Closing(closed, restated, self.closed_through_ms())

    # --- reading -------------------------------------------------------------------------------

    def cursor(self, name: str = "spool") -> int | None:
        """The cursor of the last readings taken in, ``None`` before the first."""
        found = self._db.execute("SELECT id FROM cursors WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def closed_through_ms(self) -> int | None:
        """The end of the last closed interval."""
        return self._meta("closed") if self._has_rows() else None

    def rows(self, start_ms: int, end_ms: int) -> Iterator[LedgerRow]:
        """The latest revisions of the intervals that start in a half-open span, in order."""
        return self._journal.latest(start_ms, end_ms)

    def revisions(self, start_ms: int) -> list[LedgerRow]:
        """All revisions of the interval that starts then, oldest first."""
        return self._journal.revisions(start_ms)

    def battery_state(self) -> tuple[BatteryState, int] | None:
        """The battery at the end of the last closed interval, and that end."""
        through = self.closed_through_ms()
        if through is None:
            return None
        return self._state_before(through), through

    def restatements(self) -> int:
        """How many revisions late data has caused so far."""
        return self._meta("restatements") or 0

    def events(self, start_ms: int, end_ms: int) -> list[tuple[int, str, str, str]]:
        """Register events in a half-open span: time, device, field, code."""
        return self._db.execute(
            "SELECT time_ms, device, field, code FROM events"
            " WHERE time_ms >= ? AND time_ms < ? ORDER BY time_ms, device, field",
            (start_ms, end_ms),
        ).fetchall()

    def head(self) -> str:
        """The hash of the last journal entry."""
        return self._journal.head()

    def verify(self) -> int | None:
        """Check the journal's hash chain; the first broken entry, or ``None``."""
        return self._journal.verify()

    # --- inside --------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._inputs.forget()
            raise

    def _meta(self, name: str) -> int | None:
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def _set_meta(self, name: str, value: int) -> None:
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def _has_rows(self) -> bool:
        return self._db.execute("SELECT 1 FROM latest LIMIT 1").fetchone() is not None

    def _take_in(self, records: Sequence[InputRecord], cause: str) -> None:
        earliest = self._inputs.earliest(records)
        first, closed = self._meta("first"), self._meta("closed")
        if earliest is not None:
            begin = interval_of(earliest)
            if first is None or closed is None:
                self._set_meta("closed", begin)
                self._set_meta("first", begin)
                closed = begin
            elif begin < first:
                self._set_meta("first", begin)
                if self._has_rows():
                    self._mark(Touched(begin, first - 1), cause)
                else:
                    self._set_meta("closed", begin)
                    closed = begin
        for record in records:
            for touched in self._inputs.add(record, closed or 0):
                self._mark(touched, "new_series" if touched.everything else cause)

    def _mark(self, touched: Touched, cause: str) -> None:
        """Mark the closed intervals of a span as dirty; an earlier, stronger cause stays."""
        first, closed = self._meta("first"), self._meta("closed")
        if first is None or closed is None:
            return
        # A reading on a boundary belongs to both sides of it.
        low, high = interval_of(touched.low_ms - 1), interval_of(touched.high_ms)
        if touched.everything:
            low, high = first, closed - INTERVAL_MS
        if touched.whole_hours:
            low = low // HOUR_MS * HOUR_MS
            high = (high // HOUR_MS + 1) * HOUR_MS - INTERVAL_MS
        low, high = max(low, first), min(high, closed - INTERVAL_MS)
        self._db.executemany(
            "INSERT INTO dirty VALUES (?, ?) ON CONFLICT DO UPDATE SET cause = excluded.cause"
            " WHERE cause = ?",
            ((start, cause, CARRIED) for start in range(low, high + 1, INTERVAL_MS)),
        )

    def _pending(self, due: int) -> int | None:
        """The earliest interval that waits to be booked."""
        closed = self._meta("closed")
        if closed is None:
            return None
        found = self._db.execute("SELECT min(start_ms) FROM dirty").fetchone()[0]
        fresh = closed if closed < due else None
        waiting = [start for start in (found, fresh) if start is not None]
        return min(waiting, default=None)

    def _book_hour(self, start: int, due: int) -> tuple[int, int]:
        """Book what waits in one hour, from ``start`` on; return how many were new and restated."""
        closed, first = self._meta("closed") or 0, self._meta("first") or 0
        hour = start // HOUR_MS * HOUR_MS
        through = min(hour + HOUR_MS, max(closed, due))
        complete = through == hour + HOUR_MS
        dirty = dict(
            self._db.execute(
                "SELECT start_ms, cause FROM dirty WHERE start_ms >= ? AND start_ms < ?",
                (hour, through),
            ).fetchall()
        )
        if complete and closed < through:
            # Only now does a coarse register give the hour its sum.
            start = max(hour, first)
            stronger = {at: cause for at, cause in dirty.items() if cause != CARRIED}
            dirty = dict.fromkeys(range(start, closed, INTERVAL_MS), HOUR) | stronger
        dirty |= dict.fromkeys(range(max(closed, start), through, INTERVAL_MS), "closed")
        fresh = [at for at, cause in dirty.items() if cause != CARRIED]
        bookings = self._bookings(fresh, hour, complete=complete)
        counts = self._book(range(start, through, INTERVAL_MS), dirty, bookings, closed)
        self._db.execute("DELETE FROM dirty WHERE start_ms >= ? AND start_ms < ?", (hour, through))
        if counts[2] and through < closed:
            self._db.execute("INSERT OR IGNORE INTO dirty VALUES (?, ?)", (through, CARRIED))
        self._set_meta("closed", max(closed, through))
        self._set_meta("restatements", self.restatements() + counts[1])
        return counts[0], counts[1]

    def _bookings(self, starts: Sequence[int], hour: int, *, complete: bool) -> dict[int, Booking]:
        """Meter intervals of one hour anew, and note what registers did meanwhile."""
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
        return {at: b for at, b in zip(boundaries, found, strict=False) if at in wanted}

    def _book(
        self,
        starts: range,
        dirty: dict[int, str],
        bookings: dict[int, Booking],
        closed: int,
    ) -> tuple[int, int, bool]:
        """Book intervals in order, the battery going through them.

        Returns:
            How many were new, how many restated, and whether the last end state changed.
        """
        stored = {row.start_ms: row for row in self._journal.latest(starts.start, starts.stop)}
        state = self._state_before(starts.start)
        changed = False
        new = restated = 0
        for start in starts:
            row = stored.get(start)
            if row is not None and start not in dirty and not changed:
                state = row.battery
                continue
            booking = bookings[start] if start in bookings else stored[start].booking
            text, end_state = self._entry(start, booking, state)
            changed = row is None or row.battery != end_state
            if row is None or row.text != text:
                cause = "closed" if start >= closed else dirty.get(start, CARRIED)
                revision = self._journal.append(start, cause, text)
                new += revision == 1
                restated += revision > 1 and cause in RESTATING
            state = end_state
        return new, restated, changed

    def _entry(self, start: int, booking: Booking, state: BatteryState) -> tuple[str, BatteryState]:
        end = start + INTERVAL_MS
        # The stock is trusted between midnights (UTC), unless a flow of it was unknown.
        anchor = booking.measured_stock if state.stale or end % DAY_MS == 0 else None
        result = account(
            booking.flows,
            state,
            self._battery,
            self._factors.at(start),
            measured_stock=anchor,
        )
        return canonical(row_of(booking, result)), result.battery

    def _state_before(self, start: int) -> BatteryState:
        for row in self._journal.latest(start - INTERVAL_MS, start):
            return row.battery
        first = self._meta("first") or start
        return initial(self._initial, self._factors.at(first).initial)
