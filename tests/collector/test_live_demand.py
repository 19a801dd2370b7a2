# SPDX-License-Identifier: Apache-2.0
"""The demand that the utility's running window is heading for."""

import pytest
from collector.campus import FACTORS, PARAMETERS, Site
from collector.terms import Terms, terms
from doubles import START_MS

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.live.demand import Demand
from rackwatt.collector.live.figures import Figures, LiveFigures
from rackwatt.collector.live.frame import LedgerView
from rackwatt.collector.live.metrics import families
from rackwatt.collector.site.topology import Settlement
from rackwatt.wire.inventory import Register

MINUTE = 60_000
TEN = 10 * MINUTE
BEGIN = START_MS // (3 * TEN) * 3 * TEN + 3 * TEN
LIMIT = Settlement(600.0, 100e6)
GRID = terms(grid=["g"], it=["i"])


def live(
    settlement: Settlement | None = LIMIT, of: Terms = GRID, now_ms: int = BEGIN
) -> LiveFigures:
    site = Site(of, settlement=settlement)
    return LiveFigures(site, FACTORS, PARAMETERS, BatteryState(), now_ms=now_ms)


def watch(
    figures: LiveFigures, watts: float, first: int, last: int, step: int = 10, device: str = "g"
) -> Figures:
    """Readings each few seconds, both ends included, after the window's begin."""
    for second in range(first, last + 1, step):
        time_ms = BEGIN + second * 1000
        figures.observe(device, time_ms, {"power_watts": watts})
        figures.observe("i", time_ms, {"power_watts": watts})
    return figures.figures(BEGIN + last * 1000)


def demand(found: Figures) -> Demand:
    assert found.demand is not None
    return found.demand


def test_the_reserve_of_the_window_is_told_at_minute_six() -> None:
    """Limit 100 MW; 6 min at 90 MW, then 120 MW: the window ends with 102 MW."""
    figures = live()
    before = demand(watch(figures, 90e6, -20, 360))
    assert before.projected_watts == pytest.approx(90e6)
    assert before.watt_hours == pytest.approx(9e6)
    now = demand(watch(figures, 120e6, 370, 370))
    assert now.projected_watts == pytest.approx(102e6)
    assert now.subscribed_watts == 100e6
    assert (now.start_ms, now.end_ms) == (BEGIN, BEGIN + TEN)
    later = demand(watch(figures, 120e6, 380, 590))
    assert later.projected_watts == pytest.approx(102e6)
    assert later.power_watts == 120e6


def test_a_new_window_begins_with_nothing() -> None:
    figures = live()
    now = demand(watch(figures, 120e6, 0, 600))
    assert (now.start_ms, now.watt_hours) == (BEGIN + TEN, 0.0)
    assert now.projected_watts == pytest.approx(120e6)
    now = demand(watch(figures, 60e6, 610, 900))
    assert now.watt_hours == pytest.approx(60e6 * 300 / 3600)
    assert now.projected_watts == pytest.approx(60e6)


def test_half_an_hour_is_kept_for_half_an_hours_window() -> None:
    figures = live(Settlement(1800.0, None))
    now = demand(watch(figures, 6e6, -60, 1790))
    assert now.watt_hours == pytest.approx(6e6 * 1790 / 3600)
    assert now.subscribed_watts is None


def test_a_register_counts_before_the_power() -> None:
    """The meter's own count is what the utility bills: 3 % more than its samples say."""
    figures = live()
    figures.registers("g", {"energy_import_watt_hours": Register(resolution_watt_hours=1.0)})
    for second in range(-20, 301, 10):
        count = 1e9 + 1.03 * 90e6 * second / 3600
        values = {"power_watts": 90e6, "energy_import_watt_hours": count}
        figures.observe("g", BEGIN + second * 1000, values)
    now = demand(figures.figures(BEGIN + 300_000))
    assert now.watt_hours == pytest.approx(1.03 * 90e6 / 12)
    assert now.projected_watts == pytest.approx(1.015 * 90e6)


def test_a_meter_of_each_minute_is_held_until_it_speaks_again() -> None:
    figures = live()
    watch(figures, 90e6, -120, 360, 60)
    now = demand(figures.figures(BEGIN + 400_000))
    assert now.projected_watts == pytest.approx(90e6)
    figures = live()
    watch(figures, 90e6, -120, 0, 60)
    for second in range(0, 31, 10):
        figures.observe("i", BEGIN + second * 1000, {"power_watts": 1.0})
    found = demand(figures.figures(BEGIN + 30_000))
    assert found.watt_hours == pytest.approx(90e6 * 30 / 3600), "it has not spoken in the window"


def test_what_was_not_seen_from_the_begin_on_is_unknown() -> None:
    figures = live()
    now = demand(watch(figures, 90e6, 100, 300))
    assert now.power_watts == 90e6
    assert now.watt_hours is None
    assert now.projected_watts is None
    after = demand(watch(figures, 90e6, 310, 700))
    assert after.projected_watts == pytest.approx(90e6)


def test_a_hole_in_the_window_is_unknown_and_a_register_bridges_it() -> None:
    figures = live()
    watch(figures, 90e6, -60, 100)
    assert demand(watch(figures, 90e6, 300, 400)).projected_watts is None
    figures = live()
    figures.registers("g", {"energy_import_watt_hours": Register(resolution_watt_hours=1.0)})
    for second in (*range(-60, 101, 10), *range(300, 401, 10)):
        count = 1e9 + 90e6 * second / 3600
        values = {"power_watts": 90e6, "energy_import_watt_hours": count}
        figures.observe("g", BEGIN + second * 1000, values)
    now = demand(figures.figures(BEGIN + 400_000))
    assert now.projected_watts == pytest.approx(90e6)


def test_a_silent_meter_leaves_it_unknown() -> None:
    figures = live()
    watch(figures, 90e6, -60, 100)
    for second in range(110, 301, 10):
        figures.observe("i", BEGIN + second * 1000, {"power_watts": 1.0})
    now = demand(figures.figures(BEGIN + 300_000))
    assert now.power_watts is None
    assert now.projected_watts is None
    never = live(of=terms(grid=["g", "g2"], it=["i"]))
    assert demand(watch(never, 90e6, -60, 100)).projected_watts is None


def test_several_connections_are_one_demand() -> None:
    figures = live(of=terms(grid=["g", "g2", "-v"], it=["i"]))
    watch(figures, 60e6, -60, 300)
    watch(figures, 10e6, -60, 300, device="v")
    now = demand(watch(figures, 40e6, -60, 300, device="g2"))
    assert now.projected_watts == pytest.approx(90e6)


def test_a_site_without_a_grid_imports_nothing() -> None:
    now = demand(watch(live(of=terms(pv=["g"], it=["i"])), 60e6, 0, 60))
    assert now.projected_watts == 0.0


def series(settlement: Settlement | None, first: int) -> dict[str, float]:
    found = watch(live(settlement), 90e6, first, 60)
    return {
        sample.name.removeprefix("rackwatt_settlement_"): sample.value
        for metric in families("s", found, LedgerView(), first)
        for sample in metric.samples
        if "settlement" in sample.name
    }


def test_the_window_as_metrics() -> None:
    known = {"projected_watts": 90e6, "subscribed_watts": 100e6, "window_seconds": 600.0}
    assert series(LIMIT, -60) == pytest.approx(known)
    assert series(Settlement(900.0, None), 10) == {"window_seconds": 900.0}
    assert series(None, 0) == {}
