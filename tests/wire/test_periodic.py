# SPDX-License-Identifier: Apache-2.0
"""Loops at a cadence, in virtual time: aligned, skipped and counted, never bunched."""

import asyncio
import itertools
from collections.abc import Callable

import async_solipsism
import pytest
from doubles import START_MS, LoopClock
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.wire.periodic import Tick, ticks

milliseconds = st.integers(0, 4000).map(lambda n: n / 1000)


def run(
    period: float,
    count: int,
    work: Callable[[int], float] = lambda _: 0.0,
    start_ms: int = START_MS,
    step: Callable[[int, LoopClock], None] = lambda *_: None,
) -> list[tuple[Tick, int]]:
    """Take `count` turns, each with `work(n)` seconds; returns ticks and when they came."""

    async def main() -> list[tuple[Tick, int]]:
        clock = LoopClock(start_ms)
        seen: list[tuple[Tick, int]] = []
        async for tick in ticks(period, clock):
            seen.append((tick, clock.now_ms()))
            if len(seen) == count:
                break
            await asyncio.sleep(work(len(seen)))
            step(len(seen), clock)
        return seen

    loop = async_solipsism.EventLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def test_turns_lie_on_whole_multiples_of_the_period() -> None:
    seen = run(10.0, 4, start_ms=START_MS + 3_210)
    assert [tick.due_ms for tick, _ in seen] == [START_MS + 10_000 * n for n in (1, 2, 3, 4)]
    assert [now for _, now in seen] == [tick.due_ms for tick, _ in seen]
    assert {tick.skipped for tick, _ in seen} == {0}


@pytest.mark.parametrize("phase_ms", [0, 1, 3000, 9999, 25_000])
def test_turns_may_come_later_than_whole_multiples(phase_ms: int) -> None:
    async def main() -> list[int]:
        clock, seen = LoopClock(START_MS), []
        async for tick in ticks(10.0, clock, phase_ms):
            assert clock.now_ms() == tick.due_ms
            seen.append(tick.due_ms)
            if len(seen) == 3:
                break
        return seen

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        seen = runner.run(main())
    assert seen[0] - START_MS <= 10_000
    assert {(due - phase_ms) % 10_000 for due in seen} == {0}
    assert seen == [seen[0], seen[0] + 10_000, seen[0] + 20_000]


def test_a_missed_turn_is_skipped_and_counted_and_never_made_up_for() -> None:
    seen = run(1.0, 4, work=lambda n: 2.5 if n == 2 else 0.1)
    assert [(tick.due_ms - START_MS, tick.skipped) for tick, _ in seen] == [
        (1_000, 0), (2_000, 0), (5_000, 2), (6_000, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("seconds", [3_600_000, -3_600_000, 250, -250])
def test_a_wall_clock_that_steps_moves_the_grid_and_is_no_miss(seconds: int) -> None:
    def step(number: int, clock: LoopClock) -> None:
        if number == 2:
            clock.offset_ms += seconds

    seen = run(1.0, 5, step=step)
    assert [tick.skipped for tick, _ in seen] == [0] * 5
    assert all(now % 1000 == 0 for _, now in seen)


@settings(max_examples=40)
@given(st.lists(milliseconds, min_size=2, max_size=12), st.integers(0, 999))
def test_turns_taken_and_turns_skipped_add_up(waits: list[float], offset: int) -> None:
    seen = run(1.0, len(waits), work=lambda n: waits[n], start_ms=START_MS + offset)
    taken = [tick for tick, _ in seen]
    assert all(a.due_ms < b.due_ms for a, b in itertools.pairwise(taken))
    whole = (taken[-1].due_ms - taken[0].due_ms) // 1000
    assert whole == len(taken) - 1 + sum(tick.skipped for tick in taken)


def test_a_timer_that_fires_early_does_not_take_a_turn_twice() -> None:
    class Early(LoopClock):
        def now_ms(self) -> int:
            return super().now_ms() - 1  # reads a millisecond less than the timer has waited

    async def main() -> list[int]:
        due: list[int] = []
        clock = Early()
        clock.offset_ms += 1
        async for tick in ticks(1.0, clock):
            due.append(tick.due_ms)
            clock.offset_ms -= 1
            if len(due) == 4:
                break
        return due

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        due = runner.run(main())
    assert [b - a for a, b in itertools.pairwise(due)] == [1000, 1000, 1000]


def test_a_period_below_a_millisecond_is_refused() -> None:
    with pytest.raises(ValueError, match="below a millisecond"):
        run(0.0001, 1)
