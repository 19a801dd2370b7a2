# SPDX-License-Identifier: Apache-2.0
"""Months of the site's calendar: closed, kept from being final, final, opened again."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from collector.books import HOUR, MINUTE, PARAMETERS, PLAIN, decided, ledger

from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.ledger import Gap, InputRecord, Ledger, LedgerReader, Month
from rackwatt.collector.ledger.verify import verify
from rackwatt.collector.ledger.zones import tz_version

CASABLANCA = ZoneInfo("Africa/Casablanca")
DAY = 24 * HOUR


def local(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=CASABLANCA).timestamp() * 1000)


END = local("2026-02-01")
"""End of January, local time (UTC+1): what follows begins three hours before."""
BEGIN = END - 3 * HOUR
THROUGH = END + 5 * HOUR
LATER = END + DAY


def readings(skip: range = range(0)) -> list[InputRecord]:
    found: list[InputRecord] = []
    for at in range(BEGIN, THROUGH + 2 * MINUTE, MINUTE):
        hours = (at - BEGIN) / HOUR
        for device, values in {
            "g": {"energy_import_watt_hours": 1000.0 * hours},
            "p": {"energy_import_watt_hours": 500.0 * hours},
            "i": {"energy_import_watt_hours": 1200.0 * hours},
            "b": {
                "energy_charge_watt_hours": 300.0 * min(hours, 4.0),
                "energy_discharge_watt_hours": 200.0 * max(hours - 4.0, 0.0),
            },
        }.items():
            if not (device == "p" and at in skip):
                found.append(InputRecord(device, at, values, at + 500, agent="meters"))
    return found


def late() -> list[InputRecord]:
    """The meter's readings that lie in the last hour of January."""
    gone = range(END - HOUR, END - 5 * MINUTE)
    return [r for r in readings() if r.device == "p" and r.time_ms in gone]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger(tmp_path / "ledger.db", PLAIN)
    opened.apply(readings(range(END - HOUR, END - 5 * MINUTE)), 1)
    opened.close_intervals(THROUGH + MINUTE)
    yield opened
    opened.close()


def january(book: Ledger, now_ms: int = LATER, gaps: tuple[Gap, ...] = ()) -> Month:
    return book.months(CASABLANCA, gaps, now_ms=now_ms)[0]


def test_months_follow_the_sites_calendar(book: Ledger) -> None:
    first, second = book.months(CASABLANCA, now_ms=THROUGH)
    assert (first.label, first.end_ms) == ("2026-01", END)
    assert first.start_ms == local("2026-01-01")
    assert (second.label, second.state) == ("2026-02", "open")
    # Morocco leaves UTC+1 for Ramadan: 673 hours.
    assert second.end_ms - second.start_ms == 673 * HOUR
    assert first.state == "closed"
    assert first.reasons == ("agents may still send what is 24 h old",)
    assert second.reasons[:2] == ("it has not ended in the books", "2026-01 is not final")
    empty = ledger()
    assert empty.months(CASABLANCA, now_ms=THROUGH) == []
    empty.settle_months(THROUGH, CASABLANCA)
    empty.close()


def test_a_month_becomes_final_once_nothing_more_is_expected(book: Ledger) -> None:
    book.settle_months(LATER - 1, CASABLANCA)
    book.settle_months(LATER - 1, CASABLANCA)
    assert january(book, LATER - 1).state == "closed"
    (closed,) = book.acts("month_closed")
    assert closed.data["month"] == "2026-01"
    assert closed.data["zone"] == "Africa/Casablanca"
    assert closed.data["tz_version"] == tz_version(CASABLANCA)
    lost = Gap("meters", END - HOUR, END, lost=True)
    book.settle_months(LATER, CASABLANCA, [lost])
    book.settle_months(LATER + HOUR, CASABLANCA, [lost])
    assert january(book).state == "final"
    assert january(book).reasons == ()
    assert january(book).tz_version == closed.data["tz_version"]
    (final,) = book.acts("month_final")
    assert final.data["lost"] == [{"agent": "meters", "start_ms": END - HOUR, "end_ms": END}]
    assert final.time_ms == LATER
    assert book.final_through_ms() == END


@pytest.mark.parametrize(
    ("gap", "blocks"),
    [
        (Gap("m-1"), True),
        (Gap("m-1", END - HOUR, END), True),
        (Gap("m-1", END, None), False),
        (Gap("m-1", 0, BEGIN - 40 * DAY), False),
        (Gap("m-1", END - HOUR, END, lost=True), False),
    ],
)
def test_an_open_gap_keeps_a_month_from_being_final(book: Ledger, gap: Gap, blocks: bool) -> None:
    reasons = january(book, gaps=(gap,)).reasons
    assert reasons == (("messages of agent m-1 are missing",) if blocks else ())


def test_held_readings_keep_a_month_from_being_final(book: Ledger) -> None:
    at = END - HOUR
    book.apply([InputRecord("p", at, {"power_watts": 1.0}, at, trusted=False, agent="roof")], 2)
    assert january(book).reasons == (
        "readings of agent roof are held for their clock: release them",
    )
    book.settle_months(LATER, CASABLANCA)
    assert january(book).state == "closed"


def test_data_that_waits_keeps_a_month_from_being_final(book: Ledger) -> None:
    book.apply(late(), 2)
    assert january(book).reasons == ("late data waits to be booked",)


def test_an_invoice_that_is_off_keeps_a_month_from_being_final(book: Ledger) -> None:
    data = {"start_ms": local("2026-01-01"), "end_ms": END, "ratio": 100_000 / 99_400}
    book.record_act("reconcile", data, "ana", "invoice 4711", LATER)
    assert january(book).reasons == ("the invoice is off by 0.60 %, more than 0.5 %",)
    book.record_act("reconcile", data | {"ratio": 1.004}, "ana", "invoice 4711 b", LATER)
    assert january(book).reasons == ()


def test_data_for_a_final_month_is_kept_and_recorded_but_not_booked(book: Ledger) -> None:
    book.settle_months(LATER, CASABLANCA)
    before = [row.text for row in book.rows(0, END)]
    book.apply(late(), 2)
    assert book.close_intervals(THROUGH + MINUTE).restated == 0
    assert [row.text for row in book.rows(0, END)] == before
    (act,) = book.acts("late_after_final")
    assert act.data["devices"] == ["p"]
    assert act.data["start_ms"] == END - HOUR - 2 * MINUTE
    assert act.data["end_ms"] == END - 4 * MINUTE
    book.apply(late(), 3)
    assert len(book.acts("late_after_final")) == 1, "what is known already is no news"


def test_a_restatement_opens_a_final_month_again(book: Ledger, tmp_path: Path) -> None:
    straight = ledger(site=PLAIN)
    straight.apply(readings(), 1)
    straight.close_intervals(THROUGH + MINUTE)
    book.settle_months(LATER, CASABLANCA)
    book.apply(late(), 2)
    book.close_intervals(THROUGH + MINUTE)
    factors = SiteFactors(shipped(), "MA")
    found = verify(tmp_path / "ledger.db", site=PLAIN, factors=factors, battery=PARAMETERS)
    assert found.findings == [], "what came too late is no change of the books"
    book.restate(END - 2 * HOUR, END, "ana", "the meter was found", LATER + HOUR)
    assert january(book).state == "closed"
    assert book.close_intervals(THROUGH + MINUTE).restated > 60
    assert [r.text for r in book.rows(0, 2**60)] == [r.text for r in straight.rows(0, 2**60)]
    row = book.revisions(END - HOUR)[-1]
    assert (row.cause, row.author) == ("restated", "ana")
    assert book.revisions(END + HOUR)[-1].cause == "battery"
    (act,) = book.acts("month_reopened")
    assert (act.author, act.reason) == ("ana", "the meter was found")
    book.settle_months(LATER + HOUR, CASABLANCA)
    assert january(book).state == "final"
    names = [act.name for act in decided(book)]
    assert names == [
        "month_closed",
        "month_final",
        "late_after_final",
        "month_reopened",
        "restate",
        "month_final",
    ]
    found = verify(tmp_path / "ledger.db", site=PLAIN, factors=factors, battery=PARAMETERS)
    assert found.findings == []
    straight.close()


def test_a_closed_month_keeps_its_span_and_a_reader_sees_it(book: Ledger, tmp_path: Path) -> None:
    book.settle_months(LATER, CASABLANCA)
    with LedgerReader(tmp_path / "ledger.db") as reader:
        first, second = reader.months(ZoneInfo("UTC"), now_ms=LATER)
        assert (first.state, first.end_ms) == ("final", END)
        # What was closed by other rules stays as it was; the next month begins where it ended.
        assert second.start_ms == END
        assert reader.first_ms() == BEGIN
        assert reader.closed_through_ms() == THROUGH
        assert reader.waiting() == 0
