# SPDX-License-Identifier: Apache-2.0
"""Books of a mesh of buses: closed on each bus, and one bus is the special case."""

from math import fsum

import pytest
from accounting_mesh import (
    BUSES,
    FACTORS,
    FLOWS,
    LOSSY,
    NODES,
    TIES,
    book,
    known,
    of,
)
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import discharge, initial
from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.interval import account
from rackwatt.collector.accounting.sharing import share
from rackwatt.collector.accounting.vocabulary import LOADS, ORIGINS, RENEWABLE, SERIES


@given(FLOWS, st.floats(0.0, 1e6))
def test_one_bus_equals_proportional_sharing_bit_for_bit(flows: Flows, stock: float) -> None:
    held = initial(stock, FACTORS.initial)
    row = account(flows, held, LOSSY, FACTORS)
    given_out = discharge(held, known(flows.discharge), LOSSY, FACTORS.grid).energy
    metered = {**flows.sources, "unknown": row.unknown}
    on_bus = {o: (metered.get(o) or 0.0) + given_out[o] for o in ORIGINS}
    shared = share(on_bus, {"load": known(row.load)})
    assert row.origins == (shared.get("load") if known(row.load) > 0.0 else None)


@given(FLOWS)
def test_one_named_bus_equals_one_without_a_name(flows: Flows) -> None:
    held = initial(1e5, FACTORS.initial)
    assert book({"north": flows}, (), held) == account(flows, held, LOSSY, FACTORS)


@given(st.lists(st.tuples(NODES, TIES), min_size=1, max_size=3), st.floats(0.0, 1e6))
def test_the_books_of_a_mesh_close(
    hours: list[tuple[dict[str, Flows], list[TieFlow]]], stock: float
) -> None:
    """Carbon in = carbon out + change of M; energy by origin = delivered + losses + change."""
    held = initial(stock, FACTORS.initial)
    for nodes, ties in hours:
        row = book(nodes, ties, held)
        into = {o: fsum(known(f.sources.get(o, 0.0)) for f in nodes.values()) for o in ORIGINS}
        into["unknown"] += row.unknown + row.beyond
        scale = max(1.0, fsum(into.values()), held.watt_hours)
        delivered = dict.fromkeys(ORIGINS, 0.0)
        caused = dict.fromkeys(SERIES, 0.0)
        free = 0.0
        for name, bus in row.buses.items():
            flows = nodes[name]
            taken = fsum([*(known(v) for v in flows.sinks.values()), bus.unmetered])
            if bus.shares is None:
                assert taken + known(flows.charge) == pytest.approx(0.0, abs=1e-6 * scale)
                continue
            assert fsum(bus.shares.values()) == pytest.approx(1.0, abs=1e-12)
            assert min(bus.shares.values()) >= 0.0
            for origin in ORIGINS:
                delivered[origin] += taken * bus.shares[origin]
            for series in SERIES:
                caused[series] += taken * known(bus.intensity[series]) / 1000.0
            free += known(bus.load) * fsum(bus.shares[name] for name in RENEWABLE)
        for origin in ORIGINS:
            kept = row.battery.stock[origin] - held.stock[origin]
            out = delivered[origin] + row.losses[origin] + kept
            assert out == pytest.approx(into[origin], abs=1e-9 * scale)
        for series in SERIES:
            table = FACTORS.intensity[series]
            mass = fsum(into[o] * (table[o] or 0.0) for o in ORIGINS) / 1000.0
            kept = known(row.battery.carbon[series]) - known(held.carbon[series])
            assert caused[series] + kept == pytest.approx(mass, abs=1e-9 * scale)
        assert min(row.battery.stock.values()) >= 0.0
        assert 0.0 <= known(row.battery.grid_free) <= row.battery.stock["grid"] * 0.2150001
        assert known(row.residual) == pytest.approx(row.unmetered - row.unknown, abs=1e-9 * scale)
        if row.shares is not None:
            assert fsum(row.shares.values()) == pytest.approx(1.0, abs=1e-12)
            assert row.carbon_free is not None
            grid = of(row.origins, "grid")
            assert row.carbon_free == pytest.approx(free + 0.215 * grid, abs=1e-8 * scale)
        held = row.battery


@given(NODES, TIES, st.permutations(BUSES), st.permutations(LOADS))
def test_permuting_buses_ties_and_loads_changes_nothing(
    nodes: dict[str, Flows], ties: list[TieFlow], order: list[str], loads: list[str]
) -> None:
    shuffled = {
        name: Flows(
            nodes[name].sources,
            {sink: nodes[name].sinks[sink] for sink in (*loads, "export", "campus")},
            nodes[name].charge,
            nodes[name].discharge,
        )
        for name in order
    }
    held = initial(1e5, FACTORS.initial)
    assert book(shuffled, ties[::-1], held) == book(nodes, ties, held)


@given(NODES, TIES, st.booleans())
def test_halving_an_interval_changes_nothing(
    nodes: dict[str, Flows], ties: list[TieFlow], charging: bool
) -> None:
    def scaled(flows: Flows, part: float) -> Flows:
        return Flows(
            {name: known(value) * part for name, value in flows.sources.items()},
            {name: known(value) * part for name, value in flows.sinks.items()},
            known(flows.charge) * part if charging else 0.0,
            0.0 if charging else known(flows.discharge) * part,
        )

    held = initial(1e7, FACTORS.initial)
    once = book({name: scaled(flows, 1.0) for name, flows in nodes.items()}, ties, held)
    half = {name: scaled(flows, 0.5) for name, flows in nodes.items()}
    lines = [TieFlow(t.source, t.target, known(t.watt_hours) / 2) for t in ties]
    first = book(half, lines, held)
    second = book(half, lines, first.battery)
    for origin in ORIGINS:
        assert second.battery.stock[origin] == pytest.approx(
            once.battery.stock[origin], rel=1e-9, abs=1e-6
        )
    if once.shares is not None:
        assert second.shares == pytest.approx(once.shares, rel=1e-9, abs=1e-12)


@given(FLOWS, st.floats(0.1, 0.9), st.floats(1.0, 1e6))
def test_buses_of_one_mix_are_as_good_as_one_bus(flows: Flows, part: float, round_: float) -> None:
    """Two halls with the same mix, however much their ties carry round."""

    def scaled(factor: float) -> Flows:
        return Flows(
            {name: known(value) * factor for name, value in flows.sources.items()},
            {name: known(value) * factor for name, value in flows.sinks.items()},
            known(flows.charge) * factor,
            0.0,
        )

    ties = [TieFlow("a", "b", round_), TieFlow("b", "a", round_)]
    whole = book({"": scaled(1.0)})
    halls = book({"a": scaled(part), "b": scaled(1.0 - part)}, ties)
    assert halls.residual == pytest.approx(whole.residual, rel=1e-9, abs=1e-6)
    # Beside a great flow round, the rounding of a bus's balance is as great as a small sink.
    if halls.shares is not None and whole.shares is not None and known(whole.load) > 1e-2:
        assert halls.shares == pytest.approx(whole.shares, rel=1e-6, abs=1e-6)


def test_two_halls_on_two_substations() -> None:
    """North has the grid and half the IT, south the PV; the surplus of the north goes south."""
    nodes = {
        "north": Flows({"grid": 100.0}, {"it": 60.0}),
        "south": Flows({"pv": 40.0}, {"it": 60.0, "cooling": 20.0}),
    }
    row = book(nodes, [TieFlow("north", "south", 40.0)])
    assert (row.residual, row.load, row.it, row.boundary) == (0.0, 140.0, 120.0, 140.0)
    assert row.residual_ratio == 0.0
    north, south = row.buses["north"], row.buses["south"]
    assert (north.load, south.load) == (60.0, 80.0)
    assert of(north.shares, "grid") == 1.0
    assert of(south.shares, "pv") == pytest.approx(0.5)
    assert of(row.shares, "pv") == pytest.approx(40 / 140)
    assert of(row.origins, "grid") == pytest.approx(100.0)
    assert row.carbon["operational"] == pytest.approx(55.424)
    assert row.intensity["operational"] == pytest.approx(554.24 * 100 / 140)
    assert row.carbon_free == pytest.approx(40.0 + 21.5)
    assert row.scope_2 == pytest.approx(55.424)
    assert row.grid_factors == {"life_cycle": 619.71, "direct": 554.24, "carbon_free": 0.215}
    assert row.completeness == 1.0


def test_each_bus_has_its_own_gap() -> None:
    """What one bus has too much does not explain what another lacks."""
    nodes = {"a": Flows({"pv": 60.0}, {"it": 50.0}), "b": Flows({"grid": 50.0}, {"it": 52.0})}
    row = book(nodes)
    assert (row.residual, row.unmetered, row.unknown) == (8.0, 10.0, 2.0)
    assert row.residual_ratio == pytest.approx(8 / 110)
    assert (row.buses["a"].unmetered, row.buses["b"].unknown) == (10.0, 2.0)
    assert of(row.shares, "unknown") == pytest.approx(2 / 102)


def test_a_battery_takes_the_mix_of_its_bus_and_gives_to_another() -> None:
    nodes = {
        "a": Flows({"pv": 100.0}, {"it": 0.0}, charge=100.0),
        "b": Flows({"grid": 50.0}, {"it": 50.0}),
    }
    first = book(nodes)
    assert first.battery.stock["pv"] == pytest.approx(90.0)
    assert first.battery.stock["grid"] == 0.0
    nodes = {"a": Flows({}, {"it": 0.0}), "b": Flows({}, {"it": 19.0}, discharge=19.0)}
    second = book(nodes, (), first.battery)
    assert of(second.shares, "pv") == 1.0
    assert second.battery.stock["pv"] == pytest.approx(70.0)
    assert second.buses["a"].shares is None


def test_batteries_of_two_buses_share_one_stock() -> None:
    held = initial(100.0, FACTORS.initial)
    nodes = {
        "a": Flows({}, {"it": 30.0}, discharge=30.0),
        "b": Flows({"pv": 35.0}, {"it": 35.0, "losses": 10.0}, discharge=10.0),
    }
    row = book(nodes, (), held)
    assert row.battery.watt_hours == pytest.approx(100.0 - 40.0 / 0.95)
    assert of(row.buses["b"].shares, "pv") == pytest.approx(35 / 45)
    carbon = known(row.carbon["operational"]) + known(row.battery.carbon["operational"])
    assert carbon == pytest.approx(held.carbon["operational"])
    both = {
        "a": Flows({"pv": 40.0}, {"it": 20.0}, charge=20.0),
        "b": Flows({"grid": 20.0}, {"it": 10.0}, charge=10.0),
    }
    full = book(both)
    assert full.battery.stock["pv"] == pytest.approx(18.0)
    assert full.battery.stock["grid"] == pytest.approx(9.0)
    assert full.battery.grid_free == pytest.approx(9.0 * 0.215)


@given(NODES, TIES, st.floats(0.0, 1e6))
def test_scope_2_reconciles_with_the_operational_series(
    nodes: dict[str, Flows], ties: list[TieFlow], stock: float
) -> None:
    """Scope 2 + unknown = data center + others + export + unmetered + change of the mass."""
    held = initial(stock, FACTORS.initial)
    row = book(nodes, ties, held)
    direct = known(FACTORS.grid["operational"]) / 1000.0
    others = fsum(
        (known(nodes[name].sinks["campus"]) + known(nodes[name].sinks["export"]) + bus.unmetered)
        * (bus.intensity["operational"] or 0.0)
        / 1000.0
        for name, bus in row.buses.items()
    )
    change = known(row.battery.carbon["operational"]) - known(held.carbon["operational"])
    left = known(row.scope_2) + (row.unknown + row.beyond) * direct
    right = known(row.carbon["operational"]) + others + change
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9 * max(1.0, left))
