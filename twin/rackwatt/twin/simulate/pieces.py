# SPDX-License-Identifier: Apache-2.0
"""Pieces of a measurement: many devices over some minutes, as one block of numbers.

A minute's row carries what the collector's rollup rules make of its readings, an hour's what they
make of its minutes; here for all devices at once. A row per reading as the collector writes it
would cost a simulated month ten times the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.store.base import Row
from rackwatt.collector.store.rollups import HOUR_RULES, MINUTE_RULES, hour_name, minute_name
from rackwatt.wire.readings import Kind

Array = NDArray[np.float64]
Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one measurement.

    Attributes:
        measurement: Its name.
        times_ms: A time for each row of each device.
        tags: A row's tags for each device; all of the same names.
        names: Fields.
        values: times x devices x fields; NaN: not known.
    """

    measurement: str
    times_ms: tuple[int, ...]
    tags: tuple[Tags, ...]
    names: tuple[str, ...]
    values: Array

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.times_ms) * len(self.tags)

    def rows(self) -> list[Row]:
        """One by one, as a store takes them."""
        found: list[Row] = []
        for time_ms, devices in zip(self.times_ms, self.values.tolist(), strict=True):
            for tags, numbers in zip(self.tags, devices, strict=True):
                fields: Mapping[str, float] = {
                    name: value
                    for name, value in zip(self.names, numbers, strict=True)
                    if value == value
                }
                if fields:
                    found.append(Row(self.measurement, tags, fields, time_ms))
        return found


@dataclass(frozen=True, slots=True)
class Field:
    """One field of some devices over some minutes: minutes x devices.

    Attributes:
        mean: The value of each minute, as its aggregate says (mean, last).
        least: Smallest within the minute; None: as `mean`.
        greatest: Largest within the minute; None: as `mean`.
    """

    mean: Array
    least: Array | None = None
    greatest: Array | None = None


def minute_piece(
    kind: Kind, starts_ms: Sequence[int], tags: Sequence[Tags], fields: Mapping[str, Field]
) -> Piece:
    """The minutes of some devices, by the collector's rules.

    Args:
        kind: Of the readings.
        starts_ms: Of the minutes.
        tags: Of the devices.
        fields: By name, as they cross the wire; such as no rule knows are left out.
    """
    rules = MINUTE_RULES[kind]
    columns: dict[str, Array] = {}
    for name, values in fields.items():
        for made, how in rules.get(name, ()):
            extreme = {"min": values.least, "max": values.greatest}.get(how)
            columns[made] = values.mean if extreme is None else extreme
    names = tuple(columns)
    return Piece(
        minute_name(kind),
        tuple(starts_ms),
        tuple(tags),
        names,
        np.stack([columns[name] for name in names], axis=2),
    )


def hour_piece(kind: Kind, start_ms: int, minutes: Piece) -> Piece:
    """The hour of those minutes, by the collector's rules."""
    rules = HOUR_RULES[kind]
    columns = [
        _FOLDS[how](minutes.values[:, :, at])
        for at, name in enumerate(minutes.names)
        for _, how in rules[name]
    ]
    return Piece(
        hour_name(kind), (start_ms,), minutes.tags, minutes.names, np.stack(columns, axis=1)[None]
    )


def raw_piece(
    kind: Kind, ends_ms: Sequence[int], tags: Sequence[Tags], fields: Mapping[str, Field]
) -> Piece:
    """The readings themselves, one a minute, at its end."""
    names = tuple(fields)
    values = np.stack([fields[name].mean for name in names], axis=2)
    return Piece(kind, tuple(ends_ms), tuple(tags), names, values)


def _mean(values: Array) -> Array:
    return np.asarray(values.mean(axis=0))


def _last(values: Array) -> Array:
    return np.asarray(values[-1])


def _sum(values: Array) -> Array:
    return np.asarray(values.sum(axis=0))


def _least(values: Array) -> Array:
    return np.asarray(values.min(axis=0))


def _greatest(values: Array) -> Array:
    return np.asarray(values.max(axis=0))


_FOLDS: Final = {"mean": _mean, "last": _last, "sum": _sum, "min": _least, "max": _greatest}
