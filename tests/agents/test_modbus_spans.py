# SPDX-License-Identifier: Apache-2.0
"""Requests: few of them, none too long, and nothing is left out."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.modbus import load_map
from rackwatt.agents.modbus.points import Point
from rackwatt.agents.modbus.schema import Function
from rackwatt.agents.modbus.spans import Span, plan

FUNCTIONS: st.SearchStrategy[Function] = st.sampled_from(["input", "holding"])
POINT = next(p for p in load_map("eastron-sdm630").points() if p.spec.name == "power_watts")


def point(address: int, function: Function = "input") -> Point:
    """Two registers at an address."""
    return replace(POINT, address=address, function=function)


def covered(spans: tuple[Span, ...]) -> set[tuple[str, int, int]]:
    return {(span.function, *part) for span in spans for part in span.parts}


@given(
    st.lists(st.tuples(st.integers(0, 2000), FUNCTIONS), min_size=1),
    st.integers(0, 50),
    st.integers(2, 125),
)
def test_every_register_is_in_one_short_request(
    where: list[tuple[int, Function]], gap: int, limit: int
) -> None:
    points = [point(address, function) for address, function in where]
    spans = plan(points, gap, limit)
    assert covered(spans) == {(f, a, 2) for a, f in where}
    assert all(1 <= span.count <= limit for span in spans)
    for span in spans:
        ends = [start + count for start, count in span.parts]
        holes = [b[0] - a for a, b in zip(ends, span.parts[1:], strict=False)]
        assert all(hole <= gap for hole in holes)


@given(st.lists(st.integers(0, 100), min_size=1), st.integers(0, 50))
def test_splitting_ends_with_single_parts_and_loses_none(where: list[int], gap: int) -> None:
    spans = plan([point(address) for address in where], gap, 125)
    wanted = covered(spans)
    for _ in range(3):
        spans = tuple(part for span in spans for part in span.split())
        assert covered(spans) == wanted
    assert all(len(span.parts) == 1 for span in spans)


def test_a_power_meter_takes_three_requests() -> None:
    """Instantaneous block, frequency close by, energies apart."""
    spans = plan(load_map("schneider-pm5xxx").points(), 16, 125)
    assert [(span.start, span.count) for span in spans] == [(2999, 78), (3109, 2), (3203, 8)]


def test_the_whole_janitza_block_is_one_request() -> None:
    (span,) = plan(load_map("janitza-umg").points(), 16, 125)
    assert (span.start, span.count) == (19000, 78)
