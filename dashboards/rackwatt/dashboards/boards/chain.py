# SPDX-License-Identifier: Apache-2.0
"""Power chain: what feeds what, how much is left, and what fails with it?"""

from typing import Final

from rackwatt.dashboards.influxql import readings
from rackwatt.dashboards.links import drill_cell
from rackwatt.dashboards.palette import NEUTRAL, SERIES
from rackwatt.dashboards.panels import lines, stat, table
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.states import (
    CHAIN_RACK,
    FEED,
    GROUP,
    QUARTERS,
    SITE,
    now,
    ranked,
    state,
)
from rackwatt.dashboards.units import COUNT, PERCENT, unit_of

WINDOW: Final = "30m"
"""Newest rows: a large site says what feeds racks every 10 minutes."""
_HALF_DAY: Final = "12h"
_WATTS: Final = unit_of("power_watts")
_PHASES: Final = {f"l{n}": color for n, color in zip((1, 2, 3), SERIES, strict=False)}
_SIDES: Final = ['"side" =~ /^(A|B)$/']


def _capacity(sheet: Sheet) -> None:
    sheet.row("capacity")
    for key, field, limit, unit in (
        ("at_risk", "feeds_at_risk_number", "feeds_at_risk", COUNT),
        ("sellable", "sellable_watts", "", _WATTS),
        ("stranded", "stranded_watts", "", _WATTS),
        ("losses", "losses_watts", "", _WATTS),
        ("ride_through", "ride_through_seconds", "ride_through_seconds", "s"),
    ):
        shown = stat(unit, limit=limit, color=NEUTRAL, decimals=0 if unit in {COUNT, "s"} else 1)
        sheet.add(key, shown, [now(SITE, field)], width=4, height=5, span=WINDOW)
    worst = now(FEED, "load_ratio", how="max")
    sheet.add("worst_load", stat(PERCENT, limit="feed_load_ratio", decimals=0), [worst],
              width=4, height=5, span=WINDOW)  # fmt: skip
    room = [
        *state(SITE, "sellable_watts", alias="sellable"),
        *state(SITE, "stranded_watts", alias="stranded"),
    ]
    colors = {"sellable": SERIES[3], "stranded": SERIES[4]}
    sheet.add("room", lines(_WATTS, draw="area", least=0), room,
              width=12, height=8, colors=colors)  # fmt: skip
    sheet.add("risk_over_time", lines(COUNT, least=0, limit="feeds_at_risk"),
              state(SITE, "feeds_at_risk_number", fold="max"), width=12, height=8)  # fmt: skip


def _feeds(sheet: Sheet) -> None:
    sheet.row("feeds")
    for key, field, unit in (
        ("loaded", "load_ratio", PERCENT),
        ("failover", "failover_ratio", PERCENT),
    ):
        columns = {"top": (sheet.speaker.name("of_rating"), unit),
                   "feed": (sheet.speaker.name("feed"), "")}  # fmt: skip
        sheet.add(key, table(columns, hidden=["Time"], limit="feed_load_ratio", limited="top"),
                  [ranked(FEED, field, "feed")], width=8, height=12, span=WINDOW)  # fmt: skip
    columns = {"bottom": (sheet.speaker.name("headroom"), _WATTS),
               "feed": (sheet.speaker.name("feed"), "")}  # fmt: skip
    sheet.add("headroom", table(columns, hidden=["Time"]),
              [ranked(FEED, "headroom_watts", "feed", which="bottom")],
              width=8, height=12, span=WINDOW)  # fmt: skip
    for key, field in (("load_by_side", "load_ratio"), ("failover_by_side", "failover_ratio")):
        curves = state(FEED, field, fold="max", group=["side"], where=_SIDES, alias="$tag_side",
                       levels=QUARTERS)  # fmt: skip
        sheet.add(key, lines(PERCENT, least=0, limit="feed_load_ratio"), curves,
                  width=8, height=8, span=_HALF_DAY)  # fmt: skip
    currents = [
        target
        for name in _PHASES
        for target in state(FEED, f"current_{name}_amperes", fold="max", alias=name,
                            levels=QUARTERS)
    ]  # fmt: skip
    sheet.add("currents", lines("amp", least=0), currents,
              width=8, height=8, span=_HALF_DAY, colors=_PHASES)  # fmt: skip


def _redundancy(sheet: Sheet) -> None:
    sheet.row("redundancy")
    spare = now(GROUP, "spare_number", group=["group"], alias="$tag_group")
    shown = stat(COUNT, limit="redundancy_spare_number", decimals=0, names=True)
    sheet.add("spare", shown, [spare], width=8, height=8, span=WINDOW)
    sheet.add("spare_over_time", lines(COUNT, limit="redundancy_spare_number"),
              state(GROUP, "spare_number", fold="min", group=["group"], alias="$tag_group"),
              width=8, height=8)  # fmt: skip
    columns = {"bottom": (sheet.speaker.name("room"), _WATTS),
               "rack": (sheet.speaker.name("rack"), "")}  # fmt: skip
    sheet.add("racks", table(columns, hidden=["Time"]),
              [ranked(CHAIN_RACK, "room_watts", "rack", which="bottom")],
              width=8, height=8, span=WINDOW,
              links=[drill_cell("rack", sheet.speaker, "rack")])  # fmt: skip


def _ups(sheet: Sheet) -> None:
    sheet.row("ups")
    of_ups = ['"on_battery_ratio" >= 0']
    for key, field, unit, fold in (
        ("on_battery", "on_battery_ratio", PERCENT, "max"),
        ("ups_load", "load_ratio", PERCENT, "max"),
        ("runtime", "runtime_seconds", "s", "min"),
    ):
        curves = readings("power", field, fold=fold, group=["device"], places=(),
                          where=of_ups, alias="$tag_device")  # fmt: skip
        sheet.add(key, lines(unit, least=0), curves, width=8, height=8)


def _quality(sheet: Sheet) -> None:
    sheet.row("quality")
    at_site = ["\"hall\" = 'site'"]
    for key, field, unit in (
        ("frequency", "frequency_hertz", "hertz"),
        ("voltage", "voltage_volts", "volt"),
        ("power_factor", "power_factor_ratio", "none"),
    ):
        curves = readings("power", field, group=["device"], places=(), where=at_site,
                          alias="$tag_device")  # fmt: skip
        sheet.add(key, lines(unit), curves, width=8, height=8)


def _lay(sheet: Sheet) -> None:
    _capacity(sheet)
    _feeds(sheet)
    _redundancy(sheet)
    _ups(sheet)
    _quality(sheet)


BOARD: Final = Board("chain", 3, _lay, span="6h")
