# SPDX-License-Identifier: Apache-2.0
"""Quarter hours down to halls, racks, nodes, GPUs and tenants, out of a real ledger."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import fsum
from typing import Any

import pytest
from collector.quarters import (
    A_AND_B,
    BEGIN,
    EIGHT,
    HALL,
    IT,
    LOADS,
    RACKS,
    SECONDS,
    booked,
    check_sums,
    close,
    gpus,
    ms,
    powers,
    row,
    site,
    tenants,
    tree,
)

from rackwatt.collector.ledger.chain import canonical

QUARTER = 0.25


def known(found: Mapping[str, Any], *names: str) -> dict[str, float]:
    return {name: found["tenants"][name]["load"] for name in names or found["tenants"]}


def test_tenants_pay_their_it_and_their_part_of_the_overhead() -> None:
    """A 600, B 300, free 100, overhead 150: 690, 345 and 115."""
    found = row(booked(site(A_AND_B), powers(LOADS, SECONDS)))
    assert known(found, "a", "b", "operator") == pytest.approx(
        {"a": 690.0, "b": 345.0, "operator": 115.0}
    )
    assert found["overhead"] == pytest.approx(150.0)
    assert found["racks"]["r1"][0] == pytest.approx(600.0)
    assert found["halls"]["hall-a"]["it"] == pytest.approx(900.0)
    assert found["tenants"]["a"]["country"] == "FR"
    assert found["tenants"]["a"]["overhead"] == pytest.approx(90.0)
    assert found["tenants"]["b"]["kind"] == "start-up"
    assert found["tenants"]["operator"]["kind"] == "operator"
    assert found["completeness"] == 1.0
    check_sums(found)
    # Half sun at 48 g/kWh, half grid at 600 g/kWh: 324 g/kWh of the load.
    assert found["tenants"]["a"]["carbon"]["life_cycle"] == pytest.approx(0.69 * 324.0)
    assert found["tenants"]["a"]["origins"]["pv"] == pytest.approx(345.0)
    assert found["tenants"]["a"]["carbon_free"] == pytest.approx(345.0 + 0.215 * 345.0, rel=1e-3)
    assert canonical(found)


def test_reserved_gpus_pay_though_they_idle() -> None:
    busy = {name: (290.0 if name.endswith(("a", "b")) else 10.0) for name in EIGHT}
    people = tenants(
        "- {id: a, kind: researcher, assignments: [{gpus: 'r1-n1/GPU-[a-b]'}]}\n"
        "- {id: b, kind: company, assignments: [{gpus: 'r1-n1/GPU-c'}]}\n"
    )
    found = row(booked(site(people), powers(LOADS, SECONDS), gpus(busy, SECONDS)))
    # The rack's 600 Wh: its 8 GPUs counted 300 Wh, the rest is 37.5 Wh for each GPU's time.
    assert found["tenants"]["a"]["it"] == pytest.approx(2 * (72.5 + 37.5))
    assert found["tenants"]["b"]["it"] == pytest.approx(2.5 + 37.5)
    assert found["tenants"]["a"]["gpu_hours"] == pytest.approx(2 * QUARTER)
    assert found["tenants"]["b"]["gpu_hours"] == pytest.approx(QUARTER)
    assert found["tenants"]["operator"]["gpu_hours"] == pytest.approx(5 * QUARTER)
    check_sums(found)


def test_a_quarter_is_split_where_an_assignment_changes() -> None:
    """Tenant a holds rack 1 for the first third of the quarter, then b; mid-minute."""
    cut = datetime.fromtimestamp(ms(330) / 1000, UTC).isoformat()
    people = tenants(
        f"- {{id: a, kind: researcher, assignments: [{{racks: r1, valid_to: '{cut}'}}]}}\n"
        f"- {{id: b, kind: company, assignments: [{{nodes: 'r1-n[1-2]', valid_from: '{cut}'}}]}}\n"
    )
    found = row(booked(site(people), powers(LOADS, SECONDS), gpus(EIGHT, SECONDS)))
    assert found["tenants"]["a"]["it"] == pytest.approx(600.0 * 330 / 900)
    assert found["tenants"]["b"]["it"] == pytest.approx(600.0 * 570 / 900)
    assert found["tenants"]["a"]["gpu_hours"] == pytest.approx(8 * 330 / 3600)
    assert found["tenants"]["b"]["gpu_hours"] == pytest.approx(8 * 570 / 3600)
    check_sums(found)
    after = row(booked(site(people), powers(LOADS, range(-10, 1900, 10)), until=1900.0), 1)
    assert "a" not in after["tenants"]


def test_nodes_and_gpus_are_computed_when_asked_for() -> None:
    books = booked(site(), powers(LOADS, SECONDS), gpus(EIGHT, SECONDS))
    whole = tree(books)
    assert close(whole["it"], IT * QUARTER)

    def descend(place: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield place
        for child in place["children"]:
            yield from descend(child)

    for place in descend(whole):
        if place["children"]:
            for figure in ("it", "load", "carbon_free"):
                assert close(fsum(c[figure] for c in place["children"]), place[figure])
            assert close(
                fsum(c["carbon"]["life_cycle"] for c in place["children"]),
                place["carbon"]["life_cycle"],
            )
    levels = [place["level"] for place in descend(whole)]
    assert {level: levels.count(level) for level in levels} == {
        "site": 1,
        "hall": 2,
        "rack": 4,
        "node": 8,
        "gpu": 8,
    }
    only = tree(books, ["r1"])
    assert [level["level"] for level in descend(only)].count("node") == 2
    assert books[1].tree(BEGIN, []) is None
    assert books[1].row(BEGIN, []) is None


def test_a_node_with_a_meter_of_its_own_has_its_own_course() -> None:
    records = powers({**LOADS, "r1-n1": 1000.0}, SECONDS)
    books = booked(site(), records, gpus(EIGHT, SECONDS))
    rack = tree(books, ["r1"])["children"][0]["children"][0]
    assert [node["it"] for node in rack["children"]] == pytest.approx([250.0, 350.0])
    both = booked(
        site(), powers({**LOADS, "r1-n1": 1000.0, "r1-n2": 1000.0}, SECONDS), gpus(EIGHT, SECONDS)
    )
    rack = tree(both, ["r1"])["children"][0]["children"][0]
    assert [node["it"] for node in rack["children"]] == pytest.approx([300.0, 300.0])


def test_a_silent_pdu_makes_only_what_rests_on_it_unknown() -> None:
    people = tenants(
        "- {id: a, kind: researcher, assignments: [{racks: r1}]}\n"
        "- {id: b, kind: company, assignments: [{racks: r2}]}\n"
    )
    records = [r for r in powers(LOADS, SECONDS) if r.device != "r2-pdu" or r.time_ms < ms(300)]
    found = row(booked(site(people), records))
    assert found["it"] is None
    assert found["racks"]["r2"] == [None, None, None]
    assert found["racks"]["r1"][0] == pytest.approx(600.0)
    assert found["halls"]["hall-a"]["it"] is None
    assert found["halls"]["hall-b"]["it"] == pytest.approx(100.0)
    assert found["tenants"]["b"]["it"] is None
    assert found["tenants"]["b"]["origins"] is None
    assert found["tenants"]["a"]["it"] == pytest.approx(600.0)
    assert found["tenants"]["a"]["load"] is None
    # Of IT, load and four racks, IT, load and one rack are unknown.
    assert found["completeness"] == pytest.approx(3 / 6)


ROWS = """
- {id: way-1, cadence: 10s, hall: hall-a}
- {id: way-2, cadence: 10s, hall: hall-b}
- {id: it, role: it, position: pdu_output, sum: [way-1, way-2]}
"""
BY_ROW = """
halls:
- id: hall-a
  rows:
  - {id: row-1, racks: 'r[1-2]', nodes: '{rack}-n[1-2]', pdus: '{rack}-pdu', pdu_parent: way-1}
- id: hall-b
  rows:
  - {id: row-2, racks: 'r[3-4]', pdu_parent: way-2}
"""
WAYS = {"way-1": 3600.0, "way-2": 400.0, "c": 600.0, "g": 2300.0, "p": 2300.0}


def test_racks_below_a_busway_by_their_pdus_counters_and_gpus() -> None:
    of = site(halls=BY_ROW, meters=ROWS)
    metered = row(booked(of, powers({**WAYS, "r1-pdu": 2400.0, "r2-pdu": 1000.0}, SECONDS)))
    # 50 Wh are lost between busway and racks: pro rata to what the racks draw.
    assert metered["racks"]["r1"][0] == pytest.approx(600.0 + 50.0 * 600 / 850)
    assert metered["racks"]["r3"][0] == pytest.approx(50.0)
    check_sums(metered)
    partly = row(booked(of, powers({**WAYS, "r1-pdu": 2400.0}, SECONDS), gpus(EIGHT, SECONDS)))
    assert partly["racks"]["r1"][0] == pytest.approx(600.0)
    assert partly["racks"]["r2"][0] == pytest.approx(300.0)
    check_sums(partly)
    counted = row(booked(of, powers(WAYS, SECONDS), gpus(EIGHT, SECONDS)))
    # Rack 1 counted 400 Wh; of rack 2 nobody knows how many GPUs it holds: as many.
    assert counted["racks"]["r1"][0] == pytest.approx(650.0)
    assert counted["racks"]["r2"][0] == pytest.approx(250.0)
    check_sums(counted)


def test_a_silent_pdu_below_a_busway_gets_the_difference() -> None:
    of = site(halls=BY_ROW, meters=ROWS)
    records = powers({**WAYS, "r1-pdu": 2400.0, "r2-pdu": 1000.0}, SECONDS)
    records = [r for r in records if r.device != "r2-pdu" or r.time_ms < ms(300)]
    found = row(booked(of, records))
    assert found["racks"]["r2"][0] == pytest.approx(300.0)
    assert "by_difference" in found["flags"]
    too_much = row(booked(of, powers({**WAYS, "r1-pdu": 2800.0, "r2-pdu": 1400.0}, SECONDS)))
    assert too_much["racks"]["r1"][0] == pytest.approx(600.0)
    assert "children_scaled" in too_much["flags"]


def test_a_busway_of_which_no_row_says_that_it_feeds_it_is_its_halls() -> None:
    of = site(halls=BY_ROW.replace(", pdu_parent: way-1", ""), meters=ROWS)
    found = row(booked(of, powers(WAYS, SECONDS)))
    assert found["racks"]["r1"][0] == pytest.approx(450.0)
    assert found["halls"]["hall-a"]["it"] == pytest.approx(900.0)
    check_sums(found)


def test_it_outside_racks_and_halls_is_the_operators() -> None:
    meters = """
- {id: net-a, cadence: 10s, hall: hall-a}
- {id: net, cadence: 10s}
- {id: it, role: it, position: pdu_output, sum: ['r[1-4]-pdu', net-a, net]}
"""
    of = site(
        tenants("- {id: a, kind: company, assignments: [{racks: 'r[1-4]'}]}\n"), meters=meters
    )
    loads = {**LOADS, "net-a": 200.0, "net": 100.0, "g": 2600.0}
    books = booked(of, powers(loads, SECONDS))
    found = row(books)
    assert found["tenants"]["a"]["it"] == pytest.approx(1000.0)
    assert found["tenants"]["operator"]["it"] == pytest.approx(75.0)
    assert found["halls"]["hall-a"]["it"] == pytest.approx(950.0)
    assert found["halls"]["site"]["it"] == pytest.approx(25.0)
    names = [child["name"] for child in tree(books)["children"]]
    assert names == ["hall-a", "hall-b", "site"]


def test_a_coolant_unit_on_a_busbar_comes_off_its_hall() -> None:
    meters = """
- {id: cdu, role: cooling, cadence: 10s, hall: hall-a}
- {id: it, role: it, position: pdu_output, sum: ['r[1-4]-pdu'], minus: [cdu]}
"""
    found = row(booked(site(meters=meters), powers({**LOADS, "cdu": 360.0}, SECONDS)))
    assert found["it"] == pytest.approx(910.0)
    assert found["halls"]["hall-a"]["it"] == pytest.approx(810.0)
    assert found["racks"]["r1"][0] == pytest.approx(600.0 * 0.9)
    assert not found["flags"]


def test_it_at_the_ups_flows_down_to_racks_that_are_below() -> None:
    meters = "- {id: ups, role: it, position: ups_output, cadence: 10s}\n"
    records = powers({**LOADS, "ups": 4200.0, "g": 2500.0}, SECONDS)
    found = row(booked(site(meters=meters), records))
    assert found["racks"]["r1"][0] == pytest.approx(630.0)
    assert list(found["halls"]) == ["hall-a", "hall-b"]
    check_sums(found)


def test_an_empty_hall_takes_nothing() -> None:
    meters = "- {id: ups, role: it, position: ups_output, cadence: 10s}\n"
    halls = HALL + "- id: hall-c\n"
    found = row(booked(site(halls=halls, meters=meters), powers({**LOADS, "ups": 4200.0}, SECONDS)))
    assert list(found["halls"]) == ["hall-a", "hall-b"]
    assert found["racks"]["r1"][0] == pytest.approx(630.0)
    bare = site(halls="\nhalls: [{id: hall-c}]\n", meters=meters)
    found = row(booked(bare, powers({"ups": 4000.0, "c": 600.0, "g": 4600.0, "p": 0.0}, SECONDS)))
    assert found["halls"]["site"]["it"] == pytest.approx(1000.0)
    assert found["tenants"]["operator"]["load"] == pytest.approx(1150.0)


def test_without_halls_all_is_the_operators() -> None:
    of = site(halls="", meters="- {id: i, role: it, cadence: 10s}\n")
    books = booked(of, powers({"i": 4000.0, "c": 600.0, "g": 2300.0, "p": 2300.0}, SECONDS))
    found = row(books)
    assert list(found["halls"]) == ["site"]
    assert found["tenants"]["operator"]["load"] == pytest.approx(1150.0)
    assert [child["name"] for child in tree(books)["children"]] == ["site"]


MESH = """
site: {id: s, name: S, timezone: UTC, country: MA}
carbon: {factors: {pv: {life_cycle: 48}, grid: {life_cycle: 600, direct: 500}}}
buses: [{id: north}, {id: south}]
meters:
- {id: g, role: grid, bus: south, cadence: 10s}
- {id: p, role: pv, bus: north, cadence: 10s}
- {id: c, role: cooling, bus: south, cadence: 10s}
"""


def test_a_hall_on_another_bus_has_that_bus_s_carbon() -> None:
    halls = HALL.replace("id: hall-a", "id: hall-a\n  bus: north")
    halls = halls.replace("id: hall-b", "id: hall-b\n  bus: south")
    people = tenants("- {id: a, kind: company, assignments: [{racks: r3}]}\n")
    of = site(people, halls, head=MESH)
    loads = {**RACKS, "c": 600.0, "g": 1000.0, "p": 3600.0}
    found = row(booked(of, powers(loads, SECONDS)))
    check_sums(found)
    north, south = found["halls"]["hall-a"], found["halls"]["hall-b"]
    # 900 Wh of sun for hall A; 100 Wh for hall B and 150 Wh for the cooling, all from the grid.
    assert north["carbon"]["life_cycle"] == pytest.approx(0.9 * 48 + 0.9 * 0.15 * 600)
    assert south["carbon"]["life_cycle"] == pytest.approx(0.1 * 600 + 0.1 * 0.15 * 600)
    assert found["tenants"]["a"]["origins"]["pv"] == pytest.approx(0.0, abs=1e-9)


def test_a_counter_that_started_anew_leaves_its_energy_to_the_nodes_remainder() -> None:
    people = tenants("- {id: a, kind: company, assignments: [{gpus: r1-n1/GPU-a}]}\n")
    counters = gpus(EIGHT, SECONDS)
    broken = [
        c
        if c.device != "r1-n1/GPU-a" or c.time_ms < ms(300)
        else type(c)(c.device, c.time_ms, (c.time_ms - ms(300)) / 1e6, c.received_ms)
        for c in counters
    ]
    found = row(booked(site(people), powers(LOADS, SECONDS), broken))
    assert "counter_reset" in found["flags"]
    assert found["tenants"]["a"]["it"] is not None
    check_sums(found)
    late = [c for c in counters if c.device != "r1-n1/GPU-a" or c.time_ms < ms(300)]
    assert "counter_gap" in row(booked(site(people), powers(LOADS, SECONDS), late))["flags"]
