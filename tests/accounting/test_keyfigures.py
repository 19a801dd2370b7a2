# SPDX-License-Identifier: Apache-2.0
"""Key figures, and the traps on the way to them."""

import pytest

from rackwatt.collector.accounting.keyfigures import (
    SIGNED_COVERAGE,
    Shares,
    boundary_energy,
    pue_reason,
    ratio_of_sums,
    shares,
    weakest_category,
)


def boundary(**terms: float | None) -> float | None:
    zero: dict[str, float | None] = dict.fromkeys(
        ("grid_import", "own_generation", "export", "stock_change", "campus"), 0.0
    )
    return boundary_energy(**(zero | terms))


def test_a_ratio_is_one_of_sums() -> None:
    """The mean of 1.5 and 3 is not the PUE of (150, 100) and (30, 10)."""
    assert ratio_of_sums([(150.0, 100.0), (30.0, 10.0)]).value == pytest.approx(1.636, abs=5e-4)


def test_only_intervals_with_both_terms_count() -> None:
    """Ten intervals, DC 120, IT 100, one IT unknown: 1.200 at coverage 0.9, never 1200/900."""
    ratio = ratio_of_sums([(120.0, 100.0)] * 9 + [(120.0, None)])
    assert ratio.value == pytest.approx(1.2)
    assert ratio.coverage == pytest.approx(0.9)
    assert ratio.reported() is None
    assert ratio.reported(0.9) == pytest.approx(1.2)
    assert pue_reason(ratio, ups_open=False) == "coverage"
    assert pue_reason(ratio, ups_open=False, minimum=0.9) is None


def test_nothing_has_no_ratio() -> None:
    assert ratio_of_sums([]).value is None
    assert ratio_of_sums([(1.0, 0.0)]).value is None
    assert ratio_of_sums([(1.0, 1.0)] * 100).reported(SIGNED_COVERAGE) == 1.0
    assert pue_reason(ratio_of_sums([(1.0, 0.0)]), ups_open=False) == "no_it_load"
    assert pue_reason(ratio_of_sums([]), ups_open=False) == "coverage"
    assert pue_reason(ratio_of_sums([(1.0, 2.0)]), ups_open=False) == "below_one"


def test_own_generation_and_the_battery_belong_to_the_boundary() -> None:
    """Only the utility meter would say 0.5."""
    inside = boundary(grid_import=50.0, own_generation=40.0, export=5.0, stock_change=-35.0)
    assert inside == pytest.approx(120.0)


def test_charging_is_no_overhead() -> None:
    assert boundary(grid_import=220.0, stock_change=100.0) == 120.0


def test_an_unknown_term_is_no_zero() -> None:
    assert boundary(export=None) is None
    assert boundary(own_generation=None) is None


def test_an_hour_on_the_ups_has_no_pue() -> None:
    assert pue_reason(ratio_of_sums([(120.0, 100.0)]), ups_open=True) == "ups_on_battery"


def test_a_mixed_site_takes_its_weakest_category() -> None:
    assert weakest_category([3, 2, 3]) == 2
    assert weakest_category([3, None]) is None
    assert weakest_category([]) is None


def test_shares_of_origins() -> None:
    mix = {"pv": 0.3, "wind": 0.1, "hydro": 0.0, "grid": 0.5, "genset": 0.06, "unknown": 0.04}
    found = shares(mix, 0.2, contracted=0.25)
    assert found.renewable == pytest.approx(0.4)
    assert found.grid == 0.5
    assert found.on_site == pytest.approx(0.46)
    assert found.carbon_free == pytest.approx(0.5)
    assert found.carbon == pytest.approx(0.5)
    assert found.contracted == 0.25
    assert found.unknown == 0.04


def test_shares_that_cannot_be_known() -> None:
    assert shares(None, 0.2, 0.1) == Shares()
    found = shares({"pv": 0.5, "grid": 0.5}, None)
    assert (found.carbon_free, found.carbon, found.contracted) == (None, None, None)
    assert shares({"pv": 1.0}, None).carbon_free == 1.0


def test_a_contract_is_a_part_of_the_grid() -> None:
    assert shares({"pv": 0.5, "grid": 0.5}, None, contracted=0.8).contracted == 0.5
