# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger show` over a real ledger."""

import csv
import io
import json
from contextlib import closing
from math import fsum
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE, hour_of, ledger
from typer.testing import CliRunner, Result

from rackwatt.collector.ledger.commands import ledger_app

SITE = "site: {id: demo, timezone: Africa/Casablanca, country: MA}\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Books of two hours: 500 W of PV, 1000 W of grid, 300 W charge, 1200 W of IT."""
    (tmp_path / "site.yaml").write_text(SITE)
    with closing(ledger(tmp_path / "ledger.db")) as book:
        book.apply(hour_of(range(0, 7211, 10)), 1)
        book.close_intervals(BEGIN + 2 * HOUR + MINUTE)
    return tmp_path


def show(*arguments: str) -> Result:
    return CliRunner().invoke(ledger_app, ["show", *arguments])


def test_the_table_has_units_and_a_sum(data: Path) -> None:
    found = show("--data", str(data))
    assert found.exit_code == 0, found.output
    assert "kWh" in found.stdout
    assert "all" in found.stdout
    assert "-0.000" not in found.stdout
    assert " 2.40 " in found.stdout
    assert "unknown" not in found.stdout
    assert "Africa/Casablanca" in found.stdout


def test_json_has_the_ledgers_names_and_full_precision(data: Path) -> None:
    found = show("--data", str(data), "--json", "--every", "1h")
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["site"] == "demo"
    first, second = document["rows"][-2:]
    assert first["load"] == pytest.approx(1200.0)
    assert first["sources"]["grid"] == pytest.approx(1000.0)
    assert fsum(second["origins"].values()) == pytest.approx(second["load"], rel=1e-12)
    assert second["completeness"] == 1.0
    assert first["intervals"] == 60
    assert first["start"].endswith("Z")


def test_csv_is_flat_and_sums_like_json(data: Path) -> None:
    document = json.loads(show("--data", str(data), "--json", "--every", "15m").stdout)
    found = show("--data", str(data), "--csv", "--every", "15m")
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert len(rows) == len(document["rows"])
    assert float(rows[3]["origins.pv"]) == document["rows"][3]["origins"]["pv"]
    assert rows[0]["start"] == document["rows"][0]["start"]


def test_unknown_is_said_and_never_zero(tmp_path: Path) -> None:
    with closing(ledger(tmp_path / "ledger.db")) as book:
        records = [r for r in hour_of(range(0, 3601, 10)) if r.device != "p"]
        book.apply(records, 1)
        book.close_intervals(BEGIN + HOUR + MINUTE)
    text = show("--data", str(tmp_path)).stdout
    assert "unknown" in text
    row = json.loads(show("--data", str(tmp_path), "--json").stdout)["rows"][0]
    assert row["sources"]["pv"] is None
    assert set(row["origins"].values()) == {None}
    assert row["shares"]["renewable"] is None
    assert row["load"] == pytest.approx(1200.0)
    (line,) = csv.DictReader(io.StringIO(show("--data", str(tmp_path), "--csv").stdout))
    assert line["sources.pv"] == ""
    assert line["shares.renewable"] == ""


def test_dates_are_the_sites_days(data: Path) -> None:
    found = show("--data", str(data), "--from", "2026-05-28", "--to", "2026-05-29", "--json")
    document = json.loads(found.stdout)
    # Casablanca is at UTC+1 in May.
    assert document["from"] == "2026-05-27T23:00Z"
    assert document["to"] == "2026-05-28T23:00Z"


def test_revisions_show_cause_and_author(tmp_path: Path) -> None:
    records = hour_of(range(-10, 3611, 10))
    late = [r for r in records if r.device == "g" and 100 < (r.time_ms - BEGIN) / 1000 < 200]
    with closing(ledger(tmp_path / "ledger.db")) as book:
        book.apply([r for r in records if r not in late], 1)
        book.close_intervals(BEGIN + HOUR + MINUTE)
        book.apply(late, 2)
        book.close_intervals(BEGIN + HOUR + MINUTE)
    found = show("--data", str(tmp_path), "--revisions", "--json")
    rows = json.loads(found.stdout)["rows"]
    restated = [row for row in rows if row["cause"] == "late_data"]
    assert {row["revision"] for row in restated} >= {2}
    assert "shape_estimated" in rows[1 + rows.index(restated[0]) - 2]["metering"]
    assert all(row["author"] == "rackwatt" for row in rows)
    assert "late_data" in show("--data", str(tmp_path), "--revisions").stdout


def test_it_reads_while_the_accountant_writes(data: Path) -> None:
    with closing(ledger(data / "ledger.db")):
        assert show("--data", str(data)).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--every", "1hour"), "--every: no span of '1hour' (did you mean '1h'?)"),
        (("--by", "hal"), "--by: no level 'hal' (did you mean 'hall'?)"),
        (("--from", "2026-13-01"), "--from: there is no day '2026-13-01'"),
        (("--from", "2026-05-28T10:00"), "has no offset"),
        (("--from", "yesterday"), "expects a time like 2026-10-01"),
        (("--from", "2026-05-28T10:00:30Z"), "whole minutes"),
        (("--from", "2026-06-02", "--to", "2026-06-01"), "is not before"),
        (("--json", "--csv"), "choose one"),
        (("--by", "rack", "--every", "1m"), "quarter hours"),
        (("--by", "rack", "--revisions"), "leave --by out"),
        (("--site", "nowhere.yaml"), "cannot be read"),
        (("--frm", "2026-05-28"), "No such option"),
    ],
)
def test_bad_input_is_explained(data: Path, arguments: tuple[str, ...], said: str) -> None:
    found = show("--data", str(data), *arguments)
    assert found.exit_code == 2, found.output
    assert said in " ".join(found.stderr.split())
    assert found.stdout == ""


def test_missing_and_empty_places(tmp_path: Path) -> None:
    found = show("--data", str(tmp_path / "none"))
    assert found.exit_code == 2
    assert "there is no folder" in found.stderr
    found = show("--data", str(tmp_path))
    assert found.exit_code == 2
    assert "no ledger in" in found.stderr
    ledger(tmp_path / "ledger.db").close()
    found = show("--data", str(tmp_path))
    assert (found.exit_code, found.stdout) == (
        0,
        "The ledger is empty: no interval is closed yet.\n",
    )
    assert json.loads(show("--data", str(tmp_path), "--json").stdout)["rows"] == []
    assert show("--data", str(tmp_path), "--csv").stdout == "start,end,label\n"
    (tmp_path / "ledger.db").write_text("this is no database, but a text file\n" * 99)
    found = show("--data", str(tmp_path))
    assert found.exit_code == 1
    assert "is it a ledger?" in found.stderr


def test_what_is_not_booked_is_said(data: Path) -> None:
    found = show("--data", str(data), "--from", "2020-01-01", "--to", "2020-01-02")
    assert found.exit_code == 0
    assert "The books reach from" in found.stdout


@pytest.mark.parametrize("time", ["0001-01-01", "1900-01-01", "9999-12-31", "2200-01-01T00:00Z"])
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_years_in_which_no_clock_is_right(data: Path, option: str, time: str) -> None:
    found = show("--data", str(data), option, time)
    assert found.exit_code == 2
    assert f"{option}: the year of '{time}' is not from 1970 to 2199" in found.stderr


@pytest.mark.parametrize("every", ["1m", "1h", "1d"])
def test_the_table_fits_a_hundred_columns(
    data: Path, every: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    found = show("--data", str(data), "--every", every)
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("Time") for line in lines) == 1
    assert "All flows of all lines are known." in lines
