# SPDX-License-Identifier: Apache-2.0
"""Sets of sequence numbers as sorted, disjoint, closed ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class Ranges:
    """A set of integers that is nearly always a few long runs.

    Adding next to the end, the usual case, is O(1); anywhere else O(n) in the number of runs.
    """

    __slots__ = ("_high", "_low")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._low: list[int] = []
        self._high: list[int] = []
        for low, high in ranges:
            self.add(low, high)

    def add(self, low: int, high: int | None = None) -> None:
        """Add `low`, or all of `low..high`.

        Raises:
            ValueError: `high` is below `low`.
        """
        end = low if high is None else high
        if end < low:
            raise ValueError(f"empty range {low}..{end}")
        if self._high and low == self._high[-1] + 1:
            self._high[-1] = end
            return
        first = bisect_left(self._high, low - 1)
        last = bisect_right(self._low, end + 1)
        if first < last:
            low = min(low, self._low[first])
            end = max(end, self._high[last - 1])
        self._low[first:last] = [low]
        self._high[first:last] = [end]

    def extend(self, number: int) -> bool:
        """Add a number if it is the next one after the largest; whether it was."""
        high = self._high
        if high and high[-1] + 1 == number:
            high[-1] = number
            return True
        return False

    def covers(self, low: int, high: int) -> bool:
        """Whether all of `low..high` are in the set; nothing is, where `high` is below `low`."""
        if high < low:
            return True
        at = bisect_left(self._high, high)
        return at < len(self._low) and self._low[at] <= low

    def __contains__(self, number: int) -> bool:
        """Whether `number` is in the set."""
        at = bisect_left(self._high, number)
        return at < len(self._low) and self._low[at] <= number

    def __iter__(self) -> Iterator[Range]:
        """The runs, in order."""
        return zip(self._low, self._high, strict=True)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same numbers."""
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The runs, for messages."""
        return f"Ranges({list(self)!r})"

    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(self._high) - sum(self._low) + len(self._low)

    def runs(self) -> int:
        """Of how many runs the set is made."""
        return len(self._low)

    def missing(self, low: int, high: int) -> list[Range]:
        """The runs of `low..high` that are not in the set."""
        gaps: list[Range] = []
        at = low
        for index in range(bisect_left(self._high, low), len(self._low)):
            if self._low[index] > high:
                break
            if self._low[index] > at:
                gaps.append((at, self._low[index] - 1))
            at = max(at, self._high[index] + 1)
        if at <= high:
            gaps.append((at, high))
        return gaps

    def through(self, start: int) -> int:
        """The largest n such that all of `start..n` are in the set, or `start - 1`."""
        at = bisect_left(self._high, start)
        if at < len(self._low) and self._low[at] <= start:
            return self._high[at]
        return start - 1
