# SPDX-License-Identifier: Apache-2.0
"""Maintenance in the books: rows are marked while something is out, and as people say it was."""

from pathlib import Path
from typing import Any

import pytest
from collector.books import BEGIN, HOUR, MINUTE, PLAIN, hour_of, ledger

from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.ledger import Ledger, Refusal
from rackwatt.collector.ledger.upkeep import ENDED, EXTENDED, MAINTENANCE, STARTED
from rackwatt.collector.ledger.verify import verify

NOW = BEGIN + HOUR


def booked(path: Path) -> Ledger:
    book = ledger(path)
    book.apply(hour_of(range(0, 1300, 10)), 1)
    book.close_intervals(BEGIN + 21 * MINUTE)
    return book


def act(book: Ledger, name: str, minute: int = 0, **data: Any) -> None:
    book.record_act(name, data, "A. Amrani", "filters", BEGIN + minute * MINUTE)
    book.book_again()


def start(book: Ledger, asset: str, minute: int, until: int = 60) -> None:
    times = {"start_ms": BEGIN + minute * MINUTE, "until_ms": BEGIN + until * MINUTE}
    act(book, STARTED, minute, asset=asset, **times)


def end(book: Ledger, asset: str, minute: int) -> None:
    act(book, ENDED, minute, asset=asset, end_ms=BEGIN + minute * MINUTE)


def marked(book: Ledger) -> list[int]:
    """The minutes that bear the flag."""
    rows = book.rows(BEGIN, BEGIN + HOUR)
    return [(r.start_ms - BEGIN) // MINUTE for r in rows if MAINTENANCE in r.data["metering"]]


def test_rows_are_marked_as_long_as_something_is_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = booked(path)
    assert marked(book) == []
    start(book, "ups-a", 22)
    book.apply(hour_of(range(1300, 3700, 10)), 2)
    book.close_intervals(BEGIN + 31 * MINUTE)
    assert marked(book) == list(range(22, 30))
    start(book, "cdu-a1", 30)
    end(book, "ups-a", 35)
    end(book, "cdu-a1", 40)
    book.close_intervals(BEGIN + 61 * MINUTE)
    assert marked(book) == list(range(22, 40)), "the planned end means nothing to the books"
    book.close()
    site = SiteFactors(shipped(), "MA")
    found = verify(path, site=PLAIN, factors=site)
    assert found.sound, found.findings
    assert found.from_inputs == 60


def test_what_is_said_late_is_booked_again_with_its_author(tmp_path: Path) -> None:
    book = booked(tmp_path / "ledger.db")
    start(book, "ups-a", 5)
    assert marked(book) == list(range(5, 20))
    row = book.revisions(BEGIN + 5 * MINUTE)[-1]
    assert (row.cause, row.author, row.revision) == ("maintenance", "A. Amrani", 2)
    assert row.data["sources"] == book.revisions(BEGIN + 5 * MINUTE)[0].data["sources"]
    end(book, "ups-a", 10)
    assert marked(book) == list(range(5, 10))
    assert book.restatements() == 25
    start(book, "cdu", 15)
    end(book, "cdu", 12)
    assert marked(book) == list(range(5, 10)), "ended before its start: it never was"
    book.close()


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        (ENDED, {"asset": "ups-b", "end_ms": NOW}, "ups-b is not out"),
        (EXTENDED, {"asset": "ups-b", "until_ms": NOW}, "ups-b is not out"),
        (
            STARTED,
            {"asset": "ups-a", "start_ms": NOW, "until_ms": NOW + 1},
            "by A. Amrani: filters",
        ),
        (STARTED, {"asset": "x", "start_ms": NOW, "until_ms": NOW}, "ends after its start"),
        (STARTED, {"asset": "x", "start_ms": 1.5, "until_ms": NOW}, "in whole ms"),
        (STARTED, {"asset": "", "start_ms": 1, "until_ms": NOW}, "has an asset"),
        (ENDED, {"asset": "ups-a"}, "in whole ms"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, data: dict[str, Any], text: str) -> None:
    book = ledger()
    start(book, "ups-a", 10)
    with pytest.raises(Refusal, match=text):
        book.record_act(name, data, "B", "because", NOW)
    assert [one.asset for one in book.outages()] == ["ups-a"]
    book.close()


def test_a_final_month_stays_as_it_is(tmp_path: Path) -> None:
    book = booked(tmp_path / "ledger.db")
    book._meta.set("final", BEGIN + 10 * MINUTE)
    with pytest.raises(Refusal, match="the books are final"):
        start(book, "ups-a", 5)
    assert book.outages() == []
    start(book, "ups-a", 12)
    assert marked(book) == list(range(12, 20))
    book.close()


def test_times_of_an_outage() -> None:
    book = ledger()
    start(book, "ups-a", 10, until=20)
    act(book, EXTENDED, 11, asset="ups-a", until_ms=BEGIN + 30 * MINUTE)
    (one,) = book.outages()
    at = [BEGIN + minute * MINUTE for minute in (5, 10, 29, 30)]
    assert [one.planned(t) for t in at] == [True, False, False, False]
    assert [one.out(t) for t in at] == [False, True, True, True]
    assert [one.overdue(t) for t in at] == [False, False, False, True]
    end(book, "ups-a", 40)
    (one,) = book.outages()
    assert (one.end_ms, one.ended_by, one.ended_why) == (at[1] + HOUR // 2, "A. Amrani", "filters")
    assert not one.overdue(BEGIN + HOUR)
    assert not one.out(BEGIN + HOUR)
    book.close()
