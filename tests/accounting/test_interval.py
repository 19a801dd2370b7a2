# SPDX-License-Identifier: Apache-2.0
"""One interval, booked: golden hours, unknown inputs, conservation."""

from math import fsum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState, initial
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.interval import Flows, IntervalAccount, account
from rackwatt.collector.accounting.keyfigures import ratio_of_sums, shares
from rackwatt.collector.accounting.vocabulary import LOADS, ORIGINS, SERIES

LIFE_CYCLE = {"pv": 48.0, "wind": 11.0, "hydro": 24.0, "grid": 619.71, "genset": None}
DIRECT = {"pv": 0.0, "wind": 0.0, "hydro": 0.0, "grid": 554.24, "genset": None}
GRID = {"life_cycle": 619.71, "operational": 554.24}
FACTORS = IntervalFactors(
    {
        "life_cycle": LIFE_CYCLE | {"unknown": 619.71},
        "operational": DIRECT | {"unknown": 554.24},
    },
    0.215,
    dict(GRID),  # type: ignore[arg-type]
)
GOLDEN = BatteryParameters(None, 0.9, 1.0)


def golden() -> tuple[IntervalAccount, IntervalAccount]:
    first = account(
        Flows({"pv": 100.0, "wind": 50.0, "grid": 50.0}, {"it": 144.0}, charge=56.0),
        BatteryState(),
        GOLDEN,
        FACTORS,
    )
    second = account(
        Flows({"pv": 0.0, "wind": 40.0, "grid": 60.0}, {"it": 144.0}, discharge=44.0),
        first.battery,
        GOLDEN,
        FACTORS,
    )
    return first, second


def known(value: float | None) -> float:
    assert value is not None
    return value


def test_golden_hour_one() -> None:
    first, _ = golden()
    # In kWh here: masses come out a thousandth of a gram per Wh.
    assert first.intensity["life_cycle"] == pytest.approx(
        (100 * 48 + 50 * 11 + 50 * 619.71) / 200, rel=1e-9
    )
    assert known(first.intensity["life_cycle"]) == pytest.approx(181.68, abs=0.005)
    assert shares(first.shares, 0.215).renewable == pytest.approx(0.75, rel=1e-9)
    stock = first.battery.stock
    assert [stock["pv"], stock["wind"], stock["grid"]] == pytest.approx(
        [25.2, 12.6, 12.6], rel=1e-9
    )
    mass = known(first.battery.carbon["life_cycle"]) * 1000
    assert mass == pytest.approx(10_173.94, abs=0.005)
    assert mass == pytest.approx(56 * (100 * 48 + 50 * 11 + 50 * 619.71) / 200, rel=1e-9)
    assert first.residual == 0.0


def test_golden_hour_two() -> None:
    _, second = golden()
    assert known(second.intensity["life_cycle"]) == pytest.approx(322.95, abs=0.005)
    assert known(shares(second.shares, 0.215).renewable) == pytest.approx(0.5069, abs=5e-5)
    origins = second.origins
    assert origins is not None
    assert [origins["pv"], origins["wind"], origins["grid"]] == pytest.approx(
        [22.0, 51.0, 71.0], rel=1e-9
    )
    assert second.battery.watt_hours == pytest.approx(6.4, rel=1e-9)
    assert known(second.battery.carbon["life_cycle"]) * 1000 == pytest.approx(1291.93, abs=0.005)


def test_a_battery_is_not_simply_green() -> None:
    """The simple way would say 58.33 % and 261.27 g/kWh in hour two."""
    _, second = golden()
    assert known(shares(second.shares, 0.215).renewable) < 0.52
    assert known(second.intensity["life_cycle"]) / 261.27 == pytest.approx(1.236, abs=0.001)


def test_scope_2_reconciles_with_the_operational_series() -> None:
    """At a direct factor of 554.24 g/kWh, scope 2 = 60.966 kg = 19.953 + 40.028 + 0.985."""
    first, second = golden()
    scope_2 = known(first.scope_2) + known(second.scope_2)
    load = [known(hour.carbon["operational"]) for hour in (first, second)]
    stock = known(second.battery.carbon["operational"])
    assert scope_2 == pytest.approx(60.966, abs=0.0005)
    assert [*load, stock] == pytest.approx([19.953, 40.028, 0.985], abs=0.0005)
    assert fsum([*load, stock]) == pytest.approx(scope_2, rel=1e-9)


def test_golden_pue_counts_battery_losses() -> None:
    """IT 120 an hour: 1.2233 with the battery inside, 1.2000 with it outside."""
    hours = golden()
    inside = ratio_of_sums((hour.boundary, 120.0) for hour in hours)
    assert known(inside.value) == pytest.approx(1.2233, abs=5e-5)
    assert known(ratio_of_sums((h.load, 120.0) for h in hours).value) == pytest.approx(1.2)


def test_a_deficit_dilutes_the_mix() -> None:
    """PV 50, grid 50, load 102: unknown 2, renewable 49.02 %, 339.46 g/kWh."""
    row = book({"pv": 50.0, "grid": 50.0}, {"it": 102.0})
    assert row.unknown == 2.0
    assert known(shares(row.shares, 0.2).renewable) == pytest.approx(0.4902, abs=5e-5)
    assert known(row.intensity["life_cycle"]) == pytest.approx(339.46, abs=0.005)
    assert known(shares(row.shares, 0.2).unknown) == pytest.approx(2 / 102)


def book(
    sources: dict[str, float | None],
    sinks: dict[str, float | None],
    state: BatteryState | None = None,
    **more: Any,
) -> IntervalAccount:
    flows = Flows(sources, sinks, more.pop("charge", 0.0), more.pop("discharge", 0.0))
    held = BatteryState() if state is None else state
    return account(flows, held, more.pop("parameters", GOLDEN), FACTORS, **more)


def test_an_unknown_source_leaves_no_mix() -> None:
    row = book({"pv": None, "grid": 50.0}, {"it": 50.0}, charge=10.0)
    assert row.shares is None
    assert row.origins is None
    assert row.residual is None
    assert row.boundary is None
    assert row.carbon["life_cycle"] is None
    assert row.load == 50.0
    assert row.battery.stock["unknown"] == pytest.approx(9.0)
    assert row.battery.carbon["life_cycle"] == pytest.approx(6.1971)
    assert row.flags == ("charge_of_unknown_origin", "residual_unknown")
    assert row.completeness == pytest.approx(4 / 5)


def test_an_unknown_sink_keeps_the_mix() -> None:
    row = book({"pv": 50.0, "grid": 50.0}, {"it": 80.0, "cooling": None})
    assert row.shares is not None
    assert row.shares["pv"] == 0.5
    assert (row.load, row.origins, row.residual) == (None, None, None)
    assert row.carbon["life_cycle"] is None
    assert row.intensity["life_cycle"] is not None
    assert row.boundary == 100.0


def test_an_unknown_charge_or_discharge_leaves_the_stock_and_marks_it() -> None:
    held = initial(100.0, FACTORS.initial)
    row = book({"grid": 50.0}, {"it": 50.0}, held, charge=None)
    assert (row.shares, row.stock_change, row.battery.stale) == (None, None, True)
    assert row.battery.stock == held.stock
    row = book({"grid": 50.0}, {"it": 50.0}, held, discharge=None)
    assert (row.shares, row.battery.stale) == (None, True)
    assert row.battery.stock == held.stock
    drained = book({"grid": 50.0}, {"it": 50.0}, held, charge=None, discharge=10.0)
    assert drained.battery.watt_hours == pytest.approx(90.0)


def test_re_anchoring_books_the_drift_as_a_loss() -> None:
    held = initial(100.0, FACTORS.initial)
    row = book({"grid": 50.0}, {"it": 50.0}, held, measured_stock=95.0)
    assert row.battery.watt_hours == pytest.approx(95.0)
    assert row.stock_change == pytest.approx(-5.0)
    assert row.boundary == pytest.approx(55.0)
    assert row.losses["unknown"] == pytest.approx(5.0)
    blind = book({"grid": 50.0}, {"it": 50.0}, held._replace(stale=True), measured_stock=95.0)
    assert (blind.stock_change, blind.boundary) == (0.0, 50.0)
    lost = book({"grid": 50.0}, {"it": 50.0}, held, measured_stock=95.0, charge=None)
    assert (lost.stock_change, lost.battery.stale) == (None, False)


def test_a_discharge_beyond_the_stock_is_flagged_and_beyond_the_capacity_an_error() -> None:
    small = BatteryParameters(40.0)
    row = book({"grid": 0.0}, {"it": 30.0}, discharge=30.0, parameters=small)
    assert row.flags == ("discharge_beyond_stock",)
    assert row.shares is not None
    assert row.shares["unknown"] == 1.0
    row = book({"grid": 0.0}, {"it": 50.0}, discharge=50.0, parameters=small)
    assert row.flags == ("discharge_beyond_capacity", "discharge_beyond_stock")
    assert book({}, {"it": 9.0}, discharge=9.0).flags == ("discharge_beyond_stock",)


def test_a_missing_factor_is_unknown_carbon_only_where_there_is_energy() -> None:
    assert book({"genset": 0.0, "pv": 1.0}, {"it": 1.0}).intensity["life_cycle"] == 48.0
    row = book({"genset": 1.0, "pv": 1.0}, {"it": 2.0})
    assert row.intensity["life_cycle"] is None
    assert row.carbon["operational"] is None
    assert row.shares is not None


def test_an_interval_on_the_battery_alone() -> None:
    charged, _ = golden()
    row = book({}, {"it": 40.0}, charged.battery, discharge=40.0)
    assert row.shares is not None
    assert row.shares["pv"] == pytest.approx(0.5)
    assert fsum(row.shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert row.boundary == pytest.approx(40.0)


def test_no_load_has_no_shares() -> None:
    row = book({"pv": 10.0}, {"it": 0.0}, charge=10.0)
    assert (row.shares, row.origins) == (None, None)
    assert row.carbon["life_cycle"] == 0.0
    assert row.battery.stock["pv"] == pytest.approx(9.0)
    dark = book({"pv": 0.0}, {"it": None})
    assert dark.shares is None
    assert dark.intensity["life_cycle"] is None


def test_both_directions_in_one_interval_discharge_first() -> None:
    charged, _ = golden()
    row = book({"grid": 56.0}, {"it": 60.0}, charged.battery, charge=40.0, discharge=44.0)
    assert row.residual == 0.0
    kept = 50.4 - 44.0
    assert row.battery.watt_hours == pytest.approx(kept + 36.0)
    assert row.battery.stock["pv"] == pytest.approx(3.2 + 36.0 * 22.0 / 100.0)


def test_differences_of_meters_may_dip_below_zero() -> None:
    row = book({"pv": -0.5, "grid": 100.0}, {"it": 101.0, "losses": -1.0})
    assert row.flags == ("negative_sink", "negative_source")
    assert row.load == 100.0
    assert row.residual == 0.0
    assert row.shares is not None
    assert row.shares["pv"] == 0.0


def test_export_and_campus_leave_with_the_bus_mix() -> None:
    row = book({"pv": 100.0, "grid": 100.0}, {"it": 150.0, "export": 30.0, "campus": 20.0})
    assert row.boundary == 150.0
    assert row.origins is not None
    assert row.origins["pv"] == 75.0


ENERGY = st.just(0.0) | st.floats(1e-3, 1e6)
FLOWS = st.builds(
    Flows,
    st.fixed_dictionaries({"pv": ENERGY, "wind": ENERGY, "grid": ENERGY}),
    st.fixed_dictionaries(dict.fromkeys((*LOADS, "campus", "export"), ENERGY)),
    ENERGY,
    ENERGY,
)


@given(st.lists(FLOWS, min_size=1, max_size=6), st.floats(0.5, 1.0), st.floats(0.0, 1e6))
def test_the_books_close(hours: list[Flows], efficiency: float, stock: float) -> None:
    """Shares sum to 1, the stock is never negative, carbon in = carbon out + change of stock."""
    parameters = BatteryParameters(None, efficiency, efficiency)
    held = initial(stock, FACTORS.initial)
    for flows in hours:
        row = account(flows, held, parameters, FACTORS)
        sinks = fsum([*(known(v) for v in flows.sinks.values()), known(flows.charge)])
        sinks += row.unmetered
        scale = max(1.0, sinks, held.watt_hours, known(row.load))
        if row.shares is not None:
            assert fsum(row.shares.values()) == pytest.approx(1.0, abs=1e-12)
            assert min(row.shares.values()) >= 0.0
        assert min(row.battery.stock.values()) >= 0.0
        for series in SERIES:
            before, after = known(held.carbon[series]), known(row.battery.carbon[series])
            table = FACTORS.intensity[series]
            into = fsum(
                [
                    *(known(flows.sources[s]) * known(table[s]) for s in flows.sources),
                    (row.unknown + row.beyond) * known(table["unknown"]),
                ]
            )
            out = (sinks - known(flows.charge)) * (row.intensity[series] or 0.0)
            if row.shares is not None:
                assert (into - out) / 1000 == pytest.approx(after - before, abs=1e-8 * scale)
        held = row.battery


@given(FLOWS, st.permutations(LOADS))
def test_permuting_loads_changes_nothing(flows: Flows, order: list[str]) -> None:
    sinks = {name: flows.sinks[name] for name in (*order, "export", "campus")}
    shuffled = Flows(flows.sources, sinks, flows.charge, flows.discharge)
    held = initial(1000.0, FACTORS.initial)
    assert account(flows, held, GOLDEN, FACTORS) == account(shuffled, held, GOLDEN, FACTORS)


@given(FLOWS, st.booleans())
def test_halving_an_interval_changes_nothing(flows: Flows, charging: bool) -> None:
    charge, discharge = (flows.charge, 0.0) if charging else (0.0, flows.discharge)
    half = Flows(
        {name: known(value) / 2 for name, value in flows.sources.items()},
        {name: known(value) / 2 for name, value in flows.sinks.items()},
        known(charge) / 2,
        known(discharge) / 2,
    )
    whole = Flows(flows.sources, flows.sinks, charge, discharge)
    held = initial(1e7, FACTORS.initial)
    once = account(whole, held, GOLDEN, FACTORS)
    first = account(half, held, GOLDEN, FACTORS)
    second = account(half, first.battery, GOLDEN, FACTORS)
    for origin in ORIGINS:
        assert second.battery.stock[origin] == pytest.approx(
            once.battery.stock[origin], rel=1e-9, abs=1e-6
        )
    if once.shares is not None:
        assert first.shares == pytest.approx(once.shares, rel=1e-9, abs=1e-12)
        assert second.shares == pytest.approx(once.shares, rel=1e-9, abs=1e-12)
