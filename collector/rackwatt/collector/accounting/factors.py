# SPDX-License-Identifier: Apache-2.0
"""Emission factors: versioned data with a source, a year and a scope each.

A missing factor is ``None`` and a message. A life-cycle factor never stands in for a direct one.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from rackwatt.collector.accounting.factor_series import (
    CARBON_FREE,
    FactorLine,
    FactorSeries,
    FactorType,
    Scope,
    by_item,
)
from rackwatt.collector.accounting.masses import Masses
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES, UNKNOWN, Series

__all__ = [
    "SCOPE_OF",
    "CarbonFree",
    "Factor",
    "FactorTable",
    "Fuel",
    "IntervalFactors",
    "Scope",
    "SiteFactors",
    "parse",
    "shipped",
]

SCOPE_OF: Final[Mapping[Series, Scope]] = {"life_cycle": "life_cycle", "operational": "direct"}


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Factor(_Line):
    """One emission factor, g CO2e per kWh."""

    item: str
    variant: str = ""
    country: str = ""
    scope: Scope
    value: float = Field(ge=0.0)
    unit: Literal["g/kWh"]
    year: int | None
    type: FactorType
    estimated: bool
    source: str


class CarbonFree(_Line):
    """The carbon-free part of a grid's production, 0..1."""

    country: str
    value: float = Field(ge=0.0, le=1.0)
    year: int
    estimated: bool
    source: str


class Fuel(_Line):
    """What a unit of fuel holds, kWh."""

    fuel: str
    value: float = Field(gt=0.0)
    unit: str
    source: str


class FactorTable(_Line):
    """All factors of one version."""

    version: int
    factors: tuple[Factor, ...]
    carbon_free: tuple[CarbonFree, ...] = ()
    fuels: tuple[Fuel, ...] = ()

    def find(
        self, item: str, scope: Scope, instant_ms: int, *, country: str = "", variant: str = ""
    ) -> Factor | None:
        """Return the factor of the year of an instant, else of the nearest year before, else after.

        Args:
            item: ``pv``, ``grid``, ...
            scope: ``direct`` or ``life_cycle``.
            instant_ms: ms since 1970, UTC.
            country: ISO 3166 code, for a grid.
            variant: ``rooftop``, ``offshore``, ...; empty: the item's first.
        """
        fitting = [
            factor
            for factor in self.factors
            if factor.item == item
            and factor.scope == scope
            and factor.country == country
            and variant in {"", factor.variant}
        ]
        if not variant:
            fitting = [factor for factor in fitting if factor.variant == fitting[0].variant]
        years = [0 if factor.year is None else factor.year for factor in fitting]
        index = _nearest(years, instant_ms)
        return None if index is None else fitting[index]

    def grid_carbon_free(self, country: str, instant_ms: int) -> CarbonFree | None:
        """Return the carbon-free part of a country's grid, chosen by year like a factor."""
        fitting = [line for line in self.carbon_free if line.country == country]
        index = _nearest([line.year for line in fitting], instant_ms)
        return None if index is None else fitting[index]


def _nearest(years: Sequence[int], instant_ms: int) -> int | None:
    """Return the index of the latest year that is not after an instant, else of the earliest."""
    if not years:
        return None
    now = datetime.fromtimestamp(instant_ms / 1000, UTC).year
    past = [year for year in years if year <= now]
    return years.index(max(past) if past else min(years))


def parse(text: str) -> FactorTable:
    """Read a factor table from YAML.

    Raises:
        pydantic.ValidationError: A line is not as it should be.
    """
    return FactorTable.model_validate(yaml.safe_load(text))


def shipped() -> FactorTable:
    """Return the table that comes with this package."""
    return parse(files(__package__).joinpath("data", "factors.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class IntervalFactors:
    """The factors that hold in one interval.

    Attributes:
        intensity: g/kWh by series and origin; ``unknown`` has the grid's.
        grid_carbon_free_ratio: Carbon-free part of the grid, 0..1.
        initial: Carbon of a battery's first stock, g/kWh by series.
        messages: What is missing, one sentence each, for people.
    """

    intensity: Mapping[Series, Mapping[str, float | None]]
    grid_carbon_free_ratio: float | None
    initial: Masses
    messages: tuple[str, ...] = ()
    grid: Masses = field(init=False, repr=False, compare=False)
    """The grid's factors by series, which also stand for energy of unknown origin."""

    def __post_init__(self) -> None:
        grid = {series: self.intensity[series]["grid"] for series in SERIES}
        object.__setattr__(self, "grid", grid)


@dataclass(frozen=True, slots=True)
class SiteFactors:
    """A site's view of the factors: its country, its variants, its own values.

    Attributes:
        table: Where the defaults come from.
        country: ISO 3166 code of the site's grid.
        overrides: The site's own values in g/kWh, by item, then scope.
        variants: The variant of an item, if it is not the default one.
        grid_carbon_free_ratio: The site's own value, 0..1.
        initial: The site's own values for the carbon of the battery's first stock, g/kWh.
        series: The site's factors over time: they come before all others while they hold.

    Raises:
        ValueError: Two lines of one item and scope hold at once.
    """

    table: FactorTable
    country: str = ""
    overrides: Mapping[str, Mapping[Scope, float]] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    grid_carbon_free_ratio: float | None = None
    initial: Mapping[Scope, float] = field(default_factory=dict)
    series: tuple[FactorLine, ...] = ()
    _series: Mapping[tuple[str, Scope], FactorSeries] = field(init=False, repr=False, compare=False)
    _edges: Sequence[int] = field(init=False, repr=False, compare=False)
    _known: dict[int, IntervalFactors] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        series = by_item(self.series)
        years = {f.year + later for f in self.table.factors if f.year for later in (0, 1)}
        years |= {line.year + later for line in self.table.carbon_free for later in (0, 1)}
        edges = {round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in years}
        edges |= {edge for one in series.values() for edge in one.edges}
        object.__setattr__(self, "_series", series)
        object.__setattr__(self, "_edges", sorted(edges))

    @property
    def edges(self) -> Sequence[int]:
        """The instants at which something may change, ms, in order."""
        return self._edges

    def find(self, item: str, scope: Scope, instant_ms: int) -> Factor | None:
        """Return the factor that this site uses; its own one is dated by no year."""
        line = self._line(item, scope, instant_ms)
        if line is not None:
            return Factor(
                item=item,
                scope=scope,
                value=line.value,
                unit="g/kWh",
                year=datetime.fromtimestamp(line.start_ms / 1000, UTC).year,
                type=line.type,
                estimated=line.estimated,
                source=line.source or "site's series",
            )
        own = self.overrides.get(item, {}).get(scope)
        if own is not None:
            return Factor(
                item=item,
                scope=scope,
                value=own,
                unit="g/kWh",
                year=None,
                type="average",
                estimated=False,
                source="site file",
            )
        country = self.country if item == "grid" else ""
        variant = self.variants.get(item, "")
        return self.table.find(item, scope, instant_ms, country=country, variant=variant)

    def at(self, instant_ms: int) -> IntervalFactors:
        """Return the factors that hold at an instant (ms since 1970, UTC)."""
        span = bisect_right(self._edges, instant_ms)
        found = self._known.get(span)
        if found is None:
            found = self._known[span] = self._at(instant_ms)
        return found

    def _line(self, item: str, scope: Scope, instant_ms: int) -> FactorLine | None:
        series = self._series.get((item, scope))
        return None if series is None else series.at(instant_ms)

    def _at(self, instant_ms: int) -> IntervalFactors:
        intensity: dict[Series, dict[str, float | None]] = {}
        initial: dict[Series, float | None] = {}
        messages: list[str] = []
        for series in SERIES:
            scope = SCOPE_OF[series]
            found = {
                origin: self.find(origin, scope, instant_ms)
                for origin in ORIGINS
                if origin != UNKNOWN
            }
            values = {name: None if f is None else f.value for name, f in found.items()}
            intensity[series] = values | {UNKNOWN: values["grid"]}
            initial[series] = self.initial.get(scope, values["grid"])
            messages.extend(self._missing(name, scope) for name, f in found.items() if f is None)
        ratio = self._carbon_free(instant_ms)
        if ratio is None:
            messages.append(f"no carbon-free fraction of the grid of {self._where()}")
        return IntervalFactors(intensity, ratio, initial, tuple(messages))

    def _carbon_free(self, instant_ms: int) -> float | None:
        line = self._line(CARBON_FREE, "direct", instant_ms)
        if line is not None:
            return line.value
        if self.grid_carbon_free_ratio is not None:
            return self.grid_carbon_free_ratio
        shipped_one = self.table.grid_carbon_free(self.country, instant_ms)
        return None if shipped_one is None else shipped_one.value

    def _missing(self, item: str, scope: Scope) -> str:
        where = f" of {self._where()}" if item == "grid" else ""
        return f"no {scope.replace('_', '-')} emission factor for {item}{where}"

    def _where(self) -> str:
        return f"country {self.country}" if self.country else "a site without a country"
