# SPDX-License-Identifier: Apache-2.0
"""A month's report: equal to the books, the same bytes twice, proven, signed, revised."""

import csv
import json
import shutil
from contextlib import closing
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from collector.forging import rebuild, tamper
from reports.report_books import FEBRUARY, SITE, at, call, fill
from typer.testing import CliRunner

from rackwatt.collector.ledger.commands import ledger_app
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.pki.cli import pki_app
from rackwatt.collector.site import load_site
from rackwatt.reports.document import Report, schema_text
from rackwatt.reports.filing import read_filed

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "rackwatt-demo-2026-02-en"


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("february"))


@pytest.fixture(scope="module")
def made(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report."""
    out = tmp_path_factory.mktemp("out")
    done = call("--month", "2026-02", "--data", books, "--out", out)
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture
def copy(books: Path, tmp_path: Path) -> Path:
    """Books that a test may change."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("ledger.db", "site.yaml"):
        shutil.copy(books / name, folder / name)
    return folder


def report_of(folder: Path) -> Report:
    return read_filed(folder / f"{NAME}.json").report


def shown(books: Path, every: str, by: str = "site") -> dict[str, Any]:
    arguments = ["show", "--data", str(books), "--from", "2026-02-01", "--to", "2026-03-01"]
    done = CliRunner().invoke(ledger_app, [*arguments, "--every", every, "--by", by, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def same_figures(figures: dict[str, float | None], line: dict[str, Any]) -> None:
    for name, value in {
        "load_watt_hours": line["load"],
        "load_it_watt_hours": line["it"],
        "boundary_watt_hours": line["boundary"],
        "source_grid_watt_hours": line["sources"]["grid"],
        "source_pv_watt_hours": line["sources"]["pv"],
        "origin_pv_watt_hours": line["origins"]["pv"],
        "carbon_life_cycle_grams": line["carbon"]["life_cycle"],
        "scope_2_location_grams": line["scope_2"],
        "pue_ratio": line["pue"]["value"],
        "pue_uncertainty_ratio": line["pue"]["uncertainty"],
        "renewable_share_ratio": line["shares"]["renewable"],
        "carbon_free_energy_score_ratio": line["cfe_ratio"],
        "residual_watt_hours": line["residual"],
    }.items():
        assert figures[name] == value, name
    assert figures["load_watt_hours"]


def test_figures_are_those_of_the_books_to_the_last_digit(books: Path, made: Path) -> None:
    report = report_of(made)
    same_figures(report.figures, shown(books, "1mo")["all"])
    days = shown(books, "1d")["rows"]
    assert [day.label for day in report.days] == [row["label"] for row in days]
    for day, row in zip(report.days, days, strict=True):
        same_figures(day.figures, row)


def test_tenants_are_those_of_the_books_and_add_up_to_the_site(books: Path, made: Path) -> None:
    report = report_of(made)
    rows = {row["tenant"]: row for row in shown(books, "1mo", "tenant")["rows"]}
    assert [one.id for one in report.tenants] == ["lab", "shop", "operator"]
    for one in report.tenants:
        assert one.load_watt_hours == rows[one.id]["load"]
        assert one.gpu_hours == rows[one.id]["gpu_hours"]
    whole = fsum(one.load_watt_hours or 0.0 for one in report.tenants)
    assert whole == pytest.approx(report.figures["load_watt_hours"])
    rounded = sum(one.rounded_kilowatt_hours or 0 for one in report.tenants)
    assert rounded == round(whole / 1000.0)


def test_a_month_in_which_ramadan_begins_has_an_hour_more_and_says_so(made: Path) -> None:
    report = report_of(made)
    assert report.period.hours == 673.0 == len(report.hours)
    assert max(day.hours for day in report.days) == 25.0
    assert {"clock_change", "tenant_without_name", "no_invoice"} <= {n.code for n in report.notes}
    assert report.state == "final"
    assert report.reasons == []


def test_the_same_month_gives_the_same_bytes_wherever(
    books: Path, made: Path, tmp_path: Path
) -> None:
    assert call("--month", "2026-02", "--data", books, "--out", tmp_path / "x").exit_code == 0
    files = [path for path in sorted(made.rglob("*")) if path.is_file()]
    assert len(files) >= 7
    for path in files:
        assert (tmp_path / "x" / path.relative_to(made)).read_bytes() == path.read_bytes()
    assert [path.name for path in made.glob("*.json")] == [f"{NAME}.json"]


def test_csv_has_days_hours_and_the_period(made: Path) -> None:
    with (made / f"{NAME}.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = [row["every"] for row in rows]
    assert (kinds.count("day"), kinds.count("hour"), kinds.count("period")) == (28, 673, 1)
    assert float(rows[-1]["load_watt_hours"]) == report_of(made).figures["load_watt_hours"]
    tenants = sorted(path.name for path in (made / "tenants").glob("*.csv"))
    assert tenants == [f"{NAME}-{name}.csv" for name in ("lab", "operator", "shop")]


def test_verify_computes_every_figure_again(books: Path, made: Path) -> None:
    done = call("verify", made / f"{NAME}.json", "--data", books)
    assert done.exit_code == 0, done.output
    assert "sound: nothing is wrong" in done.output


@pytest.mark.parametrize("hide", [False, True])
def test_verify_finds_one_row_that_was_tampered_with(made: Path, copy: Path, hide: bool) -> None:
    minute = at(FEBRUARY[0]) + 3_600_000
    one_more = "UPDATE journal SET row = replace(row, '\"scope_2\":', '\"scope_2\":1')"
    tamper(copy / "ledger.db", f"{one_more} WHERE kind = 'interval' AND start_ms = {minute}")
    if hide:
        rebuild(copy / "ledger.db")
    done = call("verify", made / f"{NAME}.json", "--data", copy)
    assert done.exit_code == 1
    assert "figures.scope_2_location_grams" in done.output
    assert ("chain of hashes breaks" in done.output) is not hide
    assert not hide or "has another hash" in done.output


def test_verify_finds_a_figure_that_was_changed(made: Path, books: Path, tmp_path: Path) -> None:
    text = json.loads((made / f"{NAME}.json").read_text())
    text["document"]["figures"]["pue_ratio"] = 1.01
    (tmp_path / "forged.json").write_text(json.dumps(text))
    done = call("verify", tmp_path / "forged.json", "--data", books)
    assert done.exit_code == 1
    assert "figures.pue_ratio: the report says 1.01" in done.output


def restated(folder: Path) -> None:
    """Another factor of the grid, and the whole month booked again by it."""
    (folder / "site.yaml").write_text(SITE.replace("direct: 500", "direct: 450"))
    site = load_site(folder / "site.yaml")
    with closing(open_ledger(folder / "ledger.db", site)) as book:
        start, end = at(FEBRUARY[0]), at(FEBRUARY[1])
        book.restate(start, end, "A. Amrani", "factor published", end + 3_600_000)
        book.book_again()
        book.settle_months(end + 10 * 86_400_000, site.timezone)


def test_a_signed_month_is_frozen_and_a_change_makes_a_revision(copy: Path, tmp_path: Path) -> None:
    out, keys = tmp_path / "out", tmp_path / "keys"
    file = out / f"{NAME}.json"
    assert call("--month", "2026-02", "--data", copy, "--out", out).exit_code == 0
    made = CliRunner().invoke(pki_app, ["sign-key", "amrani", "--dir", str(keys)])
    assert made.exit_code == 0, made.output
    signing = ("sign", file, "--role", "approved", "--signer", "A. Amrani")
    signed = call(*signing, "--key", keys / "amrani.key", "--time", "2026-03-06T10:00:00Z")
    assert signed.exit_code == 0, signed.output
    assert call(*signing, "--key", keys / "amrani.key").exit_code == 1  # once for each role
    frozen = file.read_bytes()
    checked = call("verify", file, "--data", copy, "--key", keys / "amrani.pub")
    assert checked.exit_code == 0, checked.output
    assert call("--month", "2026-02", "--data", copy, "--out", out).exit_code == 0
    assert file.read_bytes() == frozen

    restated(copy)
    since = call("verify", file, "--data", copy)
    assert "minutes of the period were restated" in since.output
    assert call("--month", "2026-02", "--data", copy, "--out", out).exit_code == 0
    assert (out / "revisions" / f"{NAME}-r1.json").read_bytes() == frozen
    filed = read_filed(file)
    assert (filed.report.revision, filed.signatures) == (2, [])
    changed = {one.name: one for one in filed.report.differences}
    before, after = changed["scope_2_location_grams"].before, filed.report.figures
    assert before == pytest.approx(after["scope_2_location_grams"] / 450 * 500)  # type: ignore[operator]
    assert "load_watt_hours" not in changed
    again = file.read_bytes()
    assert call("--month", "2026-02", "--data", copy, "--out", out).exit_code == 0
    assert file.read_bytes() == again


def test_the_schema_that_is_committed_is_that_of_the_document(made: Path) -> None:
    assert (ROOT / "docs/schema/report-1.json").read_text(encoding="utf-8") == schema_text()
    report = report_of(made)
    assert Report.read(report.model_dump_json()) == report


def test_a_year_has_its_months_and_says_what_it_lacks(books: Path, tmp_path: Path) -> None:
    done = call("--year", "2026", "--data", books, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    report = read_filed(tmp_path / "rackwatt-demo-2026-en.json").report
    assert [month.label for month in report.months] == ["2026-01", "2026-02", "2026-03"]
    assert report.state == "preliminary"
    assert {"half_booked", "not_closed"} <= {one.code for one in report.reasons}
    assert report.figures["load_watt_hours"] is None  # below 95 % of the year: no figure


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--month", "2026-05"), "the books hold nothing of 2026-05"),
        (("--month", "2026-13"), "--month: expects a month like 2026-10"),
        (("--month", "2026"), "--month: expects a month like 2026-10"),
        (("--year", "2026-02"), "--year: expects a year like 2026"),
        ((), "name what to report"),
        (("--month", "2026-02", "--lang", "xx"), "--lang: no language 'xx'"),
        (("--month", "2026-02", "--tariff", "nowhere.yaml"), "--tariff: nowhere.yaml"),
    ],
)
def test_bad_input_is_said_and_nothing_written(
    books: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "out"
    done = call(*arguments, "--data", books, "--out", out)
    assert done.exit_code == 2
    assert said in done.output
    assert not out.exists()
