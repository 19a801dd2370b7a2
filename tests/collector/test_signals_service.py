# SPDX-License-Identifier: Apache-2.0
"""All signals of a site at once: as they are described, and absent where nothing is known."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from rackwatt.collector.live.chain import ChainState, LiveChains
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures
from rackwatt.collector.live.fleet import GpuReading
from rackwatt.collector.live.pue import LivePue
from rackwatt.collector.roles.sorting import Batch
from rackwatt.collector.signals.metrics import CATALOGUE
from rackwatt.collector.signals.service import Signals
from rackwatt.collector.site.loader import load_site
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import Kind


class Place:
    """The demo site and what looks at it."""

    def __init__(self, folder: Path) -> None:
        self.site = load_site(Path("docs/examples/site-demo.yaml"))
        self.clock = ManualClock()
        self.devices = Devices(self.site)
        self.state = ChainState()
        self.figures = Figures(None, LivePue(None, None, reason="starting"))
        self.signals = Signals(
            self.site, self.devices, self.clock, asyncio.Lock(), folder,
            chains=lambda: self.state, figures=lambda: self.figures,
        )  # fmt: skip

    def say(self, kind: Kind, device: str, **values: float | None) -> None:
        now = self.clock.now_ms()
        reading = ReceivedReading(device, now, dict(values))
        self.devices.observe(kind, reading, now)
        self.signals.observe(Batch(readings=[(kind, reading, now)]))

    def speak(self) -> None:
        """Everything says something; one UPS runs on battery."""
        for rack in self.site.racks:
            for pdu in rack.pdus:
                self.say("power", pdu, power_watts=900.0, current_l1_amperes=4.0)
            self.say("climate", rack.sensors["inlet"], temperature_celsius=24.0, humidity_ratio=0.4)
            now = self.clock.now_ms()
            gpu = GpuReading(f"{rack.nodes[0]}/x", now, power_watts=300.0)
            gpu.memory_temperature_celsius = 70.0
            self.devices.observe_gpus([gpu], now)
        self.say("power", "ups-1", on_battery_ratio=1.0, runtime_seconds=600.0, voltage_volts=396.0)
        self.say("power", "grid-1", frequency_hertz=49.9)
        soc = {"state_of_charge_ratio": 0.5, "capacity_watt_hours": 1000.0}
        self.say("power", "battery-1", **soc)
        self.say("coolant", "cdu-a1", supply_temperature_celsius=30.0, flow_liters_per_second=3.0)
        self.state = LiveChains(self.site, self.devices).state(self.clock.now_ms())

    def told(self) -> dict[str, dict[tuple[str, ...], float]]:
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in self.signals.look():
            found[family.name] = _rows(family)
        return found


def _rows(family: Metric) -> dict[tuple[str, ...], float]:
    spec = next(spec for spec in CATALOGUE if spec.name == family.name)
    rows = {tuple(s.labels[name] for name in spec.labels): s.value for s in family.samples}
    assert len(rows) == len(family.samples), f"{family.name}: a series stands twice"
    return rows


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_unknown_is_absent(place: Place) -> None:
    told = place.told()
    assert told == {
        "rackwatt_coolant_devices_number": {
            ("demo", "hall-a", "fresh"): 0.0, ("demo", "hall-a", "silent"): 1.0
        },
        "rackwatt_meters_watched_number": {("demo",): 39.0},
    }  # fmt: skip


def test_all_that_speaks_is_told(place: Place) -> None:
    place.speak()
    told = place.told()
    assert told["rackwatt_ups_on_battery_ratio"] == {("demo", "ups-1"): 1.0}
    assert told["rackwatt_ups_runtime_seconds"] == {("demo", "ups-1"): 600.0}
    assert told["rackwatt_voltage_ratio"] == {("demo", "ups-1", "all"): 0.99}
    assert told["rackwatt_frequency_hertz"] == {("demo", "grid-1"): 49.9}
    assert told["rackwatt_battery_energy_watt_hours"] == {("demo",): 500.0}
    assert told["rackwatt_rack_power_watts"]["demo", "hall-a", "row-1", "r1-01"] == 1800.0
    assert len(told["rackwatt_rack_inlet_temperature_celsius"]) == 16
    assert told["rackwatt_row_humidity_ratio"]["demo", "hall-a", "row-2", "max"] == 0.4
    assert told["rackwatt_coolant_devices_number"]["demo", "hall-a", "fresh"] == 1.0
    assert told["rackwatt_coolant_flow_liters_per_second"] == {("demo", "hall-a", "cdu-a1"): 3.0}
    assert told["rackwatt_gpus_number"]["demo", "hall-a", "r1-01", "reporting"] == 1.0
    assert told["rackwatt_gpu_troubles_number"]["demo", "hall-a", "lost"] == 0.0
    assert set(told["rackwatt_feed_up"].values()) == {1.0}
    assert "rackwatt_gpu_trouble" not in told


def test_a_coolant_unit_is_blind_before_its_values_are_old(place: Place) -> None:
    place.speak()
    place.clock.advance(16.0)
    told = place.told()
    assert told["rackwatt_coolant_devices_number"]["demo", "hall-a", "silent"] == 1.0
    assert "rackwatt_coolant_supply_temperature_celsius" in told


def test_nulls_are_silence(place: Place) -> None:
    place.speak()
    place.clock.advance(1.0)
    place.say("coolant", "cdu-a1", supply_temperature_celsius=None, flow_liters_per_second=None)
    told = place.told()
    assert told["rackwatt_coolant_devices_number"]["demo", "hall-a", "fresh"] == 0.0
