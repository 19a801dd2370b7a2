# SPDX-License-Identifier: Apache-2.0
"""Registers become energies: exact sums, honest shapes, never anything negative."""

from collections.abc import Mapping
from math import floor, fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.metering import Energy, MeterData, energies
from rackwatt.collector.accounting.power import PowerCurve, Reading
from rackwatt.collector.accounting.registers import RegisterSpec, Step, advance, steps

MINUTE = 60_000
HOUR = 60 * MINUTE


def minutes(count: int, start: int = 0) -> list[int]:
    return [start + MINUTE * i for i in range(count + 1)]


def readings(values: Mapping[int, float]) -> list[Reading]:
    """Readings from seconds to values."""
    return [Reading(seconds * 1000, value) for seconds, value in sorted(values.items())]


def watt_hours(found: list[Energy]) -> list[float | None]:
    return [energy.watt_hours for energy in found]


def test_boundaries_between_readings_are_interpolated() -> None:
    registers = readings({-5: 100.0, 5: 110.0, 55: 160.0, 65: 180.0})
    data = MeterData(registers, spec=RegisterSpec(cadence_ms=25_000))
    found, events = energies([0, MINUTE], data)
    assert found == [Energy(5.0 + 50.0 + 10.0)]
    assert events == []


def test_five_kilowatts_on_a_coarse_register() -> None:
    """Raw minutes 0, .1, .1, .1, .1, .1, 0 kWh; the books say 0.0833 within 1 %."""
    seconds = range(-10, 440, 10)
    raw = {s: floor((5000 * s / 3600 + 15.0) / 100) * 100.0 for s in seconds}
    coarse = [raw[60 * i + 60] - raw[60 * i] for i in range(7)]
    assert coarse == [0.0, 100.0, 100.0, 100.0, 100.0, 100.0, 0.0]
    spec = RegisterSpec(resolution_watt_hours=100.0)
    data = MeterData(readings(raw), readings(dict.fromkeys(seconds, 5000.0)), spec)
    found, _ = energies(minutes(7), data)
    for energy in found:
        assert energy.watt_hours == pytest.approx(83.33, rel=0.01)
        assert energy.provisional


def coarse_hour(bias: float = 1.0, holes: tuple[int, ...] = ()) -> MeterData:
    seconds = range(-10, 3620, 10)
    raw = {s: floor((5000 * s / 3600 + 30.0) / 100) * 100.0 for s in seconds}
    power = {s: 5000.0 * bias for s in seconds if not any(60 * h < s <= 60 * h + 60 for h in holes)}
    return MeterData(readings(raw), readings(power), RegisterSpec(resolution_watt_hours=100.0))


def test_a_closed_hour_sums_up_to_its_coarse_register() -> None:
    found, _ = energies(minutes(60), coarse_hour(bias=1.02))
    values = [energy.watt_hours or 0.0 for energy in found]
    assert fsum(values) == pytest.approx(5000.0, rel=1e-12)
    assert values == pytest.approx([5000 / 60] * 60)
    assert not any(e.provisional or e.estimated or e.shape_estimated for e in found)


def test_a_minute_without_power_in_a_coarse_hour_has_an_estimated_shape() -> None:
    data = coarse_hour(holes=(10,))
    found, _ = energies(minutes(60), data)
    assert [i for i, energy in enumerate(found) if energy.shape_estimated] == [10]
    assert fsum(e.watt_hours or 0.0 for e in found) == pytest.approx(5000.0)
    single, _ = energies([10 * MINUTE, 11 * MINUTE], data)
    assert single[0].shape_estimated


def test_a_coarse_hour_without_any_shape_keeps_the_register() -> None:
    data = coarse_hour(bias=0.0)
    found, _ = energies(minutes(60), data)
    assert fsum(e.watt_hours or 0.0 for e in found) == pytest.approx(5000.0)


def test_a_fine_hour_is_left_to_its_register() -> None:
    registers = readings({s: 5000 * s / 3600 for s in range(-10, 3620, 10)})
    powers = readings(dict.fromkeys(range(-10, 3620, 10), 9999.0))
    spec = RegisterSpec(resolution_watt_hours=0.1)
    found, _ = energies(minutes(60), MeterData(registers, powers, spec))
    assert watt_hours(found) == pytest.approx([5000 / 60] * 60)
    partly, _ = energies(minutes(3), MeterData(registers, powers, spec))
    assert not any(energy.provisional for energy in partly[:1])


def test_a_few_minutes_of_a_coarse_register_are_estimated_by_power() -> None:
    """The meter was connected at minute 58: its two minutes say little about their sum."""
    seconds = range(58 * 60, 3620, 10)
    raw = {s: floor(5000 * s / 3600 / 100) * 100.0 for s in seconds}
    data = MeterData(
        readings(raw),
        readings(dict.fromkeys(seconds, 5000.0)),
        RegisterSpec(resolution_watt_hours=100.0),
    )
    found, _ = energies(minutes(60), data)
    assert watt_hours(found)[:58] == [None] * 58
    assert watt_hours(found)[58:] == pytest.approx([5000 / 60] * 2)
    assert found[59].estimated
    assert not found[59].provisional


def test_a_gap_keeps_its_total_and_takes_the_shape_of_power() -> None:
    registers = readings({0: 0.0, 600: 1000.0})
    powers = readings({60 * i: 3000.0 if i <= 5 else 9000.0 for i in range(1, 11)})
    spec = RegisterSpec(cadence_ms=60_000)
    found, _ = energies(minutes(10), MeterData(registers, powers, spec))
    assert watt_hours(found) == pytest.approx([50.0] * 5 + [150.0] * 5)
    assert all(energy.shape_estimated and not energy.estimated for energy in found)


def test_a_gap_takes_the_shape_of_the_parent_then_none() -> None:
    registers = readings({0: 0.0, 600: 1000.0})
    parent = readings({60 * i: 1.0 if i <= 5 else 3.0 for i in range(1, 11)})
    spec = RegisterSpec(cadence_ms=60_000)
    found, _ = energies(minutes(10), MeterData(registers, (), spec, parent=parent))
    assert watt_hours(found) == pytest.approx([50.0] * 5 + [150.0] * 5)
    flat, _ = energies(minutes(10), MeterData(registers, (), spec))
    assert watt_hours(flat) == pytest.approx([100.0] * 10)
    whole, _ = energies([0, 10 * MINUTE], MeterData(registers, (), spec))
    assert whole == [Energy(1000.0)]


def test_small_holes_of_the_shape_take_its_mean() -> None:
    registers = readings({0: 0.0, 600: 1000.0})
    powers = readings({10 * i: 3600.0 for i in range(1, 61) if i not in {20, 21, 22}})
    found, _ = energies(minutes(10), MeterData(registers, powers))
    assert watt_hours(found) == pytest.approx([100.0] * 10)


def test_a_roll_over_fits_the_modulus() -> None:
    spec = RegisterSpec(modulus_watt_hours=1000.0)
    registers = readings({0: 990.0, 10: 999.0, 20: 8.0})
    powers = readings({0: 3300.0, 10: 3300.0, 20: 3300.0})
    found, events = energies([0, 20_000], MeterData(registers, powers, spec))
    assert found == [Energy(18.0)]
    assert [(e.code, e.time_ms, e.before, e.after) for e in events] == [
        ("roll_over", 20_000, 999.0, 8.0)
    ]
    unheard = advance(Reading(0, 999.0), Reading(10_000, 8.0), spec, None)
    assert unheard == (9.0, "roll_over")


@pytest.mark.parametrize("modulus", [None, 1000.0, 100.0])
def test_a_reset_is_an_event_and_power_stands_in(modulus: float | None) -> None:
    registers = readings({0: 500.0, 10: 510.0, 20: 2.0, 30: 12.0})
    powers = readings({0: 3600.0, 10: 3600.0, 20: 3600.0, 30: 3600.0})
    spec = RegisterSpec(modulus_watt_hours=modulus)
    found, events = energies([0, 30_000], MeterData(registers, powers, spec))
    assert found[0].watt_hours == pytest.approx(30.0)
    assert found[0].estimated
    assert [event.code for event in events] == ["reset"]
    blind, _ = energies([0, 30_000], MeterData(registers, (), spec))
    assert blind == [Energy(None)]


def test_a_replaced_meter_is_no_energy() -> None:
    registers = readings({0: 10.0, 10: 20.0, 20: 90_000.0})
    found, events = steps(registers, RegisterSpec(), PowerCurve((), 10_000), swaps=[15_000])
    assert found == [Step(0, 10_000, 10.0), Step(10_000, 20_000, None)]
    assert [event.code for event in events] == ["swap"]


def test_a_jump_beyond_any_power_is_a_replaced_meter() -> None:
    powers = PowerCurve(readings({0: 3600.0, 10: 3600.0, 20: 3600.0}), 10_000)
    found, events = steps(readings({0: 0.0, 10: 10.0, 20: 9000.0}), RegisterSpec(), powers)
    assert [step.watt_hours for step in found] == [10.0, None]
    assert [event.code for event in events] == ["swap"]


@pytest.mark.parametrize("watts", [1.0, 2000.0])
def test_a_gap_keeps_its_total_whatever_power_was_read_at_its_edges(watts: float) -> None:
    """Panels in twilight before and after a day without readings: nothing says how much is much."""
    edges = [*range(-60, 10, 10), *range(39_600, 39_670, 10)]
    registers = readings({s: 1e6 if s < 39_600 else 51e6 for s in edges})
    powers = readings(dict.fromkeys(edges, watts))
    found, events = energies(minutes(660), MeterData(registers, powers))
    assert fsum(energy.watt_hours or 0.0 for energy in found) == pytest.approx(50e6)
    assert all(energy.shape_estimated for energy in found)
    assert events == []


def test_a_roll_over_within_a_gap() -> None:
    spec = RegisterSpec(modulus_watt_hours=1e8)
    registers = readings({0: 99_980_000.0, 10: 99_980_000.0, 39_600: 1_200_000.0})
    powers = readings({0: 20.0, 10: 20.0, 39_600: 20.0})
    found, events = steps(registers, spec, PowerCurve(powers, 10_000))
    assert found[-1].watt_hours == 1_220_000.0
    assert [event.code for event in events] == ["roll_over"]


def test_without_a_register_power_is_an_estimate() -> None:
    powers = readings(dict.fromkeys(range(0, 70, 10), 3600.0))
    found, _ = energies([0, MINUTE, 2 * MINUTE], MeterData(powers=powers))
    assert found == [Energy(60.0, estimated=True), Energy(None)]


def test_power_stands_in_before_and_after_the_register() -> None:
    powers = readings(dict.fromkeys(range(0, 70, 10), 3600.0))
    registers = readings({20: 100.0, 30: 110.0, 40: 120.0})
    found, _ = energies([0, MINUTE], MeterData(registers, powers))
    assert found == [Energy(60.0, estimated=True)]


def test_power_windows_reach_back_two_cadences_at_most() -> None:
    curve = PowerCurve(readings({10: 3600.0, 30: 7200.0, 90: 3600.0}), 10_000)
    assert curve
    assert not PowerCurve((), 10_000)
    assert curve.integral(0, 30_000) == (10.0 + 40.0, 30_000)
    assert curve.integral(30_000, 100_000) == (10.0, 10_000)
    assert curve.energy(30_000, 100_000) is None
    assert curve.energy(0, 31_000) == pytest.approx(50.0 * 31 / 30)
    assert curve.peak(0, 30_000) == 7200.0
    assert curve.peak(31_000, 80_000) is None


@given(
    st.lists(st.tuples(st.integers(1, 100_000), st.floats(0.0, 1e4)), min_size=2, max_size=40),
    st.lists(st.floats(0.0, 1e5), max_size=30),
    st.lists(st.integers(0, 2_000_000), max_size=20, unique=True),
)
def test_parts_always_sum_up_to_the_register(
    pieces: list[tuple[int, float]], watts: list[float], cuts: list[int]
) -> None:
    """Whatever the gaps and shapes: the intervals between two readings hold what it counted."""
    time, value = 0, 0.0
    registers = [Reading(0, 0.0)]
    for gap, energy in pieces:
        time, value = time + gap, value + energy
        registers.append(Reading(time, value))
    powers = [Reading(10_000 * (i + 1), w) for i, w in enumerate(watts)]
    boundaries = sorted({0, time, *(cut for cut in cuts if cut < time)})
    found, events = energies(boundaries, MeterData(registers, powers))
    if not events:  # a step beyond any power is a replaced meter
        assert all(energy.watt_hours is not None for energy in found)
        assert fsum(e.watt_hours or 0.0 for e in found) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert all((energy.watt_hours or 0.0) >= 0.0 for energy in found)
