# SPDX-License-Identifier: Apache-2.0
"""Books again what is in a ledger, to compare; writes nothing."""

import json
import sqlite3
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.power import Reading
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.chain import canonical
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


class RowReplay:
    """Books each latest row again from its own booking and the battery before it."""

    def __init__(self, connection: sqlite3.Connection, rules: Rules) -> None:
        self._journal = Journal(connection)
        self._meta = Meta(connection)
        self._rules = rules

    def rows(self) -> Iterator[tuple[LedgerRow, str]]:
        """Every latest row with what it should be."""
        state = None
        end = None
        for row in self._journal.latest(0, 2**62):
            if state is None or row.start_ms != end:
                state = self._rules.opening(self._meta.get(FIRST) or row.start_ms)
            text, _ = self._rules.row(row.start_ms, row.booking, state)
            yield row, text
            state, end = row.battery, row.end_ms


class _Watched(Inputs):
    """Inputs that note how far back a question reached."""

    lowest = 2**62

    def readings(self, device: str, field: str, low_ms: int, high_ms: int) -> list[Reading]:
        found = super().readings(device, field, low_ms, high_ms)
        self.lowest = min(self.lowest, low_ms, found[0].time_ms if found else low_ms)
        return found


class InputReplay:
    """Makes bookings again from inputs, where these are kept whole."""

    def __init__(
        self, connection: sqlite3.Connection, site: SiteBooks, battery: BatteryParameters
    ) -> None:
        self._journal = Journal(connection)
        self._meta = Meta(connection)
        self._inputs = _Watched(connection, partial(cadence_ms, site), Children(site))
        self._metered = Metered(site, self._inputs, battery)
        self._too_late = [
            (act.seq, int(act.data["start_ms"]), int(act.data["end_ms"]))
            for act in self._journal.acts(LATE_AFTER_FINAL)
        ]

    def compared(self) -> Iterator[tuple[LedgerRow, list[str]]]:
        """Every row whose inputs are kept, with what they say otherwise."""
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        if first is None or closed is None:
            return
        begin = max(first, self._meta.get(COMPACTED) or 0)
        gone = self._meta.get(DELETED) or 0
        for hour in range(begin // HOUR_MS * HOUR_MS, closed, HOUR_MS):
            stored = list(self._journal.latest(max(hour, begin), hour + HOUR_MS))
            if not stored:
                continue
            through = min(hour + HOUR_MS, closed)
            low = hour if through == hour + HOUR_MS else stored[0].start_ms
            boundaries = list(range(low, through + 1, INTERVAL_MS))
            self._inputs.lowest = 2**62
            found, _ = self._metered.bookings(boundaries)
            if self._inputs.lowest < gone:
                # A gap that begins where inputs are compacted: its shape cannot be made again.
                continue
            again = {at: b for (at, _), b in zip(pairwise(boundaries), found, strict=True)}
            for row in stored:
                if not self._came_too_late(row):
                    yield row, _otherwise(row, again[row.start_ms])

    def _came_too_late(self, row: LedgerRow) -> bool:
        return any(
            seq > row.seq and start <= row.start_ms < end for seq, start, end in self._too_late
        )


def _otherwise(row: LedgerRow, booking: Booking) -> list[str]:
    """Name the parts of a row's booking that another booking does not share."""
    found: list[str] = []
    if row.booking.nodes != booking.nodes:
        found.append("buses")
    again = json.loads(canonical(booked_part(booking)))
    stored = {name: row.data[name] for name in again if name in row.data}
    return sorted([*found, *(name for name, value in stored.items() if value != again[name])])
