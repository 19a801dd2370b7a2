# SPDX-License-Identifier: Apache-2.0
"""Rollups of readings: a device's minute made of its rows, and its hour made of its minutes.

Pure functions. A field keeps its name and carries what its specification says: the mean, the
last, the sum, the least or the greatest of its values. Some means have `<field>_min` and
`<field>_max` beside them; power has fields of its own for that. An hour weighs its minutes
equally, however many readings each holds. The order and the number of deliveries change nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import fsum
from types import MappingProxyType
from typing import Final, NamedTuple

from rackwatt.wire.readings import FIELDS, KINDS, Aggregate, FieldSpec, Kind

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
ROLLED: Final[tuple[Kind, ...]] = tuple(kind for kind in KINDS if FIELDS[kind])
"""Kinds that have rollups: all but `event`."""

_EXTREME_UNITS: Final = frozenset({"W", "Cel", "Pa", "L/s", "m/s", "W/m2"})
_EXTREME_FIELDS: Final = frozenset(
    {
        "utilization_ratio",
        "cpu_utilization_ratio",
        "load_ratio",
        "state_of_charge_ratio",
        "humidity_ratio",
        "frequency_hertz",
        "voltage_volts",
    }
)
_WITHOUT: Final = frozenset(
    {"power_watts", "power_instant_watts", "power_l1_watts", "power_l2_watts", "power_l3_watts"}
)
"""Powers whose extremes the agent measures itself, or nobody asks for."""


class Point(NamedTuple):
    """The values of one device at one time."""

    time_ms: int
    names: tuple[str, ...]
    values: Sequence[float]


Rules = Mapping[str, Sequence[tuple[str, Aggregate]]]
"""Field to what becomes of it: names of the result, each with how it is made."""


def minute_name(kind: str) -> str:
    """The measurement of a kind's minutes."""
    return f"{kind}_1m"


def hour_name(kind: str) -> str:
    """The measurement of a kind's hours."""
    return f"{kind}_1h"


def _has_extremes(spec: FieldSpec) -> bool:
    if spec.aggregate != "mean" or spec.name in _WITHOUT:
        return False
    return spec.unit in _EXTREME_UNITS or spec.name in _EXTREME_FIELDS


def _minute_rules(kind: Kind) -> Rules:
    rules: dict[str, list[tuple[str, Aggregate]]] = {}
    for name, spec in FIELDS[kind].items():
        rules[name] = [(name, spec.aggregate)]
        if _has_extremes(spec):
            rules[name] += [(f"{name}_min", "min"), (f"{name}_max", "max")]
    return rules


def _hour_rules(minutes: Rules) -> Rules:
    return {name: [(name, how)] for made in minutes.values() for name, how in made}


MINUTE_RULES: Final[Mapping[str, Rules]] = MappingProxyType(
    {kind: _minute_rules(kind) for kind in ROLLED}
)
"""Per kind, from readings to a minute."""
HOUR_RULES: Final[Mapping[str, Rules]] = MappingProxyType(
    {kind: _hour_rules(MINUTE_RULES[kind]) for kind in ROLLED}
)
"""Per kind, from minutes to an hour."""


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _last(values: Sequence[float]) -> float:
    return values[-1]


_FOLDS: Final[Mapping[Aggregate, Callable[[Sequence[float]], float]]] = MappingProxyType(
    {"mean": _mean, "last": _last, "sum": fsum, "min": min, "max": max}
)


def fold(rules: Rules, points: Iterable[Point]) -> dict[str, float]:
    """One row's fields out of the points of a span.

    Points of the same time are the same reading: what came last overwrites, field by field, as
    it does in a store. A field without any value is not in the result.

    Args:
        rules: what becomes of each field; a field that has no rule is left out.
        points: in the order in which they came.
    """
    ordered = _in_order(points)
    if not ordered:
        return {}
    names = ordered[0].names
    if all(point.names is names or point.names == names for point in ordered):
        columns = zip(names, zip(*[point.values for point in ordered], strict=True), strict=True)
        return _folded(rules, columns)
    found: dict[str, list[float]] = {}
    for point in ordered:
        for name, value in zip(point.names, point.values, strict=True):
            found.setdefault(name, []).append(value)
    return _folded(rules, found.items())


def _folded(rules: Rules, columns: Iterable[tuple[str, Sequence[float]]]) -> dict[str, float]:
    return {
        made: _FOLDS[how](values) for name, values in columns for made, how in rules.get(name, ())
    }


def _in_order(points: Iterable[Point]) -> list[Point]:
    """By time, each time once."""
    kept = list(points)
    times = [point.time_ms for point in kept]
    if all(one < other for one, other in pairwise(times)):
        return kept
    merged: dict[int, Point] = {}
    for point in kept:
        before = merged.get(point.time_ms)
        merged[point.time_ms] = point if before is None else _merged(before, point)
    return [merged[time] for time in sorted(merged)]


def _merged(before: Point, after: Point) -> Point:
    if before.names == after.names:
        return after
    values = dict(zip(before.names, before.values, strict=True))
    values |= zip(after.names, after.values, strict=True)
    return Point(after.time_ms, tuple(values), tuple(values.values()))
