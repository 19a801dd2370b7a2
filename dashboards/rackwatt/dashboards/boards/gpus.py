# SPDX-License-Identifier: Apache-2.0
"""GPU fleet: what the GPUs draw, whether they work for it, and what ails them."""

from typing import Final

from rackwatt.dashboards.influxql import PLACES, in_place, select
from rackwatt.dashboards.links import drill, drill_cell
from rackwatt.dashboards.palette import NEUTRAL, SERIES
from rackwatt.dashboards.panels import lines, stat, table
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.sources import RAW
from rackwatt.dashboards.states import HALL, RACK, added, energy, now, per, ranked, state, summed
from rackwatt.dashboards.targets import Target, metric
from rackwatt.dashboards.units import COUNT, PERCENT, unit_of
from rackwatt.dashboards.variables import PLACE

WINDOW: Final = "15m"
_HALL: Final = ("hall",)
_WATTS: Final = unit_of("power_watts")
_CELSIUS: Final = unit_of("temperature_celsius")
_EXTREMES: Final = {"min": SERIES[0], "max": SERIES[4]}
_SLOWED: Final = {"throttled": SERIES[4], "braked": SERIES[1]}


def _fleet(sheet: Sheet) -> None:
    sheet.row("fleet")
    for key, field, unit, limit in (
        ("gpus", "gpus_number", COUNT, ""),
        ("power", "gpu_power_watts", _WATTS, ""),
        ("idle", "gpus_idle_number", COUNT, ""),
        ("idle_power", "gpus_idle_watts", _WATTS, ""),
    ):
        shown = stat(unit, limit=limit, color=NEUTRAL, decimals=0 if unit == COUNT else 1)
        sheet.add(key, shown, [summed(HALL, field, "hall", places=_HALL)],
                  width=4, height=5, span=WINDOW)  # fmt: skip
    sheet.add("energy", stat("watth", decimals=1, color=NEUTRAL),
              [energy(HALL, "gpu_power_watts", places=_HALL)], width=4, height=5)  # fmt: skip
    used = per(HALL, "gpu_power_watts", '"gpus_reporting_number" * "gpu_utilization_ratio"',
               places=_HALL)  # fmt: skip
    sheet.add("per_used", stat("watth", decimals=0, color=NEUTRAL), [used],
              width=4, height=5, span="3h")  # fmt: skip
    sheet.add("power_by_hall", lines(_WATTS, draw="area", stack=True, least=0),
              state(HALL, "gpu_power_watts", group=["hall"], places=_HALL, alias="$tag_hall"),
              width=12, height=8, links=[drill("gpus", sheet.speaker, "hall")])  # fmt: skip
    sheet.add("utilization", lines(PERCENT, least=0, most=1),
              state(HALL, "gpu_utilization_ratio", group=["hall"], places=_HALL,
                    alias="$tag_hall"), width=12, height=8)  # fmt: skip
    extremes = [
        target
        for name in _EXTREMES
        for target in state(HALL, f"gpu_power_{name}_watts", fold=name, places=_HALL, alias=name)
    ]
    sheet.add("extremes", lines(_WATTS, least=0), extremes,
              width=8, height=8, colors=_EXTREMES)  # fmt: skip
    sheet.add("idle_over_time", lines(COUNT, draw="area", least=0),
              added(HALL, "gpus_idle_number", across="hall", places=_HALL),
              width=8, height=8)  # fmt: skip
    sheet.add("idle_waste", lines(_WATTS, draw="area", least=0),
              added(HALL, "gpus_idle_watts", across="hall", places=_HALL),
              width=8, height=8)  # fmt: skip


def _health(sheet: Sheet) -> None:
    sheet.row("health")
    for key, field in (
        ("throttled", "gpus_throttled_number"),
        ("braked", "gpus_braked_number"),
        ("ecc", "gpu_ecc_uncorrected_errors_total"),
    ):
        sheet.add(key, stat(COUNT, limit="gpus_slowed" if key != "ecc" else "ecc_uncorrected",
                            decimals=0), [summed(HALL, field, "hall", places=_HALL)],
                  width=3, height=5, span=WINDOW)  # fmt: skip
    for key, field in (
        ("hottest", "gpu_temperature_max_celsius"),
        ("hottest_memory", "gpu_memory_temperature_max_celsius"),
    ):
        sheet.add(key, stat(_CELSIUS, limit="gpu_celsius" if key == "hottest" else
                            "gpu_memory_celsius", decimals=0),
                  [now(HALL, field, how="max", places=_HALL)],
                  width=4, height=5, span=WINDOW)  # fmt: skip
    reporting = summed(HALL, "gpus_reporting_number", "hall", places=_HALL)
    sheet.add("reporting", stat(COUNT, color=NEUTRAL, decimals=0), [reporting],
              width=4, height=5, span=WINDOW)  # fmt: skip
    silent = metric('sum(rackwatt_gpu_nodes{state!="online"}) or vector(0)', instant=True)
    sheet.add("silent_nodes", stat(COUNT, decimals=0, color=NEUTRAL), [silent],
              width=3, height=5)  # fmt: skip
    sheet.add("temperature", lines(_CELSIUS, limit="gpu_celsius"),
              state(HALL, "gpu_temperature_max_celsius", fold="max", group=["hall"],
                    places=_HALL, alias="$tag_hall"), width=12, height=8)  # fmt: skip
    slowed = [
        target
        for name in _SLOWED
        for target in added(HALL, f"gpus_{name}_number", across="hall", places=_HALL, alias=name)
    ]
    sheet.add("slowed", lines(COUNT, draw="bars", least=0), slowed,
              width=12, height=8, colors=_SLOWED)  # fmt: skip
    columns = {name: (sheet.speaker.name(name), "") for name in ("code", "device", "text")}
    rows = select(
        '"code", "device", "text"',
        "event",
        [*in_place("hall"), '"code" =~ /^xid_/'],
        tail="ORDER BY time DESC LIMIT 50",
    )
    sheet.add("xids", table(columns), [Target(rows, source=RAW, shape="table")],
              width=24, height=8)  # fmt: skip


def _racks(sheet: Sheet) -> None:
    sheet.row("racks")
    for key, field, unit, limit in (
        ("most_idle", "gpus_idle_watts", _WATTS, ""),
        ("hottest_racks", "gpu_temperature_max_celsius", _CELSIUS, "gpu_celsius"),
        ("most_power", "gpu_power_watts", _WATTS, ""),
    ):
        columns = {"top": (sheet.speaker.name(f"column_{key}"), unit),
                   "rack": (sheet.speaker.name("rack"), "")}  # fmt: skip
        sheet.add(key, table(columns, hidden=["Time"], limit=limit, limited="top"),
                  [ranked(RACK, field, "rack", places=PLACES)],
                  width=8, height=10, span=WINDOW,
                  links=[drill_cell("rack", sheet.speaker, "rack")])  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _fleet(sheet)
    _health(sheet)
    _racks(sheet)


BOARD: Final = Board("gpus", 5, _lay, span="6h", variables=PLACE)
