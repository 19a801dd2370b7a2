# SPDX-License-Identifier: Apache-2.0
"""Uncertainty by propagation to physical meters."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.uncertainty import (
    MeterClass,
    expanded,
    ratio_uncertainty,
    standard_uncertainty,
)

HALF = MeterClass(0.5)
energies = st.floats(-1e9, 1e9, allow_subnormal=False)
groups = st.sampled_from(["", "a", "b"])
fleets = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.tuples(energies, st.floats(0.1, 3.0), groups),
    max_size=12,
)


def known(value: float | None) -> float:
    assert value is not None
    return value


def test_a_class_is_a_limit_and_transformers_add_theirs() -> None:
    assert MeterClass(0.5).relative == pytest.approx(0.00288675, rel=1e-5)
    assert MeterClass(0.2, 0.3).relative == pytest.approx(MeterClass(0.5).relative)


def test_pue_of_independent_meters() -> None:
    """Class 0.5, PUE 1.15, independent meters: 0.0094 at k = 2."""
    meters = {"dc": HALF, "it": HALF}
    found = expanded(ratio_uncertainty({"dc": 115.0}, {"it": 100.0}, meters))
    assert known(found) == pytest.approx(0.0094, abs=5e-5)


def test_pue_whose_terms_share_the_it_meter() -> None:
    """E_DC = IT + overhead with one IT meter in both: 0.0012."""
    meters = {"overhead": HALF, "it": HALF}
    found = expanded(ratio_uncertainty({"it": 100.0, "overhead": 15.0}, {"it": 100.0}, meters))
    assert known(found) == pytest.approx(0.0012, abs=5e-5)


@pytest.mark.parametrize(("correlation", "percent"), [(0.0, 0.058), (0.5, 0.410), (1.0, 0.577)])
def test_a_hundred_equal_class_1_meters(correlation: float, percent: float) -> None:
    meters = {f"m{number}": MeterClass(1.0, group="lot") for number in range(100)}
    parts = dict.fromkeys(meters, 1.0)
    found = standard_uncertainty(parts, meters, correlation=correlation)
    assert known(found) == pytest.approx(percent, abs=5e-4)


def test_meters_of_one_group_are_half_correlated_unless_more_is_known() -> None:
    meters = {"a": MeterClass(1.0, group="lot"), "b": MeterClass(1.0, group="lot")}
    found = standard_uncertainty({"a": 1.0, "b": 1.0}, meters)
    assert known(found) == pytest.approx(sqrt(3.0) * MeterClass(1.0).relative)


def test_a_month_of_minutes_stays_at_0_289_percent() -> None:
    """One meter's error is the same every minute: it does not average out."""
    minutes = [1000.0 + minute % 7 for minute in range(44_640)]
    month = sum(minutes)
    found = known(standard_uncertainty({"grid": month}, {"grid": HALF}))
    assert found / month == pytest.approx(0.00289, abs=5e-6)
    assert found == pytest.approx(sum(minute * HALF.relative for minute in minutes))


def test_a_difference_in_one_group_cancels_a_part() -> None:
    meters = {"a": MeterClass(1.0, group="lot"), "b": MeterClass(1.0, group="lot")}
    alone = known(standard_uncertainty({"a": 1.0, "b": -1.0}, meters, correlation=0.0))
    assert known(standard_uncertainty({"a": 1.0, "b": -1.0}, meters)) < alone
    assert standard_uncertainty({"a": 1.0, "b": -1.0}, meters, correlation=1.0) == pytest.approx(
        0.0, abs=1e-12
    )


def test_a_coarse_register_adds_its_steps() -> None:
    found = standard_uncertainty({}, {}, resolutions={"a": 100.0})
    assert known(found) == pytest.approx(100.0 / sqrt(6.0))


def test_a_meter_of_unknown_class_leaves_it_unknown() -> None:
    assert standard_uncertainty({"a": 1.0}, {}) is None
    assert standard_uncertainty({"a": 0.0}, {}) == 0.0
    assert expanded(None) is None
    assert ratio_uncertainty({"a": 1.0}, {"a": 0.0}, {"a": HALF}) is None


@given(fleets)
def test_grouped_sums_equal_the_double_sum(fleet: dict[str, tuple[float, float, str]]) -> None:
    """The sum over all pairs of the GUM, written out."""
    meters = {name: MeterClass(c, group=group) for name, (_, c, group) in fleet.items()}
    parts = {name: energy for name, (energy, _, _) in fleet.items()}
    variance = 0.0
    for one, left in parts.items():
        for other, right in parts.items():
            shared = bool(meters[one].group) and meters[one].group == meters[other].group
            r = 1.0 if one == other else 0.5 if shared else 0.0
            variance += left * meters[one].relative * right * meters[other].relative * r
    found = known(standard_uncertainty(parts, meters))
    scale = sum(abs(part) for part in parts.values()) + 1.0
    assert found == pytest.approx(sqrt(max(variance, 0.0)), abs=1e-7 * scale)


@given(st.floats(1.0, 1e9), st.floats(0.0, 5.0), st.floats(0.1, 1e3))
def test_the_uncertainty_of_a_ratio_does_not_depend_on_the_unit(
    it: float, overhead: float, factor: float
) -> None:
    meters = {"it": HALF, "overhead": HALF}
    one = ratio_uncertainty({"it": it, "overhead": overhead * it}, {"it": it}, meters)
    it *= factor
    other = ratio_uncertainty({"it": it, "overhead": overhead * it}, {"it": it}, meters)
    assert known(one) == pytest.approx(known(other), rel=1e-9, abs=1e-12)
