# SPDX-License-Identifier: Apache-2.0
"""Which hours, days and months are to be summed again, and when: state without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.calendar import Span, span_at

Every = Literal["1h", "1d", "1mo"]
Group = Literal["interval", "attribution"]
"""Which rows are summed: the site's intervals, or the quarter hours of places and tenants."""

EVERY: Final[tuple[Every, ...]] = ("1h", "1d", "1mo")
GAP_SECONDS: Final[dict[Every, float]] = {"1h": 60.0, "1d": 600.0, "1mo": 3600.0}
"""A span that goes on changing is summed again at most so often."""
TURN: Final[dict[Every, int]] = {"1h": 60, "1d": 5, "1mo": 1}
"""Spans summed in one turn, so that nothing else waits for long."""


class Sum(NamedTuple):
    """One span of one group, to be summed."""

    group: Group
    every: Every
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class _Made:
    seconds: float
    """When, of a clock that never steps."""
    through_ms: int
    """What was closed then."""


class Spans:
    """Spans whose rows have changed since they were summed.

    Args:
        zone: the site's: of days and months; hours are UTC's.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._dirty: dict[Sum, int] = {}
        self._made: dict[Sum, _Made] = {}
        self._last: dict[Every, Span] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._dirty)

    def touch(self, group: Group, start_ms: int, seq: int) -> None:
        """A row that starts then has changed with entry `seq`."""
        for every in EVERY:
            span = self._span(every, start_ms)
            self._dirty.setdefault(Sum(group, every, span.start_ms, span.end_ms), seq)

    def _span(self, every: Every, time_ms: int) -> Span:
        last = self._last.get(every)
        if last is None or not last.start_ms <= time_ms < last.end_ms:
            last = self._last[every] = span_at(time_ms, every, self._zone)
        return last

    def due(self, seconds: float, through_ms: int) -> list[tuple[Sum, int]]:
        """What to sum now, shortest spans first, with the entries since which they wait.

        They no longer wait then: `back` is for those that could not be made.

        Args:
            seconds: now, of a clock that never steps.
            through_ms: up to when intervals are closed.
        """
        room = dict(TURN)
        found: list[tuple[Sum, int]] = []
        for every in EVERY:
            waiting = sorted((s for s in self._dirty if s.every == every), key=_newest_first)
            for item in waiting:
                if room[every] and self._is_due(item, seconds, through_ms):
                    room[every] -= 1
                    found.append((item, self._dirty.pop(item)))
                    self._made[item] = _Made(seconds, through_ms)
        self._forget(seconds)
        return found

    def hurry(self) -> None:
        """Whatever waits is due, however lately it was made."""
        self._made.clear()

    def back(self, items: Iterable[tuple[Sum, int]]) -> None:
        """These were not made after all."""
        for item, seq in items:
            self._dirty[item] = min(seq, self._dirty.get(item, seq))
            self._made.pop(item, None)

    def passed(self, seq: int) -> int:
        """Up to which entry all sums are made, of those up to `seq`."""
        return min([seq, *(first - 1 for first in self._dirty.values())])

    def _is_due(self, item: Sum, seconds: float, through_ms: int) -> bool:
        made = self._made.get(item)
        if made is None or seconds - made.seconds >= GAP_SECONDS[item.every]:
            return True
        return made.through_ms < item.end_ms <= through_ms  # now it is complete

    def _forget(self, seconds: float) -> None:
        old = [s for s, made in self._made.items() if seconds - made.seconds > 3600.0]
        for item in old:
            del self._made[item]


def _newest_first(item: Sum) -> tuple[int, str]:
    return -item.start_ms, item.group
