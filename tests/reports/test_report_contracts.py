# SPDX-License-Identifier: Apache-2.0
"""What a contract's plant gave, and what of it was matched, in the document."""

from contextlib import closing
from pathlib import Path

from reports.report_books import HOUR, at

from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.site import load_site
from rackwatt.reports.books import BooksAt
from rackwatt.reports.making import Wanted, make
from rackwatt.reports.parts import ContractLine

SITE = """\
site: {id: demo, timezone: UTC, country: MA}
contracts:
  - {id: wind-1, claim: ppa_wind, meter: w}
  - {id: sun-1, claim: ppa_pv, meter: s}
meters:
  - {id: g, role: grid}
  - {id: it, role: it, position: pdu_output}
  - {id: w}
  - {id: s}
"""
START, END = at("2026-02-03T00:00:00+00:00"), at("2026-02-05T00:00:00+00:00")
WATTS = {"g": 1000.0, "it": 1000.0, "w": 700.0, "s": 500.0}


def contracts(folder: Path, silent: str = "", hours: int = 0) -> dict[str, ContractLine]:
    """Two days of steady power; a meter may be silent in the last hours."""
    folder.mkdir()
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    site = load_site(folder / "site.yaml")
    records = [
        InputRecord(name, time, {"energy_import_watt_hours": own * (time - START + HOUR) / HOUR},
                    time + 500)
        for time in range(START - HOUR, END + HOUR + 1, HOUR // 4)
        for name, own in WATTS.items()
        if name != silent or time <= END - hours * HOUR
    ]  # fmt: skip
    with closing(open_ledger(folder / "ledger.db", site)) as book:
        book.apply(records, 1)
        book.close_intervals(END + 40_000)
    with BooksAt(folder / "ledger.db") as books:
        report = make(books, site, Wanted("2026-02"))
    return {line.id: line for line in report.carbon.contracts}


def test_what_a_plant_gave_stands_beside_what_was_matched(tmp_path: Path) -> None:
    lines = contracts(tmp_path / "a")
    hours = round((lines["wind-1"].claimed_watt_hours or 0.0) / 700.0)
    assert hours in {48, 49}  # and the hour before the first day, where the books begin in it
    assert abs((lines["sun-1"].claimed_watt_hours or 0.0) - 500.0 * hours) < 1e-6
    matched = sum(line.matched_watt_hours for line in lines.values())
    assert abs(matched - 1000.0 * hours) < 1e-6  # no more than was bought


def test_a_plant_that_is_not_known_gave_nobody_knows_what(tmp_path: Path) -> None:
    lines = contracts(tmp_path / "b", silent="s", hours=12)
    assert lines["sun-1"].claimed_watt_hours is None
    assert lines["wind-1"].claimed_watt_hours is not None
