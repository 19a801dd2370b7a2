# SPDX-License-Identifier: Apache-2.0
"""Two hours withheld and delivered late; a clock that is wrong; a process that is killed."""

import sqlite3
from collections.abc import Iterator
from math import sin
from pathlib import Path
from random import Random
from typing import Any

import pytest
from collector.books import BEGIN, HOUR, MINUTE, data, ledger, record, rows

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.ledger import InputRecord, Ledger, Refusal
from rackwatt.collector.ledger.journal import Booking
from rackwatt.collector.ledger.rules import Rules

HOURS = 6
NOW = BEGIN + HOURS * HOUR + 30_000


def cycling() -> list[InputRecord]:
    """Six hours in which the sun goes up and down and the battery is charged and discharged."""
    found: list[InputRecord] = []
    counted = dict.fromkeys(("grid", "pv", "charge", "discharge", "it"), 100.0)
    for s in range(-20, HOURS * 3600 + 40, 20):
        pv = max(0.0, 900.0 * sin(s / 5000))
        surplus = pv - 500.0
        charge, discharge = max(surplus, 0.0), max(-surplus, 0.0) * 0.5
        powers = {
            "grid": 1000.0 - pv + charge - discharge,
            "pv": pv,
            "charge": charge,
            "discharge": discharge,
            "it": 1000.0,
        }
        for name, watts in powers.items():
            counted[name] += watts * 20 / 3600
        found += [
            record("g", s, power_watts=powers["grid"], energy_import_watt_hours=counted["grid"]),
            record("p", s, power_watts=pv, energy_import_watt_hours=counted["pv"]),
            record(
                "b",
                s,
                power_charge_watts=charge,
                power_discharge_watts=discharge,
                energy_charge_watt_hours=counted["charge"],
                energy_discharge_watt_hours=counted["discharge"],
            ),
            record("i", s, power_watts=1000.0, energy_import_watt_hours=counted["it"]),
        ]
    return found


def in_order(records: list[InputRecord]) -> Ledger:
    """A ledger in which nothing ever was late."""
    book = ledger()
    for at in range(BEGIN, NOW + 1, 5 * MINUTE):
        book.apply([r for r in records if at - 5 * MINUTE <= r.time_ms < at], at)
        book.close_intervals(at - MINUTE)
    book.apply(records, NOW)
    book.close_intervals(NOW)
    return book


def test_two_hours_withheld_and_delivered_late_shuffled_with_duplicates() -> None:
    records = cycling()
    low, high = BEGIN + 90 * MINUTE, BEGIN + 210 * MINUTE
    withheld = [r for r in records if low <= r.time_ms < high]
    straight, late = in_order(records), in_order([r for r in records if r not in withheld])
    assert rows(late) != rows(straight)
    counted = late.restatements()
    before = {row.start_ms: row for row in late.rows(0, 2**60)}
    shuffled = withheld * 2
    Random(7).shuffle(shuffled)  # noqa: S311 - an order of arrival
    restated = 0
    for piece in range(0, len(shuffled), 211):
        late.apply(shuffled[piece : piece + 211], NOW + piece)
        if piece % 5 == 0:
            restated += late.close_intervals(NOW).restated
    restated += late.close_intervals(NOW).restated
    assert rows(late) == rows(straight)
    # All that was booked before is still there, and every restatement was counted.
    revisions = 0
    for start, row in before.items():
        kept = late.revisions(start)
        assert kept[row.revision - 1].text == row.text
        revisions += len(kept) - row.revision
    assert late.restatements() - counted == restated == revisions > 200
    last = late.revisions(BEGIN + 5 * HOUR)
    assert last[-1].cause == "battery", "the change went forward through the battery"
    assert late.verify() is None
    straight.close()
    late.close()


def test_a_clock_that_is_ten_minutes_off_is_held_listed_and_released_with_a_shift() -> None:
    records = cycling()
    straight = in_order(records)
    wrong, from_ms = 10 * MINUTE, BEGIN + 2 * HOUR
    book = ledger()
    off = [r for r in records if r.device == "p" and r.time_ms >= from_ms]
    book.apply([r for r in records if r not in off], 1)
    book.apply(
        [
            InputRecord(
                "p", r.time_ms - wrong, r.values, r.received_ms, trusted=False, agent="roof"
            )
            for r in off
        ],
        2,
    )
    book.close_intervals(NOW)
    (held,) = book.held()
    count = (HOURS * HOUR - 2 * HOUR) // 20_000 + 2
    assert (held.agent, held.device, held.readings) == ("roof", "p", count)
    assert (held.first_ms, held.last_ms) == (from_ms - wrong, BEGIN + HOURS * HOUR + 20_000 - wrong)
    assert data(book, 150)["sources"]["pv"] is None, "nothing of it is booked"
    # Sent again when the clock is right: it is still the reading with the wrong time.
    again = [InputRecord("p", r.time_ms - wrong, r.values, NOW, agent="roof") for r in off]
    before = rows(book)
    book.apply(again, 2)
    book.close_intervals(NOW)
    assert rows(book) == before
    with pytest.raises(Refusal, match=r"no reading of agent roof is held between 0 and 5; what"):
        book.release("roof", 0, 5, wrong, "ana", "why not", NOW)
    with pytest.raises(Refusal, match="held are readings of: roof"):
        book.release("rouf", 0, 2**60, wrong, "ana", "why not", NOW)
    with pytest.raises(Refusal, match="in the future"):
        book.release("roof", 0, 2**60, wrong + HOUR, "ana", "why not", NOW)
    with pytest.raises(Refusal, match="an author and a reason"):
        book.release("roof", 0, 2**60, wrong, "ana", " ", NOW)
    done = book.release("roof", 0, 2**60, wrong, "ana", "ten minutes slow, says the log", NOW)
    assert (done.readings, done.first_ms, done.last_ms) == (count, held.first_ms, held.last_ms)
    book.close_intervals(NOW)
    assert rows(book) == rows(straight)
    assert book.held() == []
    (act,) = book.acts("release")
    assert act.data == {
        "agent": "roof",
        "shift_ms": wrong,
        "readings": count,
        "first_ms": held.first_ms,
        "last_ms": held.last_ms,
    }
    assert (act.author, act.reason) == ("ana", "ten minutes slow, says the log")
    assert act.time_ms == NOW
    assert book.revisions(BEGIN + 150 * MINUTE)[-1].author == "ana"
    assert book.verify() is None
    straight.close()
    book.close()


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("die_at", [1, 2, 7, 60, 95])
def test_a_process_killed_anywhere_books_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int
) -> None:
    """It dies in the middle of transactions; what comes again is booked once."""
    records = cycling()[: 4 * 180 * 2]
    now = BEGIN + 2 * HOUR
    straight = ledger()
    straight.apply(records, 1)
    straight.close_intervals(now)
    path = tmp_path / "ledger.db"
    batches = [records[i : i + 97] for i in range(0, len(records), 97)]
    row, writes = Rules.row, 0

    def dying(self: Rules, start: int, booking: Booking, state: BatteryState) -> Any:
        nonlocal writes
        writes += 1
        if writes % 97 == die_at:
            raise Killed
        return row(self, start, booking, state)

    monkeypatch.setattr(Rules, "row", dying)
    deaths = 0
    closed_through = 0
    while closed_through < now - MINUTE:
        book = ledger(path)
        assert book.verify() is None
        done = book.cursor()
        try:
            for number, batch in enumerate(batches):
                if done is None or number > done:
                    book.apply(batch, number)
                    book.close_intervals(batch[-1].time_ms)
            book.close_intervals(now)
            closed_through = book.closed_through_ms() or 0
        except Killed:
            deaths += 1
        book.close()
    assert deaths
    monkeypatch.setattr(Rules, "row", row)
    book = ledger(path)
    assert [text for _, text in rows(book)] == [text for _, text in rows(straight)]
    assert book.restatements() == 0
    straight.close()
    book.close()


def test_cursor_and_readings_are_one_step(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = ledger(path)

    def failing() -> Iterator[InputRecord]:
        yield record("g", 0, power_watts=1.0)
        raise Killed

    with pytest.raises(Killed):
        book.apply(failing(), 5)
    book._db.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON cursors BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.Error, match="full"):
        book.apply([record("g", 0, power_watts=1.0)], 6)
    book.close()
    found = sqlite3.connect(path)
    assert found.execute("SELECT count(*) FROM inputs").fetchone() == (0,)
    assert found.execute("SELECT count(*) FROM series").fetchone() == (0,)
    found.close()
