# SPDX-License-Identifier: Apache-2.0
"""Times and spans of a report: by the site's clocks, with their offset."""

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.calendar import Span, span_at

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")
_YEAR: Final = re.compile(r"\d{4}")
_YEARS: Final = range(1990, 2200)


class BadPeriod(ValueError):  # noqa: N818 - what the text is
    """A text names no month or year."""


def stamp(time_ms: int, zone: ZoneInfo) -> str:
    """`2026-10-01T00:00:00+01:00`."""
    return datetime.fromtimestamp(time_ms / 1000, zone).isoformat(timespec="seconds")


def month_span(label: str, zone: ZoneInfo) -> Span:
    """The local month that `2026-10` names.

    Raises:
        BadPeriod: It names none.
    """
    found = _MONTH.fullmatch(label.strip())
    if not found or not 1 <= int(found[2]) <= 12 or int(found[1]) not in _YEARS:
        raise BadPeriod(f"expects a month like 2026-10, not {label!r}")
    middle = datetime(int(found[1]), int(found[2]), 15, 12, tzinfo=zone)
    return span_at(round(middle.timestamp() * 1000), "1mo", zone)


def year_span(label: str, zone: ZoneInfo) -> Span:
    """The local year that `2026` names.

    Raises:
        BadPeriod: It names none.
    """
    text = label.strip()
    if not _YEAR.fullmatch(text) or int(text) not in _YEARS:
        raise BadPeriod(f"expects a year like 2026, not {label!r}")
    first, last = month_span(f"{text}-01", zone), month_span(f"{text}-12", zone)
    return Span(first.start_ms, last.end_ms, text)


def months_of(label: str, zone: ZoneInfo) -> list[Span]:
    """The twelve months of a year."""
    return [month_span(f"{label}-{number:02d}", zone) for number in range(1, 13)]


def month_at(time_ms: int, zone: ZoneInfo) -> str:
    """The local month of an instant, like ``2026-10``."""
    return datetime.fromtimestamp(time_ms / 1000, zone).strftime("%Y-%m")


def before(label: str) -> str:
    """The month before a month, the year before a year."""
    if _YEAR.fullmatch(label):
        return f"{int(label) - 1:04d}"
    year, number = int(label[:4]), int(label[5:])
    return f"{year - 1:04d}-12" if number == 1 else f"{year:04d}-{number - 1:02d}"


def year_before(label: str) -> str:
    """The same month of the year before."""
    return f"{int(label[:4]) - 1:04d}{label[4:]}"


def span_named(label: str, zone: ZoneInfo) -> Span:
    """The month or the year of a name.

    Raises:
        BadPeriod: It names none.
    """
    return month_span(label, zone) if "-" in label else year_span(label, zone)
