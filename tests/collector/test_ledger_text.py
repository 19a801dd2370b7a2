# SPDX-License-Identifier: Apache-2.0
"""The quick text of a row is the canonical one, to the last character."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.ledger.chain import (
    ACT,
    GENESIS,
    INTERVAL,
    battery_part,
    canonical,
    canonical_row,
    entry_hash,
    parsed,
)

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e7, 1e7),
    st.floats(-1e-3, 1e-3),
    st.sampled_from([1e-4, 9.999e-5, 1e-5, -1e-5, 9.9e-6, 1e15, 9999999999999998.0, 1e16, -1e16]),
    st.sampled_from([10.00001, 100.00004, 0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e22, 1e-7]),
    st.integers(-(2**53), 2**53),
)
TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["a:1e5,b", "[1e-7]", ",1e16,", ":0.00001,", '"', "\\", "\x7f", "é", "1e5"]),
)
ROWS = st.dictionaries(
    TEXTS,
    st.recursive(
        st.one_of(NUMBERS, NUMBERS, NUMBERS, st.none(), st.booleans(), TEXTS),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)
        ),
        max_leaves=20,
    ),
    max_size=6,
)


@settings(max_examples=500)
@given(ROWS)
def test_the_quick_text_is_the_canonical_one(row: dict[str, Any]) -> None:
    text = canonical(row)
    assert canonical_row(row) == text
    assert canonical(parsed(text)) == text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    for row in ({"load": number}, {"battery": {"stock": [1.0, number]}}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_row(row)


@given(st.integers(), st.integers(), TEXTS, TEXTS, TEXTS)
def test_an_entry_is_hashed_as_canonical_json(
    start: int, revision: int, cause: str, author: str, row: str
) -> None:
    items = [start, revision, cause, author, row, GENESIS]
    for kind, text in (INTERVAL, canonical(items)), (ACT, canonical([ACT, *items])):
        digest = sha256(text.encode()).hexdigest()
        assert entry_hash(kind, start, revision, cause, author, row, GENESIS) == digest


@pytest.mark.parametrize("start", ["5", 5.0, None, True])
def test_a_forged_place_in_time_is_not_hashed_as_the_number_it_looks_like(start: Any) -> None:
    forged = entry_hash(INTERVAL, start, 1, "closed", "rackwatt", "{}", GENESIS)
    assert forged != entry_hash(INTERVAL, 5, 1, "closed", "rackwatt", "{}", GENESIS)


@given(ROWS, ROWS)
def test_the_battery_is_read_alone_as_with_its_row(
    row: dict[str, Any], battery: dict[str, Any]
) -> None:
    text = canonical({**row, "battery": battery})
    assert battery_part(text) == parsed(text)["battery"]
