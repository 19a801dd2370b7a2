# SPDX-License-Identifier: Apache-2.0
"""A month with weather, air at inlets and GPUs' utilisation: books to document, CSV and paper."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from reports.report_books import COUNTED, FEBRUARY, SITE, at, call, fill

from rackwatt.collector.accounting.thermal import wet_bulb_celsius
from rackwatt.collector.ledger.samples import SampleRecord, own_minute
from rackwatt.reports.conditions import ConditionSpans, HallInlets, Inlets, QuarterConditions
from rackwatt.reports.document import Report
from rackwatt.reports.filing import read_filed
from rackwatt.reports.pdf.blocks import Heading, Points, Table
from rackwatt.reports.pdf.printing import report_pdf, report_sheet
from rackwatt.reports.pdf.words import LANGUAGES, Language

MINUTE, DAY = 60_000, 86_400_000
NAME = "rackwatt-demo-2026-02"
WITH_PROBES = (
    SITE.replace('pdus: "{rack}-pdu"', 'pdus: "{rack}-pdu", sensors: {inlet: "{rack}-in"}')
    + "devices: [weather-1]\n"
)
USED = {"r1-01-n1": 0.75, "r1-01-n2": 0.25, "r2-01-n1": 0.5}


def sampled() -> Iterator[SampleRecord]:
    """Days grow warmer; each day's last quarter the second rack is too warm."""
    start, end = at(FEBRUARY[0]), at(FEBRUARY[1])
    for time in range(start, end, MINUTE):
        day, within = (time - start) // DAY, (time - start) % DAY
        hot = within >= DAY * 3 // 4
        for device, field, value in (
            ("weather-1", "temperature_celsius", 10.0 + day / 2),
            ("weather-1", "humidity_ratio", 0.6),
            ("r1-01-in", "temperature_celsius", 24.0),
            ("r2-01-in", "temperature_celsius", 29.0 if hot else 25.0),
        ):
            yield SampleRecord(device, field, time + 2_000, value, time + 2_500)
        for node in COUNTED:
            gpu = f"{node}/GPU-0"
            if own_minute(gpu, time):
                yield SampleRecord(gpu, "utilization_ratio", time, USED[node], time)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert WITH_PROBES.count("sensors") == 2
    folder = tmp_path_factory.mktemp("conditions")
    return fill(folder, site_file=WITH_PROBES, samples=list(sampled()))


@pytest.fixture(scope="module")
def made(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    found = call("--month", "2026-02", "--data", books, "--out", out, "--site", books / "site.yaml")
    assert found.exit_code == 0, found.output
    return out


@pytest.fixture(scope="module")
def report(made: Path) -> Report:
    return read_filed(made / f"{NAME}-en.json").report


def test_the_document_says_what_was_sampled(report: Report) -> None:
    found = report.conditions
    assert found is not None
    bulb = wet_bulb_celsius(10.0, 0.6)
    assert found.outdoor_temperature_min_celsius == 10.0
    assert found.outdoor_temperature_max_celsius == 24.0
    assert found.outdoor_temperature_celsius == pytest.approx(16.767, abs=0.01)
    assert found.outdoor_coverage_ratio == found.wet_bulb_coverage_ratio == 1.0
    assert report.hours[0].wet_bulb_celsius == pytest.approx(bulb, abs=1e-6)
    assert found.air_classes == ["A1"]
    assert found.inlets is not None
    assert found.inlets.rack_hours == 2 * 673
    assert found.inlets.coverage_ratio == 1.0
    assert found.inlets.recommended_ratio == pytest.approx((673 * 2 - 168) / (673 * 2))
    assert found.inlets.allowable_ratio == 1.0
    assert [one.hall for one in found.halls] == ["hall-a", "hall-b"]
    assert found.halls[0].recommended_ratio == 1.0
    assert found.halls[1].recommended_ratio == pytest.approx((673 - 168) / 673)
    assert (found.halls[1].min_celsius, found.halls[1].max_celsius) == (25.0, 29.0)


def test_gpus_and_tenants_have_their_utilisation(report: Report) -> None:
    assert report.gpus is not None
    assert report.gpus.utilization_ratio == pytest.approx(0.5, abs=1e-3)
    assert report.gpus.utilization_samples == 3 * 673
    by_id = {line.id: line.gpu_utilization_ratio for line in report.tenants}
    assert by_id == {"lab": 0.75, "shop": 0.5, "operator": 0.25}


def test_csv_has_them_by_day_and_hour(made: Path) -> None:
    rows = list(csv.DictReader((made / f"{NAME}-en.csv").read_text().splitlines()))
    days = [row for row in rows if row["every"] == "day"]
    assert [float(row["outdoor_temperature_celsius"]) for row in days[:2]] == [10.0, 10.5]
    assert float(days[0]["inlets_recommended_ratio"]) == pytest.approx(7 / 8)
    assert float(days[0]["gpu_utilization_ratio"]) == pytest.approx(0.5, abs=0.02)
    hours = [row for row in rows if row["every"] == "hour"]
    assert all(row["wet_bulb_celsius"] for row in hours)
    (period,) = (row for row in rows if row["every"] == "period")
    assert float(period["outdoor_wet_bulb_celsius"]) > 5.0


def test_they_are_proven(books: Path, made: Path, tmp_path: Path) -> None:
    path = made / f"{NAME}-en.json"
    site = ("--data", books, "--site", books / "site.yaml")
    assert call("verify", path, *site).exit_code == 0
    changed = json.loads(path.read_text())
    changed["document"]["conditions"]["inlets"]["recommended_ratio"] = 1.0
    other = tmp_path / path.name
    other.write_text(json.dumps(changed))
    found = call("verify", other, *site)
    assert found.exit_code == 1
    assert "recommended_ratio" in found.output


@pytest.mark.parametrize("language", LANGUAGES)
def test_they_are_told_in_each_language(report: Report, language: Language) -> None:
    blocks = report_sheet(report, language).blocks
    tables = [one for one in blocks if isinstance(one, Table)]
    assert any("hall-b" in row[0] for one in tables for row in one.rows)
    planes = [one for one in blocks if isinstance(one, Points)]
    assert len(planes) == 2
    assert all(0 <= x <= 1 and 0 <= y <= 1 for one in planes for x, y in one.points)
    assert sum(isinstance(one, Heading) for one in blocks) > 10


def test_they_are_printed(report: Report) -> None:
    assert report_pdf(report, "en").startswith(b"%PDF-")


def quarter(known: int) -> QuarterConditions:
    return QuarterConditions(15, None, Inlets("A1", {"h": HallInlets(15, known, known, known)}))


def test_of_what_is_known_too_little_nothing_is_stated() -> None:
    """An hour: 57 of 60 minutes are 95 %; three quarters of it, however full, are not."""
    for known, told in ((12, True), (11, False)):
        spans = ConditionSpans()
        for n, count in enumerate((15, 15, 15, known)):
            found = quarter(count)
            assert found.inlets is not None
            found.inlets.halls["h"].min_celsius = found.inlets.halls["h"].max_celsius = 20.0
            spans.take(n * 15 * MINUTE, found)
        air = spans.over(0, 60 * MINUTE)
        assert air is not None
        assert air.inlets is not None
        assert (air.inlets.recommended_ratio is not None) is told
    spans = ConditionSpans()
    for n in range(3):
        spans.take(n * 15 * MINUTE, quarter(15))
    hour = spans.over(0, 60 * MINUTE)
    assert hour is not None
    assert hour.inlets is not None
    assert hour.inlets.coverage_ratio == 0.75
    assert hour.inlets.recommended_ratio is None
    assert hour.outdoor_temperature_celsius is None
    assert spans.over(60 * MINUTE, 120 * MINUTE) is None
    assert spans.figures(60 * MINUTE, 120 * MINUTE) == {}
