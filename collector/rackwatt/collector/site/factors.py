# SPDX-License-Identifier: Apache-2.0
"""The factors that hold for a site: its own over the shipped ones, each with its source.

g CO2e/kWh. A genset, and the grid of a country that is not listed, have no default: they stay
unknown until the site file gives them. A life-cycle factor never stands in for a direct one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from rackwatt.collector.accounting import factors as accounting
from rackwatt.collector.accounting.factors import Scope, shipped

FactorName = Literal["pv", "wind", "hydro", "grid", "genset", "residual"]
FACTOR_NAMES: Final[tuple[FactorName, ...]] = (
    "pv",
    "wind",
    "hydro",
    "grid",
    "genset",
    "residual",
)

__all__ = ["FACTOR_NAMES", "Factor", "FactorName", "FactorValue", "Scope", "Shipped", "shipped_for"]


@dataclass(frozen=True, slots=True)
class FactorValue:
    """One factor, in g CO2e/kWh, with where it comes from."""

    value: float
    source: str
    year: int | None = None
    estimated: bool = False
    shipped: bool = False
    """Shipped with Rackwatt, not given by the site file."""


@dataclass(frozen=True, slots=True)
class Factor:
    """The factors of one source; None is unknown, never 0."""

    life_cycle: FactorValue | None = None
    direct: FactorValue | None = None


_LATEST_MS: Final = 4_102_444_800_000
"""Beyond every year of the table: the site's own view is the newest figure."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What the shipped table says for one country."""

    factors: Mapping[FactorName, Factor]
    grid_carbon_free: FactorValue | None
    """The carbon-free fraction of the country's grid, 0..1."""


def shipped_for(country: str | None) -> Shipped:
    """The shipped defaults, the newest of each; a country of None has no grid figures."""
    table = shipped()
    factors: dict[FactorName, Factor] = {}
    for name in FACTOR_NAMES:
        where = (country or "none") if name == "grid" else ""
        life_cycle = table.find(name, "life_cycle", _LATEST_MS, country=where)
        direct = table.find(name, "direct", _LATEST_MS, country=where)
        factors[name] = Factor(_value(life_cycle), _value(direct))
    free = table.grid_carbon_free(country or "none", _LATEST_MS)
    return Shipped(MappingProxyType(factors), _value(free))


def _value(line: accounting.Factor | accounting.CarbonFree | None) -> FactorValue | None:
    if line is None:
        return None
    return FactorValue(line.value, line.source, line.year, line.estimated, shipped=True)
