# SPDX-License-Identifier: Apache-2.0
"""Tenants: who used how much, of what origin, and what did that emit?"""

from typing import Final

from rackwatt.dashboards.influxql import figure, power, total
from rackwatt.dashboards.palette import SERIES, SOURCES
from rackwatt.dashboards.panels import bars, lines
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.units import COUNT, unit_of
from rackwatt.dashboards.variables import TENANT

_TENANTS: Final = "tenant_energy"
_CHOSEN: Final = ("tenant",)
_WH: Final = unit_of("energy_watt_hours")
_GRAMS: Final = unit_of("carbon_operational_grams")
_ORIGINS: Final = ("pv", "wind", "grid", "genset", "unknown")
_PARTS: Final = {"it": SERIES[0], "overhead": SERIES[4]}


def _totals(sheet: Sheet) -> None:
    sheet.row("totals")
    for key, field, unit in (
        ("energy", "energy_watt_hours", _WH),
        ("carbon", "carbon_operational_grams", _GRAMS),
        ("gpu_hours", "gpu_hours", COUNT),
    ):
        sums = total(_TENANTS, field, group=["tenant"], places=_CHOSEN, alias="$tag_tenant")
        sheet.add(key, bars(unit, decimals=1), sums, width=8, height=9)
    by_kind = total(_TENANTS, "energy_watt_hours", group=["kind"], places=_CHOSEN,
                    alias="$tag_kind")  # fmt: skip
    sheet.add("kinds", bars(_WH, decimals=1), by_kind, width=8, height=8)
    origins = [
        target
        for name in _ORIGINS
        for target in total(_TENANTS, f"origin_{name}_watt_hours", places=_CHOSEN, alias=name)
    ]
    sheet.add("origins", bars(_WH, decimals=1), origins, width=8, height=8,
              colors={name: SOURCES[name] for name in _ORIGINS})  # fmt: skip
    parts = [
        target
        for name in _PARTS
        for target in total(_TENANTS, f"{name}_watt_hours", places=_CHOSEN, alias=name)
    ]
    sheet.add("parts", bars(_WH, decimals=1), parts, width=8, height=8, colors=_PARTS)


def _time(sheet: Sheet) -> None:
    sheet.row("time")
    drawn = power(_TENANTS, "energy_watt_hours", group=["tenant", "kind"], places=_CHOSEN,
                  alias="$tag_tenant")  # fmt: skip
    sheet.add("power", lines(unit_of("power_watts"), draw="area", stack=True, least=0), drawn,
              width=24, height=9)  # fmt: skip
    for key, field, unit in (
        ("carbon_over_time", "carbon_operational_grams", _GRAMS),
        ("gpu_hours_over_time", "gpu_hours", COUNT),
    ):
        curves = figure(_TENANTS, field, group=["tenant", "kind"], places=_CHOSEN,
                        alias="$tag_tenant")  # fmt: skip
        sheet.add(key, lines(unit, draw="bars", stack=True, least=0), curves,
                  width=12, height=8)  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _totals(sheet)
    _time(sheet)


BOARD: Final = Board("tenants", 6, _lay, span="24h", variables=TENANT)
