# SPDX-License-Identifier: Apache-2.0
"""Book rows of flows one after the other, with the functions that the live ledger uses."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rackwatt.collector.accounting.accounts import IntervalAccount
from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState, initial
from rackwatt.collector.accounting.claims import match_hour
from rackwatt.collector.accounting.factors import IntervalFactors, SiteFactors
from rackwatt.collector.accounting.interval import account
from rackwatt.collector.accounting.vocabulary import HOUR_MS, UNKNOWN, total
from rackwatt.collector.ledger.importing.reader import FlowRow

MISSING: Final = "missing_value"
GAP: Final = "gap_before"
OFFSET: Final = "offset_change"
STALE: Final = "battery_stale"
INITIAL: Final = "initial_stock"
NO_FACTOR: Final = "factor_missing"

_HOUR_US: Final = HOUR_MS * 1000


class BookedRow(NamedTuple):
    """One row, booked.

    Attributes:
        row: What was given.
        account: What came of it.
        opening: The battery before.
        factors: Those used.
        flags: The account's and the file's, sorted.
    """

    row: FlowRow
    account: IntervalAccount
    opening: BatteryState
    factors: IntervalFactors
    flags: tuple[str, ...]

    @property
    def supplied(self) -> float | None:
        """What sources and battery gave to the bus, Wh."""
        flows = self.row.flows
        return total([*flows.sources.values(), flows.discharge])

    @property
    def traceable(self) -> bool:
        """Whether sources, charge and discharge are all known, so that there is a mix."""
        return self.supplied is not None and self.row.flows.charge is not None

    @property
    def mixed(self) -> bool:
        """Whether there is a mix, a load that has it, and a residual."""
        done = self.account
        return done.origins is not None and done.residual is not None


class Booker:
    """Books rows in order; the battery goes from one to the next, across gaps too.

    Args:
        parameters: The battery.
        factors: Emission factors over time.
        initial_watt_hours: The battery's stock before the first row, of unknown origin.

    Attributes:
        used: The factors used, each with the first instant (ms) at which they were.
        items: Sources that gave any energy; ``grid`` also where its factor stood in.
        battery: The battery was charged, discharged or not empty.
    """

    def __init__(
        self, parameters: BatteryParameters, factors: SiteFactors, initial_watt_hours: float
    ) -> None:
        self._parameters = parameters
        self._factors = factors
        self._initial = initial_watt_hours
        self._state: BatteryState | None = None
        self._last: IntervalFactors | None = None
        self.used: list[tuple[int, IntervalFactors]] = []
        self.items: set[str] = set()
        self.battery = initial_watt_hours > 0.0

    def book(self, row: FlowRow) -> BookedRow:
        """Book the next row."""
        start_ms = row.start_us // 1000
        factors = self._factors.at(start_ms)
        if factors is not self._last:
            self._last = factors
            if not any(factors is known for _, known in self.used):
                self.used.append((start_ms, factors))
        more: list[str] = []
        state = self._state
        if state is None:
            state = initial(self._initial, factors.initial) if self._initial else BatteryState()
            if self._initial:
                more.append(INITIAL)
        done = account(row.flows, state, self._parameters, factors)
        self._state = done.battery
        self._note(row, done)
        if row.missing:
            more.append(MISSING)
        if row.gap_us:
            more.append(GAP)
        if row.offset_before is not None:
            more.append(OFFSET)
        if done.battery.stale:
            more.append(STALE)
        if done.shares is not None and None in done.intensity.values():
            more.append(NO_FACTOR)
        flags = tuple(sorted({*done.flags, *more})) if more else done.flags
        return BookedRow(row, done, state, factors, flags)

    def _note(self, row: FlowRow, done: IntervalAccount) -> None:
        for name, value in row.flows.sources.items():
            if value:
                self.items.add(name)
        if done.unknown or done.beyond or done.battery.stock[UNKNOWN]:
            self.items.add("grid")
        if row.flows.charge or row.flows.discharge:
            self.battery = True


class Claimed(NamedTuple):
    """What contracts claim of one row's import, Wh; ``None`` = unknown.

    Attributes:
        matched: At most the import.
        surplus: Claimed beyond the import of the hour; in the rows that claimed it.
    """

    matched: float | None
    surplus: float | None


_NO_CLAIM: Final = Claimed(0.0, 0.0)
_UNKNOWN_CLAIM: Final = Claimed(None, None)


def claimed(rows: Iterable[BookedRow]) -> Iterator[tuple[BookedRow, Claimed]]:
    """Match claims to imports: per UTC hour in which rows start; a longer row by itself.

    Args:
        rows: In order; held back until their hour is over, if there are claims at all.
    """
    hour: list[BookedRow] = []
    for booked in rows:
        if not booked.row.claims:
            yield booked, _NO_CLAIM
            continue
        if hour and _hour(hour[0]) != _hour(booked):
            yield from zip(hour, _matched(hour), strict=True)
            hour = []
        hour.append(booked)
    yield from zip(hour, _matched(hour), strict=True)


def _hour(booked: BookedRow) -> tuple[int, int]:
    row = booked.row
    return (row.start_us // _HOUR_US, row.line if row.end_us - row.start_us > _HOUR_US else 0)


def _matched(hour: list[BookedRow]) -> list[Claimed]:
    claims = [booked.row.claims for booked in hour]
    imports = [booked.row.flows.sources["grid"] for booked in hour]
    found = match_hour(claims, imports)
    if found.match is None:
        return [_UNKNOWN_CLAIM] * len(hour)
    whole, beyond = found.match.total + found.match.surplus, found.match.surplus
    result: list[Claimed] = []
    for imported, own in zip(imports, claims, strict=True):
        part = found.part(imported)
        mine = sum(value for value in own.values() if value is not None)
        surplus = beyond * (mine / whole) if beyond else 0.0
        result.append(Claimed(None if part is None else part.total, surplus))
    return result
