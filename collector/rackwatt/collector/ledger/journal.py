# SPDX-License-Identifier: Apache-2.0
"""The journal: revisions of intervals, each chained to the one before by its hash."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.interval import BusAccount, IntervalAccount
from rackwatt.collector.ledger.records import INTERVAL_MS

AUTHOR: Final = "rackwatt"
GENESIS: Final = "0" * 64


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks, shortest floats.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def entry_hash(
    start_ms: int, revision: int, cause: str, author: str, row: str, previous: str
) -> str:
    """Return the hash of a journal entry, which covers the hash of the entry before."""
    text = canonical([start_ms, revision, cause, author, row, previous])
    return sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Booking:
    """What one interval is booked from, besides the battery.

    Attributes:
        flows: Metered energies of the whole site.
        completeness: Known part of the physical terms, 0..1.
        flags: How they were metered.
        measured_stock: Measured stock of the battery at the end, Wh.
        pue_category: Of the IT meters.
        claims: What each contract's plant gave, Wh, by contract.
        nodes: Metered energies of each bus, ``None`` on a site with one.
        ties: What flowed between the buses.
        residual_uncertainty: Standard uncertainty of the residual, Wh.
    """

    flows: Flows
    completeness: float
    flags: tuple[str, ...]
    measured_stock: float | None
    pue_category: int | None
    claims: Mapping[str, float | None] = field(default_factory=dict)
    nodes: Mapping[str, Flows] | None = None
    ties: tuple[TieFlow, ...] = ()
    residual_uncertainty: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One revision of one interval.

    Attributes:
        start_ms: Start of the interval.
        revision: 1, 2, ...
        cause: ``closed``, ``late_data``, ``hour_closed``, ``battery`` (a change before moved
            through it), ``inventory``, ``released``, ``new_series``.
        text: The row as canonical JSON.
        data: The row: energies in Wh, carbon in g, intensities in g/kWh, ``None`` = unknown.
    """

    start_ms: int
    revision: int
    cause: str
    text: str
    data: Mapping[str, Any]

    @property
    def end_ms(self) -> int:
        """End of the interval."""
        return self.start_ms + INTERVAL_MS

    @property
    def battery(self) -> BatteryState:
        """The battery's state at the end."""
        battery = self.data["battery"]
        free = battery.get("grid_free")
        return BatteryState(battery["stock"], battery["carbon"], battery["stale"], free)

    @property
    def booking(self) -> Booking:
        """What it was booked from: enough to book it again after another battery state."""
        data = self.data
        nodes = {bus: _flows(own) for bus, own in data.get("buses", {}).items()}
        return Booking(
            _flows(data),
            data["completeness"],
            tuple(data["metering"]),
            data["measured_stock"],
            data["pue_category"],
            data.get("claims", {}),
            nodes or None,
            tuple(TieFlow(*tie) for tie in data.get("ties", ())),
            data.get("residual_uncertainty"),
        )


def _flows(data: Mapping[str, Any]) -> Flows:
    return Flows(data["sources"], data["sinks"], data["charge"], data["discharge"])


def _bus(flows: Flows, result: BusAccount) -> dict[str, Any]:
    """Return what a row says of one of several buses."""
    return {
        "sources": dict(flows.sources),
        "sinks": dict(flows.sinks),
        "charge": flows.charge,
        "discharge": flows.discharge,
        "load": result.load,
        "shares": None if result.shares is None else dict(result.shares),
        "intensity": dict(result.intensity),
        "residual": result.residual,
        "unmetered": result.unmetered,
        "unknown": result.unknown,
    }


def row_of(booking: Booking, account: IntervalAccount) -> dict[str, Any]:
    """Return the row of an interval, ready for :func:`canonical`."""
    flows, battery = booking.flows, account.battery
    return {
        "sources": dict(flows.sources),
        "sinks": dict(flows.sinks),
        "charge": flows.charge,
        "discharge": flows.discharge,
        "measured_stock": booking.measured_stock,
        "completeness": booking.completeness,
        "metering": sorted(booking.flags),
        "pue_category": booking.pue_category,
        "claims": dict(booking.claims),
        "buses": {bus: _bus(own, account.buses[bus]) for bus, own in (booking.nodes or {}).items()},
        "ties": [[tie.source, tie.target, tie.watt_hours] for tie in booking.ties],
        "load": account.load,
        "it": account.it,
        "boundary": account.boundary,
        "residual": account.residual,
        "residual_ratio": account.residual_ratio,
        "residual_uncertainty": booking.residual_uncertainty,
        "unmetered": account.unmetered,
        "unknown": account.unknown,
        "beyond": account.beyond,
        "shares": None if account.shares is None else dict(account.shares),
        "origins": None if account.origins is None else dict(account.origins),
        "intensity": dict(account.intensity),
        "carbon": dict(account.carbon),
        "carbon_free": account.carbon_free,
        "grid_factors": dict(account.grid_factors),
        "scope_2": account.scope_2,
        "stock_change": account.stock_change,
        "losses": dict(account.losses),
        "flags": list(account.flags),
        "battery": {
            "stock": dict(battery.stock),
            "carbon": dict(battery.carbon),
            "stale": battery.stale,
            "grid_free": battery.grid_free,
        },
    }


class Journal:
    """Reads and extends the journal inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def append(self, start_ms: int, cause: str, text: str, author: str = AUTHOR) -> int:
        """Add a revision of an interval; return its number."""
        previous = self.head()
        found = self._db.execute(
            "SELECT max(revision) FROM journal WHERE start_ms = ?", (start_ms,)
        ).fetchone()
        revision = (found[0] or 0) + 1
        digest = entry_hash(start_ms, revision, cause, author, text, previous)
        cursor = self._db.execute(
            "INSERT INTO journal (start_ms, revision, cause, author, row, previous, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (start_ms, revision, cause, author, text, previous, digest),
        )
        self._db.execute(
            "INSERT INTO latest VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
            (start_ms, cursor.lastrowid),
        )
        return revision

    def head(self) -> str:
        """The hash of the last entry: what a day's anchor outside would hold."""
        found = self._db.execute("SELECT hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return GENESIS if found is None else str(found[0])

    def latest(self, start_ms: int, end_ms: int) -> Iterator[LedgerRow]:
        """The latest revisions of the intervals that start in a half-open span, in order."""
        yield from self._rows(
            "SELECT j.start_ms, j.revision, j.cause, j.row FROM latest AS l"
            " JOIN journal AS j USING (seq)"
            " WHERE l.start_ms >= ? AND l.start_ms < ? ORDER BY l.start_ms",
            (start_ms, end_ms),
        )

    def revisions(self, start_ms: int) -> list[LedgerRow]:
        """All revisions of one interval, oldest first."""
        return list(
            self._rows(
                "SELECT start_ms, revision, cause, row FROM journal"
                " WHERE start_ms = ? ORDER BY revision",
                (start_ms,),
            )
        )

    def _rows(self, query: str, parameters: tuple[int, ...]) -> Iterator[LedgerRow]:
        for start, revision, cause, text in self._db.execute(query, parameters):
            yield LedgerRow(start, revision, cause, text, json.loads(text))

    def verify(self) -> int | None:
        """Check the hash chain; return the number of the first entry that breaks it, if any."""
        previous = GENESIS
        expected = 1
        for seq, *entry, stored_previous, stored in self._db.execute(
            "SELECT seq, start_ms, revision, cause, author, row, previous, hash"
            " FROM journal ORDER BY seq"
        ):
            start, revision, cause, author, row = entry
            digest = entry_hash(start, revision, cause, author, row, previous)
            if seq != expected or stored_previous != previous or stored != digest:
                return int(expected)
            previous, expected = digest, seq + 1
        return None
