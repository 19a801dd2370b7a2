# SPDX-License-Identifier: Apache-2.0
"""The recent past of a value, in a bounded number of parts."""

from collections import deque
from dataclasses import dataclass
from typing import Final

_PARTS: Final = 60


@dataclass(slots=True)
class _Part:
    index: int
    total: float
    count: int

    @property
    def mean(self) -> float:
        return self.total / self.count


class Baseline:
    """Means of 60 equal parts of a window that moves with time.

    Args:
        window: its length, in s.
        least: so much of it must have been measured, in s, before it says anything.
    """

    def __init__(self, window: float, least: float) -> None:
        self._width = window / _PARTS
        self._least = least
        self._parts: deque[_Part] = deque()

    def add(self, seconds: float, value: float) -> None:
        """Take a value."""
        self._forget(seconds)
        index = int(seconds // self._width)
        if self._parts and self._parts[-1].index >= index:
            self._parts[-1].total += value
            self._parts[-1].count += 1
        else:
            self._parts.append(_Part(index, value, 1))

    def _forget(self, seconds: float) -> None:
        oldest = int(seconds // self._width) - _PARTS
        while self._parts and self._parts[0].index <= oldest:
            self._parts.popleft()

    def _known(self, seconds: float) -> bool:
        self._forget(seconds)
        if not self._parts:
            return False
        return seconds - self._parts[0].index * self._width >= self._least

    def mean(self, seconds: float) -> float | None:
        """The mean of the parts' means; None: not yet known."""
        if not self._known(seconds):
            return None
        return sum(part.mean for part in self._parts) / len(self._parts)

    def highest(self, seconds: float) -> float | None:
        """The largest of the parts' means; None: not yet known."""
        return max(part.mean for part in self._parts) if self._known(seconds) else None

    def clear(self) -> None:
        """Begin anew."""
        self._parts.clear()
