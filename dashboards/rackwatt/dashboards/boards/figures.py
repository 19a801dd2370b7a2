# SPDX-License-Identifier: Apache-2.0
"""Key figures: PUE, REF, CUE, WUE, ERF and CFE by day, month and 12 months."""

from typing import Final

from rackwatt.dashboards.influxql import ANY_MONTHS, FIGURES, column, figure, quotient, weighed
from rackwatt.dashboards.palette import NEUTRAL, SERIES
from rackwatt.dashboards.panels import lines, stat, table, transform
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.targets import Target
from rackwatt.dashboards.units import COUNT, PERCENT, RATIO, unit_of

YEAR: Final = "396d"
"""Twelve months and the one that runs."""
DAYS: Final = "35d"
_CUE: Final = "carbon_usage_{}_kilograms_per_kilowatt_hour"
_COLUMNS: Final = {
    "pue": ("pue_ratio", RATIO),
    "uncertainty": ("pue_uncertainty_ratio", RATIO),
    "coverage": ("pue_coverage_ratio", PERCENT),
    "category": ("pue_category", "none"),
    "ref": ("renewable_energy_factor_ratio", PERCENT),
    "cfe": ("carbon_free_energy_score_ratio", PERCENT),
    "cue_operational": (_CUE.format("operational"), unit_of(_CUE)),
    "cue_life_cycle": (_CUE.format("life_cycle"), unit_of(_CUE)),
    "wue": ("wue_liters_per_kilowatt_hour", unit_of("wue_liters_per_kilowatt_hour")),
    "erf": ("erf_ratio", PERCENT),
    "load": ("load_watt_hours", unit_of("load_watt_hours")),
    "completeness": ("completeness_ratio", PERCENT),
    "restated": ("restated_intervals", COUNT),
}
"""Column to its figure and unit."""
_ALWAYS: Final = frozenset({"pue_coverage_ratio", "completeness_ratio", "restated_intervals"})


def _twelve_months(sheet: Sheet) -> None:
    sheet.row("year")
    boundary, it = "boundary_watt_hours", "load_it_watt_hours"
    months = [ANY_MONTHS]
    shown: list[tuple[str, str, int, str, list[Target]]] = [
        ("pue", RATIO, 3, "pue_ratio", quotient(boundary, it, also=["pue_ratio"], levels=months)),
        ("ref", PERCENT, 1, "",
         [weighed("renewable_energy_factor_ratio", boundary, ANY_MONTHS)]),
        ("cfe", PERCENT, 1, "",
         [weighed("carbon_free_energy_score_ratio", "load_watt_hours", ANY_MONTHS)]),
        ("cue", unit_of(_CUE), 3, "", quotient("carbon_operational_grams", it, levels=months)),
        ("wue", unit_of("wue_liters_per_kilowatt_hour"), 2, "",
         quotient("water_fresh_liters", it, levels=months, scale=1000)),
        ("erf", PERCENT, 1, "", quotient("heat_reused_watt_hours", boundary, levels=months)),
    ]  # fmt: skip
    for key, unit, decimals, limit, targets in shown:
        sheet.add(key, stat(unit, limit=limit, decimals=decimals), targets,
                  width=4, height=5, span=YEAR)  # fmt: skip


def _periods(sheet: Sheet, key: str, suffix: str, span: str) -> None:
    """A table of all figures, one row per period."""
    targets = [
        column(FIGURES + suffix, name, key_of, always=name in _ALWAYS)
        for key_of, (name, _) in _COLUMNS.items()
    ]
    named = {key_of: (sheet.speaker.name(key_of), unit) for key_of, (_, unit) in _COLUMNS.items()}
    when = "time:YYYY-MM" if suffix == "_1mo" else "time:YYYY-MM-DD"
    named["Time"] = (sheet.speaker.name("period"), when)
    joined = [
        transform("joinByField", byField="Time", mode="outer"),
        transform("sortBy", fields={}, sort=[{"field": "Time", "desc": True}]),
    ]
    sheet.add(key, table(named, transformations=joined), targets,
              width=24, height=10, span=span)  # fmt: skip


def _trend(sheet: Sheet) -> None:
    sheet.row("trend")
    sheet.add("pue_days", lines(RATIO, decimals=3, limit="pue_ratio"),
              figure(FIGURES, "pue_ratio", alias="pue", by_hour=True),
              width=12, height=8, colors={"pue": SERIES[0]})  # fmt: skip
    sheet.add("pue_external", lines(RATIO, decimals=3),
              figure(FIGURES, "pue_external_ratio", alias="pue_external", by_hour=True),
              width=12, height=8, colors={"pue_external": NEUTRAL})  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _twelve_months(sheet)
    sheet.row("months")
    _periods(sheet, "by_month", "_1mo", YEAR)
    sheet.row("days")
    _periods(sheet, "by_day", "_1d", DAYS)
    _trend(sheet)


BOARD: Final = Board("figures", 8, _lay, span="30d", refresh="")
