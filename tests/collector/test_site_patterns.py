# SPDX-License-Identifier: Apache-2.0
"""Names by pattern."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.site import PatternError, expand, site_of
from rackwatt.wire.config import Document


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("grid-1", ["grid-1"]),
        ("r1-[01-03]", ["r1-01", "r1-02", "r1-03"]),
        ("n[9-11]", ["n9", "n10", "n11"]),
        ("[08-10]", ["08", "09", "10"]),
        ("[0-2]", ["0", "1", "2"]),
        ("p-[a-c]", ["p-a", "p-b", "p-c"]),
        ("[01,03,05-06]", ["01", "03", "05", "06"]),
        ("[top, bottom]-1", ["top-1", "bottom-1"]),
        ("[1-2]-[a-b]", ["1-a", "1-b", "2-a", "2-b"]),
        ("{rack}-n[1-2]", ["r7-n1", "r7-n2"]),
        ("{row}.{rack}", ["row-a.r7"]),
    ],
)
def test_expansion(pattern: str, names: list[str]) -> None:
    assert expand(pattern, {"rack": "r7", "row": "row-a"}) == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("r[", "no partner"),
        ("r]", "no partner"),
        ("r[1-[2]]", "no partner"),
        ("r[]", "an item between the brackets is empty"),
        ("r[1,,2]", "an item between the brackets is empty"),
        ("r[08-01]", "runs backwards"),
        ("r[d-a]", "runs backwards"),
        ("r[01-100]", "as many digits"),
        ("r[1-08]", r"did you mean \[01-08\]"),
        ("r[a-08]", "neither a word nor a range"),
        ("r[1,1]", "stands twice"),
        ("[1,11][1,11]", "same name twice"),
        ("[1-999999999]", "more than"),
        ("[1-999][1-999]", "more than"),
        ("{rak}-1", "unknown placeholder {rak}"),
    ],
)
def test_a_bad_pattern_says_why(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        expand(pattern, {"rack": "r7"})


@given(st.integers(0, 500), st.integers(0, 200), st.integers(1, 4))
def test_a_padded_range_is_what_formatting_gives(low: int, count: int, width: int) -> None:
    """Padding is kept: as many digits at both ends, in order, none left out."""
    first, last = str(low).zfill(width), str(low + count).zfill(width)
    if len(first) != len(last) and first.startswith("0") and len(first) > 1:
        return  # refused: tested above
    names = expand(f"x[{first}-{last}]")
    assert [int(name[1:]) for name in names] == list(range(low, low + count + 1))
    if first.startswith("0") and len(first) > 1:
        assert {len(name) for name in names} == {1 + len(first)}


@given(st.text(alphabet="ab019-[],{}rack ", max_size=20))
def test_any_text_expands_to_unique_names_or_is_refused(text: str) -> None:
    try:
        names = expand(text, {"rack": "r1"})
    except PatternError:
        return
    assert names
    assert len(set(names)) == len(names)


def test_names_written_out_are_the_same_site_as_patterns() -> None:
    head = (
        "site: {id: demo, timezone: UTC, country: MA}\n"
        "meters:\n- {id: grid-1, role: grid}\n- {id: it, role: it, sum: %s}\n"
        "halls: [{id: hall-a, rows: [{id: row-1, racks: %s, nodes: %s, pdus: '{rack}-pdu-[a-b]'}]}]"
    )
    by_pattern = head % ("['r[01-02]-pdu-[a-b]']", "'r[01-02]'", "'{rack}-n[1-3]'")
    pdus = "[r01-pdu-a, r01-pdu-b, r02-pdu-a, r02-pdu-b]"
    by_name = head % (pdus, "[r01, r02]", "['{rack}-n1', '{rack}-n2', '{rack}-n3']")
    first, second = (site_of(Document("site.yaml", text)) for text in (by_pattern, by_name))
    assert first.racks == second.racks
    assert first.places == second.places
    assert first.terms_at(0) == second.terms_at(0)
