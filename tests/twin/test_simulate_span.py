# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from rackwatt.twin.simulate import SimulationProblem
from rackwatt.twin.simulate.span import HOUR_MS, span_of

CASABLANCA = ZoneInfo("Africa/Casablanca")


@pytest.mark.parametrize(
    ("start", "days", "hours"),
    [
        ("2026-10-01", 31, 744),
        ("2026-02-15", 1, 25),  # Ramadan begins: clocks go back an hour
        ("2026-03-22", 1, 23),  # and forth again
        ("2026-02-01", 28, 673),
        ("2026-03-01", 31, 743),
    ],
)
def test_local_days_have_as_many_hours_as_they_have(start: str, days: int, hours: int) -> None:
    span = span_of(start, days, CASABLANCA)
    assert span.end_ms - span.start_ms == hours * HOUR_MS
    assert span.minutes == hours * 60


def test_a_day_without_a_midnight_begins_an_hour_later() -> None:
    # In Beirut clocks go forward at midnight of the last Sunday of March.
    span = span_of("2026-03-29", 1, ZoneInfo("Asia/Beirut"))
    assert span.end_ms - span.start_ms == 23 * HOUR_MS


def test_the_span_is_cut_at_utc_hours() -> None:
    pieces = span_of("2026-10-01", 1, ZoneInfo("Asia/Kolkata")).hours()
    assert len(pieces) == 25  # midnight there is half past an hour of UTC
    assert [end - start for start, end in (pieces[0], pieces[-1])] == [HOUR_MS // 2] * 2
    assert all(one[1] == other[0] for one, other in pairwise(pieces))
    assert all(end % HOUR_MS == 0 for _, end in pieces[:-1])


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-10-01T00:00", "2026-10-01T00:00:00+01:00", "2026-02-30", "26-10-01"]
)
def test_anything_but_a_date_is_refused(text: str) -> None:
    with pytest.raises(SimulationProblem, match=r"--from.*a date like 2026-10-01.*Casablanca"):
        span_of(text, 1, CASABLANCA)


@pytest.mark.parametrize(
    ("start", "days"), [("2026-10-01", 0), ("2099-12-30", 5), ("1950-01-01", 1)]
)
def test_days_must_be_some_and_known(start: str, days: int) -> None:
    with pytest.raises(SimulationProblem, match="--days"):
        span_of(start, days, CASABLANCA)
