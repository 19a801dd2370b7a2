# SPDX-License-Identifier: Apache-2.0
"""Whether all energy and all carbon that went into the books came out of them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from operator import itemgetter
from typing import Final

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES, UNKNOWN
from rackwatt.collector.ledger.importing.booking import BookedRow

LIMIT: Final = 1e-9
"""Relative; more than that is no rounding."""

_ENERGY: Final = "energy"
_NAMES: Final = (_ENERGY, *ORIGINS, *SERIES)
_BLOCK: Final = 1024

_FLOWING: Final = (*ORIGINS, *SERIES)
_NOTHING_BESIDE: Final[tuple[float | None, ...]] = (0.0,) * len(_FLOWING)
_BY_ORIGIN: Final = itemgetter(*ORIGINS)
_BY_SERIES: Final = itemgetter(*SERIES)


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
    """Adds up both sides over all rows, in blocks: half a million rows take no time to speak of.

    A row without a mix (a source is unknown, or there is no load) adds only what it did to the
    battery.
    """

    def __init__(self) -> None:
        self._into: dict[str, list[float]] = {name: [] for name in _NAMES}
        self._out: dict[str, list[float]] = {name: [] for name in _NAMES}
        self._unknown: set[str] = set()
        self._block: list[tuple[float | None, ...]] = []
        self._sources: tuple[str, ...] = ()
        self._factors: IntervalFactors | None = None
        self._opening: BatteryState | None = None
        self._state: BatteryState | None = None

    def add(self, booked: BookedRow) -> None:
        """Add a row."""
        done = booked.account
        if self._opening is None:
            self._opening = booked.opening
        self._state = done.battery
        if booked.factors is not self._factors:
            self._flush()
            self._factors = booked.factors
        shares, origins = done.shares, done.origins
        if shares is None or origins is None or done.residual is None:
            self._battery_alone(booked)
            return
        sources, sinks = booked.row.flows.sources, booked.row.flows.sinks
        self._sources = (*sources, UNKNOWN)
        beside = (sinks["export"] or 0.0) + (sinks.get("campus") or 0.0) + done.unmetered
        carbon, rest = done.carbon, _NOTHING_BESIDE
        if beside:
            bus, parts = done.intensity, [beside * part for part in _BY_ORIGIN(shares)]
            rest = (*parts, *[_mass(beside, bus[series]) for series in SERIES])
        self._block.append(
            (
                *sources.values(),
                done.unknown + done.beyond,
                *_BY_ORIGIN(origins),
                *_BY_SERIES(carbon),
                *rest,
                *_BY_ORIGIN(done.losses),
                done.load,
                beside,
            )
        )
        if len(self._block) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        """Turn a block of rows with the same factors into sums."""
        if not self._block or self._factors is None:
            return
        sums = [_summed(column) for column in zip(*self._block, strict=True)]
        self._block = []
        given = dict.fromkeys(ORIGINS, 0.0)
        for name, value in zip(self._sources, sums, strict=False):
            given[name] = value or 0.0
        sums = sums[len(self._sources) :]
        load, rest = sums[: len(_FLOWING)], sums[len(_FLOWING) :]
        beside, rest = rest[: len(_FLOWING)], rest[len(_FLOWING) :]
        losses, (used, other) = rest[: len(ORIGINS)], rest[len(ORIGINS) :]
        self._put(_ENERGY, [*given.values()], [used, other, *losses])
        for index, origin in enumerate(ORIGINS):
            self._put(origin, [given[origin]], [load[index], beside[index], losses[index]])
        for index, series in enumerate(SERIES, len(ORIGINS)):
            table = self._factors.intensity[series]
            into = [_mass(energy, table[origin]) for origin, energy in given.items()]
            self._put(series, into, [load[index], beside[index]])

    def _battery_alone(self, booked: BookedRow) -> None:
        """Add a row whose mix is not known: what it did to the battery."""
        done, flows, before = booked.account, booked.row.flows, booked.opening.stock
        discharged = [flows.discharge or 0.0, *done.losses.values()]
        self._put(_ENERGY, [flows.charge or 0.0, done.beyond], discharged)
        for origin in ORIGINS:
            self._put(origin, [done.battery.stock[origin], -before[origin]], [])
        for series in SERIES:
            beyond = _mass(done.beyond, booked.factors.intensity[series]["grid"])
            charged = done.charged[series] if flows.charge else 0.0
            out = done.discharged[series] if flows.discharge else 0.0
            self._put(series, [beyond, charged], [out])

    def _put(self, name: str, into: Sequence[float | None], out: Sequence[float | None]) -> None:
        for side, terms in ((self._into[name], into), (self._out[name], out)):
            known = [term for term in terms if term is not None]
            if len(known) < len(terms):
                self._unknown.add(name)
            side.append(fsum(known))

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
                into = fsum([*self._into[name], first])
                sides[name] = into, fsum([*self._out[name], last])
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


def _mass(energy: float, factor: float | None) -> float | None:
    """Mass in g of an energy at its factor; no energy has none."""
    if energy == 0.0:
        return 0.0
    return None if factor is None else energy * factor / 1000.0


def _summed(column: Sequence[float | None]) -> float | None:
    """Sum a column; ``None`` if something in it is unknown."""
    try:
        return fsum(column)  # type: ignore[arg-type]
    except TypeError:
        return None
