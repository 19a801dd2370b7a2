# SPDX-License-Identifier: Apache-2.0
"""The book of record: exactly once, closed on time, restated when late, never overwritten."""

import sqlite3
from collections.abc import Iterator
from math import fsum
from pathlib import Path

import pytest
from collector.books import (
    BEGIN,
    HOUR,
    MINUTE,
    data,
    hour_of,
    ledger,
    record,
    rows,
)

from rackwatt.collector.ledger import InputRecord, Ledger


@pytest.fixture
def book() -> Iterator[Ledger]:
    opened = ledger()
    yield opened
    opened.close()


def test_an_interval_closes_thirty_seconds_after_its_end(book: Ledger) -> None:
    assert book.close_intervals(BEGIN + HOUR).closed_through_ms is None
    assert book.battery_state() is None
    book.apply(hour_of(range(0, 100, 10)), 7)
    assert book.close_intervals(BEGIN + 89_999).closed == 0
    done = book.close_intervals(BEGIN + 90_000)
    assert (done.closed, done.restated, done.closed_through_ms) == (1, 0, BEGIN + MINUTE)
    assert book.close_intervals(BEGIN + 90_000).closed == 0
    assert book.cursor() == 7
    assert book.cursor("other") is None


def test_a_row_holds_the_interval(book: Ledger) -> None:
    book.apply(hour_of(range(0, 100, 10)), 1)
    book.close_intervals(BEGIN + 90_000)
    row = data(book)
    assert row["sources"] == pytest.approx({"grid": 1000 / 60, "pv": 500 / 60})
    assert row["charge"] == pytest.approx(5.0)
    assert row["discharge"] == 0.0
    assert row["load"] == pytest.approx(20.0)
    assert row["residual"] == pytest.approx(0.0, abs=1e-9)
    assert row["shares"]["pv"] == pytest.approx(1 / 3)
    assert row["battery"]["stock"]["pv"] == pytest.approx(1.5)
    assert row["boundary"] == pytest.approx(25.0 - 4.5)
    assert row["completeness"] == 1.0
    assert row["pue_category"] == 2
    state, at = book.battery_state() or (None, 0)
    assert state is not None
    assert state.watt_hours == pytest.approx(4.5)
    assert at == BEGIN + MINUTE


def test_an_interval_closes_incomplete(book: Ledger) -> None:
    records = [r for r in hour_of(range(0, 100, 10)) if r.device != "p"]
    book.apply(records, 1)
    book.close_intervals(BEGIN + 90_000)
    assert data(book)["shares"] is None
    assert data(book)["sources"]["pv"] is None
    assert data(book)["completeness"] == pytest.approx(4 / 5)


def test_late_data_restates_and_moves_through_the_battery(book: Ledger) -> None:
    late = [r for r in hour_of(range(70, 110, 10)) if r.device == "p"]
    others = [r for r in hour_of(range(0, 400, 10)) if r not in late]
    book.apply(others, 1)
    book.close_intervals(BEGIN + 390_000)
    before = rows(book)
    book.apply(late, 2)
    done = book.close_intervals(BEGIN + 390_000)
    # The register bridged the gap: totals stand, and so do the rows after it.
    assert done.restated <= 2
    lost = [r for r in hour_of(range(120, 400, 10)) if r.device == "p"]
    other = ledger()
    other.apply([r for r in others if r not in lost], 1)
    other.close_intervals(BEGIN + 390_000)
    assert data(other, 3)["shares"] is None
    other.apply([*late, *lost], 2)
    done = other.close_intervals(BEGIN + 390_000)
    assert done.restated >= 4
    assert done.restated == other.restatements()
    assert [text for _, text in rows(other)] == [text for _, text in rows(book)]
    assert len(before) == 6
    causes = [row.cause for row in other.revisions(BEGIN + 3 * MINUTE)]
    assert other.revisions(BEGIN)[0].end_ms == BEGIN + MINUTE
    assert causes == ["closed", "late_data"]
    assert other.verify() is None
    other.close()


def test_a_change_is_carried_through_the_battery_across_hours() -> None:
    """A late PV reading of minute 50 changes the stock in every interval after it."""
    seconds = range(0, 2 * 3600 + 100, 10)
    records = hour_of(seconds)
    missing = [r for r in records if r.device == "p" and r.time_ms <= BEGIN + 55 * MINUTE]
    book, straight = ledger(), ledger()
    straight.apply(records, 1)
    book.apply([r for r in records if r not in missing], 1)
    now = BEGIN + 2 * HOUR + 30_000
    straight.close_intervals(now)
    book.close_intervals(now)
    assert rows(book) != rows(straight)
    book.apply(missing, 2)
    book.close_intervals(now)
    assert rows(book) == rows(straight)
    last = book.revisions(BEGIN + 2 * HOUR - MINUTE)
    assert [row.cause for row in last] == ["closed", "battery"]
    book.close()
    straight.close()


def test_what_was_there_changes_nothing(book: Ledger) -> None:
    records = hour_of(range(0, 200, 10))
    book.apply(records, 1)
    book.close_intervals(BEGIN + 150_000)
    head = book.head()
    book.apply(records, 1)
    assert book.close_intervals(BEGIN + 150_000).restated == 0
    assert book.head() == head


def test_of_two_values_for_one_place_the_greater_stays() -> None:
    one, other = ledger(), ledger()
    low, high = record("g", 0, power_watts=1.0), record("g", 0, power_watts=2.0)
    rest = hour_of(range(10, 100, 10))
    one.apply([low, high, *rest], 1)
    other.apply([*rest, high, low], 1)
    for book in (one, other):
        book.close_intervals(BEGIN + 90_000)
    assert rows(one) == rows(other)
    one.close()
    other.close()


def test_earlier_data_than_the_first_opens_earlier_intervals() -> None:
    records = hour_of(range(0, 400, 10))
    late, first = records[: 4 * 20], records[4 * 20 :]
    book, straight = ledger(initial=100.0), ledger(initial=100.0)
    straight.apply(records, 1)
    straight.close_intervals(BEGIN + 390_000)
    book.apply(first[4 * 5 :], 1)
    book.apply(first[: 4 * 5], 2)
    book.close_intervals(BEGIN + 390_000)
    book.apply(late, 3)
    book.close_intervals(BEGIN + 390_000)
    assert rows(book) == rows(straight)
    book.close()
    straight.close()


def test_a_crash_leaves_whole_steps(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = ledger(path)
    book.apply(hour_of(range(0, 100, 10)), 5)

    def failing() -> Iterator[InputRecord]:
        yield record("g", 100, power_watts=1.0)
        msg = "power cut"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="power cut"):
        book.apply(failing(), 6)
    bad = InputRecord("x", BEGIN + 100_000, {"power_watts": object()}, BEGIN)  # type: ignore[dict-item]
    with pytest.raises(sqlite3.Error):
        book.apply([record("new", 100, power_watts=1.0), bad], 6)
    assert book.cursor() == 5
    book.close()
    again = ledger(path)
    assert again.cursor() == 5
    again.apply([record("new", 100, power_watts=1.0)], 6)
    again.apply(hour_of(range(100, 160, 10)), 7)
    assert again.close_intervals(BEGIN + 150_000).closed == 2
    assert data(again, 1)["completeness"] == 1.0
    again.close()


def test_the_journal_is_append_only_and_chained(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = ledger(path)
    book.apply(hour_of(range(0, 200, 10)), 1)
    book.close_intervals(BEGIN + 150_000)
    assert book.verify() is None
    book.close()
    forger = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.Error, match="append-only"):
        forger.execute("UPDATE journal SET row = '{}'")
    with pytest.raises(sqlite3.Error, match="append-only"):
        forger.execute("DELETE FROM journal")
    forger.execute("DROP TRIGGER journal_no_update")
    forger.execute("UPDATE journal SET row = replace(row, '0.0', '0.1') WHERE seq = 2")
    forger.close()
    book = ledger(path)
    assert book.verify() == 2
    book.close()


def test_an_empty_journal_is_whole(book: Ledger) -> None:
    assert book.verify() is None
    assert book.head() == "0" * 64
    assert list(book.rows(0, 2**60)) == []


def test_a_reading_from_the_future_is_kept_but_not_booked(book: Ledger) -> None:
    book.apply(hour_of(range(0, 100, 10)), 1)
    ahead = InputRecord("p", BEGIN + 900_000, {"energy_import_watt_hours": 9e9}, BEGIN + 99_000)
    book.apply([ahead], 2)
    done = book.close_intervals(BEGIN + 90_000)
    assert done.closed == 1
    assert data(book)["sources"]["pv"] == pytest.approx(500 / 60)


def test_readings_of_a_clock_that_is_off_wait_for_release(book: Ledger) -> None:
    records = hour_of(range(0, 160, 10))
    off = [
        InputRecord(r.device, r.time_ms, r.values, r.received_ms, r.device != "p") for r in records
    ]
    book.apply(off, 1)
    book.close_intervals(BEGIN + 150_000)
    assert data(book)["sources"]["pv"] is None
    done = book.release("", BEGIN, BEGIN + HOUR, 0, "ana", "the clock was right")
    assert (done.readings, done.first_ms, done.last_ms) == (16, BEGIN, BEGIN + 150_000)
    assert book.close_intervals(BEGIN + 150_000).restated == 2
    assert data(book)["sources"]["pv"] == pytest.approx(500 / 60)
    last = book.revisions(BEGIN)[-1]
    assert (last.cause, last.author) == ("released", "ana")


def test_a_held_value_gives_way_to_the_same_reading_received_again(book: Ledger) -> None:
    (reading,) = [r for r in hour_of([0]) if r.device == "p"]
    wrong = InputRecord("p", reading.time_ms, {"power_watts": 9e9}, 0)
    book.apply([wrong, reading, wrong], 1)
    book.apply(hour_of(range(0, 100, 10)), 2)
    book.close_intervals(BEGIN + 90_000)
    assert data(book)["sources"]["pv"] == pytest.approx(500 / 60)


def test_fields_that_the_books_do_not_use_are_not_kept(book: Ledger) -> None:
    book.apply([record("g", 0, voltage_volts=230.0, power_watts=None)], 1)
    assert book.close_intervals(BEGIN + HOUR).closed_through_ms is None


def test_a_stale_stock_is_anchored_to_the_state_of_charge(book: Ledger) -> None:
    records = hour_of(range(0, 280, 10))
    blind = [r for r in records if not (r.device == "b" and r.time_ms >= BEGIN + 60_000)]
    book.apply(blind, 1)
    book.close_intervals(BEGIN + 150_000)
    assert data(book, 1)["battery"]["stale"]
    book.apply([record("b", 178, state_of_charge_ratio=0.25)], 2)
    book.close_intervals(BEGIN + 210_000)
    assert data(book, 2)["measured_stock"] == 250.0
    assert not data(book, 2)["battery"]["stale"]
    assert fsum(data(book, 2)["battery"]["stock"].values()) == pytest.approx(250.0)


def test_a_stock_that_nobody_declared_is_initial_once_it_is_measured(book: Ledger) -> None:
    """It is no change and no loss, of unknown origin, and has the grid's factors."""
    book.apply(hour_of(range(0, 160, 10)), 1)
    # The first minute stores 4.5 Wh.
    book.apply([record("b", 58, state_of_charge_ratio=0.5045)], 2)
    book.close_intervals(BEGIN + 150_000)
    row = data(book)
    assert row["flags"] == ["initial_stock"]
    assert row["stock_change"] == pytest.approx(4.5)
    assert row["boundary"] == pytest.approx(25.0 - 4.5)
    assert row["battery"]["stock"]["unknown"] == pytest.approx(500.0)
    assert row["battery"]["stock"]["pv"] == pytest.approx(1.5)
    grid = row["grid_factors"]["direct"]
    # Of the 5 Wh that were charged two thirds came from the grid.
    assert row["battery"]["carbon"]["operational"] == pytest.approx((0.5 + 0.01 / 3) * grid)
    assert "initial_stock" not in data(book, 1)["flags"]


def test_a_declared_stock_is_flagged_where_the_books_begin() -> None:
    book = ledger(initial=300.0)
    book.apply(hour_of(range(0, 160, 10)), 1)
    book.close_intervals(BEGIN + 150_000)
    assert data(book)["flags"] == ["initial_stock"]
    assert data(book, 1)["flags"] == []
    book.close()
