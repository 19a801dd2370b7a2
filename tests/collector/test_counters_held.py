# SPDX-License-Identifier: Apache-2.0
"""GPU counters of an agent whose clock is off wait for a release, as other readings do."""

from dataclasses import replace
from pathlib import Path

import pytest
from collector.books import BEGIN as START
from collector.books import HOUR as LONG
from collector.books import ledger as load_books
from collector.command_books import call, make
from collector.quarters import (
    A_AND_B,
    BEGIN,
    EIGHT,
    LOADS,
    SECONDS,
    booked,
    gpus,
    ms,
    powers,
    site,
)

from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger import InputRecord, Refusal
from rackwatt.collector.ledger.commands.times import utc
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.ledger.counters import QUARTER_MS, CounterRecord
from rackwatt.collector.roles.sorting import Wanted, sort
from rackwatt.collector.site import load_site
from rackwatt.wire.codec import encode
from rackwatt.wire.readings import (
    ClimateReading,
    CoolantReading,
    GpuReading,
    Kind,
    Reading,
    WaterReading,
)

SHIFT = 600_000
SITE = site(A_AND_B)


def moved(records: list[CounterRecord]) -> list[CounterRecord]:
    """The same of an agent whose clock is ten minutes fast."""
    return [
        one._replace(time_ms=one.time_ms + SHIFT, trusted=False, agent="r1-n1") for one in records
    ]


def test_held_counters_come_back_with_a_shift() -> None:
    records, counters = powers(LOADS, SECONDS), gpus(EIGHT, SECONDS)
    straight, _ = booked(SITE, records, counters)
    ledger, _ = booked(SITE, records, moved(counters))
    assert ledger.counters.gpus("r1-n1", BEGIN) == []
    held = ledger.held()
    assert {one.agent for one in held} == {"r1-n1"}
    assert [one.device for one in held] == sorted(EIGHT)
    assert held[0].readings == len(SECONDS)
    done = ledger.release("r1-n1", 0, 2**60, -SHIFT, "ana", "clock was fast", ms(940))
    assert done.readings == len(counters)
    assert ledger.held() == []
    nodes = ["r1-n1", "r1-n2"]
    assert ledger.counters.quarter(BEGIN, nodes) == straight.counters.quarter(BEGIN, nodes)
    with pytest.raises(Refusal, match="is held between"):
        ledger.release("r1-n1", 0, 2**60, -SHIFT, "ana", "again", ms(940))
    ledger.close()
    straight.close()


def test_a_release_attributes_the_quarter_hour_again() -> None:
    records, counters = powers(LOADS, SECONDS), gpus(EIGHT, SECONDS)
    ledger, attributor = booked(SITE, records, (), until=0.0)
    ledger.attribute(attributor)
    ledger.apply((), 2, counters=moved(counters))
    ledger.close_intervals(ms(940))
    (before,) = ledger.attributions(BEGIN, BEGIN + QUARTER_MS).values()
    ledger.release("r1-n1", 0, 2**60, -SHIFT, "ana", "clock was fast", ms(940))
    ledger.close_intervals(ms(940))
    (after,) = ledger.attributions(BEGIN, BEGIN + QUARTER_MS).values()
    assert '"gpu_hours":0' in before
    assert before != after
    last = ledger.entries(ledger.head_seq() - 1, 1)[0]
    assert (last.kind, last.cause, last.author) == ("attribution", "released", "ana")
    ledger.close()


def test_what_is_held_is_not_counted_when_it_is_sent_again() -> None:
    ledger, _ = booked(SITE, powers(LOADS, SECONDS), moved(gpus(EIGHT, SECONDS)))
    again = [one._replace(trusted=True) for one in moved(gpus(EIGHT, SECONDS))]
    ledger.apply((), 2, counters=again)
    assert ledger.counters.gpus("r1-n1", BEGIN + QUARTER_MS) == []
    ledger.apply((), 3, counters=gpus(EIGHT, range(940, 960, 10)))
    assert len(ledger.counters.gpus("r1-n1", BEGIN + QUARTER_MS)) == 4
    ledger.close()


def test_a_reading_from_the_future_waits_and_one_of_no_gpu_does_not() -> None:
    ledger, _ = booked(SITE, powers(LOADS, SECONDS))
    early = CounterRecord("r1-n1/GPU-a", ms(900), 5.0, ms(900) - 400_000, agent="r1-n1")
    ledger.apply((), 2, counters=[early, CounterRecord("r1-n1", ms(0), 5.0, 0)])
    (held,) = ledger.held()
    assert (held.device, held.readings) == ("r1-n1/GPU-a", 1)
    ledger.close()


def test_the_command_releases_them(tmp_path: Path) -> None:
    folder = make(tmp_path, powers({"g": 1.0, "i": 1.0}, range(0, 3700, 10)), START + LONG)
    book = open_ledger(folder / "ledger.db", load_site(folder / "site.yaml"))
    book.apply((), 9, counters=moved(gpus({"n1/GPU-a": 100.0}, range(0, 100, 10))))
    book.close()
    listed = call("release", "--list", "--data", str(folder)).stdout
    assert "n1/GPU-a" in listed
    found = call(
        "release", "--agent", "r1-n1", "--from", utc(START), "--to", utc(START + LONG),
        "--shift", "-600", "--author", "A. Amrani", "--reason", "clock", "--data", str(folder),
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "Released 10 readings of r1-n1" in found.stdout


# -- from the spool ------------------------------------------------------------------------------


def message(kind: Kind, agent: str, *readings: Reading) -> Record:
    topic = f"rackwatt/v1/s/hall-a/{agent}/{kind}"
    return Record(1, BEGIN, topic, encode(1, 1, BEGIN, readings))


def test_sorting_takes_the_water_and_heat_that_the_site_books() -> None:
    records = [
        message("water", "field", WaterReading(device="w", volume_liters=5.0)),
        message("water", "field", WaterReading(device="other", volume_liters=5.0)),
        message("coolant", "field", CoolantReading(device="h", heat_energy_watt_hours=6.0)),
        message("coolant", "field", CoolantReading(device="w", heat_energy_watt_hours=6.0)),
        message("climate", "field", ClimateReading(device="h", temperature_celsius=20.0)),
    ]
    found = sort(records, {}, Wanted({("water", "w"), ("coolant", "h")}, {"h"}))
    assert [(one.device, one.agent, one.held) for one in found.inputs] == [
        ("w", "field", False),
        ("h", "field", False),
    ]
    assert found.inputs[0].values["volume_liters"] == 5.0
    assert len(found.readings) == 5
    assert sort(records, {}, Wanted()).inputs == []
    assert len(sort(records, {}, Wanted()).readings) == 4, "of a sensor that is shown nowhere"
    assert sort(records, {"field": 61.0}, Wanted({("water", "w")})).inputs[0].held


def test_sorting_says_whose_counters_cannot_be_trusted() -> None:
    one = message("gpu", "n1", GpuReading(device="n1/GPU-a", energy_import_watt_hours=5.0))
    (right,) = sort([one], {"n1": 59.0}, Wanted()).counters
    (wrong,) = sort([one], {"n1": -61.0}, Wanted()).counters
    assert (right.counts, right.agent) == (True, "n1")
    assert (wrong.counts, wrong.agent) == (False, "n1")


def test_a_device_of_two_kinds_that_is_sent_again_is_known_for_a_copy() -> None:
    """A CDU says its power and its heat at one time, in two messages."""
    book = load_books()
    power = InputRecord("cdu", BEGIN, {"power_watts": 5.0}, BEGIN, False, "field")
    heat = InputRecord("cdu", BEGIN, {"heat_energy_watt_hours": 6.0}, BEGIN, False, "field")
    book.apply([power, heat], 1)
    book.apply([replace(power, trusted=True), replace(heat, trusted=True)], 2)
    assert book.close_intervals(BEGIN + 95_000).closed == 0
    book.apply([replace(power, trusted=True, values={"power_watts": 5.5})], 3)
    assert book.close_intervals(BEGIN + 95_000).closed == 1
    book.close()
