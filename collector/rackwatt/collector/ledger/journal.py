# SPDX-License-Identifier: Apache-2.0
"""The journal: what was booked and decided, each entry chained to the one before by its hash."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.interval import BusAccount, IntervalAccount
from rackwatt.collector.accounting.modelled import ModelledLosses
from rackwatt.collector.ledger.chain import (
    ACT,
    AUTHOR,
    GENESIS,
    INTERVAL,
    Act,
    Entry,
    battery_part,
    canonical,
    entry_hash,
    parsed,
)
from rackwatt.collector.ledger.dirty import HOUR
from rackwatt.collector.ledger.records import INTERVAL_MS

WATER_LITERS: Final = "water_liters"
WATER_DISCHARGE: Final = "water_discharge_liters"
HEAT_REUSED: Final = "heat_reused_watt_hours"
LOSSES: Final = "losses_modelled"
LOSSES_UNCERTAINTY: Final = "losses_modelled_uncertainty"
AFTER_LOSSES: Final = "residual_after_losses"
_UTILITIES: Final = (WATER_LITERS, WATER_DISCHARGE, HEAT_REUSED)


_NONE: Final[Mapping[str, Any]] = {}


class Booking(NamedTuple):
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
        utilities: Water by source in litres, and reused heat in Wh, under the row's names; of what
            the site does not meter there is no entry, and none in the row.
        losses: Of transformers and lines that no meter sees; ``None``: the site names none, and
            the row has no word of them.
    """

    flows: Flows
    completeness: float
    flags: tuple[str, ...]
    measured_stock: float | None
    pue_category: int | None
    claims: Mapping[str, float | None] = _NONE
    nodes: Mapping[str, Flows] | None = None
    ties: tuple[TieFlow, ...] = ()
    residual_uncertainty: float | None = None
    utilities: Mapping[str, Any] = _NONE
    losses: ModelledLosses | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One revision of one interval.

    Attributes:
        start_ms: Start of the interval.
        revision: 1, 2, ...
        cause: ``closed``, ``late_data``, ``hour_closed``, ``battery`` (a change before moved
            through it), ``inventory``, ``released``, ``restated``, ``new_series``,
            ``maintenance``.
        text: The row as canonical JSON.
        data: The row: energies in Wh, carbon in g, intensities in g/kWh, ``None`` = unknown.
        seq: Its place in the chain.
        author: Who caused it.
    """

    start_ms: int
    revision: int
    cause: str
    text: str
    data: Mapping[str, Any]
    seq: int = 0
    author: str = AUTHOR

    @property
    def end_ms(self) -> int:
        """End of the interval."""
        return self.start_ms + INTERVAL_MS

    @property
    def restated(self) -> bool:
        """It was booked again for another reason than that its hour closed, which is foreseen."""
        return self.revision > (2 if self.cause == HOUR else 1)

    @property
    def battery(self) -> BatteryState:
        """The battery's state at the end."""
        return battery_of(self.data)

    @property
    def booking(self) -> Booking:
        """What it was booked from: enough to book it again after another battery state."""
        return booking_of(self.data)


def battery_of(data: Mapping[str, Any]) -> BatteryState:
    """Return the battery's state at the end of a row."""
    return _state(data["battery"])


def battery_in(row: str) -> BatteryState:
    """Return the battery's state at the end of a row, of its text."""
    return _state(battery_part(row))


def _state(battery: Mapping[str, Any]) -> BatteryState:
    free = battery.get("grid_free")
    return BatteryState(battery["stock"], battery["carbon"], battery["stale"], free)


def booking_of(data: Mapping[str, Any]) -> Booking:
    """Return what a row was booked from."""
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
        {name: data[name] for name in _UTILITIES if name in data},
        ModelledLosses(data[LOSSES], data[LOSSES_UNCERTAINTY]) if LOSSES in data else None,
    )


def _flows(data: Mapping[str, Any]) -> Flows:
    return Flows(data["sources"], data["sinks"], data["charge"], data["discharge"])


def _flow_part(flows: Flows) -> dict[str, Any]:
    return {
        "sources": dict(flows.sources),
        "sinks": dict(flows.sinks),
        "charge": flows.charge,
        "discharge": flows.discharge,
    }


def _bus(flows: Flows, result: BusAccount) -> dict[str, Any]:
    """Return what a row says of one of several buses."""
    return _flow_part(flows) | {
        "load": result.load,
        "shares": None if result.shares is None else dict(result.shares),
        "intensity": dict(result.intensity),
        "residual": result.residual,
        "unmetered": result.unmetered,
        "unknown": result.unknown,
    }


def booked_part(booking: Booking) -> dict[str, Any]:
    """Return the part of a row that says what it was booked from, buses apart."""
    found = _flow_part(booking.flows)
    found |= {
        "measured_stock": booking.measured_stock,
        "completeness": booking.completeness,
        "metering": sorted(booking.flags),
        "pue_category": booking.pue_category,
        "claims": dict(booking.claims),
        "ties": [[tie.source, tie.target, tie.watt_hours] for tie in booking.ties],
        "residual_uncertainty": booking.residual_uncertainty,
    }
    if booking.losses is not None:
        found[LOSSES], found[LOSSES_UNCERTAINTY] = booking.losses
    found |= booking.utilities
    return found


def row_of(booking: Booking, account: IntervalAccount) -> dict[str, Any]:
    """Return the row of an interval, ready for :func:`canonical`; it shares what they hold."""
    battery = account.battery
    row = booked_part(booking)
    if booking.losses is not None:
        row[AFTER_LOSSES] = account.residual_after_losses
    row |= {
        "buses": {bus: _bus(own, account.buses[bus]) for bus, own in (booking.nodes or {}).items()},
        "load": account.load,
        "it": account.it,
        "boundary": account.boundary,
        "residual": account.residual,
        "residual_ratio": account.residual_ratio,
        "unmetered": account.unmetered,
        "unknown": account.unknown,
        "beyond": account.beyond,
        "shares": account.shares,
        "origins": account.origins,
        "intensity": account.intensity,
        "carbon": account.carbon,
        "carbon_free": account.carbon_free,
        "grid_factors": account.grid_factors,
        "scope_2": account.scope_2,
        "stock_change": account.stock_change,
        "losses": account.losses,
        "flags": account.flags,
        "battery": {
            "stock": battery.stock,
            "carbon": battery.carbon,
            "stale": battery.stale,
            "grid_free": battery.grid_free,
        },
    }
    return row


class New(NamedTuple):
    """A revision that is to be added."""

    start_ms: int
    revision: int
    cause: str
    author: str
    text: str


class Shown(NamedTuple):
    """The latest revision of something, as JSON, and its place in the chain."""

    revision: int
    text: str
    seq: int


class Journal:
    """Reads and extends the journal inside the caller's transaction.

    Characteristics: remembers the chain's end, and must be told by :meth:`forget` when a
    transaction was rolled back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._head: tuple[int, str] | None = None

    def forget(self) -> None:
        """Read again where the chain ends."""
        self._head = None

    def append(
        self, start_ms: int, cause: str, text: str, author: str = AUTHOR, kind: str = INTERVAL
    ) -> int:
        """Add a revision; return its number."""
        known = self.shown(kind, start_ms, start_ms + 1)
        revision = known[start_ms].revision + 1 if known else 1
        self.extend(kind, [New(start_ms, revision, cause, author, text)])
        return revision

    def extend(self, kind: str, rows: Iterable[New]) -> None:
        """Add revisions, whose numbers the caller knows, in this order."""
        seq, digest = self._end()
        entries: list[tuple[Any, ...]] = []
        for new in rows:
            seq, previous = seq + 1, digest
            digest = entry_hash(kind, *new, previous)
            entries.append((seq, kind, *new, previous, digest))
        self._db.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", entries)
        self._db.executemany(
            "INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?)",
            [(kind, entry[2], entry[0], entry[3]) for entry in entries],
        )
        self._head = seq, digest

    def act(
        self, time_ms: int, name: str, data: Mapping[str, Any], author: str, reason: str
    ) -> int:
        """Record an act; return its place in the chain.

        Raises:
            ValueError: A number in the data is not finite.
        """
        text = canonical({"data": dict(data), "reason": reason})
        self.append(time_ms, name, text, author, ACT)
        return self._end()[0]

    def acts(self, name: str | None = None) -> list[Act]:
        """All acts, or those of one name, oldest first."""
        found: list[Act] = []
        for seq, time_ms, cause, author, text in self._db.execute(
            "SELECT seq, start_ms, cause, author, row FROM journal WHERE kind = 'act'"
            " AND (?1 IS NULL OR cause = ?1) ORDER BY seq",
            (name,),
        ):
            held = json.loads(text)
            found.append(Act(seq, time_ms, cause, held["data"], author, held["reason"]))
        return found

    def entries(self, after_seq: int, limit: int) -> list[Entry]:
        """The entries that follow one, of all kinds, in the chain's order."""
        rows = self._db.execute(
            "SELECT seq, kind, start_ms, revision, cause, author, row FROM journal"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            (after_seq, limit),
        )
        return [Entry(*row) for row in rows]

    def head(self) -> str:
        """The hash of the last entry: what a day's anchor outside would hold."""
        return self._end()[1]

    def head_seq(self) -> int:
        """The number of the last entry, 0 before the first."""
        return self._end()[0]

    def _end(self) -> tuple[int, str]:
        if self._head is None:
            found = self._db.execute(
                "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1"
            ).fetchone()
            self._head = (0, GENESIS) if found is None else (int(found[0]), str(found[1]))
        return self._head

    def latest(self, start_ms: int, end_ms: int) -> Iterator[LedgerRow]:
        """The latest revisions of the intervals that start in a half-open span, in order."""
        yield from self._rows(
            "SELECT j.start_ms, j.revision, j.cause, j.row, j.seq, j.author FROM latest AS l"
            " JOIN journal AS j USING (seq) WHERE l.kind = 'interval'"
            " AND l.start_ms >= ? AND l.start_ms < ? ORDER BY l.start_ms",
            (start_ms, end_ms),
        )

    def all_revisions(self) -> Iterator[LedgerRow]:
        """All revisions of all intervals, interval by interval, oldest first."""
        yield from self._rows(
            "SELECT start_ms, revision, cause, row, seq, author FROM journal"
            " WHERE kind = 'interval' ORDER BY start_ms, revision",
            (),
        )

    def revisions(self, start_ms: int) -> list[LedgerRow]:
        """All revisions of one interval, oldest first."""
        return list(
            self._rows(
                "SELECT start_ms, revision, cause, row, seq, author FROM journal"
                " WHERE kind = 'interval' AND start_ms = ? ORDER BY revision",
                (start_ms,),
            )
        )

    def _rows(self, query: str, parameters: tuple[int, ...]) -> Iterator[LedgerRow]:
        for start, revision, cause, text, seq, author in self._db.execute(query, parameters):
            yield LedgerRow(start, revision, cause, text, parsed(text), seq, author)

    def shown(self, kind: str, start_ms: int, end_ms: int) -> dict[int, Shown]:
        """The latest rows of a kind in a half-open span, unread, by their start."""
        rows = self._db.execute(
            "SELECT l.start_ms, l.revision, j.row, l.seq FROM latest AS l"
            " JOIN journal AS j USING (seq)"
            " WHERE l.kind = ? AND l.start_ms >= ? AND l.start_ms < ? ORDER BY l.start_ms",
            (kind, start_ms, end_ms),
        )
        return {start: Shown(*shown) for start, *shown in rows}

    def verify(self) -> int | None:
        """Check the hash chain; return the number of the first entry that breaks it, if any."""
        previous = GENESIS
        expected = 1
        for seq, *entry, stored_previous, stored in self._db.execute(
            "SELECT seq, kind, start_ms, revision, cause, author, row, previous, hash"
            " FROM journal ORDER BY seq"
        ):
            kind, start, revision, cause, author, row = entry
            digest = entry_hash(kind, start, revision, cause, author, row, previous)
            if seq != expected or stored_previous != previous or stored != digest:
                return int(expected)
            previous, expected = digest, seq + 1
        return None
