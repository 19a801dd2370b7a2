# SPDX-License-Identifier: Apache-2.0
"""Stuck meters and registers that went back; voltage, batteries; wet bulb and expected PUE."""

from pathlib import Path

import pytest
from collecting import reading, small_site
from doubles import START_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.accounting.thermal import wet_bulb_celsius
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.signals.meters import Watched
from rackwatt.collector.signals.supply import Supply, nominal_ratio
from rackwatt.collector.signals.weather import ENOUGH_SECONDS, Expectation
from rackwatt.wire.inventory import InventoryItem, Register

ENERGY = "energy_import_watt_hours"


def run(watched: Watched, seconds: int, **values: float | None) -> int:
    """A reading each second; the time of the last."""
    for second in range(seconds + 1):
        watched.observe(reading("grid-1", START_MS + second * 1000, **values))
    return START_MS + seconds * 1000


def test_the_same_numbers_under_load_are_told_from_a_minute_on() -> None:
    watched = Watched(small_site())
    now = run(watched, 59, power_watts=5.0)
    assert watched.unchanged(now) == {}
    now = run(watched, 90, power_watts=5.0)
    assert watched.unchanged(now) == {"grid-1": 90.0}
    watched.observe(reading("grid-1", now + 1000, power_watts=5.1))
    assert watched.unchanged(now + 1000) == {}


def test_a_moving_register_no_load_silence_and_a_replay_are_not_stuck() -> None:
    site = small_site()
    watched = Watched(site)
    for second in range(200):
        values = {"power_watts": 5.0, ENERGY: float(second)}
        watched.observe(reading("grid-1", START_MS + second * 1000, **values))
    now = START_MS + 199_000
    watched.observe(reading("grid-1", START_MS, power_watts=9.0))
    assert watched.unchanged(now) == {}
    idle = Watched(site)
    assert idle.unchanged(run(idle, 200, power_watts=0.0)) == {}
    gone = Watched(site)
    run(gone, 200, power_watts=5.0)
    assert gone.unchanged(START_MS + 300_000) == {}
    gone.observe(reading("grid-1", START_MS + 300_000, power_watts=5.0))
    assert gone.unchanged(START_MS + 300_000) == {}


@settings(deadline=None)
@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_register_that_goes_back_is_a_reset_unless_it_rolls_over(a: float, b: float) -> None:
    watched = Watched(small_site())
    register = Register(modulus_watt_hours=1e6)
    watched.inventories([InventoryItem(device="grid-1", registers={ENERGY: register})])
    watched.observe(reading("grid-1", START_MS, **{ENERGY: a}))
    watched.observe(reading("grid-1", START_MS + 1000, **{ENERGY: b}))
    rolled = a > 0.9e6 and b < 0.1e6
    assert ("grid-1" in watched.resets) == (b < a and not rolled)


@pytest.mark.parametrize(
    ("volts", "stated", "ratio"),
    [
        (230.0, None, 1.0), (400.0, None, 1.0), (207.0, None, 0.9), (22_000.0, None, None),
        (0.0, None, None), (21_000.0, 22_000.0, 21 / 22), (12_702.0, 22_000.0, 1.0),
        (0.0, 400.0, 0.0),
    ],
)  # fmt: skip
def test_a_voltage_over_its_nominal(
    volts: float, stated: float | None, ratio: float | None
) -> None:
    found = nominal_ratio(volts, stated)
    assert (found is None) == (ratio is None)
    if ratio is not None:
        assert found == pytest.approx(ratio, abs=1e-4)


def test_a_battery_lasts_by_what_it_holds_and_the_load_of_now() -> None:
    site = small_site()
    devices = Devices(site)
    supply = Supply(site, devices)
    assert supply.battery_seconds(START_MS, 500.0) is None
    charge = reading("battery-1", state_of_charge_ratio=0.5)
    devices.observe("power", charge, START_MS)
    assert supply.battery_watt_hours(START_MS) == 500.0
    assert site.battery is not None
    eta = site.battery.discharge_efficiency
    assert supply.battery_seconds(START_MS, 500.0) == pytest.approx(3600.0 * eta)
    assert supply.battery_seconds(START_MS, None) is None
    devices.observe(
        "power", reading("battery-1", START_MS + 1, state_of_charge_ratio=None), START_MS + 1
    )
    assert supply.battery_watt_hours(START_MS + 1) is None


def test_the_wet_bulb_of_the_source_s_example() -> None:
    assert wet_bulb_celsius(20.0, 0.5) == pytest.approx(13.7, abs=0.05)
    assert wet_bulb_celsius(20.0, 0.02) is None


class Seconds:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def learn(expectation: Expectation, seconds: Seconds, hours: float, pue: float, it: float) -> None:
    end = seconds.now + hours * 3600
    while seconds.now < end:
        seconds.now += 30.0
        expectation.learn(pue, it, 12.0)


def test_the_expected_pue_is_that_of_the_same_load_and_weather(tmp_path: Path) -> None:
    seconds = Seconds()
    expectation = Expectation(tmp_path / "pue.json", seconds)
    learn(expectation, seconds, ENOUGH_SECONDS / 3600 / 2, 1.2, 1e6)
    assert expectation.expected(1e6, 12.0) is None
    learn(expectation, seconds, ENOUGH_SECONDS / 3600, 1.2, 1e6)
    learn(expectation, seconds, 12, 1.4, 4e5)
    assert expectation.expected(1e6, 12.0) == pytest.approx(1.2)
    assert expectation.expected(4e5, 12.0) == pytest.approx(1.4)
    assert expectation.expected(1e6, 25.0) is None
    # One bad day moves it little.
    learn(expectation, seconds, 24 * 14, 1.2, 1e6)
    learn(expectation, seconds, 24, 1.5, 1e6)
    expected = expectation.expected(1e6, 12.0)
    assert expected is not None
    assert 1.2 < expected < 1.24
    expectation.save()
    again = Expectation(tmp_path / "pue.json", seconds)
    assert again.expected(1e6, 12.0) == expected


def test_a_damaged_file_is_learned_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pue.json"
    path.write_text("[1,", encoding="utf-8")
    assert Expectation(path, Seconds()).expected(1e6, None) is None
    assert "learned anew" in caplog.text
