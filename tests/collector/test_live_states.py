# SPDX-License-Identifier: Apache-2.0
"""Racks and halls at an instant, and their rows in the store."""

import asyncio
from collections.abc import Sequence
from math import fsum

import numpy as np
import pytest
from collecting import reading, small_site
from doubles import START_MS
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.copies.state_rows import state_rows
from rackwatt.collector.live.devices import FRESH_MS, Devices
from rackwatt.collector.live.fleet_racks import RackGpus, racks_of
from rackwatt.collector.live.states import hall_states
from rackwatt.collector.roles.state_history import StateHistory
from rackwatt.collector.store.base import Row
from rackwatt.wire.clock import ManualClock

FIELDS = (
    "power_watts", "temperature_celsius", "utilization_ratio", "memory_temperature_celsius",
    "clock_event_reasons_bitmask", "ecc_uncorrected_errors_total",
)  # fmt: skip
VALUE = st.one_of(st.just(float("nan")), st.floats(0, 1000))


def see(devices: Devices, rack: str, gpu: int, **values: float | None) -> None:
    item = reading(f"{rack}-n1/GPU-{gpu}", START_MS, **values)
    devices.observe("gpu", item, START_MS)


@pytest.fixture
def devices() -> Devices:
    made = Devices(small_site())
    see(made, "r1", 0, power_watts=700.0, utilization_ratio=0.9, temperature_celsius=60.0,
        clock_event_reasons_bitmask=64.0, memory_temperature_celsius=80.0)  # fmt: skip
    see(made, "r1", 1, power_watts=100.0, utilization_ratio=0.01, temperature_celsius=35.0,
        clock_event_reasons_bitmask=132.0, ecc_uncorrected_errors_total=2.0)  # fmt: skip
    see(made, "r1", 2, power_watts=None)
    see(made, "r9", 0, power_watts=500.0, utilization_ratio=0.5)
    for device, celsius in (("r1-in", 28.0), ("r1-out", 40.0), ("r2-in", 24.0)):
        item = reading(device, START_MS, temperature_celsius=celsius)
        made.observe("climate", item, START_MS)
    made.observe("power", reading("r1-pdu", START_MS, power_watts=900.0), START_MS)
    return made


def test_a_rack_says_what_its_gpus_say(devices: Devices) -> None:
    racks = {one.rack.id: one for one in devices.rack_states(START_MS)}
    first = racks["r1"]
    assert (first.power_watts, first.inlet_celsius, first.outlet_celsius) == (900.0, 28.0, 40.0)
    assert first.gpus == RackGpus(
        known=3, reporting=2, power_watts=800.0, power_min_watts=100.0, power_max_watts=700.0,
        utilization=0.455, idle=1, idle_watts=100.0, temperature_max_celsius=60.0,
        memory_temperature_max_celsius=80.0, throttled=1, braked=1, ecc_uncorrected=2.0,
    )  # fmt: skip
    assert racks["r2"].gpus.known == 0
    assert racks["r2"].gpus.power_watts is None
    assert racks["r2"].power_watts is None


def test_what_is_stale_is_unknown_and_not_zero(devices: Devices) -> None:
    stale = START_MS + FRESH_MS + 1
    racks = devices.rack_states(stale)
    assert all(one.power_watts is None and one.inlet_celsius is None for one in racks)
    first = racks[0].gpus
    assert (first.known, first.reporting) == (3, 0)
    assert first[2:] == (None,) * (len(first) - 2)


def test_halls_fold_their_racks(devices: Devices) -> None:
    hall, other = hall_states(devices.rack_states(START_MS))
    assert (hall.hall, hall.racks, hall.inlets) == ("hall-a", 2, (28.0, 24.0))
    assert (hall.above_recommended, hall.above_allowable, hall.below_recommended) == (1, 0, 0)
    assert hall.cooling is not None
    assert hall.cooling.high == pytest.approx(1 - 1 / 10)  # 1 K of 2 x 5 K
    assert other.cooling is None
    assert (other.gpus.power_watts, other.gpus.utilization) == (500.0, 0.5)


@given(st.lists(st.tuples(st.integers(0, 3), *[VALUE] * 6), max_size=40))
def test_racks_add_up_to_their_hall(gpus: list[tuple[float, ...]]) -> None:
    """Of every sum and count: what a rack is said to have, some GPU of it said."""
    where = np.array([int(row[0]) for row in gpus], np.int64)
    columns = {
        name: np.array([row[number + 1] for row in gpus], float)
        for number, name in enumerate(FIELDS)
    }
    racks = racks_of(columns, where, 3)
    inside = where < 3
    power = columns["power_watts"][inside]
    assert sum(one.known for one in racks) == inside.sum()
    assert sum(one.reporting for one in racks) == (~np.isnan(power)).sum()
    drawn = fsum(one.power_watts or 0.0 for one in racks)
    assert drawn == pytest.approx(float(np.nansum(power)), abs=1e-6)
    for one in racks:
        assert (one.power_watts is None) == (one.reporting == 0)
        if one.power_min_watts is not None and one.power_max_watts is not None:
            assert one.power_min_watts <= one.power_max_watts
        for part in (one.idle, one.throttled, one.braked):
            assert part is None or 0 <= part <= one.known


def test_rows_hold_what_is_known(devices: Devices) -> None:
    racks = devices.rack_states(START_MS)
    rows = state_rows("demo", racks, hall_states(racks), START_MS)
    by = {
        (row.measurement, dict(row.tags).get("rack", dict(row.tags)["hall"])): row for row in rows
    }
    first = by["rack_state", "r1"]
    assert first.tags == (("hall", "hall-a"), ("rack", "r1"), ("row", "row-1"), ("site", "demo"))
    assert first.fields["gpus_throttled_number"] == 1.0
    assert dict(by["rack_state", "r2"].fields) == {"inlet_temperature_celsius": 24.0}
    assert by["hall_state", "hall-a"].fields["inlet_temperature_max_celsius"] == 28.0
    assert "inlet_temperature_celsius" not in by["hall_state", "hall-b"].fields


async def test_a_look_is_handed_over_and_kept_at_hand(devices: Devices) -> None:
    kept: list[Sequence[Row]] = []
    clock = ManualClock(START_MS)
    history = StateHistory(small_site(), devices, kept.append, clock, asyncio.Lock())
    for due_ms in (START_MS, START_MS + 60_000):
        await history._keep(due_ms)
    assert [{row.time_ms for row in rows} for rows in kept] == [{START_MS}, {START_MS + 60_000}]
    assert [one.hall for one in history.halls] == ["hall-a", "hall-b"]
    stale = kept[1][0]
    assert set(stale.fields) == {"gpus_number", "gpus_reporting_number"}
