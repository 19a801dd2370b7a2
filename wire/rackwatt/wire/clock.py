# SPDX-License-Identifier: Apache-2.0
"""Clocks that can be injected: no logic asks the machine for the time."""

import time
from dataclasses import dataclass
from typing import Final, Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since 1970-01-01T00:00Z."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps; its zero means nothing."""


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since 1970-01-01T00:00Z."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
        return time.monotonic()


SYSTEM_CLOCK: Final = SystemClock()


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until it is told to move: for tests and simulations."""

    time_ms: int = 1_790_000_000_000
    seconds: float = 0.0

    def now_ms(self) -> int:
        """The wall-clock time that was set, in milliseconds."""
        return self.time_ms

    def monotonic(self) -> float:
        """The seconds advanced so far."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self.seconds += seconds
        self.time_ms += round(seconds * 1000)
