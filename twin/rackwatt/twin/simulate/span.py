# SPDX-License-Identifier: Apache-2.0
"""Local days as a span of UTC: a day may have 23, 24 or 25 hours."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.twin.simulate.problems import SimulationProblem

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST, _LAST = date(1970, 1, 2), date(2099, 12, 30)
"""What the store takes, and the sun's position is computed for."""


@dataclass(frozen=True, slots=True)
class SimulatedSpan:
    """Whole local days.

    Attributes:
        start_ms: The first day's local midnight, ms since 1970 UTC.
        end_ms: The local midnight that ends the last day.
        zone: The site's time zone.
        first: The first day.
        days: How many.
    """

    start_ms: int
    end_ms: int
    zone: ZoneInfo
    first: date
    days: int

    @property
    def minutes(self) -> int:
        """Minutes in the span."""
        return (self.end_ms - self.start_ms) // MINUTE_MS

    def hours(self) -> list[tuple[int, int]]:
        """The span cut at each UTC hour: start and end of each piece."""
        edges = [self.start_ms]
        edge = (self.start_ms // HOUR_MS + 1) * HOUR_MS
        while edge < self.end_ms:
            edges.append(edge)
            edge += HOUR_MS
        return list(zip(edges, [*edges[1:], self.end_ms], strict=True))


def span_of(start: str, days: int, zone: ZoneInfo) -> SimulatedSpan:
    """The span that `--from` and `--days` name.

    Raises:
        SimulationProblem: `start` is no date, or the days are too few or too many.
    """
    example = f"a date like 2026-10-01: a local midnight of {zone.key}"
    if _DATE.fullmatch(start) is None:
        raise SimulationProblem(f"--from: expects {example}, not {start!r}")
    try:
        first = date.fromisoformat(start)
    except ValueError:
        raise SimulationProblem(f"--from: there is no day {start!r}; expects {example}") from None
    if days < 1:
        raise SimulationProblem(f"--days: must be at least 1, not {days}")
    if not _FIRST <= first <= _LAST or days > (_LAST - first).days + 1:
        raise SimulationProblem(f"--from, --days: must lie between {_FIRST} and {_LAST}")
    low, high = _midnight(first, zone), _midnight(first + timedelta(days=days), zone)
    if low % MINUTE_MS or high % MINUTE_MS:
        raise SimulationProblem(f"--from: midnights of {zone.key} then did not fall on a minute")
    return SimulatedSpan(low, high, zone, first, days)


def _midnight(day: date, zone: ZoneInfo) -> int:
    """The first instant of a local day; where midnight is left out, the hour after it."""
    moment = datetime.combine(day, time(0), zone)
    return round(moment.astimezone(UTC).timestamp()) * 1000
