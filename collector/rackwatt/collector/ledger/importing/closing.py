# SPDX-License-Identifier: Apache-2.0
"""Whether all energy and all carbon that went into the books came out of them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import Final

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.masses import mass
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES
from rackwatt.collector.ledger.importing.adding import ENERGY, SIDES, Added, Adder
from rackwatt.collector.ledger.importing.booking import BookedRow

LIMIT: Final = 1e-9
"""Relative; more than that is no rounding."""


@dataclass(frozen=True, slots=True)
class Check:
    """What went in and what came out of one series, in Wh or g.

    Attributes:
        name: ``energy``, an origin, or a carbon series.
        into: Sources, what had no name, and the battery at the beginning.
        out: Consumers, export, losses, and the battery at the end.
        error: Their difference, relative to all energy or to the series' carbon; ``None`` if a
            missing factor leaves the carbon unknown.
    """

    name: str
    into: float | None
    out: float | None
    error: float | None

    @property
    def right(self) -> bool:
        """Whether the books close, as far as that can be known."""
        return self.error is None or self.error <= LIMIT


class Closing:
    """Both sides over all rows.

    What a row with a known mix adds is summed where lines are written; a row without one (a source
    is unknown, or there is no load) adds only what it did to the battery.
    """

    def __init__(self) -> None:
        self._alone = Adder()
        self._opening: BatteryState | None = None
        self._state: BatteryState | None = None

    def add(self, booked: BookedRow) -> None:
        """Add a row."""
        if self._opening is None:
            self._opening = booked.opening
        self._state = booked.account.battery
        if not booked.mixed:
            self._battery_alone(booked)

    def _battery_alone(self, booked: BookedRow) -> None:
        done, flows, before = booked.account, booked.row.flows, booked.opening.stock
        put = self._alone.put
        discharged = [flows.discharge or 0.0, *done.losses.values()]
        put(ENERGY, [flows.charge or 0.0, done.beyond], discharged)
        for origin in ORIGINS:
            put(origin, [done.battery.stock[origin], -before[origin]], [])
        for series in SERIES:
            beyond = mass(done.beyond, booked.factors.intensity[series]["grid"])
            charged = done.charged[series] if flows.charge else 0.0
            put(series, [beyond, charged], [done.discharged[series] if flows.discharge else 0.0])

    def checks(self, added: Added) -> list[Check]:
        """Both sides of all series, after the last row.

        Args:
            added: What the lines come to.
        """
        if self._opening is None or self._state is None:
            return []
        opening, closing, alone = _held(self._opening), _held(self._state), self._alone.added
        sides: dict[str, tuple[float, float] | None] = {}
        for name in SIDES:
            first, last = opening[name], closing[name]
            sides[name] = None
            known = name not in added.unknown and name not in alone.unknown
            if known and first is not None and last is not None:
                into = fsum([*added.into[name], *alone.into[name], first])
                sides[name] = into, fsum([*added.out[name], *alone.out[name], last])
        energy = sides[ENERGY]
        whole = max(energy) if energy else 0.0
        return [_check(name, sides[name], None if name in SERIES else whole) for name in SIDES]


def _check(name: str, sides: tuple[float, float] | None, whole: float | None) -> Check:
    if sides is None:
        return Check(name, None, None, None)
    into, out = sides
    scale = max(into, out) if whole is None else whole
    return Check(name, into, out, abs(into - out) / scale if scale > 0.0 else 0.0)


def _held(state: BatteryState) -> Mapping[str, float | None]:
    held: dict[str, float | None] = {ENERGY: state.watt_hours, **state.stock}
    return held | {series: state.carbon[series] for series in SERIES}
