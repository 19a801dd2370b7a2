# SPDX-License-Identifier: Apache-2.0
"""Spans of time to sum over: minutes and hours in UTC, days and months by local clocks.

A local day has 23, 24 or 25 hours where clocks change, and a month of a place that leaves its
offset for Ramadan an hour more or less: whoever counts hours must count them here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal

from rackwatt.collector.accounting.vocabulary import HOUR_MS

Every = Literal["1m", "1h", "1d", "1mo"] | int
"""How long a span is; a number is minutes that divide a day."""

_MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open span of time.

    Attributes:
        start_ms: Its first instant, ms since 1970 UTC.
        end_ms: The first instant after it.
        label: ``2026-02`` and ``2026-02-15`` by local clocks, ``2026-02-15T02:00Z`` in UTC.
    """

    start_ms: int
    end_ms: int
    label: str

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.end_ms - self.start_ms) / HOUR_MS


def span_at(time_ms: int, every: Every, zone: tzinfo) -> Span:
    """Return the whole span that an instant lies in.

    Args:
        time_ms: ms since 1970, UTC.
        every: How long spans are.
        zone: Whose clocks tell days and months.

    Raises:
        ValueError: A number of minutes that does not divide a day.
    """
    if every == "1d":
        return _day(datetime.fromtimestamp(time_ms / 1000, zone).date(), zone)
    if every == "1mo":
        return _month(datetime.fromtimestamp(time_ms / 1000, zone).date(), zone)
    step = _minutes(every) * _MINUTE_MS
    start = time_ms - time_ms % step
    label = datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    return Span(start, start + step, label)


def spans(start_ms: int, end_ms: int, every: Every, zone: tzinfo) -> Iterator[Span]:
    """Yield the spans between two instants, in order and without a gap.

    Args:
        start_ms: Begin; the first span begins here, though its whole may begin before.
        end_ms: End; the last span ends here.
        every: How long spans are.
        zone: Whose clocks tell days and months.

    Raises:
        ValueError: A number of minutes that does not divide a day.
    """
    now = start_ms
    while now < end_ms:
        whole = span_at(now, every, zone)
        yield Span(now, min(whole.end_ms, end_ms), whole.label)
        now = whole.end_ms


def _minutes(every: Every) -> int:
    minutes = {"1m": 1, "1h": 60}[every] if isinstance(every, str) else every
    if minutes < 1 or _DAY_MINUTES % minutes:
        msg = f"spans of {minutes} minutes do not divide a day"
        raise ValueError(msg)
    return minutes


def _day(day: date, zone: tzinfo) -> Span:
    return Span(_midnight(day, zone), _midnight(day + timedelta(days=1), zone), day.isoformat())


def _month(day: date, zone: tzinfo) -> Span:
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Span(_midnight(first, zone), _midnight(following, zone), first.strftime("%Y-%m"))


def _midnight(day: date, zone: tzinfo) -> int:
    """Return the first instant of a local day, which need not be 00:00 by its clocks.

    Where clocks go from 00:00 to 01:00, Python reads a time that does not exist at the offset of
    before, which is just the instant of the change; of a midnight that comes twice, the first.
    """
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
