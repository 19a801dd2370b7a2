# SPDX-License-Identifier: Apache-2.0
"""Tables for people: as wide as the terminal, in units that fit."""

import pytest

from rackwatt.collector.ledger.commands.forms import Column, print_table
from rackwatt.collector.ledger.units import scale


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


def wide_table(count: int) -> None:
    columns = [Column("Time", ["2026-10-01 00:00", "all"], left=True)]
    columns += [Column(f"Flow {n}", [1.5e6 * n, 3e6 * n], "Wh") for n in range(1, count + 1)]
    print_table("Flows", columns, totals=1)


@pytest.mark.usefixtures("narrow")
def test_a_narrow_terminal_gets_parts_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    wide_table(9)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert [line for line in lines if line != line.rstrip()] == []
    heads = [word for line in lines if "Flow" in line for word in line.split() if word.isdigit()]
    assert heads == [str(number) for number in range(1, 10)]
    assert len([line for line in lines if line.startswith("2026-10-01")]) == 2


def test_a_pipe_gets_one_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    wide_table(9)
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.startswith("2026-10-01")]) == 1


@pytest.mark.parametrize(
    ("unit", "largest", "shown"),
    [
        ("Wh", 386e6, "MWh"),
        ("Wh", 386e6 * 24, "MWh"),
        ("Wh", 386e6 * 744, "GWh"),
        ("Wh", 9.9e6, "kWh"),
        ("g", 9e10, "t"),
        ("g", 2e12, "kt"),
        ("h", 1e12, "h"),
    ],
)
def test_units_fit_the_largest_number(unit: str, largest: float, shown: str) -> None:
    assert scale(unit, largest)[0] == shown


def test_a_sum_has_the_unit_and_not_more_digits_than_its_lines() -> None:
    head, cells = Column("Load", [1_360.0, 1_350.0, 2_358_900.0], "Wh").cells(totals=1)
    assert head == "Load\nkWh"
    assert [cell.plain for cell in cells] == ["1.36", "1.35", "2,358.9"]


def test_unknown_is_said_and_nothing_is_nothing() -> None:
    _, cells = Column("Load", [None, "", -0.0], "Wh").cells()
    assert [cell.plain for cell in cells] == ["unknown", "", "0.000"]
