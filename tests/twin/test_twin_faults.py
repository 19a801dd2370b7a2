# SPDX-License-Identifier: Apache-2.0
"""Faults: what they do to displays, when they end, and the control port."""

import asyncio
import json
import stat
from collections.abc import Callable

import pytest

from rackwatt.twin import FaultError, Kit, TwinSpec, active, clear, inject
from rackwatt.twin.control import ControlServer, control_file
from rackwatt.twin.site import SimulatedSite
from rackwatt.twin.spec import FaultSpec

NOON = 1_782_044_460.0
Start = Callable[..., SimulatedSite]
IMPORT = "energy_import_watt_hours"


def test_a_stuck_sensor_shows_the_same_until_it_ends(start_site: Start) -> None:
    site = start_site(NOON)
    site.inject("stuck", "wind-1", duration=3)
    first = dict(site.panel.values("wind-1"))
    for i in range(1, 3):
        site.tick(NOON + i)
        assert site.panel.values("wind-1") == first
    site.tick(NOON + 3)
    assert site.panel.values("wind-1") != first
    assert not site.active()


def test_a_reset_meter_starts_at_zero_and_counts_on(start_site: Start) -> None:
    site = start_site(NOON)
    assert site.panel.values("ups-1")[IMPORT] > 100_000
    site.inject("meter_reset", "ups-1")
    assert site.panel.values("ups-1")[IMPORT] == 0
    site.tick(NOON + 1)
    assert 0 < site.panel.values("ups-1")[IMPORT] < 100


def test_a_biased_meter_is_off_in_power_and_energy(start_site: Start) -> None:
    site = start_site(NOON)
    site.inject("bias", "ups-1", value=1.1)
    before = site.panel.values("ups-1")[IMPORT]
    site.tick(NOON + 10)
    truth = site.world.powers["it"] + site.world.powers["losses"]
    shown = site.panel.values("ups-1")
    assert shown["power_watts"] == pytest.approx(1.1 * truth)
    assert shown[IMPORT] - before == pytest.approx(1.1 * truth * 10 / 3600)
    site.clear("bias")
    site.tick(NOON + 20)
    after = site.panel.values("ups-1")
    truth = site.world.powers["it"] + site.world.powers["losses"]
    assert after[IMPORT] - shown[IMPORT] == pytest.approx(truth * 10 / 3600)


def test_a_lost_gpu_and_its_xid(start_site: Start) -> None:
    site = start_site(NOON)
    site.inject("gpu_lost", "r1-01-n1/2", duration=2)
    site.inject("xid", "r1-01-n1/2", value=79)
    assert [fault.name for fault in site.active()] == ["gpu_lost"]
    site.tick(NOON + 2)
    assert not site.active()


def test_a_reset_gpu_counts_from_zero(start_site: Start) -> None:
    site = start_site(NOON)
    target = f"r1-01-n1/{site.layout.gpus[1].uuid}"
    site.inject("gpu_reset", target)
    assert site.world.floor.gpu_energy[1] + site.gpus.offsets[1] == 0


@pytest.mark.parametrize(
    ("name", "value", "field", "shown"),
    [
        ("leak", None, "leak_ratio", 1.0),
        ("flow", None, "facility_flow_liters_per_second", 0.0),
        ("level", 0.3, "level_ratio", 0.3),
        ("pump", None, "pumps_running_number", 1.0),
        ("pump", 2, "flow_liters_per_second", 0.0),
    ],
)
def test_what_befalls_a_coolant_unit_shows_until_it_is_mended(
    start_site: Start, name: str, value: float | None, field: str, shown: float
) -> None:
    site = start_site(NOON)
    cdu = next(device.id for device in site.devices.values() if device.kind == "coolant")
    before = dict(site.panel.values(cdu))
    site.inject(name, cdu, value=value)
    assert site.panel.values(cdu)[field] == shown != before[field]
    site.clear()
    assert site.panel.values(cdu) == before


def test_a_warm_supply_and_a_lost_pump_in_numbers(start_site: Start) -> None:
    site = start_site(NOON)
    cdu = next(device.id for device in site.devices.values() if device.kind == "coolant")
    before = dict(site.panel.values(cdu))
    site.inject("warm", cdu, value=4)
    site.inject("pump", cdu)
    after = site.panel.values(cdu)
    supply = "supply_temperature_celsius"
    assert after[supply] == pytest.approx(before[supply] + 4)
    pressure = "differential_pressure_pascals"
    assert 0.3 < after[pressure] / before[pressure] < 0.5


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("leak", "pv-1", "no target 'pv-1' for 'leak'"),
        ("deaf", "pv-1", "did you mean 'dead'"),
        ("dead", "pv1", "did you mean 'pv-1'"),
        ("gpu_lost", "pv-1", "no target"),
        ("rollover", "grid-1", "no known modulus"),
    ],
)
def test_what_cannot_be_broken_is_refused(
    start_site: Start, name: str, target: str, message: str
) -> None:
    with pytest.raises(FaultError, match=message):
        start_site(NOON).inject(name, target)


def test_a_duration_must_be_positive(start_site: Start) -> None:
    with pytest.raises(FaultError, match="above 0"):
        start_site(NOON).inject("dead", "pv-1", duration=0)


def test_faults_by_schedule(demo: TwinSpec, start_site: Start) -> None:
    planned = FaultSpec(at=5, name="dead", target="pv-1", duration=3)
    site = start_site(NOON, demo.model_copy(update={"faults": (planned,)}))
    seen = []
    for i in range(1, 11):
        site.tick(NOON + i)
        seen.append(bool(site.active()))
    assert seen == [False] * 4 + [True] * 3 + [False] * 3


def test_a_schedule_with_an_unknown_target_is_refused(demo: TwinSpec, start_site: Start) -> None:
    planned = FaultSpec(at=5, name="dead", target="pv-9")
    with pytest.raises(FaultError, match="pv-9"):
        start_site(NOON, demo.model_copy(update={"faults": (planned,)}))


async def test_the_control_port(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    server = ControlServer(site, kit.data_dir, kit.control_port)
    await server.start()
    try:
        file = control_file(kit.data_dir)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await asyncio.to_thread(inject, kit.data_dir, "silent", "r1-01-pdu-a", 30)
        shown = await asyncio.to_thread(active, kit.data_dir)
        assert shown == [
            {"name": "dead", "target": "r1-01-pdu-a", "until": NOON + 30, "value": None}
        ]
        with pytest.raises(FaultError, match="no target"):
            await asyncio.to_thread(inject, kit.data_dir, "dead", "nobody")
        assert await asyncio.to_thread(clear, kit.data_dir) == 1
        assert not site.active()
        for line in (b"nonsense\n", b'{"token": "x", "do": "list"}\n', b"[1]\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", kit.control_port)
            writer.write(line)
            assert json.loads(await reader.readline())["ok"] is False
            writer.close()
            await writer.wait_closed()
    finally:
        await server.aclose()
    assert not file.exists()
    with pytest.raises(OSError, match="No such file"):
        inject(kit.data_dir, "dead", "pv-1")
