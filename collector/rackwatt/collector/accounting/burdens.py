# SPDX-License-Identifier: Apache-2.0
"""What comes with IT energy: overhead, carbon and origins, interval by interval.

The overhead of an interval (load - IT) is shared pro rata to IT energy. What IT energy itself
carries is the mix of its own bus; what the overhead carries is the rest of the site's, shared the
same way. So places that add up to the site's IT add up to its load, carbon and origins too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from operator import mul
from typing import Final

from rackwatt.collector.accounting.attribution import Course
from rackwatt.collector.accounting.vocabulary import (
    ORIGINS,
    RENEWABLE,
    SERIES,
    Series,
    total,
)

FIGURES: Final = ("load", *SERIES, *ORIGINS, "carbon_free")
"""What a Wh of IT carries: Wh of load, g of carbon by series, Wh by origin, Wh carbon-free."""

_NOTHING: Final = (0.0,) * len(FIGURES)

Values = tuple[float | None, ...]
"""By figure; ``None`` = unknown."""


@dataclass(frozen=True, slots=True)
class BusMix:
    """One of several buses in one interval.

    Attributes:
        it: IT energy on it, Wh.
        shares: Origin of what is consumed on it; sums to 1.
        intensity: g/kWh by series.
    """

    it: float | None
    shares: Mapping[str, float] | None
    intensity: Mapping[Series, float | None]


@dataclass(frozen=True, slots=True)
class Interval:
    """What the books say of one interval of the site.

    Attributes:
        it: Wh.
        load: Wh: IT and overhead.
        carbon: g by series, of the load.
        origins: Wh by origin, of the load.
        carbon_free: Wh of the load.
        buses: By name; empty on a site with one.
    """

    it: float | None
    load: float | None
    carbon: Mapping[Series, float | None]
    origins: Mapping[str, float] | None
    carbon_free: float | None = None
    buses: Mapping[str, BusMix] = field(default_factory=dict)

    @property
    def values(self) -> Values:
        """In the order of :data:`FIGURES`."""
        carbon = [self.carbon.get(series) for series in SERIES]
        if self.load == 0.0:
            return _NOTHING
        return (self.load, *carbon, *_by_origin(self.origins), self.carbon_free)


@dataclass(frozen=True, slots=True)
class Burdens:
    """What a Wh of IT carries.

    Attributes:
        rates: Bus to figures to values by interval; the site's mean under ``""``.
        idle: By figure, what a Wh of the span's IT carries of the intervals without IT energy.
        stranded: By figure, what no IT energy can carry, because the whole span had none.
    """

    rates: Mapping[str, tuple[tuple[float | None, ...], ...]]
    idle: Values
    stranded: Values

    def of(self, course: Course, factor: float = 1.0, bus: str = "") -> Values:
        """Return what IT energies by interval, times a factor, carry on a bus."""
        rates = self.rates.get(bus, self.rates[""])
        it = fsum(course)
        return tuple(
            _carried(course, factor, by_interval, idle, it)
            for by_interval, idle in zip(rates, self.idle, strict=True)
        )


def burdens(intervals: Sequence[Interval]) -> Burdens:
    """Return what IT energy carries in consecutive intervals."""
    every = [interval.values for interval in intervals]
    names = {bus for interval in intervals for bus in interval.buses}
    rates = {"": _columns([_rate(i, own) for i, own in zip(intervals, every, strict=True)])}
    for bus in names:
        rates[bus] = _columns(
            [_bus_rate(i, own, bus) for i, own in zip(intervals, every, strict=True)]
        )
    without = [
        own
        for interval, own in zip(intervals, every, strict=True)
        if interval.it is not None and interval.it <= 0.0
    ]
    left = tuple(total(column) for column in zip(*without, strict=True)) or _NOTHING
    it = total([interval.it for interval in intervals])
    if it is None:
        # Nobody can tell yet who carries it.
        return Burdens(rates, tuple(0.0 if v == 0.0 else None for v in left), _NOTHING)
    if it <= 0.0:
        return Burdens(rates, _NOTHING, left)
    return Burdens(rates, tuple(None if v is None else v / it for v in left), _NOTHING)


def _columns(rows: Sequence[Values]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(zip(*rows, strict=True)) or ((),) * len(FIGURES)


def _rate(interval: Interval, values: Values) -> Values:
    it = interval.it
    if it is None:
        return (None,) * len(FIGURES)
    if it <= 0.0:
        return _NOTHING
    return tuple(None if value is None else value / it for value in values)


def _bus_rate(interval: Interval, values: Values, bus: str) -> Values:
    """A bus's own mix for its IT, and the site's remaining burden pro rata to all IT."""
    site = _rate(interval, values)
    if interval.it is None or interval.it <= 0.0 or not interval.buses:
        return site
    own = {name: _mix(interval, mix) for name, mix in interval.buses.items()}
    if bus not in own:
        return site
    result: list[float | None] = [site[0]]
    for figure in range(1, len(FIGURES)):
        carried = total(
            [
                0.0 if mix.it == 0.0 else _times(own[name][figure], mix.it)
                for name, mix in interval.buses.items()
            ]
        )
        mean, here = site[figure], own[bus][figure]
        if mean is None or carried is None or here is None:
            result.append(None)
        else:
            result.append(here + (mean - carried / interval.it))
    return tuple(result)


def _mix(interval: Interval, mix: BusMix) -> Values:
    """What a Wh on a bus carries; the grid's carbon-free part is that of the whole site."""
    carbon = [_times(mix.intensity.get(series), 0.001) for series in SERIES]
    origins = _by_origin(mix.shares)
    return (1.0, *carbon, *origins, _carbon_free(interval, mix))


def _carbon_free(interval: Interval, mix: BusMix) -> float | None:
    if interval.origins is None or interval.carbon_free is None or mix.shares is None:
        return None
    grid = interval.origins.get("grid", 0.0)
    renewable = fsum(interval.origins.get(name, 0.0) for name in RENEWABLE)
    ratio = (interval.carbon_free - renewable) / grid if grid > 0.0 else 0.0
    own = fsum(mix.shares.get(name, 0.0) for name in RENEWABLE)
    return own + mix.shares.get("grid", 0.0) * ratio


def _by_origin(amounts: Mapping[str, float] | None) -> Values:
    if amounts is None:
        return (None,) * len(ORIGINS)
    return tuple(amounts.get(origin, 0.0) for origin in ORIGINS)


def _carried(
    course: Course,
    factor: float,
    rates: Sequence[float | None],
    idle: float | None,
    it: float,
) -> float | None:
    if not it and not any(course):
        return 0.0
    if idle is None:
        return None
    known = [rate for rate in rates if rate is not None]
    if len(known) == len(rates):
        return factor * (fsum(map(mul, course, known)) + it * idle)
    # An interval in which nothing was drawn carries nothing, whatever the mix was.
    pieces = [
        0.0 if energy == 0.0 else _times(r, energy) for energy, r in zip(course, rates, strict=True)
    ]
    whole = total(pieces)
    return None if whole is None else factor * (whole + it * idle)


def _times(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor
