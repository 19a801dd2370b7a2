# SPDX-License-Identifier: Apache-2.0
"""Books again what is in a ledger, to compare; writes nothing."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import Any

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.power import Point
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.bases import Bases
from rackwatt.collector.ledger.children import Children
from rackwatt.collector.ledger.compaction import DELETED
from rackwatt.collector.ledger.inputs import Inputs
from rackwatt.collector.ledger.intake import LATE_AFTER_FINAL
from rackwatt.collector.ledger.journal import Booking, Journal, LedgerRow, booked_part
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, FIRST, Meta
from rackwatt.collector.ledger.metered import Metered
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.rules import Rules
from rackwatt.collector.ledger.sites import SiteBooks, cadence_ms
from rackwatt.collector.ledger.upkeep import Upkeep


def differing(stored: str, again: str) -> list[str]:
    """Return the parts of a row that are not the same, among those that the stored one has.

    A row of an earlier release may lack parts that are booked by now.
    """
    one, other = json.loads(stored), json.loads(again)
    return sorted(name for name in one if not _same(one[name], other.get(name)))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same(value, other.get(name)) for name, value in one.items())
    return bool(one == other)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One revision, booked again.

    Attributes:
        row: As it is.
        latest: Whether readers get it.
        names: What comes out otherwise; ``None`` where it was not booked: it waits, or nothing
            says by what.
        by_basis: Whether the journal says by what it was booked.
    """

    row: LedgerRow
    latest: bool
    names: list[str] | None
    by_basis: bool


class RowReplay:
    """Books each revision again: its own booking, the battery before it, the basis in force.

    The battery before a revision is what the interval before it said at its place in the chain;
    before the latest one also what it says now.

    Args:
        connection: The ledger's.
        bases: Of its journal.
        guesses: Rules for rows that are older than the first basis: one of them must fit. Of such
            rows only the latest revisions are booked.
        waiting: Starts of intervals that wait to be booked again; their latest row is passed over.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        bases: Bases,
        guesses: Sequence[Rules],
        waiting: Collection[int],
    ) -> None:
        self._journal = Journal(connection)
        self._bases = bases
        self._guesses = guesses
        self._waiting = waiting

    def rows(self) -> Iterator[Replayed]:
        """Every revision, with what it should be otherwise."""
        before: list[LedgerRow] = []
        for start, group in groupby(self._journal.all_revisions(), key=lambda row: row.start_ms):
            revisions = list(group)
            if before and before[-1].end_ms != start:
                before = []
            for row in revisions:
                latest = row is revisions[-1]
                basis = self._bases.at(row.seq)
                names = None
                if latest and start in self._waiting:
                    pass
                elif basis is not None and basis.rules is not None:
                    names = self._by(basis.rules, row, before, latest)
                elif basis is None and latest and self._guesses:
                    names = self._guessed(row, before)
                yield Replayed(row, latest, names, basis is not None)
            before = revisions

    def _by(
        self, rules: Rules, row: LedgerRow, before: Sequence[LedgerRow], latest: bool
    ) -> list[str]:
        entering = next((one for one in reversed(before) if one.seq < row.seq), None)
        names = self._differing(rules, row, entering)
        if names or not latest or not before or entering is before[-1]:
            return names
        if entering is not None and entering.data["battery"] == before[-1].data["battery"]:
            return names
        return self._differing(rules, row, before[-1])

    def _guessed(self, row: LedgerRow, before: Sequence[LedgerRow]) -> list[str]:
        entering = before[-1] if before else None
        found = (self._differing(rules, row, entering) for rules in self._guesses)
        return min(found, key=len)

    def _differing(self, rules: Rules, row: LedgerRow, entering: LedgerRow | None) -> list[str]:
        # Where nothing was booked before it, the books began with it.
        state = rules.opening(row.start_ms) if entering is None else entering.battery
        text, _ = rules.row(row.start_ms, row.booking, state)
        return [] if text == row.text else differing(row.text, text)


class _Watched(Inputs):
    """Inputs that note how far back a question reached."""

    lowest = 2**62

    def points(self, device: str, field: str, low_ms: int, high_ms: int) -> list[Point]:
        found = super().points(device, field, low_ms, high_ms)
        self.lowest = min(self.lowest, low_ms, found[0][0] if found else low_ms)
        return found


class InputReplay:
    """Makes bookings again from inputs, where these are kept whole.

    Args:
        connection: The ledger's.
        site: What its meters mean.
        bases: Of its journal: a measured stock rests on the capacity in force.
        battery: The battery of rows that are older than the first basis.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        site: SiteBooks,
        bases: Bases,
        battery: BatteryParameters,
    ) -> None:
        self._bases = bases
        self._battery = battery
        self._hour: list[LedgerRow] = []
        self._meta = Meta(connection)
        self._inputs = _Watched(connection, partial(cadence_ms, site), Children(site))
        self._site = site
        self._upkeep = Upkeep(Journal(connection))
        self._metered: dict[BatteryParameters, Metered] = {}
        self._too_late = [
            (act.seq, int(act.data["start_ms"]), int(act.data["end_ms"]))
            for act in Journal(connection).acts(LATE_AFTER_FINAL)
        ]

    def compared(self, row: LedgerRow | None) -> list[tuple[LedgerRow, list[str]]]:
        """Take the next latest row; return what inputs say of the hour before, once it is whole.

        Args:
            row: In order of time; ``None`` after the last one.

        Returns:
            Rows whose inputs are kept, with the parts of which these say something else.
        """
        hour = None if row is None else row.start_ms // HOUR_MS
        if self._hour and self._hour[0].start_ms // HOUR_MS == hour and row is not None:
            self._hour.append(row)
            return []
        stored, self._hour = self._hour, [] if row is None else [row]
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        if not stored or first is None or closed is None:
            return []
        begin = max(first, self._meta.get(COMPACTED) or 0)
        kept = [one for one in stored if begin <= one.start_ms < closed]
        return self._of_hour(kept, closed) if kept else []

    def _of_hour(self, stored: list[LedgerRow], closed: int) -> list[tuple[LedgerRow, list[str]]]:
        hour = stored[0].start_ms // HOUR_MS * HOUR_MS
        through = min(hour + HOUR_MS, closed)
        low = hour if through == hour + HOUR_MS else stored[0].start_ms
        boundaries = list(range(low, through + 1, INTERVAL_MS))
        self._inputs.lowest = 2**62
        batteries = [self._battery_of(row) for row in stored]
        again = {one: self._bookings(one, boundaries) for one in set(batteries)}
        if self._inputs.lowest < (self._meta.get(DELETED) or 0):
            # A gap that begins where inputs are compacted: its shape cannot be made again.
            return []
        return [
            (row, _otherwise(row, again[battery][row.start_ms]))
            for row, battery in zip(stored, batteries, strict=True)
            if not self._came_too_late(row)
        ]

    def _battery_of(self, row: LedgerRow) -> BatteryParameters:
        basis = self._bases.at(row.seq)
        return self._battery if basis is None or basis.rules is None else basis.rules.battery

    def _bookings(
        self, battery: BatteryParameters, boundaries: Sequence[int]
    ) -> Mapping[int, Booking]:
        metered = self._metered.get(battery)
        if metered is None:
            metered = Metered(self._site, self._inputs, battery, self._upkeep)
            self._metered[battery] = metered
        found, _ = metered.bookings(boundaries)
        return {at: one for (at, _), one in zip(pairwise(boundaries), found, strict=True)}

    def _came_too_late(self, row: LedgerRow) -> bool:
        return any(
            seq > row.seq and start <= row.start_ms < end for seq, start, end in self._too_late
        )


def _otherwise(row: LedgerRow, booking: Booking) -> list[str]:
    """Name the parts of a row's booking that another booking does not share."""
    found: list[str] = []
    if row.booking.nodes != booking.nodes:
        found.append("buses")
    again = booked_part(booking)
    stored = {name: row.data[name] for name in again if name in row.data}
    return sorted([*found, *(name for name, value in stored.items() if value != again[name])])
