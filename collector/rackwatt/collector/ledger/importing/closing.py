# SPDX-License-Identifier: Apache-2.0
"""Whether all energy and all carbon that went into the books came out of them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import Final

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.sums import ExactSum
from rackwatt.collector.accounting.vocabulary import LOADS, ORIGINS, SERIES, UNKNOWN
from rackwatt.collector.ledger.importing.booking import BookedRow

LIMIT: Final = 1e-9
"""Relative; more than that is no rounding."""

_ENERGY: Final = "energy"
_NAMES: Final = (_ENERGY, *ORIGINS, *SERIES)
_BLOCK: Final = 1024


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
    """Adds up both sides over all rows.

    A row without a mix (a source is unknown, or there is no load) adds only what it did to the
    battery.
    """

    def __init__(self) -> None:
        self._into = {name: ExactSum() for name in _NAMES}
        self._out = {name: ExactSum() for name in _NAMES}
        self._unknown: set[str] = set()
        self._block: list[tuple[list[float | None], list[float | None]]] = []
        self._opening: BatteryState | None = None
        self._state: BatteryState | None = None

    def add(self, booked: BookedRow) -> None:
        """Add a row."""
        if self._opening is None:
            self._opening = booked.opening
        self._state = booked.account.battery
        done = booked.account
        mixed = done.shares is not None and done.residual is not None
        self._block.append(_mixed(booked) if mixed else _battery_alone(booked))
        if len(self._block) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        for index, name in enumerate(_NAMES):
            for sums, side in ((self._into, 0), (self._out, 1)):
                column = [terms[side][index] for terms in self._block]
                known = [value for value in column if value is not None]
                if len(known) < len(column):
                    self._unknown.add(name)
                sums[name].extend(known)
        self._block.clear()

    def checks(self) -> list[Check]:
        """Both sides of all series, after the last row."""
        self._flush()
        if self._opening is None or self._state is None:
            return []
        opening, closing = _held(self._opening), _held(self._state)
        sides: dict[str, tuple[float, float] | None] = {}
        for name in _NAMES:
            first, last = opening[name], closing[name]
            sides[name] = None
            if name not in self._unknown and first is not None and last is not None:
                into = fsum([*self._into[name].parts, first])
                sides[name] = into, fsum([*self._out[name].parts, last])
        energy = sides[_ENERGY]
        whole = max(energy) if energy else 0.0
        return [_check(name, sides[name], None if name in SERIES else whole) for name in _NAMES]


def _check(name: str, sides: tuple[float, float] | None, whole: float | None) -> Check:
    if sides is None:
        return Check(name, None, None, None)
    into, out = sides
    scale = max(into, out) if whole is None else whole
    return Check(name, into, out, abs(into - out) / scale if scale > 0.0 else 0.0)


def _held(state: BatteryState) -> Mapping[str, float | None]:
    held: dict[str, float | None] = {_ENERGY: state.watt_hours, **state.stock}
    return held | {series: state.carbon[series] for series in SERIES}


def _mixed(booked: BookedRow) -> tuple[list[float | None], list[float | None]]:
    """Both sides of a row whose mix and residual are known, the battery's moves left out."""
    done, flows, shares = booked.account, booked.row.flows, booked.account.shares or {}
    sources = {name: value or 0.0 for name, value in flows.sources.items()}
    sources[UNKNOWN] = done.unknown + done.beyond
    sinks = [value or 0.0 for name, value in flows.sinks.items() if name not in LOADS]
    outflow = fsum([done.load or 0.0, *sinks, done.unmetered])
    into: list[float | None] = [fsum(sources.values())]
    out: list[float | None] = [fsum([outflow, *done.losses.values()])]
    for origin in ORIGINS:
        into.append(sources.get(origin, 0.0))
        out.append(shares[origin] * outflow + done.losses[origin])
    for series in SERIES:
        table = booked.factors.intensity[series]
        into.append(_mass([(energy, table[name]) for name, energy in sources.items() if energy]))
        out.append(_mass([(outflow, done.intensity[series])] if outflow else []))
    return into, out


def _battery_alone(booked: BookedRow) -> tuple[list[float | None], list[float | None]]:
    """Both sides of a row whose mix is not known: what it did to the battery."""
    done, flows, before = booked.account, booked.row.flows, booked.opening.stock
    after = done.battery.stock
    into: list[float | None] = [(flows.charge or 0.0) + done.beyond]
    out: list[float | None] = [fsum([flows.discharge or 0.0, *done.losses.values()])]
    for origin in ORIGINS:
        into.append(after[origin] - before[origin])
        out.append(0.0)
    for series in SERIES:
        grid = booked.factors.intensity[series]["grid"]
        beyond = _mass([(done.beyond, grid)] if done.beyond else [])
        charged = done.charged[series] if flows.charge else 0.0
        into.append(None if beyond is None or charged is None else beyond + charged)
        out.append(done.discharged[series] if flows.discharge else 0.0)
    return into, out


def _mass(parts: list[tuple[float, float | None]]) -> float | None:
    """Mass in g of energies at their factors; ``None`` if one is missing."""
    masses: list[float] = []
    for energy, factor in parts:
        if factor is None:
            return None
        masses.append(energy * factor / 1000.0)
    return fsum(masses)
