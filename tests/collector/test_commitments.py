# SPDX-License-Identifier: Apache-2.0
"""Promises beside what is measured: site file, books, judgement, signed JSON and CSV."""

import csv
import io
import json
from collections.abc import Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from collector.command_books import SITE, steady
from starlette.applications import Starlette

from rackwatt.collector.accounting.commitments import (
    NOT_YET,
    Commitment,
    Kind,
    Measured,
    State,
    state_of,
)
from rackwatt.collector.commitments.document import COLUMNS, Books, document, rows, table
from rackwatt.collector.commitments.first_load import FirstLoads
from rackwatt.collector.commitments.measuring import stands
from rackwatt.collector.commitments.service import Commitments
from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.roles.standing import Standing, Standings
from rackwatt.collector.signing.keys import SigningKey
from rackwatt.collector.signing.sealed import check
from rackwatt.collector.site import Site, site_of
from rackwatt.collector.site.check import summary
from rackwatt.wire.config import ConfigErrors, Document

HOUR = 3_600_000
DAY = 24 * HOUR
PROMISES = """\
phases:
  - {id: phase-1, name: First phase, announced: 2025-06-01, energised: 2025-12-01, watts: 4000}
commitments:
  - {id: load, kind: capacity, value: 1000, due: 2026-12-31, published: 2025-06-01,
     source: "https://campus.example/charter", text: {en: A kilowatt, fr: Un kilowatt, ar: كيلوواط}}
  - {id: green, kind: renewable_share, value: 0.5, due: 2025-12-31, published: 2025-06-01,
     source: Annual report, text: {en: "=Half"}}
  - {id: start, kind: in_service, phase: phase-1, value: 500, due: 2026-01-02,
     published: 2025-06-01, source: Letter, text: {fr: En service}}
"""
TEXT = SITE.replace("  - {id: b, role: battery, cadence: 10s}\n", "") + PROMISES
FRAME: Mapping[str, Any] = {
    "state": "live", "load_watts": 900.0, "shares": {"renewable": 0.8, "renewable_claimable": 0.3},
    "sinks": [{"id": "it", "power_watts": 850.0}], "racks": [],
}  # fmt: skip


def site(text: str = TEXT) -> Site:
    return site_of(Document("site.yaml", text))


def ms(text: str) -> int:
    (record, *_) = steady(1.0, text, text)
    return record.time_ms


def book(folder: Path, loads: list[float], since: str = "2025-12-31T00:00+01:00") -> None:
    """Books of whole local days, each with its own load; a hundredth of it is sun."""
    first, energy = ms(since), 0.0
    found: list[InputRecord] = []
    for hour in range(24 * len(loads) + 1):
        watts = loads[min(hour // 24, len(loads) - 1)]
        for device, part in (("g", 0.99), ("p", 0.01), ("i", 1.0)):
            values = {"energy_import_watt_hours": part * energy, "power_watts": part * watts}
            found.append(
                InputRecord(device, first + hour * HOUR, values, first + hour * HOUR + 500)
            )
        energy += watts
    with closing(open_ledger(folder / "ledger.db", site())) as ledger:
        ledger.apply(found, 1)
        ledger.close_intervals(first + len(loads) * DAY + 60_000)


def read(folder: Path) -> tuple[Standings, FirstLoads]:
    standings, first = (
        Standings(site(), folder / "ledger.db"),
        FirstLoads(site(), folder / "ledger.db"),
    )
    for _ in range(40):
        standings.turn()
        first.turn()
        if standings.complete and first.complete:
            return standings, first
    raise AssertionError("the books are never read")


def test_a_site_file_says_what_was_promised() -> None:
    found = site()
    assert [one.id for one in found.commitments] == ["load", "green", "start"]
    assert found.phases[0].energised == date(2025, 12, 1)
    text = summary(found, ms("2026-01-01T00:00+00:00"))
    assert "phase phase-1: in service not yet" in text
    assert "commitment green: renewable_share, due 2025-12-31, Annual report" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value: 0.5, due", "value: 50, due", "did you mean 0.5?"),
        ("value: 0.5, due", "due", "needs 'value', in ratio"),
        ("value: 0.5, due", "value: 0.5, unit: watts, due", "is in ratio"),
        ("value: 0.5, due", "value: 0.5, phase: phase-1, due", "only 'in_service'"),
        ("phase: phase-1", "phase: phase-l", "unknown phase 'phase-l'"),
        ("due: 2025-12-31", "due: 2025-05-31", "is before it was published"),
        ("energised: 2025-12-01", "energised: 2025-05-01", "is before announced"),
        ("id: green", "id: load", "two commitments 'load'"),
        ("https://campus", "ftp://campus", "begins with https://"),
        ("text: {fr: En service}", "text: {de: Ja}", "'en', 'fr' or 'ar'"),
        ("text: {fr: En service}", "text: {}", "at least 1"),
        ("source: Letter", 'source: ""', "must not be empty"),
        ("source: Letter", 'source: "two\\nlines"', "one line of words"),
        ("watts: 4000", "halls: nowhere", "unknown hall 'nowhere'"),
    ],
)
def test_what_is_wrong_in_a_promise_is_said_with_its_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigErrors) as caught:
        site(TEXT.replace(old, new))
    text = str(caught.value)
    assert said in text
    assert "site.yaml:" in text


DUE = date(2026, 6, 30)
BEFORE, AFTER = date(2026, 6, 30), date(2026, 7, 1)


@pytest.mark.parametrize(
    ("kind", "year", "today", "state"),
    [
        ("capacity", Measured(100.0), BEFORE, "met"),
        ("capacity", Measured(99.0), BEFORE, "not_due"),
        ("capacity", Measured(99.0), AFTER, "not_shown"),
        ("capacity", Measured(reason="coverage"), AFTER, "unknown"),
        ("renewable_share", Measured(100.0), BEFORE, "not_due"),
        ("renewable_share", Measured(100.0), AFTER, "met"),
        ("renewable_share", Measured(99.9), AFTER, "not_met"),
        ("renewable_share", Measured(reason="coverage"), AFTER, "unknown"),
        ("in_service", Measured(day=DUE), AFTER, "met"),
        ("in_service", Measured(day=DUE, or_before=True), AFTER, "met"),
        ("in_service", Measured(day=AFTER), AFTER, "late"),
        ("in_service", Measured(day=AFTER, or_before=True), AFTER, "unknown"),
        ("in_service", Measured(reason=NOT_YET), BEFORE, "not_due"),
        ("in_service", Measured(reason=NOT_YET), AFTER, "not_met"),
        ("in_service", Measured(reason="no_books"), AFTER, "unknown"),
    ],
)
def test_a_promise_is_judged_by_the_books(
    kind: Kind, year: Measured, today: date, state: State
) -> None:
    one = Commitment("x", kind, {"en": "x"}, DUE, "y", date(2025, 1, 1), 100.0)
    assert state_of(one, year, today) == state


def test_year_and_first_day_come_from_closed_books(tmp_path: Path) -> None:
    book(tmp_path, [100.0, 200.0, 1200.0, 600.0])
    standings, first = read(tmp_path)
    assert first.found["start"] == Measured(day=date(2026, 1, 2))
    found = stands(
        site(), FRAME, standings.now, first.found, now_ms=ms("2026-01-04T09:00+01:00"), empty=False
    )
    load, green, start = found
    assert load.year.value == pytest.approx(1200.0)
    assert load.state == "met"
    assert green.year.value == pytest.approx(0.0), "the sun's attributes were never issued"
    assert green.year.coverage == pytest.approx(1.0)
    assert green.state == "not_met"
    assert start.state == "met"
    assert (load.live.value, green.live.value, start.live.value) == (900.0, 0.3, 850.0)


def test_books_that_begin_with_the_load_do_not_say_since_when(tmp_path: Path) -> None:
    book(tmp_path, [700.0, 700.0], since="2026-01-05T00:00+01:00")
    standings, first = read(tmp_path)
    assert first.found["start"] == Measured(day=date(2026, 1, 5), or_before=True)
    now = ms("2026-01-07T09:00+01:00")
    found = stands(site(), FRAME, standings.now, first.found, now_ms=now, empty=False)
    assert found[2].state == "unknown"


def test_a_load_that_comes_later_is_found_when_it_comes(tmp_path: Path) -> None:
    book(tmp_path, [100.0, 100.0])
    _, first = read(tmp_path)
    assert first.found["start"] == Measured(reason=NOT_YET)
    (tmp_path / "later").mkdir()
    book(tmp_path / "later", [100.0, 100.0, 100.0, 800.0])
    (tmp_path / "later" / "ledger.db").replace(tmp_path / "ledger.db")
    for _ in range(3):
        first.turn()
    assert first.found["start"].day == date(2026, 1, 3)


def test_many_days_are_read_over_several_turns(tmp_path: Path) -> None:
    book(tmp_path, [100.0] * 44 + [900.0])
    first = FirstLoads(site(), tmp_path / "ledger.db")
    turns = 0
    while first.found["start"].day is None:
        assert first.found["start"].reason == "reading_books"
        first.turn()
        turns += 1
    assert turns == 3
    assert first.found["start"].day == date(2026, 2, 13)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [({}, "starting"), ({**FRAME, "state": "stale"}, "stale"), ({"state": "live"}, "unknown")],
)
def test_what_is_not_known_is_null_with_a_reason(
    tmp_path: Path, frame: Mapping[str, Any], reason: str
) -> None:
    first = FirstLoads(site(), tmp_path / "ledger.db")
    first.turn()
    found = stands(site(), frame, Standing(), first.found, now_ms=ms("2026-02-01T00:00+00:00"),
                   empty=True)  # fmt: skip
    made = document(site(), found, Books(), 0)
    for entry in made["commitments"]:
        assert entry["live"]["value"] is None
        assert entry["live"]["reason"] == reason
        assert entry["measured"]["value"] is None
        assert entry["measured"]["reason"] in {"no_books", "reading_books"}
        assert entry["state"] in {"not_due", "unknown"}


def test_racks_that_are_silent_make_a_phases_load_a_least_one() -> None:
    text = TEXT.replace("watts: 4000", "halls: hall-a") + "halls: [{id: hall-a}, {id: hall-b}]\n"
    racks = [
        {"hall": "hall-a", "power_watts": 300.0},
        {"hall": "hall-a", "power_watts": None},
        {"hall": "hall-b", "power_watts": 999.0},
    ]
    found = stands(site(text), {**FRAME, "racks": racks}, Standing(), {}, now_ms=0, empty=True)
    assert found[2].live == Measured(300.0, at_least=True)
    found = stands(site(text), {**FRAME, "racks": racks[2:]}, Standing(), {}, now_ms=0, empty=True)
    assert found[2].live == Measured(reason="no_racks")


def test_the_table_holds_what_the_document_holds(tmp_path: Path) -> None:
    book(tmp_path, [100.0, 1200.0])
    standings, first = read(tmp_path)
    now = ms("2026-01-02T00:00+01:00")
    found = stands(site(), FRAME, standings.now, first.found, now_ms=now, empty=False)
    made = document(site(), found, Books(), now)
    lines = list(csv.DictReader(io.StringIO(table(made))))
    assert tuple(lines[0]) == COLUMNS
    load, green, start = lines
    assert float(load["measured"]) == made["commitments"][0]["measured"]["value"]
    assert load["time"] == "2026-01-01T23:00:00Z"
    assert green["text_en"] == "'=Half", "no spreadsheet takes it for a formula"
    assert green["text_fr"] == ""
    assert (start["measured"], start["measured_unit"]) == ("2026-01-01", "date")
    assert start["promised"] == "2026-01-02"
    words = rows(site(), found)[2]["text"]
    assert words == dict.fromkeys(("en", "fr", "ar"), "En service")


@pytest.mark.parametrize("signs", [True, False])
async def test_the_document_is_served_and_signed(tmp_path: Path, *, signs: bool) -> None:
    key = SigningKey.new() if signs else None
    standings = Standings(site(), tmp_path / "ledger.db")
    part = Commitments(site(), tmp_path / "ledger.db", standings, key)
    transport = httpx.ASGITransport(Starlette(routes=part.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://rackwatt") as client:
        early = await client.get("/commitments.json")
        assert (early.status_code, early.headers["retry-after"]) == (503, "2")
        assert (await client.get("/commitments.csv")).status_code == 503
        shown = part.measure(FRAME, ms("2026-01-02T00:00+01:00"))
        assert [row["id"] for row in shown] == ["load", "green", "start"]
        answer = await client.get("/commitments.json")
        again = await client.get("/commitments.json")
        public = await client.get("/commitments.pub")
        lines = await client.get("/commitments.csv")
    assert answer.content == again.content
    assert lines.headers["content-disposition"] == 'attachment; filename="commitments-demo.csv"'
    assert len(lines.text.splitlines()) == 4
    sealed = json.loads(answer.content)
    if key is None:
        assert (sealed["status"], sealed["signatures"]) == ("unsigned", [])
        assert public.status_code == 404
        return
    _, (one,) = check(sealed, [key.public])
    assert one.valid
    assert (one.role, one.signer, one.time) == ("published", "demo", "2026-01-01T23:00:00Z")
    assert public.content == key.public.pem
    sealed["document"]["commitments"][0]["measured"]["value"] = 5000.0
    assert not check(sealed, [key.public])[1][0].valid
