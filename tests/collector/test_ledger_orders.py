# SPDX-License-Identifier: Apache-2.0
"""Decisions while an accountant writes: placed by a command, carried out once, signed."""

import sqlite3
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE, data, decided, hour_of, ledger

from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    LedgerBusy,
    Refusal,
    look_up,
    place_order,
)

NOW = BEGIN + HOUR


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def opened(path: Path) -> Ledger:
    book = ledger(path)
    records = hour_of(range(0, 700, 10))
    off = [
        InputRecord(r.device, r.time_ms, r.values, r.received_ms, r.device != "p", "meters")
        for r in records
    ]
    book.apply(off, 1)
    book.close_intervals(BEGIN + 11 * MINUTE)
    return book


def test_there_is_one_writer(path: Path) -> None:
    book = opened(path)
    with pytest.raises(LedgerBusy, match="being written by an accountant"):
        ledger(path)
    book.close()
    ledger(path).close()


def test_orders_are_carried_out_once_and_signed(path: Path) -> None:
    book = opened(path)
    span = {"start_ms": BEGIN, "end_ms": BEGIN + HOUR}
    release = {"agent": "meters", "shift_ms": 0, **span}
    move = {"name": "site_move", "data": {"device": "r1", "to": "hall-a/row-1/rack-2"}}
    numbers = [
        place_order(path, "release", release, "ana", "the clock was right", NOW),
        place_order(path, "release", release, "ana", "again", NOW),
        place_order(path, "act", move, "bob", "was moved", NOW),
        place_order(path, "restate", span, "bob", "to be sure", NOW),
        place_order(path, "restate", {"start_ms": 0, "end_ms": 5}, "bob", "oops", NOW),
        place_order(path, "restate", {"start": 0}, "bob", "oops", NOW),
        place_order(path, "act", move, "", "no author", NOW),
        place_order(path, "dance", {}, "bob", "why not", NOW),
    ]
    waiting = look_up(path, numbers[0])
    assert waiting is not None
    assert (waiting.state, waiting.outcome) == ("waiting", None)
    done = book.carry_out_orders(NOW)
    assert [order.state for order in done] == ["done", "refused", "done", "done"] + ["refused"] * 4
    assert done[0].outcome == {"readings": 70, "first_ms": BEGIN, "last_ms": BEGIN + 690_000}
    for order, text in [
        (done[1], "no reading of agent meters is held"),
        (done[4], "no closed interval lies between 0 and 5"),
        (done[5], "'restate' is not complete"),
        (done[6], "an author and a reason"),
        (done[7], "no order 'dance'"),
    ]:
        assert text in order.outcome["error"]
    assert look_up(path, numbers[3]) == done[3]
    assert look_up(path, 99) is None
    assert book.carry_out_orders(NOW) == []
    book.close_intervals(BEGIN + 11 * MINUTE)
    assert data(book)["sources"]["pv"] == pytest.approx(500 / 60)
    assert book.revisions(BEGIN)[-1].author == "bob", "what was said last stands for it"
    assert [(act.name, act.author) for act in decided(book)] == [
        ("release", "ana"),
        ("site_move", "bob"),
        ("restate", "bob"),
    ]
    assert book.verify() is None
    book.close()


def test_a_crash_in_an_order_leaves_it_waiting(path: Path) -> None:
    book = opened(path)
    move = {"name": "site_move", "data": {"device": "r1"}}
    number = place_order(path, "act", move, "bob", "was moved", NOW)
    book._db.execute(
        "CREATE TRIGGER broken BEFORE UPDATE ON orders BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.Error, match="full"):
        book.carry_out_orders(NOW)
    assert decided(book) == []
    book._db.execute("DROP TRIGGER broken")
    assert book.carry_out_orders(NOW)[0].number == number
    assert len(decided(book)) == 1
    book.close()


def test_a_restatement_by_the_ledger_itself(path: Path) -> None:
    book = opened(path)
    with pytest.raises(Refusal, match="no closed interval"):
        book.restate(BEGIN + HOUR, BEGIN + 2 * HOUR, "ana", "too early", NOW)
    head = book.head_seq()
    book.restate(BEGIN + 30_000, BEGIN + 3 * MINUTE + 1, "ana", "to be sure", NOW)
    assert book.waiting() == 2
    assert book.book_again().restated == 0, "nothing came out otherwise"
    assert book.head_seq() == head + 1
    (act,) = book.acts("restate")
    assert act.data == {"start_ms": BEGIN + MINUTE, "end_ms": BEGIN + 3 * MINUTE}
    (entry,) = book.entries(head, 10)
    assert (entry.kind, entry.cause, entry.author) == ("act", "restate", "ana")
    book.close()


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("month_final", {}, "what the ledger itself records"),
        ("reconcile", {"start_ms": 1, "end_ms": 2}, "start_ms, end_ms, ratio, all of them numbers"),
        ("reconcile", {"start_ms": 1, "end_ms": 2, "ratio": True}, "all of them numbers"),
    ],
)
def test_acts_that_nobody_may_record(
    path: Path, name: str, found: dict[str, object], text: str
) -> None:
    book = opened(path)
    with pytest.raises(Refusal, match=text):
        book.record_act(name, found, "ana", "why not", NOW)
    assert decided(book) == []
    book.close()


def test_much_work_is_done_in_pieces(path: Path) -> None:
    book = ledger(path)
    book.apply(hour_of(range(0, 5 * 3600, 30)), 1)
    now = BEGIN + 5 * HOUR
    assert book.close_intervals(now, hours=2).closed == 120
    assert book.close_intervals(now, hours=2).closed == 120
    assert book.close_intervals(now, hours=9).closed == 59
    book.restate(BEGIN, now, "ana", "to be sure", now)
    book.close_intervals(now, hours=3)
    assert book.waiting() == 2 * 60 - 1
    book.close()
