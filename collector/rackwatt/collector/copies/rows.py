# SPDX-License-Identifier: Apache-2.0
"""From the journal's rows to the store's: pure functions.

A point's time is the start of its span. A figure that may become unknown has `<figure>_known`
beside it, 1.0 or 0.0, because an unknown value cannot overwrite a known one in a store: whoever
reads a figure filters on it. What a later revision no longer has (a tenant, a rack) is written
with zeros. `docs/store.md` lists every field.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from rackwatt.collector.accounting.keyfigures import erf, shares, wue
from rackwatt.collector.accounting.vocabulary import (
    LOADS,
    ORIGINS,
    RENEWABLE,
    SERIES,
    UNKNOWN,
    total,
)
from rackwatt.collector.ledger.journal import (
    AFTER_LOSSES,
    HEAT_REUSED,
    LOSSES,
    WATER_DISCHARGE,
    WATER_LITERS,
)
from rackwatt.collector.store.base import Row

BALANCE: Final = "energy_balance"
FIGURES: Final = "site_figures"
TENANTS: Final = "tenant_energy"
HALLS: Final = "hall_energy"
RACKS: Final = "rack_energy"
MEASUREMENTS: Final = (BALANCE, FIGURES, TENANTS, HALLS, RACKS)

BATTERY: Final = "battery"
"""An `origin` of `energy_balance` that has metered discharge, and is no origin of the load."""
SITE_SINKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name: f"load_{name}_watt_hours" for name in LOADS},
        "campus": "campus_watt_hours",
        "export": "grid_export_watt_hours",
    }
)
"""Sinks to their fields; the battery's charge has its own."""
UPS_FLAG: Final = "ups_on_battery"
PLACE_ORIGINS: Final = tuple(f"origin_{origin}_watt_hours" for origin in ORIGINS)

Figures = Mapping[str, float | None]
Fields = dict[str, float | str]
Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Places:
    """What rows need of a site.

    Attributes:
        site: its id.
        racks: rack to its hall and row.
    """

    site: str
    racks: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def fields_of(figures: Figures, always: Figures | None = None) -> Fields:
    """Figures as fields, each with its `_known`.

    Args:
        figures: those that may be unknown; None: unknown.
        always: those that never are.
    """
    fields: Fields = {name: value for name, value in (always or {}).items() if value is not None}
    for name, value in figures.items():
        if value is not None:
            fields[name] = float(value)
        fields[f"{name}_known"] = 0.0 if value is None else 1.0
    return fields


def tags_of(**tags: str) -> Tags:
    """Tags in order of name."""
    return tuple(sorted(tags.items()))


# -- intervals -----------------------------------------------------------------------------------


def interval_rows(
    places: Places, start_ms: int, revision: int, data: Mapping[str, Any]
) -> list[Row]:
    """The points of one revision of one interval.

    Args:
        places: the site.
        start_ms: start of the interval.
        revision: 1, 2, ...
        data: the journal's row.
    """
    found = [
        Row(
            BALANCE,
            tags_of(origin=origin, site=places.site),
            fields_of(figures, {"revision": float(revision)}),
            start_ms,
        )
        for origin, figures in balance_figures(data).items()
    ]
    always = {"revision": float(revision), "completeness_ratio": data["completeness"]}
    fields = fields_of(interval_figures(data), always)
    fields["flags"] = ",".join(sorted({*data["flags"], *data["metering"]}))
    found.append(Row(FIGURES, tags_of(site=places.site), fields, start_ms))
    return found


def balance_figures(data: Mapping[str, Any]) -> dict[str, Figures]:
    """Per origin: what it gave to the load, what was metered of it, what of it is in the stock."""
    sources, origins, stock = data["sources"], data["origins"], data["battery"]["stock"]
    load = data["load"]
    nothing = dict.fromkeys(ORIGINS, 0.0)
    if origins is None and load == 0.0:
        origins = nothing  # a load of 0 has no shares, and nothing of any origin
    metered = {**nothing, **sources}
    metered[UNKNOWN] = None if data["residual"] is None else data["unknown"]
    found: dict[str, Figures] = {
        origin: {
            "energy_watt_hours": None if origins is None else origins.get(origin, 0.0),
            "source_watt_hours": metered[origin],
            "battery_stock_watt_hours": stock.get(origin, 0.0),
        }
        for origin in ORIGINS
    }
    found[BATTERY] = {"source_watt_hours": data["discharge"]}
    return found


def interval_figures(data: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of one interval for the whole site, by the names that periods have."""
    sinks, carbon, battery = data["sinks"], data["carbon"], data["battery"]
    residual = data["residual"]
    figures: dict[str, float | None] = {
        "load_watt_hours": data["load"],
        "boundary_watt_hours": data["boundary"],
        "battery_charge_watt_hours": data["charge"],
        "battery_discharge_watt_hours": data["discharge"],
        "battery_stock_watt_hours": math.fsum(battery["stock"].values()),
        "battery_stock_change_watt_hours": data["stock_change"],
        "residual_watt_hours": residual,
        "residual_uncertainty_watt_hours": data.get("residual_uncertainty"),
        "residual_ratio": data["residual_ratio"],
        "unmetered_watt_hours": None if residual is None else data["unmetered"],
        "unknown_watt_hours": None if residual is None else data["unknown"],
        "carbon_free_watt_hours": data.get("carbon_free"),
        "pue_ratio": _pue(data),
        "scope_2_location_grams": data["scope_2"],
    }
    if LOSSES in data:
        figures["losses_modelled_watt_hours"] = data[LOSSES]
        figures["residual_after_losses_watt_hours"] = data[AFTER_LOSSES]
    figures |= {name: sinks.get(sink, 0.0) for sink, name in SITE_SINKS.items()}
    for series in SERIES:
        figures[f"carbon_{series}_grams"] = carbon[series]
        figures[f"carbon_intensity_{series}_grams_per_kilowatt_hour"] = data["intensity"][series]
        figures[f"battery_carbon_{series}_grams"] = battery["carbon"][series]
    return figures | _utilities(data) | _shares(data)


def _utilities(data: Mapping[str, Any]) -> dict[str, float | None]:
    """Water and reused heat; unknown where the site has no meter of them."""
    water: Mapping[str, float | None] = data.get(WATER_LITERS, {})
    heat: float | None = data.get(HEAT_REUSED)
    return {
        WATER_LITERS: total(water.values()) if water else None,
        **{f"water_{source}_liters": liters for source, liters in water.items()},
        "wue_liters_per_kilowatt_hour": _finite(wue(water.get("fresh"), data["it"])),
        **({WATER_DISCHARGE: data[WATER_DISCHARGE]} if WATER_DISCHARGE in data else {}),
        HEAT_REUSED: heat,
        "erf_ratio": _finite(erf(heat, data["boundary"])),
    }


def _finite(ratio: float | None) -> float | None:
    """Over next to nothing a ratio says nothing, and below nothing neither."""
    return ratio if ratio is not None and math.isfinite(ratio) and ratio >= 0.0 else None


def _pue(data: Mapping[str, Any]) -> float | None:
    """Of this interval alone; unknown while a UPS gives what another interval bought."""
    boundary, it = data["boundary"], data["it"]
    if boundary is None or not it or it < 0.0 or UPS_FLAG in data["metering"]:
        return None
    return float(boundary / it)


def _shares(data: Mapping[str, Any]) -> dict[str, float | None]:
    origins, load, free = data["shares"], data["load"], data.get("carbon_free")
    found = shares(origins, None)
    known = origins is not None and free is not None and bool(load)
    carbon_free = free / load if known else None
    return {
        "renewable_share_ratio": found.renewable,
        "grid_share_ratio": found.grid,
        "on_site_share_ratio": found.on_site,
        "carbon_free_share_ratio": carbon_free,
        "carbon_share_ratio": None if carbon_free is None else 1.0 - carbon_free,
        "unknown_share_ratio": found.unknown,
    }


# -- attribution ---------------------------------------------------------------------------------


def attribution_rows(
    places: Places,
    start_ms: int,
    revision: int,
    data: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> list[Row]:
    """The points of one revision of one quarter hour, down to racks and tenants.

    Args:
        places: the site.
        start_ms: start of the quarter hour.
        revision: 1, 2, ...
        data: the journal's row.
        before: the row of the revision before; None: there is none.
    """
    now, gone = place_figures(places, data), place_figures(places, before or {})
    always = {"revision": float(revision)}
    found = [
        Row(name, tags, fields_of(figures, always), start_ms)
        for (name, tags), figures in now.items()
    ]
    found += [
        Row(name, tags, fields_of(dict.fromkeys(figures, 0.0), always), start_ms)
        for (name, tags), figures in gone.items()
        if (name, tags) not in now
    ]
    return found


def place_figures(places: Places, data: Mapping[str, Any]) -> dict[tuple[str, Tags], Figures]:
    """Per measurement and tags, the figures of a quarter hour."""
    site = places.site
    found: dict[tuple[str, Tags], Figures] = {}
    for tenant, held in data.get("tenants", {}).items():
        tags = tags_of(kind=held.get("kind") or "", site=site, tenant=tenant)
        found[TENANTS, tags] = {
            "energy_watt_hours": held["load"],
            "it_watt_hours": held["it"],
            "overhead_watt_hours": held["overhead"],
            "gpu_hours": held["gpu_hours"],
            "carbon_free_watt_hours": held.get("carbon_free"),
            **_carbon(held),
            **_origins(held),
        }
    for hall, held in data.get("halls", {}).items():
        found[HALLS, tags_of(hall=hall, site=site)] = {
            "energy_watt_hours": held["load"],
            "it_watt_hours": held["it"],
            "carbon_free_watt_hours": held.get("carbon_free"),
            **_carbon(held),
            **_origins(held),
        }
    for rack, (it, *carbon) in data.get("racks", {}).items():
        hall, row = places.racks.get(rack, ("", ""))
        masses = zip(SERIES, carbon, strict=True)
        found[RACKS, tags_of(hall=hall, rack=rack, row=row, site=site)] = {
            "it_watt_hours": it,
            **{f"carbon_{series}_grams": mass for series, mass in masses},
        }
    return found


def _carbon(held: Mapping[str, Any]) -> dict[str, float | None]:
    return {f"carbon_{series}_grams": held["carbon"][series] for series in SERIES}


def _origins(held: Mapping[str, Any]) -> dict[str, float | None]:
    origins = held["origins"]
    found: dict[str, float | None] = {
        name: None if origins is None else origins.get(origin, 0.0)
        for name, origin in zip(PLACE_ORIGINS, ORIGINS, strict=True)
    }
    found["renewable_watt_hours"] = (
        None if origins is None else math.fsum(origins.get(name, 0.0) for name in RENEWABLE)
    )
    return found
