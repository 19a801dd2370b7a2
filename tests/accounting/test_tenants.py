# SPDX-License-Identifier: Apache-2.0
"""Tenants: holdings over time, the overhead rule, rounding that adds up."""

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.tenants import (
    OPERATOR,
    Allocation,
    Holding,
    allocate,
    holdings,
    largest_remainder,
    within,
)
from rackwatt.collector.accounting.vocabulary import HOUR_MS


def test_overhead_is_shared_pro_rata_to_it() -> None:
    found = allocate({"a": 600.0, "b": 300.0, OPERATOR: 100.0}, 150.0)
    assert {name: own.load for name, own in found.items()} == pytest.approx(
        {"a": 690.0, "b": 345.0, OPERATOR: 115.0}
    )


def test_without_it_the_overhead_is_the_operators() -> None:
    found = allocate({"a": 0.0}, 10.0)
    assert found == {"a": Allocation(0.0, 0.0), OPERATOR: Allocation(0.0, 10.0)}


def test_unknown_energy_of_one_leaves_everybodys_overhead_unknown() -> None:
    found = allocate({"a": 600.0, "b": None}, 150.0)
    assert found == {"a": Allocation(600.0, None), "b": Allocation(None, None)}
    assert found["a"].load is None
    assert allocate({"a": 600.0}, None)["a"].it == 600.0


def test_what_nobody_holds_is_the_operators() -> None:
    given_ = [Holding("b", 50, 70), Holding("a", -10, 20), Holding("c", 100, 200)]
    assert holdings(given_, 0, 100) == [
        Holding("a", 0, 20),
        Holding(OPERATOR, 20, 50),
        Holding("b", 50, 70),
        Holding(OPERATOR, 70, 100),
    ]
    assert holdings([], 0, 100) == [Holding(OPERATOR, 0, 100)]
    assert holdings([Holding("a", 0, 100)], 0, 100) == [Holding("a", 0, 100)]
    assert Holding("a", 0, HOUR_MS // 4).hours == 0.25


def test_a_change_may_fall_into_an_interval() -> None:
    assert within([0, 10, 20, 30], 5, 20) == (0.5, 1.0, 0.0)


@given(
    st.lists(st.integers(-20, 120), min_size=0, max_size=9, unique=True).map(sorted),
)
def test_holdings_leave_no_gap_and_no_overlap(cuts: list[int]) -> None:
    given_ = [
        Holding(f"t{i}", low, high)
        for i, (low, high) in enumerate(zip(cuts[::2], cuts[1::2], strict=False))
    ]
    found = holdings(given_, 0, 100)
    assert [h.end_ms for h in found[:-1]] == [h.start_ms for h in found[1:]]
    assert (found[0].start_ms, found[-1].end_ms) == (0, 100)
    parts = [within([0, 33, 60, 100], h.start_ms, h.end_ms) for h in found]
    for column in zip(*parts, strict=True):
        assert fsum(column) == pytest.approx(1.0)


def test_the_largest_remainders_get_the_units_that_are_left() -> None:
    assert largest_remainder({"a": 1.4, "b": 1.4, "c": 1.2}) == {"a": 2, "b": 1, "c": 1}
    assert largest_remainder({"a": 690_400.0, "b": 345_300.0, "c": 114_300.0}, 1000.0) == {
        "a": 691,
        "b": 345,
        "c": 114,
    }
    assert largest_remainder({}) == {}


@given(st.dictionaries(st.text("abcdef", min_size=1), st.floats(0.0, 1e9), max_size=9))
def test_rounded_parts_add_up_to_the_rounded_whole(parts: dict[str, float]) -> None:
    found = largest_remainder(parts)
    assert sum(found.values()) == round(fsum(parts.values()))
    assert all(abs(found[name] - parts[name]) <= 1.0 for name in parts)
