# SPDX-License-Identifier: Apache-2.0
"""Key figures: ratios of sums over exactly the intervals in which both terms are known.

The mean of ratios is never formed. A ratio carries its coverage, and is reported only above a
minimum of it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from typing import Final

from rackwatt.collector.accounting.vocabulary import RENEWABLE, UNKNOWN, total

REPORTED_COVERAGE: Final = 0.95
SIGNED_COVERAGE: Final = 0.99
RETAINED: Final = "retained"
_ROUNDING: Final = 1e-9
ON_SITE: Final = ("pv", "wind", "hydro", "genset")


def boundary_energy(
    *,
    grid_import: float | None,
    own_generation: float | None,
    export: float | None,
    stock_change: float | None,
    campus: float | None,
) -> float | None:
    """Return ``E_DC``: what the data center took in, battery losses counted as overhead.

    Args:
        grid_import: Import, Wh.
        own_generation: PV, wind, hydro and genset at their output, Wh.
        export: Export, Wh.
        stock_change: Change of what the battery holds, Wh.
        campus: Energy to consumers outside the data center, Wh.

    Returns:
        Wh, ``None`` if one of them is unknown.
    """
    added = (grid_import, own_generation)
    taken = total((export, stock_change, campus))
    return total((*added, None if taken is None else -taken))


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of sums.

    Attributes:
        value: Over the intervals in which both terms are known; ``None`` if there are none.
        coverage: Those intervals as a part of all, 0..1.
        numerator: Sum over those intervals.
        denominator: Sum over those intervals.
    """

    value: float | None
    coverage: float
    numerator: float
    denominator: float

    def reported(self, minimum: float = REPORTED_COVERAGE) -> float | None:
        """Return the value, or ``None`` if too little of the period is covered."""
        return self.value if self.coverage >= minimum else None


def ratio_of_sums(terms: Iterable[tuple[float | None, float | None]]) -> Ratio:
    """Return the ratio of the sums of (numerator, denominator) pairs, one pair per interval."""
    pairs = list(terms)
    known = [(over, under) for over, under in pairs if over is not None and under is not None]
    over, under = fsum(pair[0] for pair in known), fsum(pair[1] for pair in known)
    coverage = len(known) / len(pairs) if pairs else 0.0
    return Ratio(over / under if under > 0.0 else None, coverage, over, under)


def pue_reason(ratio: Ratio, *, ups_open: bool, minimum: float = REPORTED_COVERAGE) -> str | None:
    """Return why a period has no PUE, or ``None`` if it has one.

    Energy that a UPS gave from its own battery was bought in another interval. So a period that
    starts or ends between a discharge and the recharge has no PUE; one that holds both has.

    Args:
        ratio: ``E_DC`` over ``E_IT``.
        ups_open: When the period began or ended, a UPS was discharging or not recharged.
        minimum: Coverage below which there is no value.

    Returns:
        ``ups_on_battery``, ``coverage``, ``no_it_load``, or ``below_one``: meters contradict each
        other, for no data center takes in less than its IT.
    """
    if ups_open:
        return "ups_on_battery"
    if ratio.coverage < minimum:
        return "coverage"
    if ratio.value is None:
        return "no_it_load"
    return "below_one" if ratio.value < 1.0 - _ROUNDING else None


def weakest_category(categories: Collection[int | None]) -> int | None:
    """Return the category of a site whose IT meters sit at several places: the weakest.

    1 = IT metered at the UPS output, 2 = PDU output, 3 = IT equipment input; ``None`` if one meter
    does not say where it sits.
    """
    known = [category for category in categories if category is not None]
    return min(known, default=None) if len(known) == len(categories) else None


def wue(water_liters: float | None, it_watt_hours: float | None) -> float | None:
    """Return the water usage effectiveness, L per kWh of IT; the EU label takes fresh water."""
    if water_liters is None or not it_watt_hours:
        return None
    return water_liters * 1000.0 / it_watt_hours


def erf(reused_watt_hours: float | None, boundary_watt_hours: float | None) -> float | None:
    """Return the energy reuse factor: heat used outside the data center over ``E_DC``."""
    if reused_watt_hours is None or not boundary_watt_hours:
        return None
    return reused_watt_hours / boundary_watt_hours


def ref(
    own: float | None, covered: float | None, grid: float | None, boundary: float | None
) -> float | None:
    """Return the renewable energy factor, 0..1.

    Exported energy is in none of the terms, and sold output not in the first.

    Args:
        own: The data center's consumption that traces back to own PV, wind and hydro whose
            attributes the site retains, Wh.
        covered: Import covered by contracts and retired certificates, Wh.
        grid: The data center's consumption that traces back to the grid, Wh: claims count up to it,
            for the rest of the import went elsewhere.
        boundary: ``E_DC``, Wh.
    """
    if own is None or covered is None or grid is None or not boundary:
        return None
    return min((own + min(covered, grid)) / boundary, 1.0)


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the data center's consumption, 0..1; ``None`` = unknown.

    Attributes:
        renewable: Physical PV, wind and hydro, battery traced back.
        grid: Physical import, contracted part included.
        on_site: Own generation.
        carbon_free: Renewable plus the grid's carbon-free part.
        carbon: The rest.
        contracted: Matched claims: a part of the grid share, never added to it.
        unknown: Of unknown origin: in none of renewable, grid, on-site and contracted.
        renewable_claimable: Renewable without the origins whose attributes were sold or never
            issued: what may be called renewable towards others.
    """

    renewable: float | None = None
    grid: float | None = None
    on_site: float | None = None
    carbon_free: float | None = None
    carbon: float | None = None
    contracted: float | None = None
    unknown: float | None = None
    renewable_claimable: float | None = None


def retained(origin: str, attributes: Mapping[str, str] | None) -> bool:
    """Return whether the site still owns the attributes of a source's output.

    Args:
        origin: ``pv``, ``wind``, ...
        attributes: ``retained``, ``sold`` or ``unissued`` by source; not named is retained.
    """
    return (attributes or {}).get(origin, RETAINED) == RETAINED


def shares(
    origins: Mapping[str, float] | None,
    grid_carbon_free_ratio: float | None,
    contracted: float | None = None,
    attributes: Mapping[str, str] | None = None,
) -> Shares:
    """Form the shares that people read from the shares of the origins.

    Args:
        origins: Shares by origin, summing to 1; ``None`` if they cannot be known.
        grid_carbon_free_ratio: The grid's carbon-free part, 0..1.
        contracted: Matched claims as a part of ``E_DC``.
        attributes: ``retained``, ``sold`` or ``unissued`` by source; not named is retained.
    """
    if origins is None:
        return Shares()
    renewable = fsum(origins.get(name, 0.0) for name in RENEWABLE)
    grid = origins.get("grid", 0.0)
    ratio = grid_carbon_free_ratio
    # Without any grid energy it does not matter what the grid is made of.
    traced = 0.0 if grid == 0.0 else None if ratio is None else grid * ratio
    free = None if traced is None else renewable + traced
    return Shares(
        renewable=renewable,
        grid=grid,
        on_site=fsum(origins.get(name, 0.0) for name in ON_SITE),
        carbon_free=free,
        carbon=None if free is None else 1.0 - free,
        contracted=None if contracted is None else min(contracted, grid),
        unknown=origins.get(UNKNOWN, 0.0),
        renewable_claimable=fsum(
            origins.get(name, 0.0) for name in RENEWABLE if retained(name, attributes)
        ),
    )
