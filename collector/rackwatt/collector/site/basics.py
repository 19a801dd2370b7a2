# SPDX-License-Identifier: Apache-2.0
"""Time zone, country, factors and battery: what a site says about itself, over the defaults."""

import difflib
import zoneinfo
from collections.abc import Collection, Mapping
from datetime import UTC
from importlib import resources
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.collector.site.factors import (
    FACTOR_NAMES,
    Factor,
    FactorName,
    FactorValue,
    shipped_for,
)
from rackwatt.collector.site.models import BatteryModel, CarbonModel, FactorModel, SiteFile
from rackwatt.collector.site.problems import Problems, near
from rackwatt.collector.site.topology import Battery, Carbon

DEFAULT_EFFICIENCY: Final = 0.95
"""One way, at the terminals: about 0.90 there and back, usual for lithium-ion with inverters."""


def time_zone(problems: Problems, name: str) -> ZoneInfo:
    """The site's time zone; UTC stands in for an unknown one, which is reported."""
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = _near_zone(name)
        problems.add(("site", "timezone"), f"unknown time zone {name!r}", hint)
        return ZoneInfo(UTC.tzname(None) or "UTC")


def _near_zone(name: str) -> str:
    """The zone of that town; else the nearest name."""
    zones = zoneinfo.available_timezones()
    town = name.rpartition("/")[2].replace(" ", "_").lower()
    same = sorted(zone for zone in zones if zone.rpartition("/")[2].lower() == town)
    return f"did you mean '{same[0]}'?" if same else near(name, zones)


def countries() -> Mapping[str, str]:
    """ISO 3166-1 alpha-2 code to English name, from the time zone database."""
    text = (resources.files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {code: name for code, name, *_ in rows}


def check_country(problems: Problems, key: tuple[str | int, ...], country: str | None) -> None:
    """Report a country that ISO 3166 does not know."""
    if country is None:
        return
    known = countries()
    if country in known:
        return
    codes = {name: code for code, name in known.items()}
    alike = difflib.get_close_matches(country.title(), codes, 1, 0.75)
    meant = country.upper() if country.upper() in known else codes.get(alike[0]) if alike else None
    hint = f"did you mean '{meant}'?" if meant else "like MA for Morocco or FR for France"
    problems.add(key, f"unknown country {country!r}: a two-letter code of ISO 3166 is wanted", hint)


def carbon_of(model: CarbonModel, country: str | None) -> Carbon:
    """The site's factors over the shipped ones."""
    shipped = shipped_for(country)
    factors: dict[FactorName, Factor] = {
        name: _factor(getattr(model.factors, name), shipped.factors[name]) for name in FACTOR_NAMES
    }
    given = model.grid_carbon_free_ratio
    return Carbon(
        grid_carbon_free=FactorValue(given, "site file")
        if given is not None
        else shipped.grid_carbon_free,
        factors=MappingProxyType(factors),
    )


def _factor(given: FactorModel, shipped: Factor) -> Factor:
    def value(number: float | None, default: FactorValue | None) -> FactorValue | None:
        if number is None:
            return default
        return FactorValue(number, given.source or "site file", given.year, given.estimated)

    return Factor(value(given.life_cycle, shipped.life_cycle), value(given.direct, shipped.direct))


def battery_of(problems: Problems, model: BatteryModel | None, *, metered: bool) -> Battery | None:
    """The battery; a metered one without a section has the defaults."""
    if model is None and not metered:
        return None
    model = model or BatteryModel()
    if model.capacity_wh is not None and model.initial_wh > model.capacity_wh:
        problems.add(("battery", "initial_wh"), "is more than capacity_wh")
    charge, discharge = model.charge_efficiency, model.discharge_efficiency
    return Battery(
        capacity_wh=model.capacity_wh,
        charge_efficiency=DEFAULT_EFFICIENCY if charge is None else charge,
        discharge_efficiency=DEFAULT_EFFICIENCY if discharge is None else discharge,
        initial_wh=model.initial_wh,
        initial_life_cycle=model.initial_life_cycle,
        initial_direct=model.initial_direct,
    )


def defaults_used(
    file: SiteFile, carbon: Carbon, battery: Battery | None, used: Collection[str]
) -> list[str]:
    """Sentences about what the file leaves to defaults, and what stays unknown.

    Args:
        file: the site file.
        carbon: its factors, resolved.
        battery: its battery, resolved.
        used: the roles that have meters; others' factors are not worth a sentence.
    """
    result: list[str] = []
    for name in FACTOR_NAMES:
        if name in used:
            result += _factor_default(f"carbon.factors.{name}", carbon.factors[name])
    free = carbon.grid_carbon_free
    if free is None:
        result.append("carbon.grid_carbon_free_ratio: unknown, the carbon-free share stays empty")
    elif free.shipped:
        result.append(f"carbon.grid_carbon_free_ratio: {free.value:g} ({free.source})")
    if battery is not None:
        given = file.battery or BatteryModel()
        result += [
            f"battery.{key}: {DEFAULT_EFFICIENCY:g}"
            for key in ("charge_efficiency", "discharge_efficiency")
            if getattr(given, key) is None
        ]
    return result


def _factor_default(key: str, factor: Factor) -> list[str]:
    result: list[str] = []
    for scope, value in (("life_cycle", factor.life_cycle), ("direct", factor.direct)):
        if value is None:
            result.append(f"{key}.{scope}: unknown, figures that need it stay empty")
        elif value.shipped:
            year = "" if value.year is None else f", {value.year}"
            mark = ", estimated" if value.estimated else ""
            result.append(f"{key}.{scope}: {value.value:g} g/kWh ({value.source}{year}{mark})")
    return result
