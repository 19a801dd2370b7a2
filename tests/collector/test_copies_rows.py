# SPDX-License-Identifier: Apache-2.0
"""From the journal's rows to points: pure."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from collector.books import BEGIN, data, hour_of, ledger

from rackwatt.collector.copies.rows import (
    BALANCE,
    BATTERY,
    FIGURES,
    RACKS,
    TENANTS,
    Places,
    attribution_rows,
    fields_of,
    interval_rows,
)
from rackwatt.collector.store import Row

PLACES = Places("demo", {"r1": ("hall-a", "row-1")})


def booked(records_to: int = 61, minute: int = 0) -> Mapping[str, Any]:
    book = ledger()
    book.apply(hour_of(range(records_to)), 1)
    book.close_intervals(BEGIN + 600_000)
    return data(book, minute)


def by_tag(rows: list[Row], name: str, tag: str) -> dict[str, Mapping[str, Any]]:
    return {dict(row.tags)[tag]: row.fields for row in rows if row.measurement == name}


def test_an_interval_becomes_a_point_per_origin_and_one_for_the_site() -> None:
    row = booked()
    rows = interval_rows(PLACES, BEGIN, 3, row)
    origins = by_tag(rows, BALANCE, "origin")
    assert set(origins) == {"pv", "wind", "hydro", "grid", "genset", "unknown", BATTERY}
    assert all(fields["revision"] == 3.0 for fields in origins.values())
    assert origins["grid"]["source_watt_hours"] == row["sources"]["grid"]
    assert origins["wind"]["energy_watt_hours"] == 0.0, "no such flow is 0, and known"
    assert origins["wind"]["energy_watt_hours_known"] == 1.0
    whole = math.fsum(fields.get("energy_watt_hours", 0.0) for fields in origins.values())
    ((figures),) = by_tag(rows, FIGURES, "site").values()
    assert whole == pytest.approx(figures["load_watt_hours"], rel=1e-12)
    assert figures["load_it_watt_hours"] == row["it"]
    assert figures["pue_ratio"] == pytest.approx(row["boundary"] / row["it"])
    assert figures["renewable_share_ratio"] + figures["grid_share_ratio"] == pytest.approx(1.0)
    assert figures["carbon_life_cycle_grams"] == row["carbon"]["life_cycle"]
    assert figures["completeness_ratio"] == 1.0
    assert "completeness_ratio_known" not in figures
    assert figures["flags"] == ",".join(sorted({*row["flags"], *row["metering"]}))
    assert {row.time_ms for row in rows} == {BEGIN}


def test_what_is_unknown_is_left_out_and_said_to_be_unknown() -> None:
    row = booked(61, 5)  # nothing was read any more
    assert row["load"] is None
    rows = interval_rows(PLACES, BEGIN, 1, row)
    ((figures),) = by_tag(rows, FIGURES, "site").values()
    for name in ("load_watt_hours", "pue_ratio", "carbon_life_cycle_grams", "unmetered_watt_hours"):
        assert name not in figures
        assert figures[f"{name}_known"] == 0.0
    grid = by_tag(rows, BALANCE, "origin")["grid"]
    assert (grid["source_watt_hours_known"], grid["energy_watt_hours_known"]) == (0.0, 0.0)
    assert "energy_watt_hours" not in grid


def test_no_pue_while_a_ups_gives_what_another_interval_bought() -> None:
    row = {**booked(), "metering": ["ups_on_battery"]}
    ((figures),) = by_tag(interval_rows(PLACES, BEGIN, 1, row), FIGURES, "site").values()
    assert figures["pue_ratio_known"] == 0.0


def test_every_number_is_a_float_and_every_name_has_its_unit() -> None:
    units = ("_watt_hours", "_grams", "_ratio", "_grams_per_kilowatt_hour", "_known", "_hours")
    for row in interval_rows(PLACES, BEGIN, 1, booked()):
        for name, value in row.fields.items():
            assert type(value) is float or name == "flags", name
            assert name.endswith(units) or name in {"revision", "flags"}, name


def quarter(**tenants: float) -> dict[str, Any]:
    carbon = {"life_cycle": 5.0, "operational": None}
    return {
        "load": 100.0,
        "tenants": {
            name: {
                "it": watt_hours,
                "overhead": 1.0,
                "load": watt_hours + 1.0,
                "gpu_hours": 2.0,
                "carbon": carbon,
                "origins": {"pv": watt_hours, "grid": 1.0},
                "carbon_free": None,
                "kind": "startup",
                "country": "MA",
            }
            for name, watt_hours in tenants.items()
        },
        "halls": {"hall-a": {"it": 90.0, "load": 100.0, "carbon": carbon, "origins": None}},
        "racks": {"r1": [90.0, 4.0, None]},
    }


def test_a_quarter_hour_becomes_points_of_tenants_halls_and_racks() -> None:
    rows = attribution_rows(PLACES, BEGIN, 1, quarter(aurora=10.0, operator=80.0))
    tenants = by_tag(rows, TENANTS, "tenant")
    assert tenants["aurora"]["energy_watt_hours"] == 11.0
    assert tenants["aurora"]["origin_pv_watt_hours"] == 10.0
    assert tenants["aurora"]["carbon_operational_grams_known"] == 0.0
    (rack,) = [row for row in rows if row.measurement == RACKS]
    assert rack.tags == (("hall", "hall-a"), ("rack", "r1"), ("row", "row-1"), ("site", "demo"))
    assert rack.fields["it_watt_hours"] == 90.0


def test_a_tenant_that_a_later_revision_no_longer_has_becomes_zero() -> None:
    before = quarter(aurora=10.0, operator=80.0)
    rows = attribution_rows(PLACES, BEGIN, 2, quarter(operator=90.0), before)
    tenants = by_tag(rows, TENANTS, "tenant")
    assert tenants["aurora"]["energy_watt_hours"] == 0.0
    assert tenants["aurora"]["energy_watt_hours_known"] == 1.0
    assert tenants["aurora"]["revision"] == 2.0
    assert tenants["operator"]["it_watt_hours"] == 90.0


def test_fields_of_says_of_each_figure_whether_it_is_known() -> None:
    assert fields_of({"a_ratio": None, "b_ratio": 1}, {"revision": 2.0}) == {
        "revision": 2.0,
        "a_ratio_known": 0.0,
        "b_ratio": 1.0,
        "b_ratio_known": 1.0,
    }
