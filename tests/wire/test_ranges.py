# SPDX-License-Identifier: Apache-2.0
"""Ranges against a model: a plain set of integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.wire.ranges import Range, Ranges

spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair))),
    max_size=25,
)


def numbers(ranges: list[Range]) -> set[int]:
    return {n for low, high in ranges for n in range(low, high + 1)}


@given(spans)
def test_it_holds_what_was_added_as_disjoint_runs_in_order(added: list[Range]) -> None:
    ranges = Ranges(added)
    runs = list(ranges)
    assert numbers(runs) == numbers(added)
    assert all(runs[i][1] + 1 < runs[i + 1][0] for i in range(len(runs) - 1))
    assert ranges.count() == len(numbers(added))
    assert all((n in ranges) == (n in numbers(added)) for n in range(-2, 80))


@given(spans, st.integers(0, 70), st.integers(-3, 20))
def test_missing_is_the_complement(added: list[Range], low: int, length: int) -> None:
    high = low + length
    expected = set(range(low, high + 1)) - numbers(added)
    gaps = Ranges(added).missing(low, high)
    assert numbers(gaps) == expected
    assert sum(b - a + 1 for a, b in gaps) == len(expected)


@given(spans, st.integers(0, 70))
def test_through_is_the_end_of_the_run(added: list[Range], start: int) -> None:
    expected = start - 1
    while expected + 1 in numbers(added):
        expected += 1
    assert Ranges(added).through(start) == expected


@given(spans, st.randoms())
def test_the_order_of_adding_does_not_matter(added: list[Range], random: object) -> None:
    shuffled = list(added)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Ranges(added) == Ranges(shuffled)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"empty range 5\.\.4"):
        Ranges().add(5, 4)


def test_a_single_number_can_be_added() -> None:
    ranges = Ranges()
    for number in (1, 2, 4, 3):
        ranges.add(number)
    assert list(ranges) == [(1, 4)]
    assert repr(ranges) == "Ranges([(1, 4)])"
    assert ranges != [(1, 4)]


@given(spans)
def test_the_last_is_the_largest(added: list[Range]) -> None:
    held = [number for low, high in added for number in (low, high)]
    assert Ranges(added).last() == max(held, default=0)
