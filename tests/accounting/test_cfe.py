# SPDX-License-Identifier: Apache-2.0
"""The hourly carbon-free energy score."""

import pytest
from accounting_rows import History, factors, known
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.cfe import CfeHour, met_by_own, score
from rackwatt.collector.accounting.period import Rules, period

energies = st.floats(0.0, 1e6)
ratios = st.floats(0.0, 1.0)


def test_hourly_score_without_a_battery() -> None:
    """Loads 100, 100; cfe 160, 20; grid 20 %, 25 %: 70 %, where volumes would say 90 %."""
    hours = [CfeHour(100.0, 160.0, 0.2), CfeHour(100.0, 20.0, 0.25)]
    assert score(hours).value == pytest.approx(0.70)
    volumes = (160.0 + 20.0) / sum(hour.load or 0.0 for hour in hours)
    assert volumes == pytest.approx(0.90)


def test_hourly_score_with_a_battery() -> None:
    """Loads 100, 100; pv 160, 0; charge 60, discharge 54; grid 25 %: 82.75 %."""
    first = CfeHour(100.0, 160.0 - 60.0, 0.25)
    second = CfeHour(100.0, 54.0 * 1.0, 0.25)
    assert score([first, second]).value == pytest.approx(0.8275)


def test_booked_rows_give_the_same_score_with_a_battery() -> None:
    history = History()
    at = factors(carbon_free=0.25)
    history.book({"pv": 160.0, "grid": 0.0}, {"it": 100.0}, charge=60.0, at=at)
    history.book({"pv": 0.0, "grid": 46.0}, {"it": 100.0}, discharge=54.0, at=at)
    assert period(history.rows, Rules()).cfe_ratio.value == pytest.approx(0.8275)


def test_export_is_neither_load_nor_met() -> None:
    history = History()
    at = factors(carbon_free=0.25)
    history.book({"pv": 160.0, "grid": 0.0}, {"it": 100.0, "export": 60.0}, at=at)
    history.book({"pv": 20.0, "grid": 80.0}, {"it": 100.0}, at=at)
    assert period(history.rows, Rules()).cfe_ratio.value == pytest.approx((100 + 20 + 20) / 200)


def test_minutes_of_an_hour_are_summed_before_the_minimum() -> None:
    """A contract's energy of one half meets the import of the other half."""
    history = History(length_ms=1_800_000)
    at = factors(carbon_free=0.2)
    history.book({"grid": 50.0}, {"it": 50.0}, at=at, claims={"a": 80.0})
    history.book({"grid": 50.0}, {"it": 50.0}, at=at, claims={"a": 0.0})
    assert period(history.rows, Rules()).cfe_ratio.value == pytest.approx(0.84)


def test_the_battery_gives_back_the_carbon_free_part_of_the_grid() -> None:
    """It counts by the time of its import, and once."""
    history = History()
    history.book({"grid": 200.0}, {"it": 100.0}, charge=100.0, at=factors(carbon_free=0.5))
    row = history.book({"grid": 10.0}, {"it": 100.0}, discharge=90.0, at=factors(carbon_free=0.1))
    assert row.met_by_own == pytest.approx(45.0)


def test_an_hour_with_an_unknown_term_is_left_out() -> None:
    assert score([CfeHour(100.0, None, 0.2), CfeHour(100.0, 50.0, 0.2)]).coverage == 0.5
    assert CfeHour(None, 1.0, 0.2).met is None
    assert CfeHour(100.0, 50.0, None).met is None
    assert CfeHour(100.0, 100.0, None).met == 100.0


def test_what_own_output_met_of_a_row_may_be_unknown() -> None:
    whole = {"pv": 5.0, "grid": 5.0}
    direct = {"grid_part": 0.5, "grid_carbon_free": 0.2}
    assert met_by_own(load=0.0, origins=None, carbon_free=None, discharge=None, **direct) == 0.0
    assert met_by_own(load=1.0, origins=None, carbon_free=1.0, discharge=0.0, **direct) is None
    assert met_by_own(load=10.0, origins=whole, carbon_free=None, discharge=0.0, **direct) == 5.0
    assert met_by_own(load=10.0, origins=whole, carbon_free=None, discharge=1.0, **direct) is None
    all_own = met_by_own(
        load=10.0,
        origins={"pv": 10.0},
        carbon_free=10.0,
        discharge=5.0,
        grid_part=0.0,
        grid_carbon_free=None,
    )
    assert all_own == 10.0


@given(st.lists(st.tuples(energies, energies, ratios), min_size=1, max_size=6))
def test_the_score_lies_between_the_grids_worst_and_1(
    rows: list[tuple[float, float, float]],
) -> None:
    hours = [CfeHour(load, cfe, free) for load, cfe, free in rows]
    found = score(hours).value
    if found is not None:
        assert min(free for _, _, free in rows) - 1e-9 <= found <= 1.0 + 1e-9


@given(
    st.lists(
        st.tuples(*[st.integers(0, 8000).map(lambda n: n / 8)] * 6, st.booleans(), ratios),
        min_size=1,
        max_size=6,
    )
)
def test_a_row_meets_what_the_rule_says(rows) -> None:  # type: ignore[no-untyped-def]
    """Own output and discharge go to load, charge and export pro rata, the stock as it was."""
    history = History()
    for pv, grid, it, charge, discharge, export, either, ratio in rows:
        stock = history.state
        whole = stock.watt_hours
        into, out = (charge, 0.0) if either else (0.0, min(discharge, whole))
        free = stock.stock["pv"] + known(stock.grid_free)
        row = history.book(
            {"pv": pv, "grid": grid},
            {"it": it + 1.0, "export": export},
            into,
            out,
            at=factors(carbon_free=ratio),
        )
        supplied = pv + grid + out + known(row.unknown)
        direct = pv + (out * free / whole if out else 0.0)
        met = (it + 1.0) * direct / supplied
        assert row.met_by_own == pytest.approx(met, rel=1e-6, abs=1e-6)
