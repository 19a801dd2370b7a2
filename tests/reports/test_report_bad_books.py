# SPDX-License-Identifier: Apache-2.0
"""Books and sites that lack something: a clear reason or a marked figure, never a number."""

from contextlib import closing
from pathlib import Path

import pytest
from reports.report_books import HOUR, at

from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.site import load_site
from rackwatt.reports.books import BooksAt
from rackwatt.reports.document import Report
from rackwatt.reports.making import Wanted, make

METERS = "  - {id: g, role: grid}\n  - {id: it, role: it, position: pdu_output}\n"
WATTS = {"g": 1000.0, "g2": 1000.0, "it": 900.0}


def report_of(
    folder: Path, span: tuple[str, str], *, site: str, meters: str = METERS, month: str = "2026-10"
) -> Report:
    """Books of steady power, read each hour."""
    (folder / "site.yaml").write_text(f"site: {{id: demo, {site}}}\nmeters:\n{meters}")
    loaded = load_site(folder / "site.yaml")
    start, end = at(span[0]), at(span[1])
    records = [
        InputRecord(name, time, {"energy_import_watt_hours": own * (time - start + HOUR) / HOUR},
                    time + 500)
        for time in range(start - HOUR, end + HOUR + 1, HOUR)
        for name, own in WATTS.items()
        if f"id: {name}," in meters
    ]  # fmt: skip
    with closing(open_ledger(folder / "ledger.db", loaded)) as book:
        book.apply(records, 1)
        book.close_intervals(end + 40_000)
    with BooksAt(folder / "ledger.db") as books:
        return make(books, loaded, Wanted(month))


def codes(report: Report) -> set[str]:
    return {one.code for one in (*report.reasons, *report.notes)}


def test_half_a_month_is_preliminary_and_has_no_figures_of_the_month(tmp_path: Path) -> None:
    span = ("2026-10-01T00:00:00+00:00", "2026-10-16T00:00:00+00:00")
    report = report_of(tmp_path, span, site="timezone: UTC, country: MA")
    assert report.state == "preliminary"
    assert {"half_booked", "not_closed"} <= codes(report)
    assert 0.48 < report.period.booked_ratio < 0.49
    assert report.figures["load_watt_hours"] is None
    assert report.figures["pue_ratio"] is None
    day = report.days[3].figures
    assert day["load_watt_hours"] == pytest.approx(21_600.0)


def test_a_zone_with_daylight_saving_has_its_hours(tmp_path: Path) -> None:
    """The day on which clocks go back in Paris has 25 hours, and its energy."""
    span = ("2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00")
    report = report_of(tmp_path, span, site="timezone: Europe/Paris, country: FR")
    assert report.period.hours == 745.0
    assert "clock_change" in codes(report)
    days = {one.label: one for one in report.days}
    assert days["2026-10-25"].hours == 25.0
    assert days["2026-10-25"].figures["load_watt_hours"] == pytest.approx(22_500.0)
    assert days["2026-10-24"].figures["load_watt_hours"] == pytest.approx(21_600.0)
    twice = [one for one in report.hours if one.day == "2026-10-25" and one.hour == 2]
    assert [one.start[-6:] for one in twice] == ["+02:00", "+01:00"]


def test_a_factor_that_is_missing_is_named_and_carbon_unknown(tmp_path: Path) -> None:
    span = ("2026-10-01T00:00:00+00:00", "2026-10-03T00:00:00+00:00")
    report = report_of(tmp_path, span, site="timezone: UTC")
    (missing,) = [one for one in report.reasons if one.code == "factor_missing"][:1]
    assert "grid" in missing.text
    assert report.state == "preliminary"
    day = report.days[0].figures
    assert day["scope_2_location_grams"] is None
    assert day["load_watt_hours"] == pytest.approx(21_600.0)


def test_a_hole_between_meters_is_named(tmp_path: Path) -> None:
    """Six hours in which no meter stands for the grid: nobody may sign for that month."""
    meters = (
        "  - {id: g, role: grid, valid_to: 2026-10-02T06:00:00+00:00}\n"
        "  - {id: g2, role: grid, valid_from: 2026-10-02T12:00:00+00:00}\n"
        "  - {id: it, role: it, position: pdu_output}\n"
    )
    span = ("2026-10-01T00:00:00+00:00", "2026-10-04T00:00:00+00:00")
    report = report_of(tmp_path, span, site="timezone: UTC, country: MA", meters=meters)
    (hole,) = [one for one in report.reasons if one.code == "meter_hole"]
    assert "grid from 2026-10-02T06:00:00+00:00 to 2026-10-02T12:00:00+00:00" in hole.text
    assert report.state == "preliminary"
    days = {one.label: one.figures for one in report.days}
    assert days["2026-10-02"]["pue_ratio"] is None
    assert days["2026-10-02"]["origin_unknown_watt_hours"] == pytest.approx(5_400.0)


def test_a_plant_that_is_new_is_no_hole(tmp_path: Path) -> None:
    meters = METERS + "  - {id: p, role: pv, valid_from: 2026-10-02T06:00:00+00:00}\n"
    span = ("2026-10-01T00:00:00+00:00", "2026-10-03T00:00:00+00:00")
    report = report_of(tmp_path, span, site="timezone: UTC, country: MA", meters=meters)
    assert "meter_hole" not in codes(report)
