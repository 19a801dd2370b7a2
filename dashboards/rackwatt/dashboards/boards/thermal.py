# SPDX-License-Identifier: Apache-2.0
"""Thermal: does every rack get air and coolant as it should, and how long would it do without?"""

from typing import Final

from rackwatt.dashboards.influxql import PLACES, readings
from rackwatt.dashboards.links import drill, drill_cell
from rackwatt.dashboards.palette import SERIES
from rackwatt.dashboards.panels import grid, lines, stat, table
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.states import (
    CHAIN_RACK,
    HALL,
    QUARTERS,
    RACK,
    SITE,
    added,
    now,
    ranked,
    state,
    summed,
)
from rackwatt.dashboards.units import COUNT, PERCENT, unit_of
from rackwatt.dashboards.variables import PLACE

WINDOW: Final = "15m"
_HALL: Final = ("hall",)
_CELSIUS: Final = unit_of("temperature_celsius")
_EXTREMES: Final = {"min": SERIES[0], "mean": SERIES[3], "max": SERIES[4]}
_HEAT: Final = {"coolant": SERIES[0], "it": SERIES[1]}
_LOOPS: Final = ("hall",)
"""Coolant units stand in halls, and in no rack."""


def _air(sheet: Sheet) -> None:
    sheet.row("air")
    sheet.add("hottest", stat(_CELSIUS, limit="inlet_celsius", decimals=1),
              [now(HALL, "inlet_temperature_max_celsius", how="max", places=_HALL)],
              width=4, height=5, span=WINDOW)  # fmt: skip
    for key, field, limit in (
        ("above_recommended", "racks_above_recommended_number", "racks_above_recommended"),
        ("above_allowable", "racks_above_allowable_number", "racks_above_allowable"),
    ):
        sheet.add(key, stat(COUNT, limit=limit, decimals=0),
                  [summed(HALL, field, "hall", places=_HALL)],
                  width=4, height=5, span=WINDOW)  # fmt: skip
    for key in ("high", "low"):
        target = now(HALL, f"rack_cooling_index_{key}_ratio", how="min", places=_HALL)
        sheet.add(f"rci_{key}", stat(PERCENT, limit="rack_cooling_index_ratio", decimals=0),
                  [target], width=4, height=5, span=WINDOW)  # fmt: skip
    ride = now(SITE, "ride_through_seconds", how="min")
    sheet.add("ride_through", stat("s", limit="ride_through_seconds", decimals=0), [ride],
              width=4, height=5, span=WINDOW)  # fmt: skip
    cells = state(RACK, "inlet_temperature_celsius", fold="max", group=["hall", "row"],
                  places=PLACES, alias="$tag_hall $tag_row", levels=QUARTERS)  # fmt: skip
    sheet.add("inlets", grid(_CELSIUS, limit="inlet_celsius"), cells,
              width=16, height=10, span="6h",
              links=[drill("thermal", sheet.speaker, "hall", "row")])  # fmt: skip
    columns = {"top": (sheet.speaker.name("inlet"), _CELSIUS),
               "rack": (sheet.speaker.name("rack"), "")}  # fmt: skip
    sheet.add("hottest_racks", table(columns, hidden=["Time"], limit="inlet_celsius",
                                     limited="top"),
              [ranked(RACK, "inlet_temperature_celsius", "rack", places=PLACES)],
              width=8, height=10, span=WINDOW,
              links=[drill_cell("rack", sheet.speaker, "rack")])  # fmt: skip
    curves = [
        target
        for name, field in (
            ("min", "inlet_temperature_min_celsius"),
            ("mean", "inlet_temperature_celsius"),
            ("max", "inlet_temperature_max_celsius"),
        )
        for target in state(HALL, field, fold=name, places=_HALL, alias=name)
    ]
    sheet.add("inlet_range", lines(_CELSIUS, limit="inlet_celsius"), curves,
              width=12, height=8, colors=_EXTREMES)  # fmt: skip
    indices = [
        target
        for name in ("high", "low")
        for target in state(HALL, f"rack_cooling_index_{name}_ratio", fold="min", places=_HALL,
                            alias=name)
    ]  # fmt: skip
    sheet.add("rci", lines(PERCENT, most=1), indices, width=6, height=8,
              colors={"high": SERIES[4], "low": SERIES[0]})  # fmt: skip
    sheet.add("dew_point", lines(_CELSIUS),
              state(HALL, "dew_point_max_celsius", fold="max", group=["hall"], places=_HALL,
                    alias="$tag_hall"), width=6, height=8,
              links=[drill("thermal", sheet.speaker, "hall")])  # fmt: skip


def _coolant(sheet: Sheet) -> None:
    sheet.row("coolant")
    for key, field, fold in (
        ("supply", "supply_temperature_celsius", "max"),
        ("return", "return_temperature_celsius", "max"),
        ("flow", "flow_liters_per_second", "min"),
        ("pressure", "differential_pressure_pascals", "min"),
        ("pumps", "pump_speed_ratio", "mean"),
        ("leak", "leak_ratio", "max"),
    ):
        curves = readings("coolant", field, fold=fold, group=["device"], places=_LOOPS,
                          alias="$tag_device")  # fmt: skip
        limit = "leak_ratio" if key == "leak" else ""
        shown = lines(unit_of(field), limit=limit, least=0 if key in {"flow", "leak"} else None)
        sheet.add(key, shown, curves, width=8, height=8)
    heat = [
        *readings("coolant", "heat_watts", across="sum", places=_LOOPS, alias="coolant"),
        *added(HALL, "power_watts", across="hall", places=_HALL, alias="it"),
    ]
    sheet.add("heat", lines(unit_of("heat_watts"), least=0), heat,
              width=16, height=8, colors=_HEAT)  # fmt: skip
    columns = {"bottom": (sheet.speaker.name("seconds"), "s"),
               "rack": (sheet.speaker.name("rack"), "")}  # fmt: skip
    sheet.add("shortest", table(columns, hidden=["Time"]),
              [ranked(CHAIN_RACK, "ride_through_seconds", "rack", which="bottom")],
              width=8, height=8, span="30m",
              links=[drill_cell("rack", sheet.speaker, "rack")])  # fmt: skip
    sheet.add("ride_through_over_time", lines("s", least=0, limit="ride_through_seconds"),
              state(SITE, "ride_through_seconds", fold="min"), width=24, height=7)  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _air(sheet)
    _coolant(sheet)


BOARD: Final = Board("thermal", 4, _lay, span="6h", variables=PLACE)
