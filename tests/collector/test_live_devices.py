# SPDX-License-Identifier: Apache-2.0
"""What each device said last: never older, never stale, field by field."""

import pytest
from collecting import reading, small_site
from doubles import START_MS
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.live.devices import FRESH_MS, Devices, largest, mean, total
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import Kind
from rackwatt.wire.sample import Event

GPU = "r1-n1/GPU-1"


@pytest.fixture
def devices() -> Devices:
    return Devices(small_site())


def see(
    devices: Devices, kind: Kind, device: str, time_ms: int = START_MS, **values: float | None
) -> None:
    devices.observe(kind, reading(device, time_ms, **values), time_ms)


def test_a_replayed_older_reading_changes_nothing(devices: Devices) -> None:
    see(devices, "power", "r1-pdu", START_MS, power_watts=2.0)
    late = reading("r1-pdu", START_MS - 1000, power_watts=1.0)
    devices.observe("power", late, START_MS + 500)
    assert devices.value("power", "r1-pdu", "power_watts", START_MS) == 2.0


@given(st.permutations(range(6)))
def test_the_order_of_arrival_does_not_matter(order: list[int]) -> None:
    devices = Devices(small_site())
    for number in order:
        values = {"power_watts": float(number)}
        if number % 3 == 0:
            values["temperature_celsius"] = float(number)
        item = ReceivedReading(GPU, START_MS + number * 1000, dict(values))
        devices.observe("gpu", item, START_MS + 9000)
    assert devices.value("gpu", GPU, "power_watts", START_MS + 9000) == 5.0
    assert devices.value("gpu", GPU, "temperature_celsius", START_MS + 9000) == 3.0


def test_a_value_is_stale_after_30_seconds_and_then_unknown(devices: Devices) -> None:
    see(devices, "power", "r1-pdu", power_watts=5.0)
    assert devices.value("power", "r1-pdu", "power_watts", START_MS + FRESH_MS) == 5.0
    assert devices.value("power", "r1-pdu", "power_watts", START_MS + FRESH_MS + 1) is None
    rack = devices.racks(START_MS + FRESH_MS + 1)[0]
    assert rack["power_watts"] is None


def test_a_field_that_is_only_in_every_third_message_stands_between(devices: Devices) -> None:
    see(devices, "gpu", GPU, START_MS, power_watts=700.0, temperature_celsius=60.0)
    for step in (1, 2):
        see(devices, "gpu", GPU, START_MS + step * 10_000, power_watts=700.0 + step)
        assert devices.gpus(START_MS + step * 10_000)["temperature_max_celsius"] == 60.0
    now = START_MS + 35_000
    see(devices, "gpu", GPU, now, power_watts=710.0)
    assert devices.gpus(now)["temperature_max_celsius"] is None, "stale on its own"
    assert devices.gpus(now)["power_watts"] == 710.0


def test_a_null_that_was_sent_is_unknown_at_once(devices: Devices) -> None:
    see(devices, "climate", "r1-in", START_MS, temperature_celsius=22.0)
    see(devices, "climate", "r1-in", START_MS + 1000, temperature_celsius=None)
    assert devices.racks(START_MS + 1000)[0]["inlet_celsius"] is None


def test_a_clock_that_is_ahead_pins_no_value(devices: Devices) -> None:
    ahead = reading("r1-pdu", START_MS + 86_400_000, power_watts=1.0)
    devices.observe("power", ahead, START_MS)
    assert devices.value("power", "r1-pdu", "power_watts", START_MS + 60_000) is None
    see(devices, "power", "r1-pdu", START_MS + 1000, power_watts=2.0)
    assert devices.value("power", "r1-pdu", "power_watts", START_MS + 1000) == 2.0


def test_a_lost_gpu_is_counted_and_is_not_up(devices: Devices) -> None:
    see(devices, "gpu", GPU, power_watts=700.0, utilization_ratio=0.8, temperature_celsius=70.0)
    see(devices, "gpu", "r1-n1/GPU-2", power_watts=None, utilization_ratio=None)
    see(devices, "gpu", "r2-n1/GPU-3", START_MS - FRESH_MS - 1, power_watts=650.0)
    racks = {rack["id"]: rack for rack in devices.racks(START_MS)}
    assert (racks["r1"]["gpus"], racks["r1"]["gpus_up"]) == (2, 1)
    assert (racks["r2"]["gpus"], racks["r2"]["gpus_up"]) == (1, 0)
    fleet = devices.gpus(START_MS)
    assert (fleet["total"], fleet["reporting"]) == (3, 1)
    assert fleet["power_watts"] == 700.0
    assert fleet["utilization"] == 0.8


def test_without_gpus_the_fleet_has_no_figures(devices: Devices) -> None:
    assert devices.gpus(START_MS) == {
        "total": 0,
        "reporting": 0,
        "power_watts": None,
        "utilization": None,
        "temperature_max_celsius": None,
        "simulated": 0,
    }


def test_machines_beside_the_site_are_no_part_of_the_fleet(devices: Devices) -> None:
    see(devices, "gpu", "this-machine/GPU-9", power_watts=300.0)
    see(devices, "host", "this-machine", cpu_utilization_ratio=0.25)
    assert devices.gpus(START_MS)["total"] == 0
    assert devices.real_gpus(START_MS) == [
        {
            "device": "this-machine/GPU-9",
            "power_watts": 300.0,
            "temperature_celsius": None,
            "utilization": None,
        }
    ]
    (host,) = devices.hosts(START_MS)
    assert host["cpu_ratio"] == 0.25
    assert host["power_watts"] is None
    assert devices.hosts(START_MS + FRESH_MS + 1) == []


def test_coolant_loops_are_shown_while_they_are_fresh(devices: Devices) -> None:
    see(devices, "coolant", "cdu-1", supply_temperature_celsius=30.0)
    (loop,) = devices.coolant(START_MS)
    assert loop["supply_celsius"] == 30.0
    assert loop["heat_watts"] is None


def event(device: str, time_ms: int) -> ReceivedReading:
    return ReceivedReading(device, time_ms, event=Event("xid_79", "critical", "lost"))


def test_the_newest_twenty_events_stay_whatever_comes_late(devices: Devices) -> None:
    for number in range(20):
        devices.observe("event", event(f"d{number}", START_MS + number), START_MS + number)
    devices.observe("event", event("replayed", START_MS - 1), START_MS + 100)
    devices.observe("event", event("newest", START_MS + 50), START_MS + 100)
    shown = devices.events()
    assert len(shown) == 20
    assert shown[0]["device"] == "newest"
    assert "replayed" not in {item["device"] for item in shown}
    times = [item["time"] for item in shown]
    assert times == sorted(times, reverse=True)


def test_sums_of_the_unknown_are_unknown() -> None:
    assert total([]) is None
    assert total([1.0, None]) is None
    assert total([1.0, 0.0]) == 1.0
    assert mean([None]) is None
    assert mean([1.0, None, 3.0]) == 2.0
    assert largest([None, 3.0, 1.0]) == 3.0
    assert largest([]) is None
