# SPDX-License-Identifier: Apache-2.0
"""Sums over booked intervals, each over exactly those in which all its terms are known."""

from collections.abc import Mapping, Sequence
from math import fsum
from operator import attrgetter
from typing import Final

from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.sums import ExactSum, exact_parts
from rackwatt.collector.accounting.vocabulary import (
    ORIGINS,
    RENEWABLE,
    SERIES,
    SINKS,
    SOURCES,
    WATER_OUT,
    WATER_SOURCES,
)


class Column:
    """One value per interval.

    Attributes:
        values: ``None`` = unknown.
        known: Those that are known.
        holes: Where the others are.
    """

    __slots__ = ("holes", "known", "values")

    def __init__(self, values: list[float | None]) -> None:
        self.values = values
        self.known = [value for value in values if value is not None]
        self.holes: set[int] = set()
        if len(self.known) < len(values):
            self.holes = {index for index, value in enumerate(values) if value is None}


_ATTRIBUTES: Final = (
    "load",
    "it",
    "boundary",
    "external",
    "production",
    "residual",
    "after_losses",
    "losses_modelled",
    "supplied",
    "charge",
    "discharge",
    "stock_change",
    "unmetered",
    "unknown",
    "beyond",
    "scope_2",
    "carbon_free",
    "met_by_own",
    "heat_reused",
)
_SOURCES: Final = tuple(name for name in SOURCES if name != "battery")
_SINKS: Final = tuple(name for name in SINKS if name != "charge")
_BY_ORIGIN: Final = tuple(f"origin:{name}" for name in ORIGINS)

TALLIES: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: (name,) for name in _ATTRIBUTES if name != "met_by_own"},
    **{f"source:{name}": (f"source:{name}",) for name in _SOURCES},
    **{f"sink:{name}": (f"sink:{name}",) for name in _SINKS},
    **{f"carbon:{series}": (f"carbon:{series}",) for series in SERIES},
    **{f"kept:{name}": (f"kept:{name}",) for name in RENEWABLE},
    **{f"kept_mass:{name}": (f"kept_mass:{name}",) for name in RENEWABLE},
    "pue": ("boundary", "it"),
    "pue_external": ("external", "it"),
    "origins": ("load", *_BY_ORIGIN),
    "ref": ("boundary", *_BY_ORIGIN),
    "carbon_free_ratio": ("carbon_free", "load"),
    **{f"intensity:{series}": (f"carbon:{series}", "load") for series in SERIES},
    **{f"cue:{series}": (f"carbon:{series}", "it") for series in SERIES},
    "residual_ratio": ("residual", "supplied"),
    "after_losses_ratio": ("after_losses", "supplied"),
    "export": ("sink:export", "production"),
    **{f"water:{name}": (f"water:{name}",) for name in (*WATER_SOURCES, WATER_OUT)},
    "wue": ("water:fresh", "it"),
    "erf": ("heat_reused", "boundary"),
}
"""Name of a tally to the columns that must all be known in an interval that counts."""

HOURLY: Final = (
    *("source:grid", "scope_2", "load", "boundary", "met_by_own", "ratio_ms"),
    *("import", "import_mass", "import_ms"),
)
"""Columns that are summed per UTC hour; the last three over what is known of the import."""


class Tally:
    """Sums of columns over the intervals in which all of them are known.

    Attributes:
        known_ms: How long those intervals are together.
        sums: One per column.
    """

    __slots__ = ("known_ms", "sums")

    def __init__(self, width: int) -> None:
        self.known_ms = 0
        self.sums = [ExactSum() for _ in range(width)]

    def take(self, columns: Sequence[Column], milliseconds: Sequence[int]) -> None:
        """Add intervals, one item of each column for each."""
        holes = {index for column in columns for index in column.holes}
        if not holes:
            for held, column in zip(self.sums, columns, strict=True):
                held.extend(column.known)
            self.known_ms += sum(milliseconds)
            return
        for held, column in zip(self.sums, columns, strict=True):
            values = enumerate(column.values)
            held.extend(v for i, v in values if v is not None and i not in holes)
        self.known_ms += sum(ms for i, ms in enumerate(milliseconds) if i not in holes)

    def merge(self, other: "Tally") -> None:
        """Add what another one holds."""
        self.known_ms += other.known_ms
        for mine, its in zip(self.sums, other.sums, strict=True):
            mine.merge(its)

    def value(self, index: int = 0) -> float:
        """The sum of a column."""
        return self.sums[index].value


class HourSums:
    """What one UTC hour holds: a sum is unknown if it is so in one interval of the hour.

    Attributes:
        milliseconds: How much of the hour was added.
        claims: Names of the contracts in it.
        sums: By column, floats whose exact sum it is; ``None`` = unknown.
    """

    __slots__ = ("claims", "milliseconds", "sums")

    def __init__(self) -> None:
        self.milliseconds = 0
        self.claims: set[str] = set()
        self.sums: dict[str, list[float] | None] = {}

    def take(self, name: str, values: Sequence[float | None]) -> None:
        """Add values of a column."""
        known = [value for value in values if value is not None]
        held = self.sums.get(name, [])
        complete = held is not None and len(known) == len(values)
        self.sums[name] = exact_parts([*(held or ()), *known]) if complete else None

    def merge(self, other: "HourSums") -> None:
        """Add what another part of the hour holds."""
        self.milliseconds += other.milliseconds
        self.claims |= other.claims
        for name, parts in other.sums.items():
            self.take(name, (None,) if parts is None else parts)

    def value(self, name: str) -> float | None:
        """The sum of a column; of one that was never there, 0."""
        parts = self.sums.get(name, [])
        return None if parts is None else fsum(parts)


def columns_of(intervals: Sequence[BookedInterval]) -> dict[str, Column]:
    """Return the columns of intervals."""
    return {name: Column(values) for name, values in _values(intervals).items()}


def _values(intervals: Sequence[BookedInterval]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {
        name: list(map(attrgetter(name), intervals)) for name in _ATTRIBUTES
    }
    for name in _SOURCES:
        found[f"source:{name}"] = [interval.sources.get(name, 0.0) for interval in intervals]
    for name in _SINKS:
        found[f"sink:{name}"] = [interval.sinks.get(name, 0.0) for interval in intervals]
    for series in SERIES:
        found[f"carbon:{series}"] = [interval.carbon.get(series) for interval in intervals]
    for name in RENEWABLE:
        found[f"kept:{name}"] = [interval.kept(name) for interval in intervals]
        found[f"kept_mass:{name}"] = [interval.kept_mass(name) for interval in intervals]
    for name in (*WATER_SOURCES, WATER_OUT):
        found[f"water:{name}"] = [interval.water.get(name) for interval in intervals]
    origins = [_origins(interval) for interval in intervals]
    for index, name in enumerate(_BY_ORIGIN):
        found[name] = [one[index] for one in origins]
    found["ratio_ms"] = [
        None if i.grid_carbon_free is None else i.grid_carbon_free * i.milliseconds
        for i in intervals
    ]
    grid = found["source:grid"]
    found["import"] = [0.0 if value is None else value for value in grid]
    found["import_mass"] = [
        0.0 if value is None else mass for value, mass in zip(grid, found["scope_2"], strict=True)
    ]
    found["import_ms"] = [
        0.0 if value is None else float(interval.milliseconds)
        for value, interval in zip(grid, intervals, strict=True)
    ]
    return found


def _origins(interval: BookedInterval) -> Sequence[float | None]:
    """Return the load by origin; no load has no origin, and that is known."""
    if interval.load == 0.0:
        return (0.0,) * len(ORIGINS)
    if interval.origins is None:
        return (None,) * len(ORIGINS)
    return [interval.origins.get(name, 0.0) for name in ORIGINS]
