# SPDX-License-Identifier: Apache-2.0
"""What the host driver makes of the text of one file."""

from typing import Any

import pytest
from agents.host_trees import NET
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.host import parsers


@given(st.lists(st.integers(0, 10**12), min_size=8, max_size=10))
def test_busy_and_idle_make_the_total(ticks: list[int]) -> None:
    times = parsers.cpu_times("cpu  " + " ".join(map(str, ticks)) + "\ncpu0 1 2 3 4 5 6 7 8\n")
    assert times.total == sum(ticks[:8])
    assert times.total - times.busy == ticks[3] + ticks[4]


@given(*[st.integers(0, 10**9)] * 4)
def test_utilisation_is_a_ratio_or_unknown(a: int, b: int, c: int, d: int) -> None:
    before, after = (parsers.CpuTimes(busy=x, total=x + y) for x, y in ((a, b), (c, d)))
    value = parsers.utilization(before, after)
    assert value is None or 0.0 <= value <= 1.0
    assert (value is None) == (after.total <= before.total)


def test_memory_of_an_old_kernel_counts_buffers_and_cache_as_free() -> None:
    text = "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 50 kB\nCached: 150 kB\n"
    assert parsers.memory(text) == (500 * 1024, 1000 * 1024)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parsers.cpu_times, ""),
        (parsers.cpu_times, "intr 1 2 3\n"),
        (parsers.cpu_times, "cpu 1 2 x 4\n"),
        (parsers.memory, "MemTotal: 1000 kB\n"),
        (parsers.memory, "\x00\x00"),
        (parsers.first_number, ""),
        (parsers.first_number, "many\n"),
        (lambda text: parsers.network(text, ()), "eth0: 1 2 3\n"),
    ],
)
def test_nonsense_is_refused(parse: Any, text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_network_counts_physical_interfaces_once() -> None:
    assert parsers.network(NET, {"eth0", "eth1"}) == (30, 3)
    assert parsers.network(NET, ()) == (60, 6)  # none known: all but lo


@given(
    modulus=st.integers(10**9, 2**48),
    start=st.integers(0, 2**48),
    steps=st.lists(st.integers(0, 400_000_000), max_size=50),
)
def test_a_counter_that_rolls_over_adds_up(modulus: int, start: int, steps: list[int]) -> None:
    """Read each second at up to 400 W: every roll-over is taken out, nothing is lost."""
    position, total = start % modulus, 0
    for step in steps:
        after = (position + step) % modulus
        total += parsers.counter_step(position, after, modulus, 1.0)
        position = after
    assert total == sum(steps)


def test_a_counter_that_starts_anew_counts_nothing() -> None:
    assert parsers.counter_step(100_000_000_000, 5, 262_143_328_850, 1.0) == 0
    assert parsers.counter_step(5, 7, 10, 0.0) == 0
