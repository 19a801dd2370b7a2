# SPDX-License-Identifier: Apache-2.0
"""GPUs in trouble are named and counted; a node that is silent as a whole is no lost GPU."""

import pytest
from collecting import small_site
from doubles import START_MS

from rackwatt.collector.live.devices import FRESH_MS, Devices
from rackwatt.collector.live.fleet import GpuReading
from rackwatt.collector.signals.gpus import HOUR_MS, GpuTroubles, Trouble
from rackwatt.collector.signals.metrics import MOST_TROUBLES
from rackwatt.wire.sample import Event

ONE, TWO, OTHER = "r1-n1/GPU-1", "r1-n1/GPU-2", "r2-n1/GPU-1"


class Hall:
    """Three GPUs of two racks."""

    def __init__(self) -> None:
        self.site = small_site()
        self.devices = Devices(self.site)
        self.troubles = GpuTroubles()
        self.now = START_MS
        for gpu in (ONE, TWO, OTHER):
            self.say(gpu)

    def say(self, gpu: str, **values: float | None) -> None:
        item = GpuReading(gpu, self.now, **{"power_watts": 700.0, **values})
        self.devices.observe_gpus([item], self.now)

    def found(self) -> set[tuple[str, str, Trouble]]:
        racks = self.site.racks_at(self.now)
        named, _ = self.troubles.found(self.devices.fleet, racks, self.now)
        return {(rack.id, gpu, trouble) for rack, gpu, trouble in named}

    def counts(self) -> dict[tuple[str, Trouble], int]:
        racks = self.site.racks_at(self.now)
        return dict(self.troubles.found(self.devices.fleet, racks, self.now)[1])


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_a_healthy_fleet_has_no_trouble(hall: Hall) -> None:
    assert hall.found() == set()


def test_one_silent_gpu_of_a_node_is_lost_and_a_silent_node_is_not(hall: Hall) -> None:
    hall.now += FRESH_MS + 1
    hall.say(ONE)
    assert hall.found() == {("r1", TWO, "lost")}
    by_rack = {
        one.rack.id: (one.reporting, one.silent)
        for one in hall.troubles.racks(hall.devices.fleet, hall.site.racks_at(hall.now), hall.now)
    }
    assert by_rack == {"r1": (1, 1), "r2": (0, 1)}


def test_a_gpu_that_answers_null_is_lost_at_once(hall: Hall) -> None:
    hall.now += 1_000
    hall.say(TWO, power_watts=None)
    assert ("r1", TWO, "lost") in hall.found()


def test_a_rise_of_errors_counts_for_an_hour_and_a_high_count_does_not(hall: Hall) -> None:
    hall.say(ONE, ecc_uncorrected_errors_total=7.0, remapped_rows_total=3.0)
    assert hall.found() == set()
    hall.now += 10_000
    hall.say(ONE, ecc_uncorrected_errors_total=8.0, remapped_rows_total=3.0)
    assert hall.found() == {("r1", ONE, "ecc_uncorrected")}
    hall.now += 10_000
    hall.say(ONE, ecc_uncorrected_errors_total=0.0, remapped_rows_total=4.0)
    assert hall.found() == {("r1", ONE, "ecc_uncorrected"), ("r1", ONE, "row_remap")}
    hall.now += HOUR_MS
    for gpu in (ONE, TWO, OTHER):
        hall.say(gpu)
    assert hall.found() == {("r1", ONE, "row_remap")}


def test_slowdowns_are_of_now(hall: Hall) -> None:
    hall.say(ONE, clock_event_reasons_bitmask=float(0x40 | 0x4))
    hall.say(OTHER, clock_event_reasons_bitmask=float(0x80))
    assert hall.found() == {("r1", ONE, "thermal_slowdown"), ("r2", OTHER, "power_brake")}
    assert hall.counts() == {("hall-a", "thermal_slowdown"): 1, ("hall-a", "power_brake"): 1}
    hall.now += 1_000
    hall.say(ONE, clock_event_reasons_bitmask=float(0x4))
    assert hall.found() == {("r2", OTHER, "power_brake")}


def test_a_critical_xid_is_fatal_and_another_is_not(hall: Hall) -> None:
    hall.troubles.event(ONE, Event(code="xid_79", severity="critical", text=""), hall.now)
    hall.troubles.event(TWO, Event(code="xid_31", severity="warning", text=""), hall.now)
    hall.troubles.event("r9-n9/none", Event(code="xid_79", severity="critical", text=""), hall.now)
    assert hall.found() == {("r1", ONE, "xid_fatal")}


def test_the_hottest_memory_of_a_rack_is_told(hall: Hall) -> None:
    hall.say(ONE, memory_temperature_celsius=80.0)
    hall.say(TWO, memory_temperature_celsius=96.0)
    racks = hall.site.racks_at(hall.now)
    found = {
        one.rack.id: one.memory_celsius
        for one in hall.troubles.racks(hall.devices.fleet, racks, hall.now)
    }
    assert found == {"r1": 96.0, "r2": None}


def test_so_many_are_named_and_all_are_counted(hall: Hall) -> None:
    for number in range(MOST_TROUBLES + 50):
        hall.say(f"r2-n1/x{number}", clock_event_reasons_bitmask=float(0x80))
    assert len(hall.found()) == MOST_TROUBLES
    assert hall.counts() == {("hall-a", "power_brake"): MOST_TROUBLES + 50}
