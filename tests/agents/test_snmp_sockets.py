# SPDX-License-Identifier: Apache-2.0
"""The SNMP driver on real sockets: pysnmp's own command responder, and devices that misbehave."""

import asyncio
import contextlib
import importlib
import importlib.util
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rackwatt.agents.snmp import Settings, Typed, create, encode, load_oid_map
from rackwatt.agents.snmp import source as source_module
from rackwatt.agents.source import Context, Source
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample

GET, RESPONSE, SET = 0xA0, 0xA2, 0xA3
AUTH, PRIV = "authentic-phrase", "private-phrase"

needs_cryptography = pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None,
    reason="SNMPv3 with AES needs the package cryptography",
)


def module(name: str) -> Any:
    """The module; pysnmp carries no type information: imported by name, it is Any."""
    return importlib.import_module(name)


def value_of(typed: Typed) -> Any:
    types = module("pysnmp.proto.rfc1902")
    kind = {
        "integer": types.Integer32,
        "gauge32": types.Gauge32,
        "unsigned32": types.Unsigned32,
        "counter32": types.Counter32,
        "counter64": types.Counter64,
        "text": types.OctetString,
    }[typed.type]
    return kind(typed.value)


@contextlib.contextmanager
def responder(
    objects: Mapping[str, Typed], port: int, community: str = "public", most: int = 1000
) -> Iterator[None]:
    """A command responder on a UDP port of the loopback; more than `most` objects are tooBig."""
    config = module("pysnmp.entity.config")
    udp = module("pysnmp.carrier.asyncio.dgram.udp")
    cmdrsp = module("pysnmp.entity.rfc3413.cmdrsp")
    context_module = module("pysnmp.entity.rfc3413.context")
    instrum = module("pysnmp.smi.instrum")
    smi_error = module("pysnmp.smi.error")
    rfc1905 = module("pysnmp.proto.rfc1905")
    engine = module("pysnmp.entity.engine").SnmpEngine()

    controller: Any = instrum.AbstractMibInstrumController

    class Objects(controller):  # type: ignore[misc]
        def read_variables(self, *pairs: Any, **context: Any) -> list[Any]:
            if len(pairs) > most:
                raise smi_error.TooBigError(idx=0)
            return [
                (oid, value_of(objects[str(oid)]) if str(oid) in objects else rfc1905.noSuchObject)
                for oid, _ in pairs
            ]

    transport = udp.UdpTransport().open_server_mode(("127.0.0.1", port))
    config.add_transport(engine, udp.DOMAIN_NAME, transport)
    config.add_v1_system(engine, "area", community)
    config.add_v3_user(
        engine,
        "monitor",
        config.USM_AUTH_HMAC192_SHA256,
        AUTH,
        config.USM_PRIV_CFB128_AES,
        PRIV,
    )
    config.add_vacm_user(engine, 2, "area", "noAuthNoPriv", (1, 3, 6), (1, 3, 6))
    config.add_vacm_user(engine, 3, "monitor", "authPriv", (1, 3, 6), (1, 3, 6))
    context = context_module.SnmpContext(engine)
    context.unregister_context_name(b"")
    context.register_context_name(b"", Objects())
    cmdrsp.GetCommandResponder(engine, context)
    try:
        yield
    finally:
        engine.close_dispatcher()


class Relay(asyncio.DatagramProtocol):
    """Stands between one driver's socket and a device, and keeps what the driver sent."""

    def __init__(self, port: int) -> None:
        self._device = ("127.0.0.1", port)
        self._driver: tuple[str, int] | None = None
        self.sent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # not a DatagramTransport by class in Python 3.11

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self._device:
            assert self._driver is not None
            self._transport.sendto(data, self._driver)
        else:
            self._driver = addr
            self.sent.append(data)
            self._transport.sendto(data, self._device)


@contextlib.asynccontextmanager
async def relay(port: int) -> AsyncIterator[tuple[int, Relay]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Relay(port), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1], protocol
    finally:
        transport.close()
        await asyncio.sleep(0)


def pdu_tags(message: bytes) -> set[int]:
    """Tags of the PDUs in a v1/v2c message: SEQUENCE {version, community, PDU}."""
    body = message[2:] if message[1] < 0x80 else message[2 + (message[1] & 0x7F) :]
    version_length = body[1]
    rest = body[2 + version_length :]
    return {rest[2 + rest[1]]}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def source_of(
    rows: list[dict[str, object]],
    clock: ManualClock | None = None,
    config_dir: Path = Path(),
    **options: object,
) -> AsyncIterator[tuple[Source, Context]]:
    settings = Settings.model_validate({"devices": rows, "timeout": 0.3, "retries": 0, **options})
    context = Context(node="test", clock=clock or ManualClock(), config_dir=config_dir)
    source = create(settings, context)
    await source.start()
    try:
        yield source, context
    finally:
        await source.aclose()


def row(device: str, name: str, port: int, **more: object) -> dict[str, object]:
    return {"device": device, "map": name, "host": "127.0.0.1", "port": port, **more}


def by_device(samples: object) -> dict[str, Sample]:
    return {sample.device: sample for sample in samples}  # type: ignore[attr-defined]


PDU = {
    "power_watts": 3420.0,
    "energy_import_watt_hours": 17_098_200.0,
    "apparent_power_volt_amperes": 3510.0,
    "power_factor_ratio": 0.97,
    "current_l1_amperes": 15.3,
    "voltage_l1_volts": 229.0,
}


def apc(**more: float) -> dict[str, Typed]:
    """A single-phase PDU: the second and third row of its phase table do not exist."""
    found = encode(load_oid_map("apc-rpdu2"), {**PDU, **more}, {"model": "AP8853", "serial": "042"})
    phases = "1.3.6.1.4.1.318.1.1.26.6.3.1."
    return {k: v for k, v in found.items() if not k.startswith(phases) or k.endswith(".1")}


async def test_v2c_reads_a_pdu_and_a_probe_and_sends_nothing_but_get() -> None:
    port = free_port()
    climate = {"temperature_celsius": 23.9, "humidity_ratio": 0.41}
    objects = {**apc(), **encode(load_oid_map("apc-rpdu2-probe"), climate)}
    with responder(objects, port):
        async with relay(port) as (front, wire):
            rows = [row("pdu-a", "apc-rpdu2", front), row("inlet", "apc-rpdu2-probe", front)]
            async with source_of(rows) as (source, context):
                samples = by_device(await source.sample())
                before = len(wire.sent)
                again = by_device(await source.sample())
                requests = len(wire.sent) - before
                inventory = {item.device: item for item in source.inventory()}
                probe = {(r.device, r.field): r for r in await source.probe()}
    pdu = samples["pdu-a"]
    assert pdu.kind == "power"
    assert {k: v for k, v in pdu.values.items() if v is not None} == PDU
    assert set(pdu.quality.values()) == {Quality.NOT_SUPPORTED}
    assert len(pdu.quality) == 4
    assert samples["inlet"].kind == "climate"
    assert samples["inlet"].values == climate
    assert again["pdu-a"].values == pdu.values
    assert requests == 2, "one request a device"
    assert {tag for message in wire.sent for tag in pdu_tags(message)} == {GET}
    assert inventory["pdu-a"].model == "APC by Schneider Electric AP8853"
    assert inventory["pdu-a"].serial == "042"
    register = inventory["pdu-a"].registers["energy_import_watt_hours"]
    assert register.resolution_watt_hours == 100.0
    assert probe["pdu-a", "power_watts"].raw == "342 (0x156)"
    assert probe["pdu-a", "power_watts"].where == "1.3.6.1.4.1.318.1.1.26.4.3.1.5.1"
    assert probe["pdu-a", "voltage_l3_volts"].raw == "noSuchObject"
    assert context.errors.counts == {}


@needs_cryptography
async def test_v3_with_authentication_and_encryption(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "auth").write_text(AUTH)
    (tmp_path / "priv").write_text(PRIV + "\n")
    (tmp_path / "wrong").write_text("some-other-phrase")
    keys = {"version": "v3", "user": "monitor", "priv_key_file": "priv"}
    credentials = {
        "site": {**keys, "auth_key_file": "auth"},
        "wrong": {**keys, "auth_key_file": "wrong"},
        "nobody": {**keys, "user": "nobody", "auth_key_file": "auth"},
    }
    with responder(apc(), port):
        async with relay(port) as (front, wire):
            rows = [
                row(name, "apc-rpdu2", front if name == "site" else port, credentials=name)
                for name in credentials
            ]
            async with source_of(rows, config_dir=tmp_path, credentials=credentials) as (source, _):
                samples = by_device(await source.sample())
                again = by_device(await source.sample())
    assert {k: v for k, v in samples["site"].values.items() if v is not None} == PDU
    assert again["site"].values == samples["site"].values
    for name in ("wrong", "nobody"):
        assert set(samples[name].values.values()) == {None}
        assert set(samples[name].quality.values()) <= {Quality.EXCEPTION, Quality.TIMEOUT}
    assert wire.sent
    oid = bytes([0x2B, 6, 1, 4, 1, 0x82, 0x3E])  # 1.3.6.1.4.1.318
    assert not any(oid in message for message in wire.sent), "encrypted"


async def test_a_wrong_community_is_a_time_out_and_the_others_go_on() -> None:
    port, other = free_port(), free_port()
    clock = ManualClock()
    with responder(apc(), port, community="hidden"), responder(apc(power_watts=500.0), other):
        async with relay(port) as (front, wire):
            rows = [row("a", "apc-rpdu2", front), row("b", "apc-rpdu2", other)]
            async with source_of(rows, clock) as (source, context):
                samples = by_device(await source.sample())
                asked = len(wire.sent)
                second = by_device(await source.sample())
                assert len(wire.sent) == asked, "left alone for a while"
                clock.advance(1.0)
                await source.sample()
                assert len(wire.sent) == asked + 1
    for got in (samples, second):
        assert set(got["a"].values.values()) == {None}
        assert set(got["a"].quality.values()) == {Quality.TIMEOUT}
        assert got["b"].values["power_watts"] == 500.0
    assert context.errors.counts[Quality.TIMEOUT] == 3 * len(samples["a"].values)


async def test_a_device_that_comes_back_is_read_again() -> None:
    port = free_port()
    clock = ManualClock()
    async with source_of([row("a", "apc-rpdu2", port)], clock) as (source, _):
        (sample,) = await source.sample()
        assert set(sample.quality.values()) == {Quality.TIMEOUT}
        with responder(apc(), port):
            clock.advance(60.0)
            (sample,) = await source.sample()
            assert sample.values["power_watts"] == 3420.0


async def test_a_device_for_small_requests() -> None:
    port = free_port()
    with responder(apc(), port, most=3):
        async with relay(port) as (front, wire), source_of([row("a", "apc-rpdu2", front)]) as both:
            (sample,) = await both[0].sample()
            first = len(wire.sent)
            (again,) = await both[0].sample()
            second = len(wire.sent) - first
    assert {k: v for k, v in sample.values.items() if v is not None} == PDU
    assert again.values == sample.values
    assert second < first, "the smaller size is remembered"


async def test_requests_are_split_at_the_most_objects() -> None:
    port = free_port()
    with responder(apc(), port):
        async with (
            relay(port) as (front, wire),
            source_of([row("a", "apc-rpdu2", front)], max_varbinds=4) as (source, _),
        ):
            await source.sample()
            before = len(wire.sent)
            (sample,) = await source.sample()
    assert len(wire.sent) - before == 3
    assert sample.values["power_watts"] == 3420.0


async def test_decimal_digits_are_read_once() -> None:
    port = free_port()
    oid_map = load_oid_map("raritan-px")
    values = {"power_watts": 2875.0, "current_amperes": 12.502, "energy_import_watt_hours": 5.0}
    with responder(encode(oid_map, values), port):
        async with relay(port) as (front, wire), source_of([row("a", "raritan-px", front)]) as both:
            (sample,) = await both[0].sample()
            before = len(wire.sent)
            await both[0].sample()
            after = len(wire.sent)
            (item,) = both[0].inventory()
            rows = {r.field: r for r in await both[0].probe()}
    assert sample.values["current_amperes"] == 12.502
    assert after - before == 1
    assert item.registers["energy_import_watt_hours"].modulus_watt_hours == 2.0**32
    assert rows["current_amperes"].raw == "12502 (0x30D6) / 10^3 (0x3)"


async def test_no_more_devices_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, most = 0, 0

    class Slow:
        async def get(self, host: str, port: int, oids: object) -> Mapping[str, int | str | None]:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1
            return {}

        async def aclose(self) -> None: ...

    rows = [row(f"d{i}", "apc-rpdu2", 1) for i in range(10)]
    settings = Settings.model_validate({"devices": rows, "concurrency": 3})
    source = source_module.SnmpSource(settings, Context(node="n"), lambda _: Slow())
    await source.start()
    samples = await source.sample()
    await source.aclose()
    assert len(samples) == 10
    assert most == 3
    assert {q for s in samples for q in s.quality.values()} == {Quality.EXCEPTION}


async def test_nonsense_on_the_port_is_a_time_out() -> None:
    class Noise(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self._transport.sendto(b"\x30\x84nonsense" + data[:7], addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Noise, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    async with source_of([row("a", "apc-rpdu2", port)]) as (source, _context):
        (sample,) = await source.sample()
    transport.close()
    await asyncio.sleep(0)
    assert set(sample.quality.values()) == {Quality.TIMEOUT}


async def test_a_host_without_a_name_is_a_time_out() -> None:
    rows = [row("a", "apc-rpdu2", 161) | {"host": "no-such-host.invalid"}]
    async with source_of(rows) as (source, _):
        (sample,) = await source.sample()
    assert set(sample.quality.values()) == {Quality.TIMEOUT}


async def test_nothing_is_left_open(recwarn: pytest.WarningsRecorder) -> None:
    port = free_port()
    before = asyncio.all_tasks()
    with responder(apc(), port):
        async with source_of([row("a", "apc-rpdu2", port)]) as (source, _):
            await source.sample()
            await source.aclose()
            assert await source.sample() == []
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
