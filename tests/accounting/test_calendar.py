# SPDX-License-Identifier: Apache-2.0
"""Hours in UTC, days and months by local clocks."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.calendar import Every, Span, span_at, spans

MOROCCO = ZoneInfo("Africa/Casablanca")
ZONES = [
    MOROCCO,
    ZoneInfo("Europe/Paris"),
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Africa/Cairo"),
    ZoneInfo("America/St_Johns"),
]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(("month", "hours"), [("02", 673.0), ("03", 743.0), ("04", 720.0)])
def test_morocco_leaves_its_offset_for_ramadan(month: str, hours: float) -> None:
    """February 2026 has 673 hours, March 743."""
    span = span_at(ms(f"2026-{month}-15T12:00:00+00:00"), "1mo", MOROCCO)
    assert (span.label, span.hours) == (f"2026-{month}", hours)


def test_minutes_across_the_change_are_consecutive() -> None:
    """2026-02-15T02:59+01:00 and 2026-02-15T02:00+00:00 are consecutive minutes."""
    before, after = ms("2026-02-15T02:59+01:00"), ms("2026-02-15T02:00+00:00")
    found = list(spans(before, after + 60_000, "1m", MOROCCO))
    assert [span.start_ms for span in found] == [before, after]
    assert [span.label for span in found] == ["2026-02-15T01:59Z", "2026-02-15T02:00Z"]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_days_of_23_and_25_hours(day: str, hours: int) -> None:
    span = span_at(ms(f"{day}T12:00:00+00:00"), "1d", ZoneInfo("Europe/Paris"))
    assert (span.label, span.hours) == (day, hours)
    assert len(list(spans(span.start_ms, span.end_ms, "1h", UTC))) == hours


def test_a_day_whose_midnight_does_not_exist() -> None:
    """Cairo goes from 00:00 to 01:00."""
    zone = ZoneInfo("Africa/Cairo")
    span = span_at(ms("2026-04-24T12:00:00+00:00"), "1d", zone)
    assert span.hours == 23.0
    assert datetime.fromtimestamp(span.start_ms / 1000, zone).hour == 1


def test_a_day_that_never_was() -> None:
    """Samoa went from 29 to 31 December 2011."""
    zone = ZoneInfo("Pacific/Apia")
    start, end = ms("2011-12-29T10:00:00+00:00"), ms("2011-12-31T10:00:00+00:00")
    assert [span.label for span in spans(start, end, "1d", zone)] == ["2011-12-29", "2011-12-31"]


def test_days_of_zones_off_the_hour_cut_hours() -> None:
    """A day in Nepal begins at 18:15 UTC."""
    zone = ZoneInfo("Asia/Kathmandu")
    day = span_at(ms("2026-05-02T00:00:00+00:00"), "1d", zone)
    assert day == Span(
        ms("2026-05-01T18:15:00+00:00"), ms("2026-05-02T18:15:00+00:00"), "2026-05-02"
    )
    hours = list(spans(day.start_ms, day.end_ms, "1h", zone))
    assert [hours[0].hours, hours[1].hours, hours[-1].hours] == [0.75, 1.0, 0.25]
    assert len(list(spans(day.start_ms, day.end_ms, 15, zone))) == 96


def test_a_report_may_begin_within_a_month() -> None:
    start, end = ms("2026-01-10T00:00:00+01:00"), ms("2026-03-02T00:00:00+00:00")
    found = list(spans(start, end, "1mo", MOROCCO))
    assert [span.label for span in found] == ["2026-01", "2026-02", "2026-03"]
    assert (found[0].start_ms, found[-1].end_ms) == (start, end)


@pytest.mark.parametrize("every", [0, -15, 7, 2000])
def test_spans_divide_a_day(every: int) -> None:
    with pytest.raises(ValueError, match="do not divide a day"):
        span_at(0, every, UTC)


@given(
    st.integers(ms("2024-01-01T00:00:00+00:00"), ms("2028-01-01T00:00:00+00:00")),
    st.integers(0, 90 * 86_400_000),
    st.sampled_from(["1d", "1mo", "1h", 10, 15, 30, 120]),
    st.sampled_from(ZONES),
)
def test_spans_cover_everything_once(start: int, length: int, every: Every, zone: ZoneInfo) -> None:
    found = list(spans(start, start + length, every, zone))
    assert sum(span.end_ms - span.start_ms for span in found) == length
    for one, other in pairwise(found):
        assert one.end_ms == other.start_ms
        assert one.label < other.label
    for span in found[1:-1]:
        assert span_at(span.start_ms, every, zone) == span
