# SPDX-License-Identifier: Apache-2.0
"""Conditions in the books: weather, air at inlets, GPUs' utilisation, quarter hour by quarter."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from collector.quarters import A_AND_B, BEGIN, HEAD, LOADS, PDUS, ms, powers
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.thermal import AIR_CLASSES, wet_bulb_celsius
from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger import Ledger, site_factors
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.chain import entry_hash
from rackwatt.collector.ledger.conditions import sampled_fields
from rackwatt.collector.ledger.samples import QUARTER_MS, SampleRecord, own_minute
from rackwatt.collector.ledger.verify import Verification, verify
from rackwatt.collector.roles.keeping import Keeper
from rackwatt.collector.roles.sorting import Wanted, sort
from rackwatt.collector.site import Site, site_of
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.config import Document

MINUTE = 60_000
HALLS = """
halls:
- id: hall-a
  rows:
  - {id: row-1, racks: 'r[1-2]', nodes: '{rack}-n[1-2]', pdus: '{rack}-pdu',
     sensors: {inlet: '{rack}-in', outlet: '{rack}-out'}}
- id: hall-b
  rows:
  - {id: row-2, racks: 'r[3-4]', nodes: '{rack}-n[1-2]', pdus: '{rack}-pdu',
     sensors: {inlet: '{rack}-in'}}
devices: [weather-1]
"""
POWERS = powers(LOADS, range(-10, 1831, 10))


def site(head: str = HEAD) -> Site:
    return site_of(Document("site.yaml", head + PDUS + HALLS + A_AND_B))


SITE = site()


def open_book(path: Path, of: Site = SITE) -> Ledger:
    book = Ledger(path, of, site_factors(of), BatteryParameters(), 0.0)
    args = (of, book.metered, book.counters, book.closed_through_ms, book.samples)
    book.attribute(Attributor(*args))
    return book


def sample(device: str, field: str, second: float, value: float, **more: Any) -> SampleRecord:
    return SampleRecord(device, field, ms(second), value, ms(second) + 500, **more)


def inlets(device: str, values: Iterable[float], first: int = 0) -> list[SampleRecord]:
    """One a minute, and a later one of the same minute which does not count."""
    found = []
    for minute, value in enumerate(values, first):
        found.append(sample(device, "temperature_celsius", 60 * minute + 3, value))
        found.append(sample(device, "temperature_celsius", 60 * minute + 43, -40.0))
    return found


def used(value: float, *gpus: str) -> list[SampleRecord]:
    """Readings of each minute of the quarter hour, as far as they are looked at."""
    records = (sample(gpu, "utilization_ratio", 60 * at, value) for gpu in gpus for at in range(15))
    return [one for one in records if own_minute(one.device, one.time_ms)]


WEATHER = [
    *inlets("weather-1", [30.0] * 10),
    *(sample("weather-1", "humidity_ratio", 60 * at + 3, 0.5) for at in range(8)),
]
SAMPLES = [
    *WEATHER,
    *inlets("r1-in", [22.0] * 15),
    *inlets("r2-in", [27.0] * 5 + [27.5] * 5 + [33.0] * 5),
    *inlets("r3-in", [16.0] * 10),
]


def conditions(book: Ledger, quarter: int = 0) -> Any:
    start = BEGIN + quarter * QUARTER_MS
    return json.loads(book.attributions(start, start + 1)[start]).get("conditions")


def booked(path: Path, samples: Sequence[SampleRecord], of: Site = SITE) -> Ledger:
    book = open_book(path, of)
    book.apply(POWERS, 1, samples=samples)
    book.close_intervals(ms(1830.0))
    return book


def proof(path: Path, of: Site = SITE) -> Verification:
    return verify(path, site=of, factors=site_factors(of), racks=of)


def test_a_quarter_hour_says_its_weather_and_the_air_at_its_racks(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = booked(path, SAMPLES)
    bulb = wet_bulb_celsius(30.0, 0.5)
    assert bulb is not None
    assert conditions(book) == {
        "minutes": 15,
        "outdoor": {
            "temperature_celsius": 30.0,
            "temperature_minutes": 10,
            "wet_bulb_celsius": pytest.approx(bulb, abs=1e-6),
            "wet_bulb_minutes": 8,
        },
        "inlets": {
            "air_class": "A1",
            "halls": {
                "hall-a": {
                    "expected": 30,
                    "known": 30,
                    "recommended": 20,
                    "allowable": 25,
                    "min_celsius": 22.0,
                    "max_celsius": 33.0,
                    "mean_celsius": pytest.approx((22 * 15 + 27 * 5 + 27.5 * 5 + 33 * 5) / 30),
                },
                "hall-b": {
                    "expected": 30,
                    "known": 10,
                    "recommended": 0,
                    "allowable": 10,
                    "min_celsius": 16.0,
                    "max_celsius": 16.0,
                    "mean_celsius": 16.0,
                },
            },
        },
    }
    assert conditions(book, 1) is None, "nothing was sampled: the row is as it always was"
    book.close()
    assert proof(path).findings == []


def test_another_class_of_equipment_may_take_in_other_air(tmp_path: Path) -> None:
    head = HEAD.replace("country: MA", "country: MA, air_class: A4")
    book = booked(tmp_path / "ledger.db", SAMPLES, site(head))
    found = conditions(book)["inlets"]
    assert found["air_class"] == "A4"
    assert found["halls"]["hall-a"]["allowable"] == 30
    assert found["halls"]["hall-a"]["recommended"] == 20
    assert all(one.name == name for name, one in AIR_CLASSES.items())


def test_gpus_are_looked_at_once_an_hour_and_told_by_tenant(tmp_path: Path) -> None:
    """Rack 1 is tenant a's, rack 2's nodes are b's, rack 3 nobody's; one machine is beside."""
    mine = [f"r1-n1/GPU-{n}" for n in range(200)]
    theirs = [f"r2-n2/GPU-{n}" for n in range(100)]
    free = [f"r3-n1/GPU-{n}" for n in range(100)]
    samples = [*used(0.5, *mine), *used(1.0, *theirs), *used(0.0, *free), *used(1.0, "pc/GPU-1")]
    found = conditions(booked(tmp_path / "ledger.db", samples))["gpus"]
    assert list(found) == ["a", "b", "operator"]
    for name, value, gpus in (("a", 0.5, mine), ("b", 1.0, theirs), ("operator", 0.0, free)):
        count, busy = found[name]
        assert len(gpus) / 8 < count < len(gpus) / 2, "about a quarter of them"
        assert busy == value * count


@given(st.text(min_size=1, max_size=20), st.integers(0, 10**6))
def test_each_minute_of_the_hour_is_looked_at_once_in_sixty_hours(name: str, hour: int) -> None:
    seen = [
        at % 60
        for at in range(60 * hour, 60 * (hour + 60))
        if own_minute(name, at * MINUTE + 59_999)
    ]
    assert sorted(seen) == list(range(60))


@settings(max_examples=20)
@given(st.permutations(SAMPLES), st.integers(1, 5))
def test_order_and_repetition_do_not_matter(shuffled: list[SampleRecord], parts: int) -> None:
    book = open_book(Path(":memory:"))
    book.apply(POWERS, 1)
    for part in range(parts):
        book.apply((), 2 + part, samples=shuffled[part::parts])
        if part % 2:
            book.samples.forget()
        book.apply((), 2 + part, samples=shuffled[: len(shuffled) // 2])
    book.close_intervals(ms(1830.0))
    first = booked(Path(":memory:"), SAMPLES)
    assert conditions(book) == conditions(first)
    book.close()
    first.close()


def test_late_samples_restate_and_what_cannot_be_believed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = booked(path, WEATHER)
    before = conditions(book)
    assert before["inlets"]["halls"]["hall-a"]["known"] == 0
    wrong = [
        sample("r1-in", "temperature_celsius", 5, 20.0, trusted=False),
        SampleRecord("r1-in", "temperature_celsius", ms(400), 20.0, ms(0)),
    ]
    book.apply((), 3, samples=wrong)
    book.apply(powers(LOADS, range(1840, 2731, 10)), 4, samples=inlets("r1-in", [20.0] * 15))
    book.close_intervals(ms(2730.0))
    assert conditions(book)["inlets"]["halls"]["hall-a"]["known"] == 15
    revisions = [
        (entry.revision, entry.cause)
        for entry in book.entries(0, 10_000)
        if entry.kind == "attribution" and entry.start_ms == BEGIN
    ]
    assert revisions == [(1, "closed"), (2, "late_data")]
    book.close()
    assert proof(path).findings == []


def test_restating_keeps_conditions(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = booked(path, SAMPLES)
    before = conditions(book)
    book.close()
    book = open_book(path)
    book.restate(BEGIN, BEGIN + MINUTE, "ana", "to see", ms(1900))
    book.book_again()
    assert conditions(book) == before
    book.close()


def test_changed_samples_and_changed_rows_are_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    booked(path, SAMPLES).close()
    db = sqlite3.connect(path)
    db.execute("UPDATE samples SET value = 20.0 WHERE value = 33.0")
    db.commit()
    (found,) = proof(path).findings
    assert found.message.startswith("its conditions are not what was sampled")
    assert verify(path).sound, "without the site file nobody knows whose probes they are"
    seq, start, cause, author, text, previous = db.execute(
        "SELECT seq, start_ms, cause, author, row, previous FROM journal"
        " WHERE kind = 'attribution' AND start_ms = ?",
        (BEGIN,),
    ).fetchone()
    text = text.replace('"recommended":20', '"recommended":31')
    again = entry_hash("attribution", start, 1, cause, author, text, previous)
    db.execute("DROP TRIGGER journal_no_update")
    db.execute("UPDATE journal SET row = ?, hash = ? WHERE seq = ?", (text, again, seq))
    db.commit()
    db.close()
    messages = [one.message for one in verify(path).findings]
    assert "the inlets' minutes of hall hall-a cannot be" in messages


def test_samples_go_when_inputs_are_compacted(tmp_path: Path) -> None:
    book = booked(tmp_path / "ledger.db", SAMPLES + inlets("r1-in", [20.0] * 15, 15))
    start = BEGIN + QUARTER_MS
    assert book.samples.compact(start - 1) == 0
    assert book.samples.compact(start) == 10 + 8 + 15 + 15 + 10
    assert list(book.samples.between(BEGIN, start)) == []
    assert len(list(book.samples.between(start, start + QUARTER_MS))) == 15
    assert book.samples.compact(start + QUARTER_MS) == 15
    assert book.samples.compact(start + QUARTER_MS) == 0
    book.close()


def message(last: str, readings: list[dict[str, Any]]) -> Record:
    body = {"epoch": 1, "seq": 1, "time": ms(0), "readings": readings}
    topic = f"rackwatt/v1/s/hall-a/agent/{last}"
    return Record(1, ms(0) + 700, topic, json.dumps(body).encode())


def test_messages_are_sampled() -> None:
    assert sampled_fields(SITE)["weather-1"] == ("temperature_celsius", "humidity_ratio")
    wanted = Wanted(probes=["r1-in", "r1-out", "weather-1"], sampled=sampled_fields(SITE))
    both = {"temperature_celsius": 21.0, "humidity_ratio": 0.4}
    climate = message(
        "climate",
        [{"device": name, **both} for name in ("r1-in", "r1-out", "weather-1", "nobody")]
        + [{"device": "r2-in", "temperature_celsius": None}],
    )
    gpus = [f"r1-n1/GPU-{n}" for n in range(120)]
    busy = message("gpu", [{"device": gpu, "utilization_ratio": 0.9} for gpu in gpus])
    found = sort([climate, busy], {"agent": 0.0}, wanted).samples
    assert [one[:4] for one in found[:3]] == [
        ("r1-in", "temperature_celsius", ms(0), 21.0),
        ("weather-1", "temperature_celsius", ms(0), 21.0),
        ("weather-1", "humidity_ratio", ms(0), 0.4),
    ]
    assert all(one.counts for one in found)
    assert [one.device for one in found[3:]] == [g for g in gpus if own_minute(g, ms(0))] != []
    assert {one.value for one in found[3:]} == {0.9}


async def test_the_accountant_books_what_messages_say(tmp_path: Path) -> None:
    """From messages of a spool to the row, by the writer that the accountant has."""
    wanted = Wanted(probes=["r1-in", "weather-1"], sampled=sampled_fields(SITE))
    air = {"temperature_celsius": 21.0, "humidity_ratio": 0.4}
    records = [
        message("climate", [{"device": name, **air} for name in ("r1-in", "weather-1")]),
        message(
            "gpu", [{"device": f"r1-n1/GPU-{n}", "utilization_ratio": 1.0} for n in range(120)]
        ),
    ]
    batch = sort(records, {"agent": 0.0}, wanted)
    batch.inputs += POWERS
    keeper = Keeper(SITE, tmp_path / "ledger.db", ManualClock(ms(1830.0)))
    await keeper.open()
    try:
        await keeper.book([batch], 7, "spool")
        for _ in range(2):  # what is left of a turn is for the next one
            await keeper.work(ms(1830.0), [])
        assert await keeper.cursor("spool") == 7
    finally:
        await keeper.close()
    book = open_book(tmp_path / "ledger.db")
    found = conditions(book)
    assert found["outdoor"]["temperature_minutes"] == 1
    assert found["inlets"]["halls"]["hall-a"]["known"] == 1
    assert list(found["gpus"]) == ["a"]
    book.close()
    assert proof(tmp_path / "ledger.db").findings == []
