# SPDX-License-Identifier: Apache-2.0
"""Clocks: what was taken by a wrong one stays doubtful, whenever it comes."""

import math
import sqlite3
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.ingest.clocks import (
    CLOCK_LIMIT_SECONDS,
    ECHO_SECONDS,
    FRESH_SECONDS,
    SCHEMA,
    Clocks,
    Echo,
    load_clocks,
    saved_clocks,
)
from rackwatt.wire.status import EpochState

A, B = 5, 9


def epochs(*states: tuple[int, int]) -> list[EpochState]:
    return [EpochState(epoch=e, oldest=1, last=last, sent_through=0) for e, last in states]


def wrong(clocks: Clocks, agent: str = "a") -> dict[int, list[tuple[int, int, float]]]:
    return {row["epoch"]: row["wrong"] for row in clocks.doubtful().get(agent, []) if row["wrong"]}


def test_a_clock_that_is_right_leaves_no_doubt() -> None:
    clocks = Clocks()
    for last in (10, 20):
        assert clocks.told("a", epochs((A, last)), 0.5, 0.0) == 0.5
    assert clocks.doubtful() == {}


def test_a_backlog_of_a_wrong_clock_is_held_after_the_clock_was_put_right() -> None:
    clocks = Clocks()
    clocks.told("a", epochs((A, 10)), 0.0, 0.0)
    clocks.told("a", epochs((A, 20)), -3600.0, 0.0)  # stepped between 10 and 20; then the cable …
    clocks.told("a", epochs((A, 5000)), 0.1, 0.0)  # … was out, and the clock was put right
    clocks.told("a", epochs((A, 6000)), 0.1, 0.0)
    assert wrong(clocks) == {A: [(11, 5000, -3600.0)]}


def test_what_was_taken_before_a_clock_went_wrong_is_told_from_what_came_after() -> None:
    clocks = Clocks()
    clocks.told("a", epochs((A, 100)), 0.0, 0.0)
    clocks.told("a", epochs((A, 110)), 300.0, 0.0)
    (row,) = clocks.doubtful()["a"]
    assert row == {"epoch": A, "through": 110, "wrong": [(101, 110, 300.0)]}


def test_the_end_of_an_earlier_life_has_the_clock_of_that_life() -> None:
    clocks = Clocks()
    clocks.told("a", epochs((A, 10)), 600.0, 0.0)
    clocks.told("a", epochs((A, 30), (B, 4)), 0.0, 0.0)
    assert wrong(clocks) == {A: [(1, 30, 600.0)]}
    clocks.told("a", epochs((B, 8)), 0.0, 0.0)
    assert clocks.doubtful() == {}, "an epoch that nobody keeps any more can send nothing"


def test_a_status_that_comes_again_forgets_nothing() -> None:
    clocks = Clocks()
    old = epochs((A, 10))
    clocks.told("a", old, 0.0, 0.0)
    clocks.told("a", epochs((A, 10), (B, 4)), 600.0, 0.0)
    clocks.told("a", old, 0.0, 0.0)
    assert wrong(clocks) == {B: [(1, 4, 600.0)]}


def test_a_later_life_is_not_blamed_for_an_earlier_clock() -> None:
    clocks = Clocks()
    clocks.told("a", epochs((A, 10)), 600.0, 0.0)
    clocks.told("a", epochs((A, 10), (B, 4)), 0.0, 0.0)
    assert wrong(clocks) == {A: [(1, 10, 600.0)]}


def test_a_status_that_waited_does_not_say_that_a_clock_is_slow() -> None:
    clocks = Clocks()
    assert clocks.told("a", epochs((A, 10)), 600.0, math.inf) is None
    clocks.told("a", epochs((A, 20)), 0.0, 0.0)
    assert clocks.told("a", epochs((A, 30)), 600.0, FRESH_SECONDS + 1) == 0.0
    assert clocks.doubtful() == {}
    assert clocks.told("a", epochs((A, 30)), -90.0, math.inf) == -90.0, "no waiting does that"
    assert clocks.told("a", epochs((A, 40)), 600.0, 1.0) == 600.0


steps = st.lists(st.tuples(st.integers(0, 50), st.sampled_from([0.0, 50.0, 61.0, -4000.0])))


@given(steps)
def test_whatever_a_wrong_clock_can_have_taken_is_in_doubt(
    steps: Sequence[tuple[int, float]],
) -> None:
    clocks, last, before, doubt = Clocks(), 0, 0.0, set[int]()
    for more, offset in steps:
        if max(abs(before), abs(offset)) > CLOCK_LIMIT_SECONDS:
            doubt |= set(range(last + 1, last + more + 1))
        last, before = last + more, offset
        clocks.told("a", epochs((A, last)), offset, 0.0)
    found = {n for low, high, _ in wrong(clocks).get(A, []) for n in range(low, high + 1)}
    assert found == doubt


def test_clocks_are_remembered() -> None:
    db = sqlite3.connect(":memory:")
    db.executescript(SCHEMA)
    db.execute("INSERT INTO clocks VALUES ('b', 99.0, '{}')")
    db.execute("INSERT INTO clocks VALUES ('c', 0.5, '{}')")
    clocks = Clocks()
    clocks.told("c", (), 0.5, 0.0)
    assert len(clocks.changed()) == 1
    clocks.told("a", epochs((A, 10), (B, 3)), 600.0, 0.0)
    clocks.told("b", epochs((A, 1)), 0.25, 0.0)
    changed = {row[0]: row for row in clocks.changed()}
    assert clocks.changed() == []
    known = load_clocks(saved_clocks(db), changed)
    assert {name: clock.offset for name, clock in known} == {"a": 600.0, "b": 0.25, "c": 0.5}
    again = Clocks(known)
    assert again.doubtful() == clocks.doubtful() != {}
    again.told("a", epochs((A, 10), (B, 7)), 0.0, 0.0)
    assert wrong(again) == {B: [(1, 7, 600.0)]}
    db.close()


def test_many_steps_are_bounded() -> None:
    clocks = Clocks()
    for number in range(1, 1000):
        clocks.told("a", epochs((A, number)), 600.0 * (number % 4 == 0), 0.0)
    spans = wrong(clocks)[A]
    assert len(spans) == 100
    assert spans[-1][1] >= 997


def test_an_echo_tells_how_long_things_wait() -> None:
    echo = Echo("mark")
    assert echo.behind(10_000.0) == math.inf
    first = echo.call(1, 100.0)
    assert first is not None
    assert echo.call(1, 100.0 + ECHO_SECONDS - 1) is None
    assert echo.behind(105.0) == math.inf
    echo.heard(b"somebody else's")
    echo.heard(first)
    assert echo.behind(105.0) == 5.0
    second = echo.call(1, 110.0)
    assert second is not None
    assert second != first
    assert echo.behind(150.0) == 50.0, "the second is not back"
    echo.heard(second)
    assert echo.behind(150.0) == 40.0
    assert echo.call(2, 151.0) is not None, "another connection"
    assert echo.behind(152.0) == math.inf
    assert echo.behind(500.0) == 0.0, "nothing ever comes back here"
