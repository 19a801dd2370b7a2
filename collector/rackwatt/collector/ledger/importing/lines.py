# SPDX-License-Identifier: Apache-2.0
"""A row of the ledger as cells: those of the sheet, and behind them what sums are formed of."""

from math import fsum
from operator import itemgetter
from typing import Final

from rackwatt.collector.accounting.masses import mass
from rackwatt.collector.accounting.vocabulary import ORIGINS, RENEWABLE, SERIES, UNKNOWN
from rackwatt.collector.ledger.importing.booking import BookedRow, Claimed

COLUMNS: Final = (
    "time",
    "load_wh",
    *(f"{origin}_wh" for origin in ORIGINS),
    "renewable_share",
    "carbon_life_cycle_g",
    "carbon_operational_g",
    "pue",
    "battery_stock_wh",
    "battery_carbon_g",
    "residual_wh",
    "completeness",
    "interval_seconds",
    "it_wh",
    "facility_wh",
    "grid_share",
    "carbon_free_share",
    "intensity_life_cycle_g_per_kwh",
    "intensity_operational_g_per_kwh",
    "scope_2_g",
    "contracted_wh",
    "surplus_wh",
    "unmetered_wh",
    "beyond_wh",
    "battery_losses_wh",
    "battery_carbon_operational_g",
    *(f"battery_{origin}_wh" for origin in ORIGINS),
    "flags",
)
"""The columns of the sheet."""

BEHIND: Final = (
    "supplied_wh",
    "renewable_wh",
    "carbon_free_wh",
    "mixed",
    *(f"given {origin}" for origin in ORIGINS),
    *(f"lost {origin}" for origin in ORIGINS),
    "beside",
    *(f"beside {name}" for name in (*ORIGINS, *SERIES)),
)
"""What stands behind them, for sums alone: what each origin gave and lost, and what left the bus
beside the load (export, campus, unmetered). `mixed`: the row's mix and residual are known."""

Cell = str | float | None
Line = list[Cell]

_BY_ORIGIN: Final = itemgetter(*ORIGINS)
_RENEWABLE: Final = itemgetter(*RENEWABLE)
_NOTHING: Final = [0.0] * len(ORIGINS)
_UNKNOWN: Final[list[float | None]] = [None] * len(ORIGINS)
_NOT_MIXED: Final = [0.0] * (len(BEHIND) - BEHIND.index("mixed"))
_NOTHING_BESIDE: Final = [0.0] * (1 + len(ORIGINS) + len(SERIES))


def line_of(booked: BookedRow, claims: Claimed) -> Line:
    """The cells of a row, in the order of :data:`COLUMNS` and :data:`BEHIND`."""
    row, done = booked.row, booked.account
    load, it, shares, battery = done.load, done.it, done.shares, done.battery
    origins = renewable = None
    if done.origins is not None:
        origins, renewable = _BY_ORIGIN(done.origins), fsum(_RENEWABLE(done.origins))
    elif load == 0.0 and booked.traceable:
        origins = _NOTHING  # no load has no shares, but it certainly has no energy
    closed = done.residual is not None
    stock = _BY_ORIGIN(battery.stock)
    return [
        row.time,
        load,
        *(origins or _UNKNOWN),
        None if shares is None else fsum(_RENEWABLE(shares)),
        done.carbon["life_cycle"],
        done.carbon["operational"],
        load / it if load is not None and it else None,
        fsum(stock),
        battery.carbon["life_cycle"],
        done.residual,
        done.completeness,
        row.seconds,
        it,
        done.boundary,
        None if shares is None else shares["grid"],
        done.carbon_free / load if load and done.carbon_free is not None else None,
        done.intensity["life_cycle"],
        done.intensity["operational"],
        done.scope_2,
        claims.matched,
        claims.surplus,
        done.unmetered if closed else None,
        None if row.flows.discharge is None else done.beyond,
        fsum(done.losses.values()),
        battery.carbon["operational"],
        *stock,
        " ".join(booked.flags),
        booked.supplied,
        renewable,
        done.carbon_free,
        *(_mixed(booked) if booked.mixed else _NOT_MIXED),
    ]


def _mixed(booked: BookedRow) -> Line:
    done, sources, sinks = booked.account, booked.row.flows.sources, booked.row.flows.sinks
    line: Line = [
        1.0,
        sources["pv"],
        sources["wind"],
        sources.get("hydro", 0.0),
        sources["grid"],
        sources["genset"],
        done.unknown + done.beyond,
        *_BY_ORIGIN(done.losses),
    ]
    beside = (sinks["export"] or 0.0) + (sinks.get("campus") or 0.0) + done.unmetered
    if beside == 0.0 or done.shares is None:
        line += _NOTHING_BESIDE
    else:
        line.append(beside)
        line += [beside * part for part in _BY_ORIGIN(done.shares)]
        line += [mass(beside, done.intensity[series]) for series in SERIES]
    return line


assert ORIGINS == ("pv", "wind", "hydro", "grid", "genset", UNKNOWN)  # noqa: S101 - as in _mixed
