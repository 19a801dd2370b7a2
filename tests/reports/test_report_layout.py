# SPDX-License-Identifier: Apache-2.0
"""How pages are set: mirrored where text is, in vectors, with long lists, for years."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from reports.report_pages import a_report

import rackwatt.reports
from rackwatt.reports.document import Report
from rackwatt.reports.parts import Comparison, Reason
from rackwatt.reports.pdf.blocks import (
    Bars,
    Block,
    Columns,
    Heading,
    HeatMap,
    Legend,
    Share,
    Shares,
    Sheet,
    Table,
)
from rackwatt.reports.pdf.press import has_fonts, images
from rackwatt.reports.pdf.printing import (
    report_images,
    report_pdf,
    report_sheet,
    tenant_pdfs,
    tenant_sheet,
)
from rackwatt.reports.pdf.words import LANGUAGES, Language, words
from rackwatt.reports.sections import BATTERY_RULE, MATCHING_RULE, OVERHEAD_RULE

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
# That Arabic is not tested without fonts is said, and under CI refused, in test_report_pages.py.
PRINTED: Sequence[Language] = LANGUAGES if has_fonts() else ("en", "fr")
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def report() -> Report:
    return a_report()


def pixels(png: bytes) -> list[list[tuple[int, ...]]]:
    """The rows of an 8-bit RGBA picture."""
    wide, high = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
    assert png[24:26] == b"\x08\x06"
    data, at = b"", 8
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        if kind == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    raw, line, rows = zlib.decompress(data), bytearray(wide * 4), []
    for row in range(high):
        start = row * (wide * 4 + 1)
        line = unfiltered(raw[start], raw[start + 1 : start + 1 + wide * 4], line)
        rows.append([tuple(line[x : x + 3]) for x in range(0, wide * 4, 4)])
    return rows


def unfiltered(kind: int, line: bytes, above: bytearray) -> bytearray:
    out = bytearray(len(line))
    for at, value in enumerate(line):
        left, up, corner = (
            out[at - 4] if at > 3 else 0,
            above[at],
            above[at - 4] if at > 3 else 0,
        )
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda each: abs(guess - each))
        out[at] = (value + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
    return out


def of(language: Language, *blocks: Block) -> Sheet:
    return Sheet(language, "Title", "", "Site", "", "{n}/{all}", "", blocks)


def middle(rows: list[list[tuple[int, ...]]], color: tuple[int, ...]) -> float:
    """Where a colour stands on average, from the left, 0..1."""
    found = [x for row in rows for x, pixel in enumerate(row) if pixel == color]
    assert found, f"nothing is {color}"
    return sum(found) / len(found) / len(rows[0])


CHARTS: Sequence[Block] = (
    Shares("", "first red", (Share("a", "", 0.5, "#ff0000"), Share("b", "", 0.5, "#0000ff"))),
    HeatMap("", "first red", ("0", "1"), ("1",), (("#ff0000", "#0000ff"),), (), "unknown"),
)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda one: one.kind)
@pytest.mark.parametrize("language", PRINTED)
def test_charts_run_with_the_text(chart: Block, language: Language) -> None:
    (page,) = images(of(language, chart), MOMENT, 30)
    rows = pixels(page)
    first, second = middle(rows, RED), middle(rows, BLUE)
    assert (first > second) == (language == "ar")


@pytest.mark.parametrize("language", PRINTED)
def test_bars_run_with_the_text_and_stand_in_the_page(language: Language) -> None:
    bars = Bars("", "", ("1", "2"), ((1.0,), (0.0,)), (), (), "kWh")
    chart = replace(bars, series=(Legend("a", "#ff0000"),))
    (page,) = images(of(language, chart), MOMENT, 30)
    at = middle(pixels(page), RED)
    assert (at > 0.5) == (language == "ar")
    assert 0.1 < at < 0.9


@pytest.mark.parametrize("language", PRINTED)
def test_the_summary_is_one_page(report: Report, language: Language) -> None:
    """With a comparison and without, preliminary for many reasons or final."""
    earlier = Comparison(label="2026-09", available=True, figures=report.figures)
    reasons = [Reason(code="completeness", text="", values={"figure": "pue"})] * 30
    states = [
        report,
        report.model_copy(update={"previous": earlier, "year_ago": earlier}),
        report.model_copy(update={"state": "preliminary", "reasons": reasons}),
    ]
    for state in states:
        sheet = report_sheet(state, language)
        end = next(
            at for at, one in enumerate(sheet.blocks) if isinstance(one, Heading) and one.new_page
        )
        assert len(images(replace(sheet, blocks=sheet.blocks[:end]), MOMENT, 30)) == 1


def test_without_a_comparison_it_says_so(report: Report) -> None:
    said = words("en")("notices.no_comparison", periods="2026-09, 2025-10")
    none = [Comparison(label=at, available=False, figures={}) for at in ("2026-09", "2025-10")]
    alone = report.model_copy(update={"previous": none[0], "year_ago": none[1]})
    assert said in [getattr(one, "text", "") for one in report_sheet(alone, "en").blocks]


def test_everything_is_drawn_in_vectors(report: Report) -> None:
    for made in (report_pdf(report, "en"), *tenant_pdfs(report, "en").values()):
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made, re.DOTALL)
        assert len(streams) > 5
        texts = [made]
        for one in streams:
            try:
                texts.append(zlib.decompress(one))
            except zlib.error:
                texts.append(one)
        assert any(b"/Type/Font" in one.replace(b" ", b"") for one in texts), "it reads objects"
        assert not [one for one in texts if re.search(rb"/Subtype\s*/Image", one)]


@pytest.mark.parametrize("language", PRINTED)
def test_hundreds_of_meters_and_tenants_are_all_listed(report: Report, language: Language) -> None:
    meters = [
        report.meters[0].model_copy(update={"id": f"hall-{at // 50}-feeder-{at:03}"})
        for at in range(400)
    ]
    tenants = [
        report.tenants[0].model_copy(update={"id": f"t{at}", "name": f"Tenant {at}"})
        for at in range(200)
    ]
    large = report.model_copy(update={"meters": meters, "tenants": tenants})
    tables = [one for one in report_sheet(large, language).blocks if isinstance(one, Table)]
    assert {400, 201} <= {len(one.rows) for one in tables}
    assert len(report_images(large, language)) > len(report_images(report, language)) + 8


@pytest.mark.parametrize("language", PRINTED)
def test_a_year_has_its_months(report: Report, language: Language) -> None:
    day = report.days[0]
    months = [day.model_copy(update={"label": f"2026-{at:02}"}) for at in range(1, 13)]
    period = report.period.model_copy(update={"kind": "year", "label": "2026"})
    changed = {"period": period, "months": months, "days": [], "hours": [], "year_ago": None}
    year = report.model_copy(update=changed)
    blocks = report_sheet(year, language).blocks
    (table,) = [one for one in blocks if isinstance(one, Table) and len(one.rows) == 13]
    assert table.rows[9][0] == words(language)("months.10")
    assert table.total
    assert [len(one.stacks) for one in blocks if isinstance(one, Bars)] == [12, 12]
    assert report_pdf(year, language).startswith(b"%PDF-")


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasons_and_rules_have_words_in_every_language(language: Language) -> None:
    room = Path(rackwatt.reports.__file__ or "").parent
    source = "".join(path.read_text(encoding="utf-8") for path in room.glob("*.py"))
    codes = set(re.findall(r'\breason\(\s*"(\w+)"', source))
    assert len(codes) >= 8
    say = words(language)
    assert not {code for code in codes if f"reasons.{code}" not in say.texts}
    for rule in (OVERHEAD_RULE, BATTERY_RULE, MATCHING_RULE):
        assert f"rules.{rule}" in say.texts


def test_alike_reasons_are_one_line(report: Report) -> None:
    alike = [
        Reason(code="not_closed", text="", values={"month": f"2026-{at:02}"}) for at in (11, 12)
    ]
    state = report.model_copy(update={"state": "preliminary", "reasons": alike})
    said = str(report_sheet(state, "en"))
    assert said.count(words("en")("reasons.not_closed").removesuffix(".")) == 1
    assert "2026-11, 2026-12" in said


def test_what_is_unknown_is_never_printed_as_nothing(report: Report) -> None:
    """A year of which the books hold a month: flows are there, and none has a figure."""
    none = report.model_copy(update={"figures": dict.fromkeys(report.figures)})
    tables = next(one for one in report_sheet(none, "en").blocks if isinstance(one, Columns))
    for table in tables.tables:
        assert len(table.rows) > 2
        assert {cell for row in table.rows for cell in row[1:]} == {"–"}
    part = {**report.figures, "source_pv_watt_hours": None}
    holed = report.model_copy(update={"figures": part})
    sources = next(one for one in report_sheet(holed, "en").blocks if isinstance(one, Columns))
    said = {row[0]: row[1] for row in sources.tables[0].rows}
    assert said["Solar"] == said["Total"] == "–"
    assert said["Grid import"] != "–"


def test_a_statement_with_an_unknown_origin_has_no_bar(report: Report) -> None:
    line = report.tenants[0].model_copy(update={"origins_watt_hours": {"pv": None, "grid": 21e6}})
    holed = report.model_copy(update={"tenants": [line]})
    blocks = tenant_sheet(holed, line.id, "en").blocks
    assert not [one for one in blocks if isinstance(one, Shares)]
    (tables,) = [one for one in blocks if isinstance(one, Columns)]
    assert ("Solar", "–") in tables.tables[0].rows
