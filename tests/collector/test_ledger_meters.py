# SPDX-License-Identifier: Apache-2.0
"""Meters in the books: coarse registers, replaced meters, terms that appear, slow cadences."""

from collections.abc import Iterable
from math import fsum

import pytest
from collector.books import BEGIN, HOUR, MINUTE, Meter, Site, data, hour_of, ledger, record, rows

from rackwatt.collector.accounting.period import Rules, period
from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.view import booked
from rackwatt.wire.inventory import InventoryItem, Register

COARSE = Register(resolution_watt_hours=100.0)


def coarse_records(seconds: Iterable[int]) -> list[InputRecord]:
    return [
        record(
            "i",
            s,
            power_watts=5100.0,
            energy_import_watt_hours=(5000 * s / 3600 + 30) // 100 * 100.0,
        )
        for s in seconds
    ]


def test_a_coarse_register_gives_the_hour_its_sum() -> None:
    book = ledger(site=Site({"it": ("i",)}))
    item = InventoryItem(device="i", registers={"energy_import_watt_hours": COARSE})
    book.inventory([item], BEGIN)
    book.inventory([item], BEGIN)
    book.apply(coarse_records(range(-10, 3500, 10)), 1)
    book.close_intervals(BEGIN + 59 * MINUTE)
    assert data(book, 5)["it"] == pytest.approx(85.0)
    assert data(book, 5)["metering"] == ["provisional"]
    book.apply(coarse_records(range(3500, 3640, 10)), 1)
    done = book.close_intervals(BEGIN + HOUR + 30_000)
    assert done.restated == 0
    assert book.restatements() == 0
    assert period([booked(row) for row in book.rows(BEGIN, BEGIN + HOUR)], Rules()).restated == 0
    hour = [row.data["it"] for row in book.rows(BEGIN, BEGIN + HOUR)]
    assert fsum(hour) == pytest.approx(5000.0)
    assert book.revisions(BEGIN + 5 * MINUTE)[-1].cause == "hour_closed"
    book.close()


def test_a_resolution_that_comes_late_restates_what_it_concerns() -> None:
    book = ledger(site=Site({"it": ("i",)}))
    book.apply(coarse_records(range(-10, 400, 10)), 1)
    book.close_intervals(BEGIN + 390_000)
    item = InventoryItem(device="i", registers={"energy_import_watt_hours": COARSE})
    book.inventory([item], BEGIN + 390_000)
    assert book.close_intervals(BEGIN + 390_000).restated == 6
    assert data(book, 2)["it"] == pytest.approx(85.0)
    assert period([booked(row) for row in book.rows(BEGIN, BEGIN + HOUR)], Rules()).restated == 6
    book.close()


def test_a_replaced_meter_and_a_reset_are_events() -> None:
    book = ledger(site=Site({"it": ("i",)}))
    old, new = InventoryItem(device="i", serial="A"), InventoryItem(device="i", serial="B")
    book.inventory([old, InventoryItem(device="i")], BEGIN)
    values = {0: 100.0, 10: 110.0, 20: 900_000.0, 30: 900_010.0, 40: 5.0, 50: 15.0, 60: 25.0}
    book.apply(
        [record("i", s, energy_import_watt_hours=v, power_watts=3600.0) for s, v in values.items()],
        1,
    )
    book.inventory([new], BEGIN + 15_000)
    book.inventory([new], BEGIN + 16_000)
    book.close_intervals(BEGIN + 90_000)
    found = book.events(BEGIN, BEGIN + HOUR)
    assert [(at - BEGIN, code) for at, _, _, code in found] == [(20_000, "swap"), (40_000, "reset")]
    assert data(book)["it"] == pytest.approx(60.0)
    assert data(book)["metering"] == ["estimated", "register_reset", "register_swap"]
    book.close()


def test_export_is_a_term_once_the_meter_knows_it() -> None:
    book, straight = ledger(), ledger()
    records = hour_of(range(0, 400, 10))
    export = [
        record("g", s, power_export_watts=0.0, energy_export_watt_hours=5.0)
        for s in range(200, 400, 10)
    ]
    book.apply(records, 1)
    book.close_intervals(BEGIN + 390_000)
    assert "export" not in data(book, 0)["sinks"]
    book.apply(export, 2)
    book.close_intervals(BEGIN + 390_000)
    assert data(book, 0)["sinks"]["export"] is None
    assert data(book, 5)["sinks"]["export"] == 0.0
    assert book.revisions(BEGIN)[-1].cause == "new_series"
    straight.apply([*export, *records], 1)
    straight.close_intervals(BEGIN + 390_000)
    assert rows(book) == rows(straight)
    book.close()
    straight.close()


def test_it_at_the_output_of_a_ups() -> None:
    site = Site({"grid": ("g",), "it": ("u",), "losses": ("u", "-u")}, category=1)
    book = ledger(site=site)
    book.apply(
        [
            record(
                "u",
                s,
                power_watts=110.0,
                energy_import_watt_hours=110.0 * s / 3600,
                power_output_watts=100.0,
                energy_output_watt_hours=100.0 * s / 3600,
                on_battery_ratio=1.0 if s == 30 else 0.0,
            )
            for s in range(0, 160, 10)
        ],
        1,
    )
    book.close_intervals(BEGIN + 150_000)
    assert data(book)["it"] == pytest.approx(100 / 60)
    assert data(book)["sinks"]["losses"] == pytest.approx(10 / 60)
    assert "ups_on_battery" in data(book)["metering"]
    assert "ups_on_battery" not in data(book, 1)["metering"]
    book.close()


def test_a_slow_meter_is_interpolated_within_two_of_its_cadences() -> None:
    site = Site({"it": ("i",)}, meters={"i": Meter(cadence_seconds=60.0)})
    book = ledger(site=site)
    book.apply(
        [record("i", s, energy_import_watt_hours=3600.0 * s / 3600) for s in (0, 50, 110, 170)], 1
    )
    book.close_intervals(BEGIN + 150_000)
    assert data(book)["it"] == pytest.approx(60.0)
    assert data(book)["metering"] == []
    book.close()


def test_a_ups_that_is_no_metering_point_is_on_battery_too() -> None:
    book = ledger(site=Site({"it": ("i",)}))
    book.apply(coarse_records(range(-10, 160, 10)), 1)
    book.apply([record("ups", s, on_battery_ratio=float(s == 30)) for s in range(0, 160, 10)], 2)
    book.close_intervals(BEGIN + 150_000)
    assert "ups_on_battery" in data(book)["metering"]
    assert "ups_on_battery" not in data(book, 1)["metering"]
    book.close()
