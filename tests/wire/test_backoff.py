# SPDX-License-Identifier: Apache-2.0
"""Back-off: grows, is capped, is jittered, starts anew."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.wire.backoff import Backoff


@given(st.floats(0.01, 10), st.floats(1, 100), st.integers(0, 2**32))
def test_each_wait_lies_in_the_upper_half_of_its_bound(
    first: float, factor: float, seed: int
) -> None:
    cap = first * factor
    backoff = Backoff(first, cap, Random(seed))  # noqa: S311
    bound = first
    for _ in range(12):
        assert bound / 2 <= backoff.next() <= bound
        bound = min(cap, bound * 2)
    backoff.reset()
    assert backoff.next() <= first


def test_two_clients_do_not_come_back_in_step() -> None:
    one, other = (Backoff(1, 60, Random(seed)) for seed in (1, 2))  # noqa: S311
    assert [one.next() for _ in range(5)] != [other.next() for _ in range(5)]


@pytest.mark.parametrize(("first", "cap"), [(0, 1), (-1, 1), (2, 1)])
def test_nonsense_is_refused(first: float, cap: float) -> None:
    with pytest.raises(ValueError, match="back-off needs"):
        Backoff(first, cap)
