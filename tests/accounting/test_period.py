# SPDX-License-Identifier: Apache-2.0
"""Figures of a period: golden values, traps, coverage, and that no order can change them."""

from dataclasses import replace
from math import fsum

import pytest
from accounting_rows import MINUTE_MS, Energies, History, factors, golden, known
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.accounting.fuels import FuelUse
from rackwatt.collector.accounting.keyfigures import Shares
from rackwatt.collector.accounting.period import (
    Accumulator,
    Outside,
    Rules,
    figures,
    hour_matches,
    period,
    ups_open_at,
)
from rackwatt.collector.accounting.vocabulary import DAY_MS, HOUR_MS

RULES = Rules()


def hour(history: History, it: float | None = 100.0, **more: float | None) -> None:
    """Book an hour of the grid; `more` are other sinks."""
    sinks: Energies = {"it": it, **more}
    history.book({"grid": fsum(value or 0.0 for value in sinks.values())}, sinks)


# -- golden --------------------------------------------------------------------------------------


def test_golden_pue_with_the_battery_inside_and_outside() -> None:
    """IT 120 an hour: 1.2233 inside, 1.2000 external."""
    found = period(golden().rows, RULES).pue
    assert found.value == pytest.approx(1.2233, abs=5e-5)
    assert found.external == pytest.approx(1.2000, abs=5e-5)
    assert (found.category, found.interim, found.coverage, found.reason) == (2, True, 1.0, None)


def test_golden_shares_and_carbon_of_both_hours() -> None:
    found = period(golden().rows, RULES)
    renewable = (108.0 + 73.0) / 288.0
    assert found.shares.renewable == pytest.approx(renewable, rel=1e-9)
    assert known(found.shares.grid) + known(found.shares.renewable) == pytest.approx(1.0)
    assert found.origins["grid"].value == pytest.approx(36.0 + 71.0)
    masses = [known(row.carbon["life_cycle"]) for row in golden().rows]
    assert found.carbon["life_cycle"].value == pytest.approx(fsum(masses))
    assert found.intensity["life_cycle"].value == pytest.approx(fsum(masses) / 0.288)
    assert found.cue["operational"].value == pytest.approx((19.953 + 40.028) / 240.0, rel=1e-4)
    assert found.scope_2_location.value == pytest.approx(60.966, abs=5e-4)
    free = 0.215 * (36.0 + 71.0) + 181.0
    assert found.shares.carbon_free == pytest.approx(free / 288.0)
    assert known(found.shares.carbon) + known(found.shares.carbon_free) == pytest.approx(1.0)
    assert found.ref.value == pytest.approx(181.0 / 293.6)
    assert found.export.ratio == 0.0
    flat = found.flat()
    assert flat["source_pv_watt_hours"] == 100.0
    assert flat["load_it_watt_hours"] == 240.0
    assert flat["carbon_operational_grams"] == pytest.approx(19.953 + 40.028, rel=1e-4)


# -- traps ---------------------------------------------------------------------------------------


def test_trap_the_mean_of_ratios() -> None:
    """(150, 100) and (30, 10) are 1.636, not 2.25."""
    history = History()
    hour(history, cooling=50.0)
    hour(history, 10.0, cooling=20.0)
    assert period(history.rows, RULES).pue.value == pytest.approx(1.636, abs=5e-4)


def test_trap_only_the_utility_meter_counted() -> None:
    """Import 50 of 120 would be a PUE of 0.5."""
    history = History()
    history.book({"grid": 50.0, "pv": 70.0}, {"it": 100.0, "cooling": 20.0})
    assert period(history.rows, RULES).pue.value == pytest.approx(1.2)


def test_a_pue_below_1_is_withheld() -> None:
    """The own generation is not metered: the figure would be a wrong one."""
    history = History()
    history.book({"grid": 50.0}, {"it": 100.0, "cooling": 20.0})
    found = period(history.rows, RULES).pue
    assert (found.value, found.external, found.reason) == (None, None, "below_one")


def test_trap_battery_charge_as_overhead() -> None:
    history = History()
    history.book({"grid": 176.0}, {"it": 100.0, "cooling": 20.0}, charge=56.0)
    found = period(history.rows, RULES).pue
    assert found.value == pytest.approx((120.0 + 56.0 * 0.1) / 100.0)
    assert found.external == pytest.approx(1.2)


def test_trap_a_missing_it_meter_as_zero() -> None:
    """Ten intervals, DC 120, IT 100, one IT null: 1.200 at coverage 0.9, never 1200/900."""
    history = History()
    for it in [100.0] * 9 + [None]:
        history.book({"grid": 120.0}, {"it": it, "cooling": 20.0})
    found = period(history.rows, replace(RULES, coverage=0.9)).pue
    assert found.value == pytest.approx(1.2)
    assert found.coverage == 0.9
    strict = period(history.rows, RULES)
    assert (strict.pue.value, strict.pue.reason) == (None, "coverage")
    assert strict.it.value is None
    assert (strict.it.known, strict.it.coverage) == (900.0, 0.9)
    assert strict.boundary.value == 1200.0


def test_trap_neighbours_are_not_the_data_center() -> None:
    """Import 1000, exhibition 60, incubator 40, IT 750: 1.200."""
    history = History()
    history.book({"grid": 1000.0}, {"it": 750.0, "cooling": 150.0, "campus": 60.0 + 40.0})
    assert period(history.rows, RULES).pue.value == pytest.approx(1.2)


def test_trap_a_cdu_fed_from_the_racks_busbar_is_cooling() -> None:
    """Total 150, rack 132 of which CDU 3: 1.163."""
    rack, cdu = 132.0, 3.0
    history = History()
    history.book({"grid": 150.0}, {"it": rack - cdu, "cooling": 18.0 + cdu})
    assert period(history.rows, RULES).pue.value == pytest.approx(1.163, abs=5e-4)


def test_trap_an_hour_on_the_ups_then_recharge() -> None:
    """Imports 60 and 180, IT 100 and 100: never 0.60 or 1.80, two-hour value 1.20."""
    history = History()
    history.book({"grid": 60.0}, {"it": 100.0}, metering=["ups_on_battery"])
    history.book({"grid": 180.0}, {"it": 100.0})
    first, second = (Accumulator([row]) for row in history.rows)
    assert figures(first, RULES).pue.value is None
    assert figures(first, RULES).pue.reason == "ups_on_battery"
    before = ups_open_at(first, HOUR_MS)
    assert before
    found = figures(second, RULES, Outside(ups_open_before=before)).pue
    assert (found.value, found.external, found.reason) == (None, None, "ups_on_battery")
    both = period(history.rows, RULES).pue
    assert both.value == pytest.approx(1.20)
    first.merge(second)
    assert figures(first, RULES).pue == both
    assert not ups_open_at(first, 2 * HOUR_MS)


def test_a_test_of_the_ups_at_its_end_does_not_cost_a_month_its_pue() -> None:
    history = History(length_ms=28 * DAY_MS)
    history.book({"grid": 67_200.0}, {"it": 56_000.0}, metering=["ups_on_battery"])
    month = period(history.rows, RULES)
    assert (month.pue.signable, month.flags["ups_on_battery"]) == (True, 1)


# -- coverage and what is unknown ----------------------------------------------------------------


def test_what_was_never_booked_lowers_the_coverage() -> None:
    history = History()
    for _ in range(19):
        hour(history, cooling=20.0)
    whole = Outside(start_ms=0, end_ms=20 * HOUR_MS)
    found = period(history.rows, RULES, whole)
    assert found.pue.coverage == pytest.approx(0.95)
    assert found.pue.value == pytest.approx(1.2)
    assert not found.pue.signable
    assert not found.signable
    assert found.completeness == pytest.approx(0.95)
    longer = period(history.rows, RULES, replace(whole, end_ms=21 * HOUR_MS))
    assert longer.pue.reason == "coverage"
    assert longer.load.value is None
    assert longer.load.known == pytest.approx(19 * 120.0)
    assert longer.shares == Shares()


def test_a_whole_period_can_be_signed() -> None:
    history = History()
    hour(history, cooling=20.0)
    found = period(history.rows, RULES)
    assert found.signable
    assert found.load.signable


def test_a_year_is_not_interim() -> None:
    history = History(length_ms=365 * DAY_MS)
    hour(history)
    assert not period(history.rows, RULES).pue.interim


def test_intervals_count_by_their_length() -> None:
    history = History()
    hour(history)
    history.length_ms = 9 * HOUR_MS
    hour(history, None)
    assert period(history.rows, RULES).pue.coverage == pytest.approx(0.1)


def test_nothing_is_unknown_and_not_zero() -> None:
    found = period([], RULES)
    assert (found.intervals, found.completeness) == (0, None)
    assert found.pue.reason == "coverage"
    assert found.load.value is None
    assert found.scope_1.value is None
    assert found.shares == Shares()
    assert not found.residual_month_flag
    assert all(
        value is None
        for name, value in found.flat().items()
        if name != "restated_intervals" and not name.endswith("coverage_ratio")
    )


def test_a_site_without_load_has_no_ratios() -> None:
    history = History()
    history.book({"pv": 10.0}, {"it": 0.0, "export": 10.0})
    found = period(history.rows, RULES)
    assert found.pue.reason == "no_it_load"
    assert found.shares == Shares()
    assert found.origins["pv"].value == 0.0
    assert found.export.ratio == 1.0


def test_a_ratio_over_next_to_nothing_is_no_infinity() -> None:
    history = History()
    history.book({"grid": 100.0}, {"it": 5e-324})
    found = period(history.rows, RULES)
    assert (found.pue.value, found.pue.reason) == (None, "no_it_load")


def test_a_mixed_site_takes_its_weakest_category() -> None:
    history = History()
    for category in (3, 2, 3):
        history.book({"grid": 1.0}, {"it": 1.0}, pue_category=category)
    assert period(history.rows, RULES).pue.category == 2
    history.book({"grid": 1.0}, {"it": 1.0}, pue_category=None)
    assert period(history.rows, RULES).pue.category is None


def test_an_unknown_carbon_free_part_leaves_the_rest_known() -> None:
    history = History()
    history.book({"pv": 50.0, "grid": 50.0}, {"it": 100.0}, at=factors(carbon_free=None))
    found = period(history.rows, RULES)
    assert found.shares.renewable == pytest.approx(0.5)
    assert (found.shares.carbon_free, found.shares.carbon) == (None, None)
    assert found.cfe_ratio.value is None


def test_an_unknown_claim_leaves_what_hangs_on_it_unknown() -> None:
    history = History()
    history.book({"grid": 100.0}, {"it": 100.0}, claims={"a": None})
    found = period(history.rows, RULES)
    assert (found.matched.value, found.shares.contracted) == (None, None)
    assert found.scope_2_market.value is None
    assert found.scope_2_location.value is not None
    assert found.cfe_ratio.value is None
    assert found.ref.value is None


def test_an_unknown_import_matches_no_claim() -> None:
    history = History()
    history.book({"grid": None}, {"it": 100.0}, claims={"a": 5.0})
    found = period(history.rows, RULES)
    assert found.matched.value is None
    history = History()
    history.book({"grid": None}, {"it": 100.0})
    assert period(history.rows, RULES).matched.value == 0.0


# -- residual ------------------------------------------------------------------------------------


def biased_month(days: int) -> PeriodFigures:
    """Class 0.5 meters that differ by 0.3 % in every minute."""
    history = History(length_ms=MINUTE_MS)
    uncertainty = 0.5 / 100.0 / 3.0**0.5 * (100.0**2 + 99.7**2) ** 0.5
    history.book({"grid": 100.0}, {"it": 99.7}, residual_uncertainty=uncertainty)
    only = history.rows[0]
    rows = (
        replace(only, start_ms=minute * MINUTE_MS, end_ms=(minute + 1) * MINUTE_MS)
        for minute in range(days * 1440)
    )
    return period(rows, RULES)


def test_a_bias_flags_no_minute_and_the_month() -> None:
    """Class 0.5, +0.3 % for 30 days: no minute flagged, the month flagged."""
    found = biased_month(30)
    assert "residual_beyond_uncertainty" not in found.flags
    assert found.residual_month_flag
    assert found.residual_ratio.value == pytest.approx(0.003)
    assert found.residual.value == pytest.approx(0.3 * 43_200)


def test_a_month_is_judged_once_a_day_is_in() -> None:
    assert biased_month(1).residual_month_flag
    history = History()
    history.book({"grid": 100.0}, {"it": 99.0})
    found = period(history.rows, RULES)
    assert found.residual_ratio.value == pytest.approx(0.01)
    assert not found.residual_month_flag


def test_the_limit_of_a_month_is_the_sites() -> None:
    history = History(length_ms=DAY_MS)
    history.book({"grid": 100.0}, {"it": 99.9})
    assert not period(history.rows, RULES).residual_month_flag
    assert period(history.rows, replace(RULES, residual_limit_ratio=0.0005)).residual_month_flag


def test_flags_and_restatements_are_counted() -> None:
    history = History()
    history.book({"grid": 1.0}, {"it": 1.0}, metering=["estimated"], revision=3)
    history.book({"grid": 1.0}, {"it": None}, metering=["estimated"])
    found = period(history.rows, RULES)
    assert found.flags == {"estimated": 2, "residual_unknown": 1}
    assert (found.restated, found.intervals) == (1, 2)


# -- what outsiders tell -------------------------------------------------------------------------


def test_scope_1_is_what_the_genset_burnt() -> None:
    history = History()
    history.book({"grid": 0.0, "genset": 100.0}, {"it": 100.0})
    assert period(history.rows, RULES).scope_1.value is None
    by_energy = period(history.rows, replace(RULES, genset_direct=766.0))
    assert by_energy.scope_1.value == pytest.approx(76.6)
    burnt = Outside(fuels=[FuelUse("diesel", 30.0)])
    by_litres = period(history.rows, replace(RULES, fuel_factors={"diesel": 2680.0}), burnt)
    assert by_litres.scope_1.value == pytest.approx(80_400.0)
    idle = History()
    hour(idle)
    assert period(idle.rows, RULES).scope_1.value == 0.0


def test_a_part_of_an_hour_has_its_part_of_the_hours_match() -> None:
    """A figure of a quarter hour of a site whose days begin within a UTC hour."""
    history = History(length_ms=HOUR_MS // 2)
    history.book({"grid": 40.0}, {"it": 40.0}, claims={"a": 100.0})
    history.book({"grid": 120.0}, {"it": 120.0}, claims={"a": 0.0})
    hour(history)
    whole = hour_matches(history.rows)
    assert sorted(whole) == [0, HOUR_MS]
    found = period(history.rows[:1], RULES, Outside(whole_hours=whole))
    assert found.matched.value == pytest.approx(25.0)
    assert period(history.rows[:1], RULES).matched.value == pytest.approx(40.0)


# -- sums that merge -----------------------------------------------------------------------------

amounts = st.one_of(st.none(), st.floats(0.0, 1e7), st.floats(0.0, 1.0))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "sources": st.fixed_dictionaries({"grid": amounts, "pv": amounts, "genset": amounts}),
            "sinks": st.fixed_dictionaries({"it": amounts, "cooling": amounts, "export": amounts}),
            "charge": amounts,
            "discharge": amounts,
            "claims": st.dictionaries(st.sampled_from("ab"), amounts),
        }
    ),
    min_size=1,
    max_size=12,
)


@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 12))
def test_neither_order_nor_merging_shows(rows, source, cut: int) -> None:  # type: ignore[no-untyped-def]
    history = History(length_ms=20 * MINUTE_MS)
    for row in rows:
        history.book(**row)
    rules = Rules(attributes={"pv": "sold"}, coverage=0.5, contracts={"a": "ppa_pv"})
    found = period(history.rows, rules)
    shuffled = list(history.rows)
    source.shuffle(shuffled)
    assert period(shuffled, rules) == found
    one, other = Accumulator(shuffled[:cut]), Accumulator(shuffled[cut:])
    one.merge(other)
    assert figures(one, rules) == found
    shares = found.shares
    if shares.renewable is not None:
        assert 0.0 <= known(shares.renewable_claimable) <= shares.renewable


def test_long_periods_are_folded_on_the_way() -> None:
    history = History(length_ms=MINUTE_MS)
    hour(history, cooling=20.0)
    only = history.rows[0]
    rows = [
        replace(only, start_ms=minute * MINUTE_MS, end_ms=(minute + 1) * MINUTE_MS)
        for minute in range(5000)
    ]
    found = period(rows, RULES)
    assert found.intervals == 5000
    assert found.load.value == pytest.approx(600_000.0)
    assert found.pue.value == pytest.approx(1.2)
