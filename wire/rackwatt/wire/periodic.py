# SPDX-License-Identifier: Apache-2.0
"""Loops at a stated cadence."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rackwatt.wire.clock import Clock


@dataclass(frozen=True, slots=True)
class Tick:
    """One turn of a loop."""

    due_ms: int
    """When it was due, in ms since 1970 UTC."""
    skipped: int
    """Turns that were missed before this one."""


async def ticks(period_seconds: float, clock: Clock, phase_ms: int = 0) -> AsyncIterator[Tick]:
    """Turns at whole multiples of the period on the wall clock, so that all agents line up.

    Missed-tick policy: skip and resync. A turn that was missed because the work before it took
    too long is counted in `skipped` and never made up for. A wall clock that steps moves the
    grid and is no miss.

    Args:
        period_seconds: the period, at least a millisecond.
        clock: where the time comes from.
        phase_ms: turns come so long after whole multiples of the period.

    Raises:
        ValueError: a period below a millisecond.
    """
    period = round(period_seconds * 1000)
    if period < 1:
        raise ValueError(f"period {period_seconds} s is below a millisecond")
    last_due = 0
    last_seconds = 0.0
    while True:
        now = clock.now_ms()
        due = ((now - phase_ms) // period + 1) * period + phase_ms
        if due == last_due:  # a timer fired a little early: the same turn is not taken twice
            due += period
        await asyncio.sleep((due - now) / 1000)
        elapsed = (clock.monotonic() - last_seconds) * 1000
        skipped = 0
        if last_due and due > last_due:
            skipped = max(0, round(min(due - last_due, elapsed) / period) - 1)
        last_due, last_seconds = due, clock.monotonic()
        yield Tick(due, skipped)
