# SPDX-License-Identifier: Apache-2.0
"""The devices on real sockets: read with bare clients, and by the unmodified agents."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pysnmp.hlapi.v3arch.asyncio as api
import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from rackwatt.agents.settings import load_config
from rackwatt.twin import FaultError, Kit, TwinSpec
from rackwatt.twin.addresses import Credentials
from rackwatt.twin.servers.modbus import ModbusServers
from rackwatt.twin.servers.snmp import SnmpServer
from rackwatt.twin.site import SimulatedSite
from rackwatt.twin.spec import MeterSpec
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample

NOON = 1_782_044_460.0
Start = Callable[..., SimulatedSite]
APC_POWER = "1.3.6.1.4.1.318.1.1.26.4.3.1.5.1"
APC_ENERGY = "1.3.6.1.4.1.318.1.1.26.4.3.1.9.1"
APC_PROBE = "1.3.6.1.4.1.318.1.1.26.10.2.2.1.8.1"


@contextlib.asynccontextmanager
async def serving(site: SimulatedSite, kit: Kit) -> AsyncIterator[tuple[ModbusServers, SnmpServer]]:
    modbus = ModbusServers(kit.gateways, site.devices, site.panel, site.faults)
    snmp = SnmpServer(kit.hosts, site.devices, site.panel, site.faults)
    await modbus.start()
    await snmp.start()
    try:
        yield modbus, snmp
    finally:
        await snmp.aclose()
        await modbus.aclose()


def gateway_of(kit: Kit, device: str) -> tuple[int, int]:
    return next(
        (gateway.port, unit)
        for gateway in kit.gateways
        for unit, name in gateway.units.items()
        if name == device
    )


@contextlib.asynccontextmanager
async def modbus_client(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.3, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


def credentials(version: str) -> Any:
    known = Credentials()
    if version == "v2c":
        return api.CommunityData(known.community, mpModel=1)  # noqa: S508
    if version == "v3 auth":
        return api.UsmUserData(
            known.auth_user, known.auth_key, authProtocol=api.USM_AUTH_HMAC192_SHA256
        )
    return api.UsmUserData(
        known.user,
        known.auth_key,
        known.priv_key,
        authProtocol=api.USM_AUTH_HMAC192_SHA256,
        privProtocol=api.USM_PRIV_CFB128_AES,
    )


async def snmp_get(port: int, *oids: str, version: str = "v2c") -> dict[str, Any]:
    engine = api.SnmpEngine()
    try:
        target = await api.UdpTransportTarget.create(("127.0.0.1", port), timeout=0.5, retries=0)
        wanted = [api.ObjectType(api.ObjectIdentity(oid)) for oid in oids]
        failure, status, _, pairs = await api.get_cmd(
            engine, credentials(version), target, api.ContextData(), *wanted, lookupMib=False
        )
        if failure:
            raise TimeoutError(str(failure))
        assert not int(status)
        return {str(oid): value for oid, value in pairs}
    finally:
        engine.close_dispatcher()
        await asyncio.sleep(0)


async def test_sunspec_registers_hold_the_truth(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    port, unit = gateway_of(kit, "pv-1")
    async with serving(site, kit), modbus_client(port) as client:
        head = (await client.read_holding_registers(40000, count=4, device_id=unit)).registers
        assert head[:2] == [0x5375, 0x6E53]  # "SunS"
        assert head[2:] == [1, 66]
        model = (await client.read_holding_registers(40070, count=52, device_id=unit)).registers
        assert model[:2] == [103, 50]
        exponent = struct.unpack(">h", struct.pack(">H", model[15]))[0]
        assert model[14] * 10.0**exponent == pytest.approx(site.world.powers["pv"], abs=6)
        shown = site.panel.values("pv-1")["energy_import_watt_hours"]
        assert model[24] * 65536 + model[25] == pytest.approx(shown, abs=1)
        following = await client.read_holding_registers(40122, count=2, device_id=unit)
        assert following.registers == [113, 60]  # the same in floating point
        end = await client.read_holding_registers(40184, count=2, device_id=unit)
        assert end.registers == [0xFFFF, 0]
        for i in range(1, 40):
            site.tick(NOON + i)
        model = (await client.read_holding_registers(40070, count=52, device_id=unit)).registers
        gained = model[24] * 65536 + model[25] - shown
        assert gained == pytest.approx(site.world.powers["pv"] * 39 / 3600, rel=0.1)


async def test_only_reading_with_the_right_function_is_allowed(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    port, unit = gateway_of(kit, "grid-1")
    async with serving(site, kit), modbus_client(port) as client:
        good = await client.read_holding_registers(3059, count=2, device_id=unit)
        assert not good.isError()
        assert (await client.read_input_registers(3059, count=2, device_id=unit)).isError()
        written = await client.write_register(3059, 7, device_id=unit)
        assert written.isError()
        assert written.exception_code == 1
        far = await client.read_holding_registers(9000, count=2, device_id=unit)
        assert far.exception_code == 2
        again = await client.read_holding_registers(3059, count=2, device_id=unit)
        assert again.registers == good.registers


async def test_a_dead_meter_is_silent_and_a_sick_one_refuses(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    port, unit = gateway_of(kit, "grid-1")
    _, other = gateway_of(kit, "ups-1")
    async with serving(site, kit):
        site.inject("dead", "grid-1")
        async with modbus_client(port) as client:
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(3059, count=2, device_id=unit)
        async with modbus_client(port) as client:  # its neighbour on the gateway goes on
            assert not (
                await client.read_holding_registers(3059, count=2, device_id=other)
            ).isError()
            site.clear()
            site.inject("exception", "grid-1")
            answer = await client.read_holding_registers(3059, count=2, device_id=unit)
            assert answer.exception_code == 4
            site.clear()
            answer = await client.read_holding_registers(3059, count=2, device_id=unit)
            assert not answer.isError()


async def test_a_register_rolls_over(demo: TwinSpec, start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    port, unit = gateway_of(kit, "pv-1")
    async with serving(site, kit) as (modbus, _), modbus_client(port) as client:

        async def register() -> int:
            answer = await client.read_holding_registers(40094, count=2, device_id=unit)
            return answer.registers[0] * 65536 + answer.registers[1]

        def modulus(device: str, field: str) -> float | None:
            return modbus.units[device].rollover_of(field)

        site.modulus = modulus
        site.inject("rollover", "pv-1", value=5.0)
        assert await register() == 2**32 - 5
        site.tick(NOON + 60)
        gained = site.world.powers["pv"] / 60
        assert await register() == pytest.approx(gained - 5, abs=1)
        with pytest.raises(FaultError, match="no known modulus"):
            site.inject("rollover", "grid-1")  # a signed 64-bit register


async def test_a_meter_may_start_just_below_its_modulus(demo: TwinSpec, start_site: Start) -> None:
    meter = MeterSpec(
        id="pv-1", quantity="pv", map="sunspec-inverter", start_watt_hours=2.0**32 - 3
    )
    site = start_site(NOON, demo.model_copy(update={"meters": (meter,)}))
    shown = site.panel.values("pv-1")["energy_import_watt_hours"]
    assert shown == pytest.approx(2.0**32 - 3, abs=50)


@pytest.mark.parametrize("version", ["v3 auth", "v3 auth and privacy"])
async def test_an_apc_pdu_answers_over_v2c_and_v3(
    start_site: Start, kit: Kit, version: str
) -> None:
    if "privacy" in version:
        pytest.importorskip("cryptography")
    site = start_site(NOON)
    for i in range(1, 4):
        site.tick(NOON + i)
    host = next(host for host in kit.hosts if host.name == "r1-02-pdu-b")
    async with serving(site, kit):
        answers = await snmp_get(host.port, APC_POWER, APC_ENERGY, APC_PROBE, "1.3.6.1.9.9.1")
        shown = site.panel.values("r1-02-pdu-b")
        assert int(answers[APC_POWER]) * 10 == pytest.approx(shown["power_watts"], abs=6)
        energy = shown["energy_import_watt_hours"]
        assert int(answers[APC_ENERGY]) * 100 == pytest.approx(energy, abs=51)
        outlet = site.panel.values("r1-02-outlet")["temperature_celsius"]
        assert int(answers[APC_PROBE]) / 10 == pytest.approx(outlet, abs=0.06)
        assert type(answers["1.3.6.1.9.9.1"]).__name__ == "NoSuchObject"
        secure = await snmp_get(host.port, APC_POWER, version=version)
        assert int(secure[APC_POWER]) == int(answers[APC_POWER])


async def test_a_silent_pdu_leaves_the_others_alone(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    first, second = kit.hosts[:2]
    async with serving(site, kit):
        site.inject("silent", first.name)
        with pytest.raises(TimeoutError):
            await snmp_get(first.port, APC_POWER)
        assert await snmp_get(second.port, APC_POWER)
        site.clear()
        assert await snmp_get(first.port, APC_POWER)


async def test_a_pdu_can_be_walked(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    async with serving(site, kit):
        engine = api.SnmpEngine()
        target = await api.UdpTransportTarget.create(("127.0.0.1", kit.hosts[0].port))
        start = api.ObjectType(api.ObjectIdentity("1.3.6.1.4.1.318"))
        seen = {}
        for walk in (api.walk_cmd, api.bulk_walk_cmd):
            extra = (0, 10) if walk is api.bulk_walk_cmd else ()
            walked = []
            async for failure, _, _, pairs in walk(
                engine,
                credentials("v2c"),
                target,
                api.ContextData(),
                *extra,
                start,
                lookupMib=False,
            ):
                assert not failure
                walked += [str(oid) for oid, _ in pairs]
            seen[walk.__name__] = walked
        engine.close_dispatcher()
        await asyncio.sleep(0)
    assert seen["walk_cmd"] == seen["bulk_walk_cmd"]
    assert APC_POWER in seen["walk_cmd"]
    assert len(seen["walk_cmd"]) == len(set(seen["walk_cmd"]))


async def agents_sample(kit: Kit, name: str) -> dict[str, Sample]:
    file = next(file for file in kit.agent_files if file.stem == name)
    source = load_config(file).create_source()
    await source.start()
    try:
        return {sample.device: sample for sample in await source.sample() if not sample.event}
    finally:
        await source.aclose()


async def test_the_modbus_agent_reads_every_meter(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    async with serving(site, kit):
        meters = await agents_sample(kit, "modbus-site")
        hall = await agents_sample(kit, "modbus-hall-a")
    assert len(meters) == 7
    for device, sample in (meters | hall).items():
        shown = site.panel.values(device)
        assert not sample.quality, device
        for name, value in sample.values.items():
            assert value is not None
            if "energy_" in name or name.startswith(("power_watts", "power_charge")):
                assert value == pytest.approx(shown[name], rel=2e-4, abs=60.0), (device, name)
    grid, load = (
        site.world.powers,
        sum(site.world.powers[name] for name in ("it", "losses", "cooling", "other")),
    )
    read = {name: meters[name].values for name in meters}
    total = read["grid-1"]["power_watts"] - read["grid-1"]["power_export_watts"]  # type: ignore[operator]
    total += read["pv-1"]["power_watts"] + read["wind-1"]["power_watts"]  # type: ignore[operator]
    total -= read["battery-1"]["power_charge_watts"]  # type: ignore[operator]
    assert total + grid["discharge"] == pytest.approx(load, rel=1e-3)


async def test_the_snmp_agent_reads_every_pdu_and_probe(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    for i in range(1, 4):
        site.tick(NOON + i)
    async with serving(site, kit):
        samples = await agents_sample(kit, "snmp-hall-a")
    assert len(samples) == 64
    assert all(not sample.quality for sample in samples.values())
    pdus = [sample for sample in samples.values() if sample.kind == "power"]
    total = sum(sample.values["power_watts"] or 0.0 for sample in pdus)
    assert total == pytest.approx(float(site.world.floor.rack_shown.sum()), rel=2e-3)
    inlet = samples["r2-05-inlet"].values["temperature_celsius"]
    assert inlet == pytest.approx(site.panel.values("r2-05-inlet")["temperature_celsius"], abs=0.06)


async def test_an_agent_sees_a_dead_meter_as_null_with_a_reason(
    start_site: Start, kit: Kit
) -> None:
    site = start_site(NOON)
    site.inject("dead", "cooling-1")
    async with serving(site, kit):
        meters = await agents_sample(kit, "modbus-site")
    assert set(meters["cooling-1"].values.values()) == {None}
    assert set(meters["cooling-1"].quality.values()) == {Quality.TIMEOUT}
    assert not meters["grid-1"].quality


async def test_a_taken_port_is_an_error(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    async with serving(site, kit):
        modbus = ModbusServers(kit.gateways, site.devices, site.panel, site.faults)
        with pytest.raises(OSError, match="taken"):
            await modbus.start()
        snmp = SnmpServer(kit.hosts, site.devices, site.panel, site.faults)
        with pytest.raises(OSError, match="in use"):
            await snmp.start()
        await snmp.aclose()
