# SPDX-License-Identifier: Apache-2.0
"""Integrated power: the fallback for registers, and the shape of what they sum up."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import fsum
from typing import Final, NamedTuple

from rackwatt.collector.accounting.vocabulary import HOUR_MS

MINIMUM_COVERAGE: Final = 0.9
"""Below this part of an interval, its integrated power is not taken for the whole."""


class Reading(NamedTuple):
    """One value of one field of one meter at its own time (ms since 1970, UTC)."""

    time_ms: int
    value: float


Point = tuple[int, float]
"""A :class:`Reading`, or its time and value as a database gives them."""


class PowerCurve:
    """Mean powers over the windows in which they were measured.

    A power reading at t is the mean over the window that ends at t. The window reaches back to
    the reading before, if that is at most two cadences away, else one cadence; what no window
    covers is unknown.

    Args:
        readings: Powers in W, sorted by time, at most one for each instant.
        cadence_ms: How often the meter reports.

    Attributes:
        ends: Their times, ms.
        watts: Their values.
    """

    __slots__ = ("_cadence_ms", "_known_starts", "ends", "watts")

    def __init__(self, readings: Sequence[Point], cadence_ms: int) -> None:
        self.ends = [time_ms for time_ms, _ in readings]
        self.watts = [value for _, value in readings]
        self._cadence_ms = cadence_ms
        self._known_starts: list[int] | None = None

    def __bool__(self) -> bool:
        return bool(self.ends)

    @property
    def _starts(self) -> list[int]:
        """Where windows begin: asked for only where a register does not tell the energy."""
        if self._known_starts is None:
            self._known_starts = starts = []
            near = 2 * self._cadence_ms
            before = self.ends[0] - self._cadence_ms if self.ends else 0
            for end in self.ends:
                starts.append(before if end - before <= near else end - self._cadence_ms)
                before = end
        return self._known_starts

    def integral(self, start_ms: int, end_ms: int) -> tuple[float, int]:
        """Return the energy in Wh of the covered part of a span, and that part in ms."""
        pieces: list[float] = []
        covered = 0
        starts, ends, watts = self._starts, self.ends, self.watts
        for index in range(bisect_right(ends, start_ms), len(ends)):
            left = max(starts[index], start_ms)
            right = min(ends[index], end_ms)
            if starts[index] >= end_ms:
                break
            pieces.append(watts[index] * (right - left) / HOUR_MS)
            covered += right - left
        return fsum(pieces), covered

    def energy(self, start_ms: int, end_ms: int) -> float | None:
        """Return the energy in Wh of a span, ``None`` if too little of it is covered.

        A small uncovered part (see :data:`MINIMUM_COVERAGE`) takes the mean of the rest.
        """
        span = end_ms - start_ms
        energy, covered = self.integral(start_ms, end_ms)
        if covered <= 0 or covered < MINIMUM_COVERAGE * span:
            return None
        return energy if covered == span else energy * span / covered

    def peak(self, start_ms: int, end_ms: int) -> float | None:
        """Return the greatest power read in a closed span, in W, ``None`` if none was."""
        first, last = bisect_left(self.ends, start_ms), bisect_right(self.ends, end_ms)
        return max(self.watts[first:last], default=None)
