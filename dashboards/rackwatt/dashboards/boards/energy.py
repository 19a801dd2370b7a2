# SPDX-License-Identifier: Apache-2.0
"""Energy and carbon: what came in, where it went, and what that emitted."""

from typing import Final

from rackwatt.dashboards.influxql import (
    BALANCE,
    FIGURES,
    figure,
    in_place,
    known,
    power,
    select,
    total,
)
from rackwatt.dashboards.palette import NEUTRAL, SERIES, SINKS, SOURCES
from rackwatt.dashboards.panels import bars, lines, matrix, stat
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.targets import Target, metric
from rackwatt.dashboards.units import PERCENT, unit_of

_SINK_FIELDS: Final = {
    "it": "load_it_watt_hours",
    "cooling": "load_cooling_watt_hours",
    "losses": "load_losses_watt_hours",
    "other": "load_other_watt_hours",
    "charge": "battery_charge_watt_hours",
    "export": "grid_export_watt_hours",
    "campus": "campus_watt_hours",
    "unmetered": "unmetered_watt_hours",
}
_NO_BATTERY: Final = ["\"origin\" != 'battery'"]
"""The battery's discharge is a source, and no origin."""
_INTENSITIES: Final = {"operational": SERIES[0], "life_cycle": SERIES[1]}
_SCOPE_2: Final = {
    "location": SERIES[0],
    "market": SERIES[1],
    "market_proposed": SERIES[2],
}
_WH: Final = unit_of("load_watt_hours")


def _flows(sheet: Sheet) -> None:
    sheet.row("flows")
    by_source = total(BALANCE, "source_watt_hours", group=["origin"], alias="$tag_origin")
    sheet.add("sources", bars(_WH, decimals=1), by_source,
              width=8, height=10, colors=SOURCES)  # fmt: skip
    sinks = [t for name, field in _SINK_FIELDS.items() for t in total(FIGURES, field, alias=name)]
    sheet.add("sinks", bars(_WH, decimals=1), sinks, width=8, height=10, colors=SINKS)
    origins = total(BALANCE, "energy_watt_hours", group=["origin"], where=_NO_BATTERY,
                    alias="$tag_origin")  # fmt: skip
    sheet.add("origins", bars(_WH, decimals=1), origins, width=8, height=10, colors=SOURCES)
    balance = [
        *figure(BALANCE, "source_watt_hours", group=["origin"], alias="$tag_origin", by_hour=True),
        *(
            target
            for name, field in _SINK_FIELDS.items()
            for target in figure(FIGURES, field, alias=name, scale=-1, by_hour=True)
        ),
    ]
    sheet.add("balance", lines(_WH, draw="bars", stack=True), balance,
              width=24, height=11, colors={**SOURCES, **SINKS})  # fmt: skip


def _carbon_free(sheet: Sheet) -> None:
    sheet.row("carbon_free")
    score = "carbon_free_energy_score_ratio"
    cells = select(
        f'"{score}", "local_day", "local_hour"', f"{FIGURES}_1h", [*in_place(), *known(score)]
    )
    shown = matrix(
        "local_day", "local_hour", score, PERCENT, corner=sheet.speaker.name("day_and_hour")
    )
    sheet.add("matched", shown, [Target(cells, shape="table")], width=16, height=12)
    shares = {"carbon_free": SERIES[3], "renewable": SERIES[1], "grid": SOURCES["grid"]}
    curves = [t for name in shares for t in figure(FIGURES, f"{name}_share_ratio", alias=name)]
    sheet.add("shares", lines(PERCENT, least=0, most=1), curves,
              width=8, height=12, colors=shares)  # fmt: skip


def _carbon(sheet: Sheet) -> None:
    sheet.row("carbon")
    grams = unit_of("carbon_operational_grams")
    masses = [
        t for name in _INTENSITIES for t in total(FIGURES, f"carbon_{name}_grams", alias=name)
    ]
    sheet.add("masses", stat(grams, decimals=1, names=True), masses,
              width=6, height=8, colors=_INTENSITIES)  # fmt: skip
    scopes = [
        target
        for name in _SCOPE_2
        for target in total(FIGURES, f"scope_2_{name}_grams", alias=name, by_hour=True)
    ]
    sheet.add("scope_2", stat(grams, decimals=1, names=True), scopes,
              width=8, height=8, colors=_SCOPE_2)  # fmt: skip
    hourly = [
        target
        for name in _SCOPE_2
        for target in figure(FIGURES, f"scope_2_{name}_grams", alias=name, by_hour=True)
    ]
    sheet.add("scope_2_hours", lines(grams, draw="bars", least=0), hourly,
              width=10, height=8, colors=_SCOPE_2)  # fmt: skip
    unit = "carbon_intensity_{}_grams_per_kilowatt_hour"
    curves = [t for name in _INTENSITIES for t in figure(FIGURES, unit.format(name), alias=name)]
    sheet.add("intensity", lines(unit_of(unit), least=0), curves,
              width=24, height=8, colors=_INTENSITIES)  # fmt: skip


def _grid(sheet: Sheet) -> None:
    sheet.row("grid")
    import_of = ["\"origin\" = 'grid'"]
    exchange = [
        *power(BALANCE, "source_watt_hours", where=import_of, alias="grid"),
        *power(FIGURES, "grid_export_watt_hours", alias="export", sign=-1),
    ]
    colors = {"grid": SOURCES["grid"], "export": SINKS["export"]}
    sheet.add("exchange", lines(unit_of("power_watts"), draw="area"), exchange,
              width=10, height=8, colors=colors)  # fmt: skip
    site = '{site=~"${site:regex}"}'
    sheet.add("export_ratio", stat(PERCENT, limit="export_ratio", decimals=1),
              [metric(f"rackwatt_export_ratio{site}", instant=True)],
              width=4, height=8)  # fmt: skip
    demand = [
        metric(f"rackwatt_settlement_{name}_watts{site}", name)
        for name in ("projected", "subscribed")
    ]
    sheet.add("settlement", lines(unit_of("power_watts"), least=0), demand,
              width=10, height=8,
              colors={"projected": SERIES[0], "subscribed": SERIES[4]})  # fmt: skip


def _battery(sheet: Sheet) -> None:
    sheet.row("battery")
    stock = figure(BALANCE, "battery_stock_watt_hours", group=["origin"], where=_NO_BATTERY,
                   alias="$tag_origin")  # fmt: skip
    sheet.add("stock", lines(_WH, draw="area", stack=True, least=0), stock,
              width=12, height=8, colors=SOURCES)  # fmt: skip
    held = [t for name in _INTENSITIES
            for t in figure(FIGURES, f"battery_carbon_{name}_grams", alias=name)]  # fmt: skip
    sheet.add("stored_carbon", lines(unit_of("carbon_operational_grams"), least=0), held,
              width=8, height=8, colors=_INTENSITIES)  # fmt: skip
    residual = total(FIGURES, "residual_watt_hours")
    sheet.add("residual", stat(_WH, decimals=1, color=NEUTRAL), residual, width=4, height=8)


def _lay(sheet: Sheet) -> None:
    _flows(sheet)
    _carbon_free(sheet)
    _carbon(sheet)
    _grid(sheet)
    _battery(sheet)


BOARD: Final = Board("energy", 2, _lay, span="24h")
