# SPDX-License-Identifier: Apache-2.0
"""Sums over the columns of many lines, block by block: ratios of sums, and both sides of the books.

It knows plain lines only, so that it can run in the process that writes them.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Final, NamedTuple, cast

from rackwatt.collector.accounting.masses import mass
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES, Series
from rackwatt.collector.ledger.importing.lines import BEHIND, COLUMNS, Cell, Line

ENERGY: Final = "energy"
SIDES: Final = (ENERGY, *ORIGINS, *SERIES)
"""What goes into the books and comes out of them."""

RATIOS: Final = {
    "pue": ("facility_wh", "it_wh"),
    "load_per_it": ("load_wh", "it_wh"),
    "renewable_share": ("renewable_wh", "load_wh"),
    "grid_share": ("grid_wh", "load_wh"),
    "carbon_free_share": ("carbon_free_wh", "load_wh"),
    "unknown_share": ("unknown_wh", "load_wh"),
    "contracted_share": ("contracted_wh", "facility_wh"),
    "life_cycle_g_per_wh": ("carbon_life_cycle_g", "load_wh"),
    "operational_g_per_wh": ("carbon_operational_g", "load_wh"),
    "residual_ratio": ("residual_wh", "supplied_wh"),
}
"""Ratios of sums over the rows in which both terms are known."""

SUMS: Final = (
    "load_wh",
    "it_wh",
    "facility_wh",
    "pv_wh",
    "wind_wh",
    "hydro_wh",
    "grid_wh",
    "genset_wh",
    "unknown_wh",
    "renewable_wh",
    "carbon_free_wh",
    "carbon_life_cycle_g",
    "carbon_operational_g",
    "scope_2_g",
    "contracted_wh",
    "surplus_wh",
    "supplied_wh",
    "residual_wh",
    "unmetered_wh",
    "beyond_wh",
    "battery_losses_wh",
)
"""Sums over the rows in which the figure is known."""

Table = Mapping[Series, Mapping[str, float | None]]
"""Emission factors by series and origin, g/kWh."""

Terms = dict[str, list[float]]
_Columns = Sequence[Sequence[float | None]]

_INDEX: Final = {name: index for index, name in enumerate((*COLUMNS, *BEHIND))}
_SECONDS: Final = _INDEX["interval_seconds"]
_MIXED: Final = _INDEX["mixed"]


class Added(NamedTuple):
    """What lines came to; as terms whose exact sum is meant. Made of plain things only.

    Attributes:
        seconds: How long all rows are.
        sums: By name, the terms, and the length of the rows in which it is known.
        ratios: By name, numerators, denominators, and the length of the rows in which both are.
        into: By side, what went into the books.
        out: By side, what came out.
        unknown: Sides of which a part is unknown, for want of a factor.
    """

    seconds: list[float]
    sums: dict[str, tuple[list[float], list[float]]]
    ratios: dict[str, tuple[list[float], list[float], list[float]]]
    into: Terms
    out: Terms
    unknown: list[str]


class Adder:
    """Adds lines up."""

    def __init__(self) -> None:
        self.added = Added(
            [],
            {name: ([], []) for name in SUMS},
            {name: ([], [], []) for name in RATIOS},
            {name: [] for name in SIDES},
            {name: [] for name in SIDES},
            [],
        )

    def take(self, lines: Sequence[Line], table: Table) -> None:
        """Add lines whose rows have the same factors."""
        if not lines:
            return
        columns = _turned(lines)
        self._add(columns)
        if not all(columns[_MIXED]):
            lines = [line for line in lines if line[_MIXED]]
            columns = _turned(lines)
        if lines:
            self._balance(columns, table)

    def _add(self, columns: _Columns) -> None:
        added, seconds = self.added, columns[_SECONDS]
        whole = fsum(cast("Sequence[float]", seconds))
        added.seconds.append(whole)
        sums = {name: _summed(columns[_INDEX[name]]) for name in SUMS}
        for name, value in sums.items():
            terms, lengths = added.sums[name]
            if value is None:
                known = _where_known(columns[_INDEX[name]], seconds)
                terms.append(fsum([row[0] for row in known]))
                lengths.append(fsum([row[1] for row in known]))
            else:
                terms.append(value)
                lengths.append(whole)
        for name, (over, under) in RATIOS.items():
            first, second, length = sums[over], sums[under], whole
            if first is None or second is None:
                both = _where_known(columns[_INDEX[over]], columns[_INDEX[under]], seconds)
                first, second = fsum([row[0] for row in both]), fsum([row[1] for row in both])
                length = fsum([row[2] for row in both])
            for terms, value in zip(added.ratios[name], (first, second, length), strict=True):
                terms.append(value)

    def _balance(self, columns: _Columns, table: Table) -> None:
        def column(name: str) -> float | None:
            return _summed(columns[_INDEX[name]])

        given = {origin: column(f"given {origin}") or 0.0 for origin in ORIGINS}
        lost = {origin: column(f"lost {origin}") for origin in ORIGINS}
        self.put(ENERGY, [*given.values()], [column("load_wh"), column("beside"), *lost.values()])
        for origin in ORIGINS:
            out = [column(f"{origin}_wh"), column(f"beside {origin}"), lost[origin]]
            self.put(origin, [given[origin]], out)
        for series in SERIES:
            into = [mass(energy, table[series][origin]) for origin, energy in given.items()]
            self.put(series, into, [column(f"carbon_{series}_g"), column(f"beside {series}")])

    def put(self, side: str, into: Sequence[float | None], out: Sequence[float | None]) -> None:
        """Note what went into a side, and what came out."""
        for terms, values in ((self.added.into[side], into), (self.added.out[side], out)):
            known = [value for value in values if value is not None]
            if len(known) < len(values) and side not in self.added.unknown:
                self.added.unknown.append(side)
            terms.extend(known)


def _turned(lines: Sequence[Sequence[Cell]]) -> _Columns:
    return cast("_Columns", list(zip(*lines, strict=True)))


def _summed(column: Sequence[float | None]) -> float | None:
    """Sum a column; ``None`` if something in it is unknown."""
    try:
        return fsum(column)  # type: ignore[arg-type]
    except TypeError:
        return None


def _where_known(*columns: Sequence[float | None]) -> list[tuple[float, ...]]:
    """The rows in which all of some columns are known."""
    rows = zip(*columns, strict=True)
    return [cast("tuple[float, ...]", row) for row in rows if None not in row]
