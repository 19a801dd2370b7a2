# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger reconcile`: the books of a month against its invoice."""

import shutil
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from collector.command_books import call, make, steady, two_hours

from rackwatt.collector.ledger import LedgerReader
from rackwatt.collector.site import load_site

SITE = """\
site: {id: demo, timezone: Africa/Casablanca, country: MA}
meters:
  - {id: g, role: grid, class: 0.5, cadence: 1h}
  - {id: i, role: it, position: pdu_output, cadence: 1h}
"""
MONTH = ("--month", "2026-10")
WHO = ("--author", "A. Amrani", "--reason", "invoice 4711")
MIDDLE = "2026-10-16T00:00:00+01:00"


@pytest.fixture(scope="module")
def october(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """99,400 kWh of import in October."""
    begin, end = "2026-10-01T00:00:00+01:00", "2026-11-01T00:00:00+01:00"
    records = steady(99_400_000.0 / 744, begin, end)
    return make(tmp_path_factory.mktemp("october"), records, records[-1].time_ms, SITE)


@pytest.fixture
def data(october: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(october, tmp_path / "data"))


def reconcile(data: Path, *arguments: str) -> tuple[int, str, str]:
    found = call("reconcile", "--data", str(data), *arguments)
    return found.exit_code, found.stdout, found.stderr


def reasons(data: Path) -> tuple[str, ...]:
    zone = load_site(data / "site.yaml").timezone
    now = round(datetime.fromisoformat("2027-01-01T00:00:00Z").timestamp() * 1000)
    with closing(LedgerReader(data / "ledger.db")) as reader:
        (month, *_) = reader.months(zone, now_ms=now)
        return month.reasons


def test_an_invoice_that_is_off_blocks_the_month(data: Path) -> None:
    code, text, _ = reconcile(data, *MONTH, "--kwh", "100000", *WHO)
    assert code == 1
    assert "k = 1.006036 for 2026-10" in text
    assert "off by 0.60 %, more than 0.5 %: 2026-10 cannot become final" in text
    assert any("the invoice is off by 0.60 %" in reason for reason in reasons(data))
    with closing(LedgerReader(data / "ledger.db")) as reader:
        (act,) = reader.acts("reconcile")
    assert (act.author, act.reason) == ("A. Amrani", "invoice 4711")
    assert act.data["invoice_watt_hours"] == 1e8
    assert act.data["ledger_watt_hours"] == pytest.approx(99.4e6, rel=1e-12)
    code, text, _ = reconcile(data, *MONTH, "--kwh", "99401.5", *WHO)
    assert code == 0
    assert "agreed: off by 0.00 %" in text
    assert not any("invoice" in reason for reason in reasons(data))


def test_an_invoice_in_rows_and_one_meter(data: Path, tmp_path: Path) -> None:
    invoice = tmp_path / "invoice.csv"
    invoice.write_text(
        "tariff,from,to,kwh\n"
        f"day,2026-10-01T00:00:00+01:00,{MIDDLE},48096.8\n"
        f"day,{MIDDLE},2026-11-01T00:00:00+01:00,51303.2\n"
    )
    code, text, error = reconcile(data, *MONTH, "--invoice", str(invoice), "--meter", "g", *WHO)
    assert (code, error) == (0, "")
    assert text.count("invoice 48,096.800 kWh, ledger 48,096.774 kWh") == 1
    with closing(LedgerReader(data / "ledger.db")) as reader:
        assert reader.acts("reconcile")[0].data["meter"] == "g"
    invoice.write_text(f"from,to,kwh\n{MIDDLE},2026-11-01T00:00:00+01:00,51303.2\n")
    code, _, error = reconcile(data, *MONTH, "--invoice", str(invoice), *WHO)
    assert code == 0
    assert "the invoice has no row from 2026-09-30T23:00Z to 2026-10-15T23:00Z" in error


def test_one_meter_that_is_off_is_not_hidden_by_another(data: Path) -> None:
    assert reconcile(data, *MONTH, "--kwh", "100000", "--meter", "g", *WHO)[0] == 1
    assert reconcile(data, *MONTH, "--kwh", "99400", *WHO)[0] == 0
    assert any("the invoice is off by" in reason for reason in reasons(data))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from,to\n", "invoice.csv:1: kwh: column 'kwh' is missing"),
        ("from,to,kwh\n", "invoice.csv:1: holds no row"),
        (f"from,to,kwh\n2026-10-01T00:00,{MIDDLE},1\n", "invoice.csv:2: from: '2026-10-01T00:00'"),
        (f"from,to,kwh\n{MIDDLE},{MIDDLE},1\n", "invoice.csv:2: to: is not later than 'from'"),
        (
            "from,to,kwh\n2026-09-01T00:00Z,2026-10-02T00:00Z,1\n",
            "invoice.csv:2: from: the row does not lie in 2026-10",
        ),
        (
            f"from,to,kwh\n2026-10-01T00:00+01:00,{MIDDLE},1\n2026-10-02T00:00Z,{MIDDLE},1\n",
            "invoice.csv:3: from: begins before the row above ends",
        ),
        (
            f"from,to,kwh\n2026-10-01T00:00+01:00,{MIDDLE},-1\n",
            "invoice.csv:2: kwh: expects kWh, a number from 0 on, not '-1'",
        ),
        (f'from,to,kwh\n2026-10-01T00:00Z,{MIDDLE},"1,5"\n', "a decimal point, no comma"),
    ],
)
def test_what_is_wrong_in_an_invoice_is_said(
    october: Path, tmp_path: Path, text: str, said: str
) -> None:
    invoice = tmp_path / "invoice.csv"
    invoice.write_text(text)
    code, out, error = reconcile(october, *MONTH, "--invoice", str(invoice), *WHO)
    assert (code, out) == (2, "")
    assert said in error


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ((*MONTH, *WHO), 2, "--invoice CSV or --kwh VALUE"),
        (("--month", "October", "--kwh", "1", *WHO), 2, "expects a month like 2026-10"),
        ((*MONTH, "--kwh", "-1", *WHO), 2, "expects a number from 0 on"),
        ((*MONTH, "--kwh", "1", "--meter", "h", *WHO), 2, "no grid meter 'h'"),
        (("--month", "2026-11", "--kwh", "1", *WHO), 1, "and the books are closed up to"),
        (("--month", "2026-09", "--kwh", "1", *WHO), 1, "2026-09 lies before the books"),
        ((*MONTH, "--kwh", "1"), 2, "Missing option '--author'"),
        ((*MONTH, "--invoice", "none.csv", *WHO), 2, "cannot be read: No such file"),
    ],
)
def test_bad_input(october: Path, arguments: tuple[str, ...], exit_code: int, said: str) -> None:
    code, out, error = reconcile(october, *arguments)
    assert (code, out) == (exit_code, "")
    assert said in error


def test_a_month_that_is_not_closed(tmp_path: Path) -> None:
    code, _, error = reconcile(two_hours(tmp_path), "--month", "2026-05", "--kwh", "1", *WHO)
    assert code == 1
    assert "2026-05 ends at 2026-05-31T23:00Z" in error
