# SPDX-License-Identifier: Apache-2.0
"""Attribution in the journal: when a quarter hour closes, and when what it rests on moves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from collector.books import BEGIN, HOUR, MINUTE, Meter, Site, hour_of, ledger, record

from rackwatt.collector.accounting.vocabulary import total
from rackwatt.collector.ledger import Ledger, LedgerRow
from rackwatt.collector.ledger.counters import CounterRecord
from rackwatt.collector.ledger.dirty import QUARTER_MS
from rackwatt.collector.ledger.verify import verify

NOW = BEGIN + HOUR + 30_000


class Halves:
    """Gives two tenants the half of everything; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.note = ""

    def row(self, quarter_start_ms: int, rows: Sequence[LedgerRow]) -> dict[str, Any]:
        self.asked.append(quarter_start_ms)
        load, it = (total(row.data[name] for row in rows) for name in ("load", "it"))
        half = {
            "load": None if load is None else load / 2,
            "it": None if it is None else it / 2,
        }
        return {"load": load, "it": it, "tenants": {"a": half, "b": half}, "note": self.note}


def booked(path: Path, halves: Halves) -> Ledger:
    book = ledger(path)
    book.attribute(halves)
    silent = BEGIN + 4 * MINUTE
    every = hour_of(range(0, 3700, 10))
    records = [r for r in every if r.device != "i" or r.time_ms >= silent]
    for at in range(0, 3700, 60):
        low, high = BEGIN + at * 1000, BEGIN + (at + 60) * 1000
        book.apply([r for r in records if low <= r.time_ms < high], at)
        book.close_intervals(high)
    book.close_intervals(NOW)
    return book


def entries(book: Ledger) -> list[tuple[int, int, str, str]]:
    return [
        ((e.start_ms - BEGIN) // QUARTER_MS, e.revision, e.cause, e.author)
        for e in book.entries(0, 10_000)
        if e.kind == "attribution"
    ]


def test_quarter_hours_are_attributed_when_they_close_and_when_they_change(tmp_path: Path) -> None:
    path, halves = tmp_path / "ledger.db", Halves()
    book = booked(path, halves)
    assert entries(book) == [(quarter, 1, "closed", "rackwatt") for quarter in range(4)]
    assert verify(path).findings == []
    # Late data waits for the next quarter hour to close: one revision, not one a second.
    book.apply(hour_of(range(0, 100, 10)), 1)
    assert book.close_intervals(NOW).restated > 0
    assert len(entries(book)) == 4
    assert verify(path).findings == []
    book.apply(hour_of(range(3700, 4600, 10)), 2)
    book.close_intervals(BEGIN + HOUR + QUARTER_MS + 30_000)
    assert entries(book)[4:] == [(0, 2, "late_data", "rackwatt"), (4, 1, "closed", "rackwatt")]
    book.restate(BEGIN + 20 * MINUTE, BEGIN + 21 * MINUTE, "ana", "another tenant", NOW)
    halves.note = "another tenant"
    book.close_intervals(BEGIN + HOUR + QUARTER_MS + 30_000)
    assert entries(book)[6:] == [(1, 2, "restated", "ana")]
    assert set(book.attributions(BEGIN, NOW)) == {BEGIN + n * QUARTER_MS for n in range(5)}
    assert book.verify() is None
    assert verify(path).findings == []
    book.close()


def test_counters_have_their_quarter_hours_attributed_again(tmp_path: Path) -> None:
    halves = Halves()
    book = booked(tmp_path / "ledger.db", halves)
    at = BEGIN + 20 * MINUTE
    halves.asked.clear()
    book.apply([], 1, counters=[CounterRecord("r1-n1/GPU-1", at, 5.0, at)])
    book.restate(BEGIN + 50 * MINUTE, BEGIN + 51 * MINUTE, "ana", "now", NOW)
    book.book_again()
    assert halves.asked == [BEGIN + QUARTER_MS, BEGIN + 3 * QUARTER_MS]
    assert len(entries(book)) == 4, "the text is what it was"
    book.close()


def test_parts_that_do_not_add_up_are_found(tmp_path: Path) -> None:
    path, halves = tmp_path / "ledger.db", Halves()
    book = booked(path, halves)

    def wrong(quarter_start_ms: int, rows: Sequence[LedgerRow]) -> dict[str, Any]:
        return {"load": 10.0, "it": 4.0, "tenants": {"a": {"load": 9.0, "it": 4.0}}}

    halves.row = wrong  # type: ignore[method-assign]
    book.restate(BEGIN, BEGIN + MINUTE, "ana", "to break it", NOW)
    book.book_again()
    book.close()
    messages = [finding.message for finding in verify(path).findings]
    assert messages[0] == "the load of its tenants adds up to 9 Wh, not 10 Wh"
    assert messages[1].startswith("its it is not the sum of its intervals, ")
    assert len(messages) == 3


@pytest.mark.parametrize("late", [False, True])
def test_a_late_power_of_the_meter_above_restates_the_gap_below(late: bool) -> None:
    """The parent's power gives a silent meter's register step its shape."""
    meters = {"i": Meter(parent="u"), "u": Meter()}
    book = ledger(site=Site({"it": ("i",)}, meters=meters))
    own = [record("i", s, energy_import_watt_hours=float(s)) for s in (0, 10, 600, 610, 620)]
    above = [record("u", s, power_watts=1000.0 if s < 300 else 3000.0) for s in range(0, 630, 10)]
    book.apply(own if late else own + above, 1)
    book.close_intervals(BEGIN + 11 * MINUTE)
    if late:
        flat = [row.data["it"] for row in book.rows(0, BEGIN + 10 * MINUTE)]
        assert flat == pytest.approx([60.0] * 10, rel=0.1)
        book.apply(above, 2)
        book.close_intervals(BEGIN + 11 * MINUTE)
    shape = [row.data["it"] for row in book.rows(BEGIN + MINUTE, BEGIN + 9 * MINUTE)]
    assert shape[0] == pytest.approx(30.0, rel=0.05)
    assert shape[-1] == pytest.approx(90.0, rel=0.05)
    book.close()
