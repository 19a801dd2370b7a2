# SPDX-License-Identifier: Apache-2.0
"""The battery's ledger."""

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import (
    BatteryParameters,
    BatteryState,
    Movement,
    charge,
    discharge,
    initial,
    reanchor,
)
from rackwatt.collector.accounting.masses import Masses, mass
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES

GRID: Masses = {"life_cycle": 600.0, "operational": 550.0}
BUS: Masses = {"life_cycle": 200.0, "operational": 100.0}
LOSSY = BatteryParameters(1000.0, 0.9, 0.95)


def state(stock: dict[str, float], carbon: float | None = 0.0) -> BatteryState:
    whole = dict.fromkeys(ORIGINS, 0.0) | stock
    return BatteryState(whole, dict.fromkeys(SERIES, carbon))


def put(
    held: BatteryState,
    taken: float,
    mix: dict[str, float],
    intensity: Masses,
    parameters: BatteryParameters,
    grid_free: float | None = 0.0,
) -> Movement:
    energy = {origin: taken * part for origin, part in mix.items()}
    masses: Masses = {series: mass(taken, intensity[series]) for series in SERIES}
    return charge(held, energy, masses, parameters, grid_free)


def test_a_charge_takes_the_mix_and_the_carbon_of_the_bus() -> None:
    moved = put(BatteryState(), 100.0, {"pv": 0.5, "grid": 0.5}, BUS, LOSSY)
    assert moved.state.stock["pv"] == pytest.approx(45.0)
    assert moved.state.watt_hours == pytest.approx(90.0)
    assert moved.state.carbon == {"life_cycle": 20.0, "operational": 10.0}
    assert fsum(moved.losses.values()) == pytest.approx(10.0)


def test_a_charge_may_bring_an_origin_that_the_stock_has_not_seen() -> None:
    moved = put(BatteryState({"pv": 1.0}), 10.0, {"wind": 1.0}, BUS, BatteryParameters())
    assert moved.state.stock == {"pv": 1.0, "wind": 10.0}


def test_a_discharge_leaves_pro_rata() -> None:
    moved = discharge(state({"pv": 60.0, "grid": 40.0}, 1000.0), 47.5, LOSSY, GRID)
    assert moved.energy["pv"] == pytest.approx(28.5)
    assert moved.state.stock["pv"] == pytest.approx(30.0)
    assert moved.state.carbon["life_cycle"] == pytest.approx(500.0)
    assert moved.carbon["life_cycle"] == pytest.approx(500.0)
    assert moved.beyond == 0.0


def test_a_discharge_beyond_the_stock_is_unknown_at_the_grids_factor() -> None:
    moved = discharge(state({"pv": 10.0}, 50.0), 19.5, LOSSY, GRID)
    assert moved.energy["pv"] == pytest.approx(9.5)
    assert moved.beyond == pytest.approx(10.0)
    assert moved.energy["unknown"] == pytest.approx(10.0)
    assert moved.carbon["life_cycle"] == pytest.approx(50.0 + 6.0)
    assert moved.state.watt_hours == 0.0
    assert moved.state.carbon["life_cycle"] == 0.0
    empty = discharge(BatteryState(), 5.0, LOSSY, GRID)
    assert (empty.beyond, empty.energy["unknown"]) == (5.0, 5.0)


def test_the_first_stock_is_unknown_and_carries_the_declared_carbon() -> None:
    first = initial(1000.0, GRID)
    assert first.stock["unknown"] == 1000.0
    assert first.carbon == GRID
    assert initial(0.0, dict.fromkeys(SERIES, None)).carbon["life_cycle"] == 0.0
    assert initial(1.0, dict.fromkeys(SERIES, None)).carbon["life_cycle"] is None


def test_re_anchoring_scales_the_stock_and_leaves_the_carbon() -> None:
    """E 100 kWh, M 20,000 g, measured 95: E 95, M 20,000."""
    held = state({"pv": 60_000.0, "grid": 40_000.0}, 20_000.0)
    anchored, drift = reanchor(BatteryState(held.stock, held.carbon, stale=True), 95_000.0)
    assert anchored.stock["pv"] == pytest.approx(57_000.0)
    assert anchored.watt_hours == pytest.approx(95_000.0)
    assert anchored.carbon["life_cycle"] == 20_000.0
    assert drift == pytest.approx(5000.0)
    assert not anchored.stale


def test_the_grids_carbon_free_part_is_traced_by_the_time_of_its_import() -> None:
    lossy = BatteryParameters(None, 0.9, 0.5)
    first = put(BatteryState(), 100.0, {"grid": 1.0}, GRID, lossy, 20.0).state
    assert first.grid_free == pytest.approx(18.0)
    both = put(first, 100.0, {"grid": 0.5, "pv": 0.5}, BUS, lossy, 30.0).state
    assert both.grid_free == pytest.approx(45.0)
    half = discharge(both, 45.0, lossy, GRID)
    assert half.grid_free == pytest.approx(11.25)
    assert half.state.grid_free == pytest.approx(22.5)
    assert reanchor(half.state, 45.0)[0].grid_free == pytest.approx(11.25)
    assert reanchor(half.state, 0.0)[0].grid_free == 0.0
    assert discharge(half.state, 45.0, lossy, GRID).state.grid_free == 0.0


def test_grid_energy_of_unknown_make_blurs_the_stock_until_it_is_empty() -> None:
    blurred = put(BatteryState(), 10.0, {"grid": 1.0}, GRID, BatteryParameters(), None).state
    assert blurred.grid_free is None
    assert put(blurred, 5.0, {"pv": 1.0}, BUS, BatteryParameters()).state.grid_free is None
    half = discharge(blurred, 5.0, BatteryParameters(), GRID)
    assert (half.grid_free, half.state.grid_free) == (None, None)
    assert reanchor(half.state, 4.0)[0].grid_free is None
    assert discharge(half.state, 5.0, BatteryParameters(), GRID).state.grid_free == 0.0


def test_re_anchoring_an_empty_stock_finds_energy_of_unknown_origin() -> None:
    anchored, drift = reanchor(BatteryState(), 10.0)
    assert (anchored.stock["unknown"], drift) == (10.0, -10.0)


def test_carbon_of_unknown_mass_stays_unknown_until_the_stock_is_empty() -> None:
    nothing = dict.fromkeys(SERIES, None)
    full = put(BatteryState(), 10.0, {"genset": 1.0}, nothing, BatteryParameters()).state
    half = discharge(full, 5.0, BatteryParameters(), GRID)
    assert half.carbon["operational"] is None
    assert half.state.carbon["operational"] is None
    assert discharge(half.state, 5.0, BatteryParameters(), GRID).state.carbon["operational"] == 0.0
    beyond = discharge(BatteryState(), 5.0, BatteryParameters(), nothing)
    assert beyond.carbon["life_cycle"] is None


@pytest.mark.parametrize("efficiency", [0.0, 1.01, -1.0])
def test_an_efficiency_is_above_zero_and_at_most_one(efficiency: float) -> None:
    with pytest.raises(ValueError, match="efficiency"):
        BatteryParameters(charge_efficiency=efficiency)
    with pytest.raises(ValueError, match="efficiency"):
        BatteryParameters(discharge_efficiency=efficiency)


MOVES = st.lists(st.tuples(st.booleans(), st.floats(0.0, 1e6)), max_size=30)


@given(MOVES, st.floats(0.5, 1.0), st.floats(0.5, 1.0))
def test_energy_and_carbon_are_conserved(
    moves: list[tuple[bool, float]], eta_in: float, eta_out: float
) -> None:
    parameters = BatteryParameters(None, eta_in, eta_out)
    held = state({"unknown": 500.0, "pv": 100.0}, 300.0)
    for into, amount in moves:
        before = held
        if into:
            moved = put(held, amount, {"wind": 0.3, "grid": 0.7}, BUS, parameters)
            sign = 1.0
        else:
            moved = discharge(held, amount, parameters, GRID)
            sign = -1.0
        held = moved.state
        scale = max(1.0, amount, before.watt_hours)
        for origin in ORIGINS:
            change = held.stock.get(origin, 0.0) - before.stock.get(origin, 0.0)
            out = moved.energy.get(origin, 0.0) - (moved.beyond if origin == "unknown" else 0.0)
            balance = change - sign * out + moved.losses.get(origin, 0.0)
            assert balance == pytest.approx(0.0, abs=1e-9 * scale)
            assert held.stock.get(origin, 0.0) >= 0.0
        for series in SERIES:
            change = (held.carbon[series] or 0.0) - (before.carbon[series] or 0.0)
            beyond = moved.beyond * (GRID[series] or 0.0) / 1000.0
            out = (moved.carbon[series] or 0.0) - beyond
            assert change - sign * out == pytest.approx(0.0, abs=1e-9 * scale)
