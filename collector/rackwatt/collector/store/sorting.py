# SPDX-License-Identifier: Apache-2.0
"""Points sorted for their rollups: by kind, minute, and by the fields that they have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np

from rackwatt.collector.store.gathering import Floats, Integers
from rackwatt.collector.store.points import Points, Values
from rackwatt.collector.store.rollups import MINUTE_MS, MINUTE_RULES
from rackwatt.collector.store.series import Series

_AT_ONCE: Final = 2_000


@dataclass(slots=True)
class Part:
    """Rows of a kind that lie in one minute and have the same fields."""

    kind: str
    minute: int
    names: tuple[str, ...]
    series: list[Series]
    numbers: Integers
    times: Integers
    values: Floats
    moving: list[Series] = field(default_factory=list)
    """Of devices that may stand elsewhere in the same minute: these have no row here."""


def parts_of(points: Points) -> list[Part]:
    """Sort points, at most 2,000 a part; what has no rollups, or no field, is left out."""
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    before: tuple[str, ...] = ()
    kind, group = "", list[int]()
    for number, (one, values) in enumerate(zip(points.series, points.values, strict=True)):
        names = tuple(values)
        if names != before or one.kind != kind:
            kind, before = one.kind, names
            group = groups.setdefault((kind, names), [])
        group.append(number)
    found: list[Part] = []
    for (kind, names), picked in groups.items():
        if kind in MINUTE_RULES and names:
            for start in range(0, len(picked), _AT_ONCE):
                found += _by_minute(points, kind, names, picked[start : start + _AT_ONCE])
    return found


def _by_minute(
    points: Points, kind: str, names: tuple[str, ...], picked: Sequence[int]
) -> Iterator[Part]:
    series = [points.series[number] for number in picked]
    times = np.array([points.times[number] for number in picked], np.int64)
    slots = np.array([one.slot for one in series], np.int64)
    values = _matrix([points.values[number] for number in picked], len(names))
    minutes = times - times % MINUTE_MS
    for minute in np.unique(minutes).tolist():
        here = minutes == minute
        moving: list[Series] = []
        numbers = slots
        if (slots < 0).any():
            numbers = slots.copy()
            for number in np.flatnonzero(here & (slots < 0)).tolist():
                one = series[number]
                numbers[number] = one.number
                if not one.holds(minute, minute + MINUTE_MS):
                    moving.append(one)
                    here[number] = False
        if here.all():
            yield Part(kind, minute, names, series, numbers, times, values, moving)
            continue
        part = [series[number] for number in np.flatnonzero(here).tolist()]
        yield Part(kind, minute, names, part, numbers[here], times[here], values[here], moving)


def _matrix(values: Sequence[Values], width: int) -> Floats:
    """A line per row; NaN where there is None."""
    numbers = chain.from_iterable([each.values() for each in values])
    try:
        flat = np.fromiter(numbers, np.float64, len(values) * width)
    except TypeError:
        flat = np.array([list(each.values()) for each in values], np.float64)
    return flat.reshape(len(values), width)
