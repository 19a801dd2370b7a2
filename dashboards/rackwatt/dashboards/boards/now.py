# SPDX-License-Identifier: Apache-2.0
"""Now: is the site well, what does it draw, and where does that come from?"""

from typing import Final

from rackwatt.dashboards.influxql import (
    ANY_MINUTES,
    BALANCE,
    FIGURES,
    figure,
    newest,
    power,
    quotient,
)
from rackwatt.dashboards.links import drill
from rackwatt.dashboards.palette import ACCENT, NEUTRAL, SERIES, SOURCES
from rackwatt.dashboards.panels import alerts, bars, lines, stat
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.targets import metric
from rackwatt.dashboards.units import COUNT, PERCENT, RATIO, SINCE, unit_of

WINDOW: Final = "15m"
"""What "now" means here: the newest booked minute, of at most so long ago."""
SHARES: Final = {
    "renewable": SOURCES["pv"],
    "on_site": SOURCES["wind"],
    "grid": SOURCES["grid"],
    "carbon_free": ACCENT,
    "carbon": NEUTRAL,
}
INTENSITIES: Final = {"operational": SERIES[0], "life_cycle": SERIES[1]}
_CATEGORIES: Final = (1, 2, 3)


def _intensity(series: str) -> str:
    return f"carbon_intensity_{series}_grams_per_kilowatt_hour"


def _top(sheet: Sheet) -> None:
    sheet.row("site")
    pue = quotient(
        "boundary_watt_hours", "load_it_watt_hours", also=["pue_ratio"], levels=[ANY_MINUTES]
    )
    sheet.add("pue", stat(RATIO, limit="pue_ratio", decimals=3), pue,
              width=4, height=5, span=WINDOW)  # fmt: skip
    words = {number: sheet.speaker.name(f"category_{number}") for number in _CATEGORIES}
    sheet.add("category", stat("none", words=words, color=NEUTRAL),
              [newest(f"{FIGURES}_1h", "pue_category")],
              width=4, height=5, span="3h")  # fmt: skip
    sheet.add("load", stat(unit_of("power_watts"), decimals=2),
              [newest(FIGURES, "load_watt_hours", scale=60)], width=4, height=5, span=WINDOW,
              links=[drill(key, sheet.speaker) for key in ("energy", "chain", "thermal")]
              )  # fmt: skip
    sheet.add("it", stat(unit_of("power_watts"), decimals=2),
              [newest(FIGURES, "load_it_watt_hours", scale=60)], width=4, height=5, span=WINDOW,
              links=[drill(key, sheet.speaker) for key in ("gpus", "tenants")])  # fmt: skip
    targets = [newest(FIGURES, _intensity(name), alias=name) for name in INTENSITIES]
    sheet.add("intensity", stat(unit_of(_intensity("operational")), decimals=0, names=True),
              targets, width=8, height=5, span=WINDOW, colors=INTENSITIES)  # fmt: skip


def _origins(sheet: Sheet) -> None:
    sheet.row("origins")
    shares = [newest(FIGURES, f"{name}_share_ratio", alias=name) for name in SHARES]
    sheet.add("shares", bars(PERCENT, decimals=1, most=1), shares,
              width=8, height=9, span=WINDOW, colors=SHARES)  # fmt: skip
    origins = newest(BALANCE, "energy_watt_hours", group=["origin"], alias="$tag_origin",
                     where=["\"origin\" != 'battery'"], scale=60)  # fmt: skip
    sheet.add("origins", bars(unit_of("power_watts"), decimals=1), [origins],
              width=8, height=9, span=WINDOW, colors=SOURCES)  # fmt: skip
    contracted = newest(f"{FIGURES}_1h", "contracted_share_ratio")
    sheet.add("contracted", stat(PERCENT, decimals=1, color=NEUTRAL), [contracted],
              width=4, height=9, span="3h")  # fmt: skip
    sheet.add("alerts", alerts(), [], width=4, height=9)
    sources = power(BALANCE, "source_watt_hours", group=["origin"], alias="$tag_origin")
    sheet.add("sources", lines(unit_of("power_watts"), draw="area", stack=True), sources,
              width=12, height=9, colors=SOURCES)  # fmt: skip
    curves = [t for name in INTENSITIES for t in figure(FIGURES, _intensity(name), alias=name)]
    sheet.add("intensities", lines(unit_of(_intensity("operational")), least=0), curves,
              width=12, height=9, colors=INTENSITIES)  # fmt: skip


def _battery(sheet: Sheet) -> None:
    sheet.row("battery")
    charged = newest("power_1m", "state_of_charge_ratio", group=["device"],
                     alias="$tag_device", always=True)  # fmt: skip
    sheet.add("state_of_charge", stat(PERCENT, limit="state_of_charge_ratio", decimals=0),
              [charged], width=4, height=6, span=WINDOW)  # fmt: skip
    sheet.add("stock", stat(unit_of("battery_stock_watt_hours"), decimals=2),
              [newest(FIGURES, "battery_stock_watt_hours")],
              width=4, height=6, span=WINDOW)  # fmt: skip
    flows = [
        *power(FIGURES, "battery_charge_watt_hours", alias="charge", sign=-1),
        *power(FIGURES, "battery_discharge_watt_hours", alias="battery"),
    ]
    sheet.add("flows", lines(unit_of("power_watts"), draw="area"), flows,
              width=16, height=6, colors={"charge": SERIES[1], "battery": SOURCES["battery"]}
              )  # fmt: skip


def _quality(sheet: Sheet) -> None:
    sheet.row("quality")
    sheet.add("completeness", stat(PERCENT, limit="completeness_ratio", decimals=1),
              [newest(FIGURES, "completeness_ratio", always=True)],
              width=4, height=5, span=WINDOW)  # fmt: skip
    sheet.add("residual", stat(PERCENT, decimals=2, color=NEUTRAL),
              [newest(FIGURES, "residual_ratio")],
              width=4, height=5, span=WINDOW)  # fmt: skip
    sheet.add("booked", stat(SINCE, color=NEUTRAL, of="/^Time$/"),
              [newest(FIGURES, "completeness_ratio", always=True)],
              width=4, height=5, span="24h")  # fmt: skip
    site = '{site=~"${site:regex}"}'
    sheet.add("live_pue", stat(RATIO, limit="pue_ratio", decimals=3),
              [metric(f"rackwatt_pue_ratio{site}", instant=True)],
              width=4, height=5)  # fmt: skip
    sheet.add("agents_down", stat(COUNT, decimals=0, limit="messages_missing"),
              [metric("sum(rackwatt_agent_up == bool 0)", instant=True)],
              width=4, height=5, links=[drill("pipeline", sheet.speaker)])  # fmt: skip
    sheet.add("missing", stat(COUNT, decimals=0, limit="messages_missing"),
              [metric("sum(rackwatt_messages_missing)", instant=True)],
              width=4, height=5, links=[drill("pipeline", sheet.speaker)])  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _top(sheet)
    _origins(sheet)
    _battery(sheet)
    _quality(sheet)


BOARD: Final = Board("now", 1, _lay, span="6h", refresh="30s")
