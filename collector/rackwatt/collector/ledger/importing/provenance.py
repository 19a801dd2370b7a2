# SPDX-License-Identifier: Apache-2.0
"""Where the factors that were used come from, and which are missing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factor_series import CARBON_FREE, Scope
from rackwatt.collector.accounting.factors import Factor, IntervalFactors, SiteFactors
from rackwatt.collector.ledger.sites import battery_parameters
from rackwatt.collector.site import Site
from rackwatt.collector.site.basics import DEFAULT_EFFICIENCY

_SCOPES: Final[Mapping[Scope, str]] = {
    "life_cycle": "life-cycle carbon",
    "direct": "operational carbon",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the site file left open.

    Attributes:
        defaults: Which shipped value stands in, one sentence each.
        missing: What stays unknown, one sentence each.
    """

    defaults: tuple[str, ...]
    missing: tuple[str, ...]


def battery_of(site: Site) -> BatteryParameters:
    """How the battery is booked; without a section in the site file, as one with default values."""
    if site.battery is not None:
        return battery_parameters(site)
    return BatteryParameters(None, DEFAULT_EFFICIENCY, DEFAULT_EFFICIENCY)


def provenance(
    site: Site,
    factors: SiteFactors,
    used: Sequence[tuple[int, IntervalFactors]],
    items: Collection[str],
    *,
    battery: bool,
) -> Provenance:
    """Say which defaults stood in, and what was missing.

    Args:
        site: The site.
        factors: Its factors.
        used: Those of the rows, each with the first instant at which they held.
        items: The sources that gave any energy; ``grid`` also for energy of unknown origin.
        battery: The battery was used.
    """
    defaults: dict[str, None] = {}
    missing: dict[str, None] = {}
    buses = site.terms_at(used[0][0]).buses if used else ()
    if len(buses) > 1:
        missing["buses: the columns name none, so every row is booked on one"] = None
    for instant_ms, found in used:
        for item in items:
            for scope, what in _SCOPES.items():
                factor = factors.find(item, scope, instant_ms)
                key = f"carbon.factors.{item}.{scope}"
                if factor is None:
                    text = f"{key}: no value given and none shipped{_where(site, item)}"
                    missing[f"{text}; {what} that needs it stays empty"] = None
                elif any(factor is shipped for shipped in factors.table.factors):
                    defaults[f"{key}: {_described(factor, instant_ms)}"] = None
        if "grid" in items:
            _carbon_free(site, factors, found, instant_ms, defaults, missing)
    if battery:
        defaults |= dict.fromkeys(_battery(site))
    return Provenance(tuple(defaults), tuple(missing))


def _carbon_free(
    site: Site,
    factors: SiteFactors,
    found: IntervalFactors,
    instant_ms: int,
    defaults: dict[str, None],
    missing: dict[str, None],
) -> None:
    key = "carbon.grid_carbon_free_ratio"
    series = any(
        line.item == CARBON_FREE and line.start_ms <= instant_ms < line.end_ms
        for line in factors.series
    )
    if found.grid_carbon_free_ratio is None:
        text = f"{key}: no value given and none shipped{_where(site, 'grid')}"
        missing[f"{text}; the carbon-free share stays empty"] = None
    elif factors.grid_carbon_free_ratio is None and not series:
        line = factors.table.grid_carbon_free(factors.country, instant_ms)
        if line is not None:
            year = _years(line.year, instant_ms)
            mark = ", estimated" if line.estimated else ""
            defaults[f"{key}: {line.value:g} ({line.source}{year}{mark})"] = None


def _battery(site: Site) -> list[str]:
    if site.battery is not None:
        return [text for text in site.defaults if text.startswith("battery.")]
    return [
        f"battery.{name}: {DEFAULT_EFFICIENCY:g} (the site file has no battery)"
        for name in ("charge_efficiency", "discharge_efficiency")
    ]


def _described(factor: Factor, instant_ms: int) -> str:
    mark = ", estimated" if factor.estimated else ""
    return f"{factor.value:g} g/kWh ({factor.source}{_years(factor.year, instant_ms)}{mark})"


def _years(year: int | None, instant_ms: int) -> str:
    if year is None:
        return ""
    now = datetime.fromtimestamp(instant_ms / 1000, UTC).year
    return f", {year}" if year == now else f", {year} used for {now}"


def _where(site: Site, item: str) -> str:
    if item != "grid":
        return ""
    return f" for country {site.country}" if site.country else " for a site without a country"
