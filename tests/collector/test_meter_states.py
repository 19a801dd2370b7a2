# SPDX-License-Identifier: Apache-2.0
"""Only what a meter in service says is signed; what another one says is unknown, never 0."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import pytest
from collector.books import BEGIN, HOUR, MINUTE, PLAIN, Site, data, hour_of, ledger
from collector.terms import Terms, terms

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.collector.site import Site as Loaded
from rackwatt.collector.site import site_of
from rackwatt.collector.site.check import summary
from rackwatt.wire.config import ConfigErrors, Document

NOW = 1_790_000_000_000
CHANGE = BEGIN + 30 * MINUTE
TEXT = """\
site: {{id: demo, timezone: Africa/Casablanca, country: MA}}
meters:
  - {{id: grid-1, role: grid}}
  - {{id: "hall-[1-2]"}}
  - {{id: new, {}}}
  - {{id: it, role: it, position: pdu_output, sum: ["hall-[1-2]", new]}}
"""


def site(words: str) -> Loaded:
    return site_of(Document("site.yaml", TEXT.format(words)))


@dataclass(frozen=True)
class Changing(Site):
    """IT's meter goes into service after half an hour."""

    def terms_at(self, time_ms: int) -> Terms:
        found = terms(self.category, **self.roles)
        waiting = frozenset({"i"}) if time_ms < CHANGE else frozenset()
        return replace(found, not_in_service=waiting)

    @property
    def settlement(self) -> None:
        return None

    @property
    def supply(self) -> Mapping[str, Any]:
        return {}


# --- the site file ------------------------------------------------------------------------


def test_a_meter_that_says_nothing_is_in_service() -> None:
    found = site("class: 1")
    assert found.meters_at(NOW)["new"].state == "in_service"
    assert not found.terms_at(NOW).not_in_service


@pytest.mark.parametrize("state", ["installed", "commissioned", "out"])
def test_a_meter_that_is_there_stays_a_term_and_is_named(state: str) -> None:
    found = site(f"state: {state}").terms_at(NOW)
    assert [term.meter_id for term in found.roles["it"]] == ["hall-1", "hall-2", "new"]
    assert found.not_in_service == {"new"}


def test_a_planned_meter_is_no_term_as_nothing_flows_there() -> None:
    found = site("state: planned")
    assert [term.meter_id for term in found.terms_at(NOW).roles["it"]] == ["hall-1", "hall-2"]
    assert found.meters_at(NOW)["new"].state == "planned"


@pytest.mark.parametrize(
    ("state", "before", "after"),
    [("in_service", {"new"}, set()), ("out", set(), {"new"})],
)
def test_a_state_holds_from_its_time_on(state: str, before: set[str], after: set[str]) -> None:
    found = site(f"state: {state}, state_since: 2026-10-01T10:00:00+01:00")
    since = round(datetime.fromisoformat("2026-10-01T10:00:00+01:00").timestamp() * 1000)
    assert found.terms_at(since - 1).not_in_service == before
    assert found.terms_at(since).not_in_service == after


def test_check_says_who_is_not_in_service() -> None:
    line = "not in service, so unknown in signed figures: new"
    assert line in summary(site("state: installed"), NOW)
    assert line not in summary(site("class: 1"), NOW)


def test_calibrations_are_dates() -> None:
    meter = site("calibrated: 2026-01-05, calibration_due: 2028-01-05").meters_at(NOW)["new"]
    assert (meter.calibrated, meter.calibration_due) == (date(2026, 1, 5), date(2028, 1, 5))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("state: bought", "state"),
        ("state: planned, state_since: 2026-10-01T10:00:00Z", "belongs to a state of in_service"),
        ("state_since: 2026-10-01T10:00:00Z", "belongs to a state of in_service"),
        (
            "state: out, state_since: 2026-10-01T10:00:00Z, valid_to: 2026-09-01T10:00:00Z",
            "between valid_from and valid_to",
        ),
        ("calibrated: 2026-01-05, calibration_due: 2025-01-05", "later than calibrated"),
        ("sum: [hall-1], state: out", "members' states"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_line(words: str, error: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        site(words)
    found = next(text for one in raised.value.errors if error in (text := str(one)))
    assert "site.yaml:5:" in found


# --- the books ----------------------------------------------------------------------------


def test_minutes_before_service_are_unknown_and_flagged_and_those_after_are_signed() -> None:
    book = ledger(site=Changing(PLAIN.roles))
    book.apply(hour_of(range(-5, 3900)), 1)
    book.close_intervals(BEGIN + HOUR + 90_000)
    for minute in (0, 10, 29):
        row = data(book, minute)
        assert row["it"] is None
        assert row["completeness"] < 1
        assert "meter_not_in_service" in row["metering"]
    for minute in (30, 59):
        row = data(book, minute)
        assert row["it"] == pytest.approx(20.0)
        assert row["completeness"] == 1
        assert "meter_not_in_service" not in row["metering"]


def test_live_figures_name_it_as_missing() -> None:
    live = LiveFigures(
        Changing(PLAIN.roles), SiteFactors(shipped(), "MA"), BatteryParameters(), BatteryState()
    )
    for found in hour_of(range(1700, 1860)):
        live.observe(found.device, found.time_ms, found.values)
        if found.time_ms == CHANGE - 10_000:
            before = live.figures(found.time_ms)
    assert "i" in before.missing
    assert before.load_watts is None
    after = live.figures(CHANGE + 60_000)
    assert "i" not in after.missing
    assert after.load_watts == pytest.approx(1200.0)
