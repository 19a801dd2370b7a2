# SPDX-License-Identifier: Apache-2.0
"""What is not known of a mesh and of one bus, and what their residual says."""

from math import fsum

import pytest
from accounting_mesh import (
    FACTORS,
    LOSSY,
    book,
    known,
    near,
    of,
)
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryState, discharge, initial
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.interval import account

# --- what is not known ---------------------------------------------------------------------------


def test_an_unknown_source_blinds_its_bus_and_what_is_downstream() -> None:
    nodes = {
        "a": Flows({"pv": None}, {"it": 10.0}),
        "b": Flows({"grid": 10.0}, {"it": 20.0}, charge=5.0),
        "c": Flows({"grid": 30.0}, {"it": 20.0}),
    }
    row = book(nodes, [TieFlow("a", "b", 10.0), TieFlow("c", "a", 10.0)])
    assert [row.buses[bus].shares is None for bus in "abc"] == [True, True, False]
    assert (row.shares, row.origins, row.residual, row.carbon_free) == (None, None, None, None)
    assert row.carbon["life_cycle"] is None
    assert row.buses["b"].residual == pytest.approx(-5.0)
    assert row.load == 50.0
    assert row.battery.stock["unknown"] == pytest.approx(4.5)
    assert row.flags == ("charge_of_unknown_origin", "residual_unknown")


def test_an_unknown_tie_is_a_source_there_and_a_sink_here() -> None:
    nodes = {"a": Flows({"grid": 50.0}, {"it": 20.0}), "b": Flows({"pv": 1.0}, {"campus": 31.0})}
    row = book(nodes, [TieFlow("a", "b", None)])
    assert row.buses["a"].shares is not None
    assert row.buses["b"].shares is None
    assert (row.buses["a"].residual, row.buses["b"].residual) == (None, None)
    assert of(row.shares, "grid") == 1.0, "the data center is not downstream"
    assert of(row.origins, "grid") == 20.0
    assert row.residual is None
    assert row.completeness == pytest.approx(8 / 9)


def test_an_unknown_load_of_a_mesh_leaves_the_mix_of_each_bus() -> None:
    nodes = {"a": Flows({"grid": 50.0}, {"it": None}), "b": Flows({"pv": 10.0}, {"it": 10.0})}
    row = book(nodes)
    assert (row.load, row.shares, row.origins, row.carbon_free) == (None, None, None, None)
    assert of(row.buses["a"].shares, "grid") == 1.0
    assert row.intensity["life_cycle"] is None
    assert row.boundary == 60.0
    alone = {"a": Flows({"grid": 50.0}, {"it": None}), "b": Flows({"pv": 10.0}, {"campus": 10.0})}
    assert book(alone).shares is not None, "only one bus has any load"


def test_an_unknown_discharge_of_one_bus_leaves_the_other_its_own() -> None:
    held = initial(100.0, FACTORS.initial)
    nodes = {
        "a": Flows({"grid": 5.0}, {"it": 5.0}, discharge=None),
        "b": Flows({}, {"it": 9.5}, charge=None, discharge=9.5),
        "c": Flows({}, {"it": 19.0}, discharge=19.0),
    }
    row = book(nodes, (), held)
    assert row.battery.stale
    assert row.battery.watt_hours == pytest.approx(70.0)
    assert [row.buses[bus].shares is None for bus in "abc"] == [True, True, False]
    assert (row.stock_change, row.boundary) == (None, None)
    assert set(row.charged.values()) == set(row.discharged.values()) == {None}


def test_a_missing_factor_blinds_one_series_of_what_is_downstream() -> None:
    nodes = {"a": Flows({"genset": 10.0}, {"it": 5.0}), "b": Flows({"pv": 5.0}, {"it": 10.0})}
    row = book(nodes, [TieFlow("a", "b", 5.0)])
    assert row.carbon["operational"] is None
    assert row.intensity["operational"] is None
    assert row.carbon["life_cycle"] == pytest.approx(9.24)
    assert row.carbon_free == pytest.approx(5.0)


def test_without_a_carbon_free_fraction_only_own_energy_tells() -> None:
    blind = IntervalFactors(FACTORS.intensity, None, FACTORS.initial)
    mixed = Flows({"grid": 50.0, "pv": 50.0}, {"it": 90.0}, charge=10.0)
    row = account(mixed, BatteryState(), LOSSY, blind)
    assert (row.carbon_free, row.battery.grid_free) == (None, None)
    dark = account(Flows({}, {"it": 5.0}, discharge=5.0), row.battery, LOSSY, FACTORS)
    assert dark.carbon_free is None
    own = account(Flows({"pv": 50.0, "grid": 0.0}, {"it": 40.0}), BatteryState(), LOSSY, blind)
    assert own.carbon_free == 40.0
    assert account(Flows({}, {"it": 0.0}), BatteryState(), LOSSY, blind).carbon_free == 0.0


def test_the_grid_in_the_battery_keeps_the_fraction_of_its_import() -> None:
    night = IntervalFactors(FACTORS.intensity, 0.1, FACTORS.initial)
    noon = IntervalFactors(FACTORS.intensity, 0.5, FACTORS.initial)
    filled = account(Flows({"grid": 100.0}, {}, charge=100.0), BatteryState(), LOSSY, noon)
    assert filled.battery.grid_free == pytest.approx(45.0)
    flows = Flows({"grid": 10.0}, {"it": 20.0}, discharge=10.0)
    row = account(flows, filled.battery, LOSSY, night)
    assert row.carbon_free == pytest.approx(5.0 + 1.0)


def test_a_tie_to_nowhere_is_an_error() -> None:
    with pytest.raises(KeyError):
        book({"a": Flows({"pv": 1.0}), "b": Flows()}, [TieFlow("a", "nowhere", 1.0)])


# --- the residual --------------------------------------------------------------------------------


def test_a_residual_beyond_its_uncertainty_is_flagged() -> None:
    flows = Flows({"grid": 100.0}, {"it": 99.0})
    held = BatteryState()
    for uncertainty, flagged in ((0.49, True), (0.5, False), (None, False)):
        row = account(flows, held, LOSSY, FACTORS, residual_uncertainty=uncertainty)
        assert ("residual_beyond_uncertainty" in row.flags) is flagged
    blind = account(Flows({"grid": None}), held, LOSSY, FACTORS, residual_uncertainty=0.1)
    assert blind.flags == ("residual_unknown",)


def test_a_discharge_beyond_the_stock_by_rounding_is_not_flagged() -> None:
    held = initial(100.0, FACTORS.initial)
    exact = 100.0 * 0.95
    row = account(Flows({}, {"it": exact}, discharge=exact * (1 + 1e-12)), held, LOSSY, FACTORS)
    assert row.flags == ()
    assert row.battery.watt_hours == 0.0
    more = account(Flows({}, {"it": exact}, discharge=exact * (1 + 1e-8)), held, LOSSY, FACTORS)
    assert more.flags == ("discharge_beyond_stock",)


MAYBE = st.none() | st.just(0.0) | st.floats(1e-3, 1e6)
PATCHY = st.builds(
    Flows,
    st.fixed_dictionaries({"pv": MAYBE, "grid": MAYBE}),
    st.fixed_dictionaries({"it": MAYBE, "cooling": MAYBE, "export": MAYBE}),
    MAYBE,
    MAYBE,
)


@given(st.lists(PATCHY, min_size=1, max_size=4), st.floats(0.0, 1e6))
def test_what_is_unknown_is_unknown_on_a_mesh_as_on_one_bus(
    hours: list[Flows], stock: float
) -> None:
    """A second bus on which nothing happens changes nothing, whatever the first does not know."""
    alone = beside = initial(stock, FACTORS.initial)
    for flows in hours:
        one = account(flows, alone, LOSSY, FACTORS)
        two = book({"a": flows, "z": Flows()}, [TieFlow("a", "z", 0.0)], beside)
        for name, value in one._asdict().items():
            found = getattr(two, name)
            if name in {"buses", "completeness", "battery"}:
                continue
            assert near(found, value), (name, found, value)
        alone, beside = one.battery, two.battery
        assert (alone.stale, alone.grid_free is None) == (beside.stale, beside.grid_free is None)
        assert near(beside.stock, alone.stock)
        assert near(beside.carbon, alone.carbon)


@given(PATCHY, st.floats(1.0, 1e6))
def test_the_rules_of_what_is_unknown(flows: Flows, stock: float) -> None:
    held = initial(stock, FACTORS.initial)
    row = account(flows, held, LOSSY, FACTORS)
    supplied = [*flows.sources.values(), flows.charge, flows.discharge]
    if None in supplied:
        assert (row.shares, row.origins, row.residual, row.carbon_free) == (None,) * 4
        assert set(row.carbon.values()) == {None}
    elif None in flows.sinks.values():
        assert row.residual is None
        if fsum(known(value) for value in supplied) - known(flows.charge) > 0.0:
            assert row.shares is not None or row.load == 0.0
    assert row.battery.stale is (None in {flows.charge, flows.discharge})
    given_out = discharge(held, flows.discharge or 0.0, LOSSY, FACTORS.grid).state.watt_hours
    stored = 0.9 * (flows.charge or 0.0)
    assert row.battery.watt_hours == pytest.approx(given_out + stored, rel=1e-9, abs=1e-6)


def test_an_idle_site_with_an_unknown_tie_has_no_carbon_either() -> None:
    idle = {"a": Flows({"grid": 5.0}, {"it": 0.0}), "b": Flows({}, {"it": 0.0, "campus": 5.0})}
    row = book(idle, [TieFlow("a", "b", None)])
    assert (row.carbon["life_cycle"], row.carbon_free) == (None, None)
    told = book(idle, [TieFlow("a", "b", 5.0)])
    assert (told.carbon["life_cycle"], told.carbon_free) == (0.0, 0.0)
