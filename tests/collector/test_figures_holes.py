# SPDX-License-Identifier: Apache-2.0
"""Live figures from streams with holes: silent meters, late readings, registers that bridge."""

import pytest
from collector.campus import (
    BEGIN,
    CAMPUS,
    FACTORS,
    PARAMETERS,
    PDUS,
    SMALL,
    Site,
    World,
    at,
    fine,
    live,
    run,
    together,
)

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.wire.inventory import Register


def test_nothing_read_is_nothing_known() -> None:
    now = live().figures(BEGIN)
    assert now.instant_ms is None
    assert now.pue.reason == "starting"
    assert now.source_share is None


def test_a_meter_that_falls_silent() -> None:
    figures, world = live(), World()
    run(figures, world, 60)
    now = run(figures, world, 4, silent=frozenset({"p"}))
    assert now.instant_ms == at(62)
    assert now.missing == ()
    now = run(figures, world, 2, silent=frozenset({"p"}))
    assert now.missing == ("p",)
    assert now.source_share is None
    assert now.sources["pv"] is None
    assert now.sources["unknown"] is None
    assert now.completeness == pytest.approx(1 - 1 / 70, abs=0.003)
    assert now.pue.value is not None
    now = run(figures, world, 20, silent=frozenset({"p"}))
    assert now.pue.value is None
    assert now.pue.reason == "missing:p"


def test_a_slow_meter_is_held_for_two_and_a_half_cadences() -> None:
    figures, world = live(), World()
    run(figures, world, 60)
    now = run(figures, world, 24, silent=frozenset({PDUS[3]}))
    assert now.missing == ()
    now = run(figures, world, 4, silent=frozenset({PDUS[3]}))
    assert now.missing == (PDUS[3],)
    assert now.load_watts is None
    assert now.source_share is not None
    assert now.residual_ratio is None


def test_silence_of_all_ends_in_not_knowing() -> None:
    figures, world = live(), World()
    run(figures, world, 60)
    now = figures.figures(at(100))
    assert now.load_watts is not None
    now = figures.figures(at(60 + 90))
    assert now.load_watts is None
    assert now.pue.value is None
    assert (now.pue.reason or "").startswith("missing:")
    assert now.completeness == 0.0


def test_a_hole_that_registers_bridge_keeps_the_span() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 300)
    run(figures, world, 120, silent=frozenset({"g", "p", "b", "c", "u"}))
    now = run(figures, world, 60)
    assert now.pue.since_ms == at(10)
    assert now.pue.value == pytest.approx(world.truth({}), rel=0.01)


def test_a_hole_that_no_register_bridges_begins_a_new_span() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 300)
    gone = run(figures, world, 60, silent=frozenset(PDUS))
    assert gone.pue.value is None
    begin = dict(world.energy)
    world.window.clear()
    now = run(figures, world, 60)
    assert now.pue.since_ms == at(370)
    assert now.pue.value == pytest.approx(world.truth(begin), rel=0.02)


def test_a_short_silence_of_the_fast_meters_does_not_blink() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 308)
    for silent in (*[{"g", "p", "b"}] * 4, *[set[str]()] * 60):
        now = run(figures, world, 1, silent=frozenset(silent))
        assert now.pue.value is not None


def test_late_and_repeated_readings_change_nothing() -> None:
    straight, late = live(), live()
    world, held = World(), []
    for _ in range(120):
        world.step()
        for device, values in world.readings(together):
            straight.observe(device, at(world.seconds), values)
            if world.seconds % 9 == 4:
                held.append((device, at(world.seconds), values))
            else:
                late.observe(device, at(world.seconds), values)
    for device, time, values in reversed(held + held):
        late.observe(device, time, values)
    one, other = straight.figures(at(121)), late.figures(at(121))
    assert one.pue.value == pytest.approx(other.pue.value, rel=1e-9)
    assert one.source_share == other.source_share


def test_a_reading_from_the_future_is_left_out() -> None:
    figures = LiveFigures(Site(CAMPUS), FACTORS, PARAMETERS, BatteryState(), now_ms=BEGIN)
    figures.observe("g", at(3600), {"power_watts": 1.0})
    assert figures.figures(at(1)).instant_ms is None


def test_a_meter_never_read_is_missing_after_a_while() -> None:
    figures = live(Site(SMALL))
    for s in range(20):
        figures.observe("g", at(s), {"power_watts": 1.0})
    assert figures.figures(at(20)).pue.reason == "starting"
    for s in range(20, 40):
        figures.observe("g", at(s), {"power_watts": 1.0})
    now = figures.figures(at(40))
    assert now.pue.reason == "missing:i"
    assert now.completeness == 0.5


def test_a_register_alone_tells_power_and_pue() -> None:
    figures = live(Site(SMALL))
    figures.observe("g", at(-1), {"voltage_volts": 230.0, "energy_import_watt_hours": None})
    figures.registers("g", {"energy_import_watt_hours": Register(resolution_watt_hours=1.0)})
    for s in range(0, 61, 10):
        figures.observe("g", at(s), {"energy_import_watt_hours": 43_200.0 * s / 3600 // 1})
        figures.observe("i", at(s), {"energy_import_watt_hours": 36_000.0 * s / 3600})
    now = figures.figures(at(61))
    assert now.sinks["it"] == pytest.approx(36_000.0)
    assert now.pue.value is not None
    figures.observe("i", at(70), {"energy_import_watt_hours": 0.0})
    figures.observe("g", at(70), {"energy_import_watt_hours": 840.0})
    assert figures.figures(at(71)).pue.reason == "starting"
    assert figures.figures(at(71)).sinks["it"] is None
    assert figures.figures(at(100)).sinks["it"] is None


def test_a_register_reset_is_no_bridge_and_a_roll_over_is() -> None:
    for modulus, since in ((None, 340), (2000.0, 0)):
        figures = live(Site(SMALL))
        spec = Register(resolution_watt_hours=0.1, modulus_watt_hours=modulus)
        figures.registers("i", {"energy_import_watt_hours": spec})
        for s in (*range(0, 301, 10), *range(340, 400, 10)):
            counted = (1467.0 + 6000.0 * s / 3600) % 2000.0
            watts = {} if 300 < s < 340 else {"power_watts": 6000.0}
            figures.observe("i", at(s), {"energy_import_watt_hours": counted, **watts})
        for s in range(400):
            figures.observe("g", at(s), {"power_watts": 7200.0})
        now = figures.figures(at(400))
        assert now.pue.since_ms == at(since)
        assert now.pue.value == pytest.approx(1.2)
