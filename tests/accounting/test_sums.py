# SPDX-License-Identifier: Apache-2.0
"""Sums that no order can change."""

import random
from fractions import Fraction
from math import fsum

from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.sums import ExactSum, exact_parts

numbers = st.lists(st.floats(-1e15, 1e15), max_size=40)


@given(numbers)
def test_few_floats_hold_the_exact_sum(values: list[float]) -> None:
    parts = exact_parts(values)
    assert sum(map(Fraction, parts)) == sum(map(Fraction, values))


@given(numbers, numbers)
def test_merging_is_adding(one: list[float], other: list[float]) -> None:
    merged = ExactSum(one)
    merged.merge(ExactSum(other))
    assert merged.value == fsum(one + other)


def test_order_does_not_show_in_long_sums() -> None:
    source = random.Random(4)  # noqa: S311
    values = [source.uniform(-1e9, 1e9) * 10 ** source.randint(-9, 9) for _ in range(20_000)]
    found = ExactSum()
    for value in values:
        found.extend([value])
    source.shuffle(values)
    shuffled = ExactSum(values)
    single = shuffled.copy()
    single.add(1.0)
    assert found.value == shuffled.value == fsum(values)
    assert single.value == fsum([*values, 1.0])
    assert len(found.parts) < 5000
