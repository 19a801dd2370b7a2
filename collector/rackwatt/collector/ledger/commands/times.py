# SPDX-License-Identifier: Apache-2.0
"""Times as people write them: with an offset, or as a date by the site's clocks."""

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Final

from rackwatt.collector.accounting.calendar import Every, Span, span_at
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.site.console import stop
from rackwatt.wire.config import nearest

EVERY: Final[dict[str, Every]] = {"1m": "1m", "15m": 15, "1h": "1h", "1d": "1d", "1mo": "1mo"}
QUARTER_MS: Final = 15 * INTERVAL_MS
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_EXAMPLE: Final = "like 2026-10-01 or 2026-10-01T06:00:00+01:00"
_YEARS: Final = range(1970, 2200)
"""Outside of these no clock is right, and calendars fail."""


def moment(option: str, text: str, zone: tzinfo) -> int:
    """A whole minute in ms since 1970 UTC; see :func:`instant`.

    Raises:
        typer.Exit: it is no time, has no offset, or is no whole minute.
    """
    at = instant(option, text, zone)
    if at % INTERVAL_MS:
        stop(f"{option}: the books know whole minutes only, not {text!r}")
    return at


def instant(option: str, text: str, zone: tzinfo) -> int:
    """An instant in ms since 1970 UTC; a date is the first instant of that day at the site.

    Raises:
        typer.Exit: it is no time, or has no offset.
    """
    stripped = text.strip()
    if _DATE.fullmatch(stripped):
        return _midnight(option, stripped, zone)
    try:
        found = datetime.fromisoformat(stripped)
    except ValueError:
        stop(f"{option}: expects a time {_EXAMPLE}, not {text!r}")
    _in_range(option, text, found.year)
    if found.tzinfo is None:
        stop(
            f"{option}: {text!r} has no offset: write {stripped}+01:00, or Z for UTC, "
            "or only the date for a day at the site"
        )
    return round(found.timestamp() * 1000)


def span_of(
    start: str | None, end: str | None, zone: tzinfo, default: tuple[int, int]
) -> tuple[int, int]:
    """The half-open span of `--from` and `--to`.

    Args:
        start: `--from` as given; ``None``: the default's, or a day before the end.
        end: `--to` as given; ``None``: the default's.
        zone: by whose clocks a date is meant.
        default: what holds where nothing is given, ms since 1970 UTC.

    Raises:
        typer.Exit: one of them is no time, or they are the wrong way round.
    """
    high = default[1] if end is None else moment("--to", end, zone)
    if start is not None:
        low = moment("--from", start, zone)
    else:
        low = default[0] if end is None else high - (default[1] - default[0])
    if start is not None and end is not None and low >= high:
        stop(
            f"--from {start} is not before --to {end}: the span would be empty; "
            "--to is itself excluded"
        )
    return low, max(low, high)


def every_of(text: str) -> Every:
    """How long spans are.

    Raises:
        typer.Exit: none of the lengths that are offered.
    """
    found = EVERY.get(text)
    if found is None:
        stop(f"--every: no span of {text!r} ({nearest(text, EVERY)})")
    return found


def month_of(text: str, zone: tzinfo) -> Span:
    """The local month that `2026-10` names.

    Raises:
        typer.Exit: it names none.
    """
    if not _MONTH.fullmatch(text.strip()):
        stop(f"--month: expects a month like 2026-10, not {text!r}")
    if not 1 <= int(text.strip()[-2:]) <= 12:
        stop(f"--month: there is no month {text!r}")
    start = _midnight("--month", f"{text.strip()}-01", zone)
    return span_at(start, "1mo", zone)


def utc(time_ms: int) -> str:
    """`2026-10-01T06:00Z`, with seconds where there are any."""
    found = datetime.fromtimestamp(time_ms / 1000, UTC)
    form = "%Y-%m-%dT%H:%MZ" if time_ms % INTERVAL_MS == 0 else "%Y-%m-%dT%H:%M:%SZ"
    return found.strftime(form)


def local(time_ms: int, zone: tzinfo) -> str:
    """`2026-10-01 07:00`, by the site's clocks."""
    return datetime.fromtimestamp(time_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")


def _in_range(option: str, text: str, year: int) -> None:
    if year not in _YEARS:
        stop(f"{option}: the year of {text!r} is not from {_YEARS[0]} to {_YEARS[-1]}")


def _midnight(option: str, text: str, zone: tzinfo) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        stop(f"{option}: there is no day {text!r}; expects a time {_EXAMPLE}")
    _in_range(option, text, day.year)
    # Noon exists on every day; its whole local day begins where the calendar says.
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    return span_at(round(noon.timestamp() * 1000), "1d", zone).start_ms
