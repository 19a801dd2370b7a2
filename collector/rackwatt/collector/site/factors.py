# SPDX-License-Identifier: Apache-2.0
"""Emission factors and grid figures that are shipped, each with its source.

g CO2e/kWh. A genset, and the grid of a country that is not listed, have no default: they stay
unknown until the site file gives them. A life-cycle factor never stands in for a direct one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Scope = Literal["life_cycle", "direct"]
FactorName = Literal["pv", "wind", "hydro", "grid", "genset", "residual"]
FACTOR_NAMES: Final[tuple[FactorName, ...]] = (
    "pv",
    "wind",
    "hydro",
    "grid",
    "genset",
    "residual",
)


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


_AR5: Final = "IPCC AR5 WG3 Annex III, median"
_MA: Final = "Electricity Maps, zone MA, yearly average"


def _shipped(
    value: float, source: str, year: int | None, *, estimated: bool = False
) -> FactorValue:
    return FactorValue(value, source, year, estimated, shipped=True)


def _own(life_cycle: float) -> Factor:
    no_fuel = _shipped(0.0, "no fuel is burnt", None)
    return Factor(_shipped(life_cycle, _AR5, 2014), no_fuel)


SHIPPED: Final[Mapping[str, Factor]] = MappingProxyType(
    {
        "pv": _own(48.0),  # utility scale; rooftop is 41
        "wind": _own(11.0),  # onshore; offshore is 12
        "hydro": _own(24.0),
    }
)

# Morocco publishes no live production feed: every figure of the zone is a model's, hence estimated.
SHIPPED_GRIDS: Final[Mapping[str, Factor]] = MappingProxyType(
    {
        "MA": Factor(
            _shipped(619.71, _MA, 2024, estimated=True),
            _shipped(554.24, _MA, 2022, estimated=True),
        ),
    }
)

SHIPPED_GRID_CARBON_FREE: Final[Mapping[str, FactorValue]] = MappingProxyType(
    {"MA": _shipped(0.215, "computed from the 2024 mix of Electricity Maps, zone MA", 2024)}
)
"""Country to the carbon-free fraction of its grid, 0..1."""
