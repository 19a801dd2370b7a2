# SPDX-License-Identifier: Apache-2.0
"""Rack: one rack and every GPU in it, where one arrives from the other dashboards."""

from typing import Final

from rackwatt.dashboards.influxql import FLEET, PLACES, in_place, readings, select
from rackwatt.dashboards.palette import NEUTRAL, SERIES
from rackwatt.dashboards.panels import lines, stat, table
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.sources import RAW
from rackwatt.dashboards.states import CHAIN_RACK, RACK, now, state
from rackwatt.dashboards.targets import Target
from rackwatt.dashboards.units import COUNT, PERCENT, unit_of
from rackwatt.dashboards.variables import ONE_RACK

WINDOW: Final = "15m"
_WATTS: Final = unit_of("power_watts")
_CELSIUS: Final = unit_of("temperature_celsius")
_AIR: Final = {"inlet": SERIES[0], "outlet": SERIES[4]}


def _whole(sheet: Sheet) -> None:
    sheet.row("whole")
    for key, field, unit, limit in (
        ("power", "power_watts", _WATTS, ""),
        ("inlet", "inlet_temperature_celsius", _CELSIUS, "inlet_celsius"),
        ("gpus", "gpus_reporting_number", COUNT, ""),
        ("utilization", "gpu_utilization_ratio", PERCENT, ""),
    ):
        shown = stat(unit, limit=limit, color=NEUTRAL, decimals=0 if unit == COUNT else 1)
        sheet.add(key, shown, [now(RACK, field, places=PLACES)],
                  width=4, height=5, span=WINDOW)  # fmt: skip
    for key, field, unit, limit in (
        ("room", "room_watts", _WATTS, ""),
        ("ride_through", "ride_through_seconds", "s", "ride_through_seconds"),
    ):
        sheet.add(key, stat(unit, limit=limit, color=NEUTRAL, decimals=1),
                  [now(CHAIN_RACK, field, places=("rack",))],
                  width=4, height=5, span="30m")  # fmt: skip
    sheet.add("feeds", lines(_WATTS, draw="area", stack=True, least=0),
              readings("power", "power_watts", group=["device"], alias="$tag_device"),
              width=12, height=8)  # fmt: skip
    air = [
        target
        for name in _AIR
        for target in state(RACK, f"{name}_temperature_celsius", places=PLACES, alias=name)
    ]
    sheet.add("air", lines(_CELSIUS, limit="inlet_celsius"), air,
              width=12, height=8, colors=_AIR)  # fmt: skip


def _gpus(sheet: Sheet) -> None:
    sheet.row("gpus")
    for key, field, fold in (
        ("gpu_power", "power_watts", "mean"),
        ("gpu_power_max", "power_max_watts", "max"),
        ("gpu_utilization", "utilization_ratio", "mean"),
        ("gpu_temperature", "temperature_celsius", "max"),
    ):
        limit = "gpu_celsius" if key == "gpu_temperature" else ""
        curves = readings("gpu", field, fold=fold, group=["device"], alias="$tag_device",
                          levels=FLEET)  # fmt: skip
        sheet.add(key, lines(unit_of(field), limit=limit), curves, width=12, height=9)
    columns = {name: (sheet.speaker.name(name), "") for name in ("code", "device", "text")}
    rows = select('"code", "device", "text"', "event", in_place(*PLACES),
                  tail="ORDER BY time DESC LIMIT 50")  # fmt: skip
    sheet.add("events", table(columns), [Target(rows, source=RAW, shape="table")],
              width=24, height=8)  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _whole(sheet)
    _gpus(sheet)


BOARD: Final = Board("rack", 9, _lay, span="3h", variables=ONE_RACK)
