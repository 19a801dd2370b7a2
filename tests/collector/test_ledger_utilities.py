# SPDX-License-Identifier: Apache-2.0
"""Water and reused heat in the books: metered like energy, and nothing where there is no meter."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from math import fsum
from pathlib import Path

import pytest
from collector.books import (
    BEGIN,
    HOUR,
    MINUTE,
    PARAMETERS,
    PLAIN,
    Site,
    data,
    hour_of,
    ledger,
    record,
    rows,
)
from collector.command_books import SITE, call, make

from rackwatt.collector.accounting.accumulator import Accumulator
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.period import figures
from rackwatt.collector.accounting.rules import Outside, Rules
from rackwatt.collector.copies.rows import FIGURES, Places, interval_rows
from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.verify import Verification, verify
from rackwatt.collector.ledger.view import booked
from rackwatt.collector.site.topology import Utility, Validity
from rackwatt.wire.inventory import InventoryItem, Register

WATER = Utility("w", "water", "fresh", "cooling")
RAIN = Utility("r", "water", "rain", "cooling")
HEAT = Utility("h", "coolant")
BOTH = replace(PLAIN, utilities=(WATER, HEAT))
SECONDS = range(0, 400, 10)
PLACES = Places("demo")


def water(seconds: Iterable[int], device: str = "w", start: float = 100.0) -> list[InputRecord]:
    """36 litres an hour."""
    return [record(device, s, volume_liters=start + s / 100) for s in seconds]


def heat(seconds: Iterable[int]) -> list[InputRecord]:
    """600 W."""
    return [record("h", s, heat_energy_watt_hours=s / 6, heat_watts=600.0) for s in seconds]


def test_registers_are_booked_by_source() -> None:
    book = ledger(site=replace(BOTH, utilities=(WATER, RAIN, HEAT)))
    book.apply([*hour_of(SECONDS), *water(SECONDS), *water(SECONDS, "r"), *heat(SECONDS)], 1)
    book.close_intervals(BEGIN + 380_000)
    row = data(book, 2)
    assert row["water_liters"] == {
        "fresh": pytest.approx(0.6),
        "rain": pytest.approx(0.6),
    }
    assert row["heat_reused_watt_hours"] == pytest.approx(10.0)
    assert row["metering"] == []
    book.close()


def test_what_is_given_back_is_apart_from_what_is_taken_in() -> None:
    away = Utility("r", "water", "discharge")
    book = ledger(site=replace(BOTH, utilities=(WATER, away, replace(away, id="q"))))
    both = [*water(SECONDS, "r"), *water(range(0, 130, 10), "q")]
    book.apply([*hour_of(SECONDS), *water(SECONDS), *both], 1)
    book.close_intervals(BEGIN + 380_000)
    assert data(book, 1)["water_liters"] == {"fresh": pytest.approx(0.6)}
    assert data(book, 1)["water_discharge_liters"] == pytest.approx(1.2)
    assert data(book, 4)["water_discharge_liters"] is None, "one is silent"
    one = booked(next(book.rows(BEGIN + MINUTE, BEGIN + 2 * MINUTE)))
    found = figures(Accumulator([one]), Rules(), Outside(one.start_ms, one.end_ms)).flat()
    assert found["water_liters"] == found["water_fresh_liters"] == pytest.approx(0.6)
    assert found["water_discharge_liters"] == pytest.approx(1.2)
    book.close()


def test_two_meters_of_one_source_are_summed_and_one_that_is_silent_is_not_left_out() -> None:
    twice = replace(BOTH, utilities=(WATER, replace(WATER, id="r")))
    book = ledger(site=twice)
    book.apply([*hour_of(SECONDS), *water(SECONDS), *water(range(0, 130, 10), "r")], 1)
    book.close_intervals(BEGIN + 380_000)
    assert data(book, 1)["water_liters"] == {"fresh": pytest.approx(1.2)}
    assert data(book, 4)["water_liters"] == {"fresh": None}
    assert data(book, 4)["load"] is not None
    book.close()


def test_a_site_without_these_meters_has_the_rows_that_it_always_had() -> None:
    plain, named = ledger(), ledger(site=BOTH)
    for book in (plain, named):
        book.apply([*hour_of(SECONDS), *water(SECONDS), *heat(SECONDS)], 1)
        book.close_intervals(BEGIN + 380_000)
    bare = ledger()
    bare.apply(hour_of(SECONDS), 1)
    bare.close_intervals(BEGIN + 380_000)
    assert rows(plain) == rows(bare)
    own = data(named)
    assert set(own) - set(data(plain)) == {"water_liters", "heat_reused_watt_hours"}
    assert {name: own[name] for name in data(plain)} == data(plain)
    for book in (plain, named, bare):
        book.close()


def test_a_meter_counts_while_it_is_valid() -> None:
    later = Validity(BEGIN + 2 * MINUTE)
    book = ledger(site=replace(PLAIN, utilities=(replace(WATER, validity=later),)))
    book.apply([*hour_of(SECONDS), *water(SECONDS)], 1)
    book.close_intervals(BEGIN + 380_000)
    assert "water_liters" not in data(book, 1)
    assert data(book, 2)["water_liters"] == {"fresh": pytest.approx(0.6)}
    book.close()


def test_a_gap_keeps_its_sum_and_a_reset_is_unknown() -> None:
    book = ledger(site=BOTH)
    gap = [*range(0, 100, 10), *range(250, 400, 10)]
    book.apply([*hour_of(range(0, 900, 10)), *water(gap)], 1)
    again = [record("w", s, volume_liters=(s - 400) / 100) for s in range(400, 900, 10)]
    book.apply(again, 2)
    book.close_intervals(BEGIN + 880_000)
    whole = [data(book, minute)["water_liters"]["fresh"] for minute in range(6)]
    assert fsum(whole) == pytest.approx(3.6)
    assert data(book, 6)["water_liters"] == {"fresh": None}
    assert [(device, code) for _, device, _, code in book.events(BEGIN, BEGIN + HOUR)] == [
        ("w", "reset")
    ]
    book.close()


def test_a_register_rolls_over() -> None:
    book = ledger(site=BOTH)
    register = Register(modulus_watt_hours=1000.0)
    book.inventory([InventoryItem(device="w", registers={"volume_liters": register})], BEGIN)
    counted = [record("w", s, volume_liters=(998.2 + s / 100) % 1000.0) for s in SECONDS]
    book.apply([*hour_of(SECONDS), *counted], 1)
    book.close_intervals(BEGIN + 380_000)
    found = [data(book, minute)["water_liters"]["fresh"] for minute in range(5)]
    assert found == pytest.approx([0.6] * 5)
    book.close()


def test_without_a_register_the_flow_is_integrated_and_said_to_be() -> None:
    book = ledger(site=BOTH)
    flow = [record("w", s, flow_liters_per_second=0.01) for s in SECONDS]
    back = [record("h", s, heat_watts=-600.0) for s in SECONDS]
    book.apply([*hour_of(SECONDS), *flow, *back], 1)
    book.close_intervals(BEGIN + 380_000)
    assert data(book, 2)["water_liters"] == {"fresh": pytest.approx(0.6)}
    assert data(book, 2)["heat_reused_watt_hours"] == 0.0
    assert data(book, 2)["metering"] == ["heat_estimated", "water_estimated"]
    book.close()


def test_late_water_restates_its_minutes_and_any_order_gives_the_same_rows() -> None:
    site = replace(BOTH, utilities=(replace(WATER, cadence_seconds=60.0), HEAT))
    late, straight = ledger(site=site), ledger(site=site)
    early = [*hour_of(range(0, 3640, 10)), *heat(range(0, 3640, 10))]
    late.apply(early, 1)
    late.close_intervals(BEGIN + HOUR)
    assert data(late, 5)["water_liters"] == {"fresh": None}
    late.apply(water(range(590, 1240, 60)), 2)
    done = late.close_intervals(BEGIN + HOUR)
    assert done.restated == 9
    assert late.revisions(BEGIN + 15 * MINUTE)[-1].cause == "late_data"
    straight.apply([*water(range(590, 1240, 60)), *early], 1)
    straight.close_intervals(BEGIN + HOUR)
    assert rows(late) == rows(straight)
    late.close()
    straight.close()


def test_water_alone_does_not_begin_the_books() -> None:
    book = ledger(site=BOTH)
    book.apply(water(range(-600, 0, 10)), 1)
    assert book.closed_through_ms() is None
    book.apply([*hour_of(SECONDS), *water(SECONDS)], 2)
    book.close_intervals(BEGIN + 380_000)
    assert next(iter(book.rows(0, 2**60))).start_ms == BEGIN
    book.close()


def check(path: Path, site: Site) -> Verification:
    factors = SiteFactors(shipped(), "MA")
    return verify(path, site=site, factors=factors, battery=PARAMETERS)


def test_verification_makes_water_and_heat_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = ledger(path, BOTH)
    book.apply([*hour_of(SECONDS), *water(SECONDS), *heat(SECONDS)], 1)
    book.close_intervals(BEGIN + 380_000)
    book.close()
    found = check(path, BOTH)
    assert found.sound
    assert (found.recomputed, found.from_inputs) == (5, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as forger:
        statement = "UPDATE inputs SET value = value + 5 WHERE series = (SELECT id FROM series"
        forger.execute(f"{statement} WHERE device = 'w') AND time_ms > ?", (BEGIN + 90_000,))
    findings = check(path, BOTH).findings
    assert [one.start_ms for one in findings] == [BEGIN + MINUTE]
    assert "water_liters" in findings[0].message


def test_the_stores_copy_has_the_figures_of_a_minute() -> None:
    book = ledger(site=BOTH)
    book.apply([*hour_of(SECONDS), *water(SECONDS), *heat(range(0, 130, 10))], 1)
    book.close_intervals(BEGIN + 380_000)
    for minute, known in ((1, 1.0), (4, 0.0)):
        points = interval_rows(PLACES, BEGIN, 1, data(book, minute))
        (fields,) = [row.fields for row in points if row.measurement == FIGURES]
        assert fields["water_liters"] == pytest.approx(0.6)
        assert fields["water_fresh_liters_known"] == 1.0
        assert fields["wue_liters_per_kilowatt_hour"] == pytest.approx(30.0)
        assert fields["heat_reused_watt_hours_known"] == known
        assert fields["erf_ratio_known"] == known
        assert ("erf_ratio" in fields) == bool(known)
    bare = {k: v for k, v in data(book, 1).items() if k != "water_liters"}
    (fields,) = [
        r.fields for r in interval_rows(PLACES, BEGIN, 1, bare) if r.measurement == FIGURES
    ]
    assert fields["water_liters_known"] == fields["wue_liters_per_kilowatt_hour_known"] == 0.0
    backwards = {**data(book, 1), "it": -1e-9}
    points = interval_rows(PLACES, BEGIN, 1, backwards)
    (fields,) = [row.fields for row in points if row.measurement == FIGURES]
    assert fields["wue_liters_per_kilowatt_hour_known"] == 0.0
    book.close()


def test_show_has_columns_where_there_are_meters(tmp_path: Path) -> None:
    seconds = range(0, 3700, 10)
    keys = "water: [{id: w, source: fresh}]\nheat_reuse: [{id: h}]\n"
    records = [*hour_of(seconds), *water(seconds), *heat(seconds)]
    folder = make(tmp_path, records, BEGIN + HOUR, SITE + keys)
    table = call("show", "--data", str(folder)).stdout
    assert "WUE" in table
    assert "L/kWh" in table
    assert "30.000" in table
    assert "ERF" in table
    (row,) = json.loads(call("show", "--data", str(folder), "--json").stdout)["rows"]
    assert row["water_liters"] == {"fresh": pytest.approx(36.0)}
    assert row["heat_reused_watt_hours"] == pytest.approx(600.0)
    assert row["wue"] == pytest.approx(30.0)
    bare = json.loads(call("show", "--data", str(plain(tmp_path / "b")), "--json").stdout)["rows"]
    assert not {"water_liters", "heat_reused_watt_hours"} & set(bare[0])
    assert "WUE" not in call("show", "--data", str(tmp_path / "b")).stdout


def plain(folder: Path) -> Path:
    folder.mkdir()
    return make(folder, hour_of(range(0, 3700, 10)), BEGIN + HOUR)
