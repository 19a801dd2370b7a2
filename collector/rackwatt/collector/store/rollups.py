# SPDX-License-Identifier: Apache-2.0
"""Rollups of readings: a device's minute made of its rows, and its hour made of its minutes.

Pure functions. A field keeps its name and carries what its specification says: the mean, the
last, the least or the greatest of its values. Some means have `<field>_min` and
`<field>_max` beside them; power has fields of its own for that. An hour weighs its minutes
equally, however many readings each holds. The order and the number of deliveries change nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any, Final

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


Point = tuple[int, Mapping[str, float | str]]
"""The time and the values of one reading of a device; texts are passed over."""

_FOLDS: Final[Mapping[Aggregate, Callable[[Any], float]]] = MappingProxyType(
    {"min": min, "max": max}
)

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
    names = tuple(ordered[0][1])
    for _, fields in ordered:
        if tuple(fields) != names:
            return _folded(rules, _columns(ordered).items())
    values = zip(*[fields.values() for _, fields in ordered], strict=True)
    return _folded(rules, zip(names, values, strict=True))


def _columns(ordered: Iterable[Point]) -> dict[str, list[float | str]]:
    found: dict[str, list[float | str]] = {}
    for _, fields in ordered:
        for name, value in fields.items():
            found.setdefault(name, []).append(value)
    return found


def _folded(rules: Rules, columns: Iterable[tuple[str, Sequence[float | str]]]) -> dict[str, float]:
    made: dict[str, float] = {}
    for name, values in columns:
        # What has a rule is a number: texts have none.
        for result, how in rules.get(name, ()):
            if how == "mean":
                # One after the other, as sums are gathered: the same rounding, the same bits.
                made[result] = reduce(add, values) / len(values)  # type: ignore[operator]
            elif how == "last":
                made[result] = values[-1]  # type: ignore[assignment]
            else:
                made[result] = _FOLDS[how](values)
    return made


def _in_order(points: Iterable[Point]) -> list[Point]:
    """By time, each time once."""
    kept = list(points)
    times = [time_ms for time_ms, _ in kept]
    if times == sorted(set(times)):
        return kept
    merged: dict[int, Mapping[str, float | str]] = {}
    for time_ms, fields in kept:
        before = merged.get(time_ms)
        merged[time_ms] = fields if before is None else {**before, **fields}
    return sorted(merged.items(), key=_time)


def _time(point: Point) -> int:
    return point[0]
