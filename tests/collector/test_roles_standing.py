# SPDX-License-Identifier: Apache-2.0
"""Where the running year and month stand, by the closed books."""

from contextlib import closing
from pathlib import Path

import pytest
from collector.command_books import SITE, steady

from rackwatt.collector.accounting.calendar import span_at
from rackwatt.collector.accounting.period import Outside, period
from rackwatt.collector.copies.book import Book
from rackwatt.collector.ledger import InputRecord, Ledger
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.roles.metrics import standing_families
from rackwatt.collector.roles.standing import Standing, Standings
from rackwatt.collector.site import Site, site_of
from rackwatt.wire.config import Document

HOUR = 3_600_000
DAY = 24 * HOUR
TEXT = SITE.replace("supply: {", "supply: {export_cap_ratio: 0.2, ").replace(
    "  - {id: b, role: battery, cadence: 10s}\n", ""
)


def site() -> Site:
    return site_of(Document("site.yaml", TEXT))


def hourly(
    first_ms: int, last_ms: int, grid: float, exported: float, pv: float, it: float
) -> list[InputRecord]:
    """Registers that are read each hour, both ends included."""
    found = []
    for time_ms in range(first_ms, last_ms + 1, HOUR):
        hours = time_ms / HOUR
        for device, watts in (("g", grid), ("p", pv), ("i", it)):
            values = {"energy_import_watt_hours": watts * hours, "power_watts": watts}
            if device == "g":
                values |= {
                    "energy_export_watt_hours": exported * hours,
                    "power_export_watts": exported,
                }
            found.append(InputRecord(device, time_ms, values, time_ms + 500))
    return found


def ms(text: str) -> int:
    (record, *_) = steady(1.0, text, text)
    return record.time_ms


def book(path: Path, *, until: str, since: str = "2025-12-30T00:00+01:00") -> Ledger:
    """900 W of grid and 1,000 W of PV, 150 W of them sold; IT is 1,740 W: 10 W are missing."""
    ledger = open_ledger(path / "ledger.db", site())
    first, last = ms(since), ms(until)
    ledger.apply(hourly(first, last, 900.0, 150.0, 1000.0, 1740.0), 1)
    ledger.close_intervals(last + 60_000)
    return ledger


def settled(standings: Standings, turns: int = 40) -> Standing:
    for _ in range(turns):
        found = standings.turn()
        if standings.complete:
            return found
    raise AssertionError("it never has all days")


def test_year_and_month_are_what_the_period_says(tmp_path: Path) -> None:
    with closing(book(tmp_path, until="2026-01-04T12:00+01:00")) as ledger:
        found = settled(Standings(site(), tmp_path / "ledger.db"))
        month = span_at(ms("2026-01-02T00:00+01:00"), "1mo", site().timezone)
        end = ledger.closed_through_ms() or 0
        rows = [booked(row) for row in ledger.rows(month.start_ms, end)]
        whole = period(rows, rules_of(site()), Outside(month.start_ms, end))
    assert found.export_ratio == whole.export.ratio, "the year began with the month"
    assert found.export_ratio == pytest.approx(0.15)
    assert found.export_cap_ratio == 0.2
    assert found.month_residual_ratio == whole.residual_ratio.value
    assert found.month_residual_ratio == pytest.approx(10.0 / 1900.0)
    assert found.month_flagged is whole.residual_month_flag is True


def test_days_come_newest_first_and_a_few_at_a_time(tmp_path: Path) -> None:
    book(tmp_path, since="2026-01-30T00:00+01:00", until="2026-02-03T12:00+01:00").close()
    standings = Standings(site(), tmp_path / "ledger.db")
    turns = [(standings.turn(), standings.complete) for _ in range(3)]
    assert [complete for _, complete in turns] == [False, False, True]
    first, second, third = (found for found, _ in turns)
    assert first == Standing(export_cap_ratio=0.2), "two of three days of the month"
    assert second.month_residual_ratio == pytest.approx(10.0 / 1900.0)
    assert second.export_ratio is None, "January is not read yet"
    assert third.export_ratio == pytest.approx(0.15)
    assert settled(Standings(site(), tmp_path / "ledger.db")) == third, "a restart finds the same"


def test_only_days_that_changed_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standings = Standings(site(), tmp_path / "ledger.db")
    with closing(book(tmp_path, until="2026-01-04T12:00+01:00")) as ledger:
        settled(standings)
        read: list[int] = []
        rows = Book.rows

        def spying(self: Book, start_ms: int, end_ms: int) -> object:
            read.append(start_ms)
            return rows(self, start_ms, end_ms)

        monkeypatch.setattr(Book, "rows", spying)
        assert standings.turn().export_ratio == pytest.approx(0.15)
        assert read == []
        last = ms("2026-01-04T12:00+01:00")
        ledger.apply(hourly(last + HOUR, last + 3 * HOUR, 900.0, 1000.0, 1000.0, 890.0), 2)
        ledger.close_intervals(last + 3 * HOUR + 60_000)
        after = standings.turn()
    assert read == [ms("2026-01-04T00:00+01:00")]
    assert after.export_ratio is not None
    assert after.export_ratio > 0.15


def test_nothing_booked_is_nothing_known(tmp_path: Path) -> None:
    standings = Standings(site(), tmp_path / "ledger.db")
    assert standings.turn() == Standing(export_cap_ratio=0.2), "there is no ledger yet"
    open_ledger(tmp_path / "ledger.db", site()).close()
    assert standings.turn() == Standing(export_cap_ratio=0.2)


def test_the_flag_waits_for_a_day(tmp_path: Path) -> None:
    book(tmp_path, since="2026-01-01T00:00+01:00", until="2026-01-01T20:00+01:00").close()
    found = settled(Standings(site(), tmp_path / "ledger.db"))
    assert found.month_residual_ratio == pytest.approx(10.0 / 1900.0)
    assert found.month_flagged is False


def series(standing: Standing) -> dict[str, float]:
    return {
        sample.name: sample.value
        for metric in standing_families("demo", standing)
        for sample in metric.samples
        if sample.labels == {"site": "demo"}
    }


def test_as_metrics() -> None:
    assert series(Standing()) == {}
    assert series(Standing(0.15, 0.2, -0.004, True)) == {
        "rackwatt_export_ratio": 0.15,
        "rackwatt_export_cap_ratio": 0.2,
        "rackwatt_balance_month_residual_ratio": -0.004,
        "rackwatt_balance_month_flagged": 1.0,
    }
    assert series(Standing(month_flagged=False))["rackwatt_balance_month_flagged"] == 0.0
