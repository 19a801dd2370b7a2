# SPDX-License-Identifier: Apache-2.0
"""No write leaves an agent: every byte it sends is looked at, for every map that we ship.

The look itself is tested with real writes of the same libraries: it would not miss one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from agents.test_modbus_sockets import raw_server
from agents.test_modbus_sockets import source_of as modbus_source
from agents.test_snmp_sockets import (
    AUTH,
    GET,
    PRIV,
    SET,
    module,
    needs_cryptography,
    pdu_tags,
    relay,
    responder,
)
from agents.test_snmp_sockets import free_port as free_udp_port
from agents.test_snmp_sockets import source_of as snmp_source
from pymodbus.client import AsyncModbusTcpClient

from rackwatt.agents import modbus, snmp
from rackwatt.agents.snmp import encode, load_oid_map
from servers.fixtures import free_port

READ_FUNCTIONS = {3, 4}
MODBUS_MAPS = sorted(path.stem for path in (Path(modbus.__file__).parent / "maps").glob("*.yaml"))
SNMP_MAPS = sorted(path.stem for path in (Path(snmp.__file__).parent / "maps").glob("*.yaml"))


def functions(frames: Iterable[bytes]) -> set[int]:
    """The function codes of whole Modbus TCP frames, of any length."""
    return {frame[7] for frame in frames}


def refuse(frame: bytes) -> bytes:
    """Exception 2, illegal data address."""
    return frame[:4] + b"\x00\x03" + frame[6:7] + bytes([frame[7] | 0x80, 2])


def zeros(frame: bytes) -> bytes:
    count = int.from_bytes(frame[10:12], "big")
    body = frame[6:8] + bytes([2 * count % 256]) + bytes(2 * count)
    return frame[:4] + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize("answer", [refuse, zeros])
@pytest.mark.parametrize("name", MODBUS_MAPS)
async def test_modbus_sends_nothing_but_reads(name: str, answer: Callable[[bytes], bytes]) -> None:
    port = free_port()
    rows: list[dict[str, object]] = [
        {"device": "d", "map": name, "host": "127.0.0.1", "port": port}
    ]
    async with raw_server(port, answer) as seen, modbus_source(rows) as (source, _):
        await source.sample()
        await source.sample()
        await source.probe()
        source.inventory()
    assert seen, "nothing was sent"
    assert functions(seen) <= READ_FUNCTIONS


@pytest.mark.parametrize(
    ("write", "function"),
    [
        (lambda client: client.write_coil(1, True), 5),
        (lambda client: client.write_register(1, 7), 6),
        (lambda client: client.write_coils(1, [True]), 15),
        (lambda client: client.write_registers(1, [7]), 16),
        (lambda client: client.mask_write_register(), 22),
        (lambda client: client.readwrite_registers(read_count=1, values=[1]), 23),
        (lambda client: client.diag_restart_communication(False), 8),
        (lambda client: client.report_device_id(), 17),
    ],
)
async def test_a_write_over_modbus_would_be_seen(
    write: Callable[[AsyncModbusTcpClient], Any], function: int
) -> None:
    port = free_port()
    async with raw_server(port, refuse) as seen:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=1)
        await client.connect()
        await write(client)
        client.close()
    assert functions(seen) == {function}
    assert not functions(seen) <= READ_FUNCTIONS


@pytest.mark.parametrize("name", SNMP_MAPS)
async def test_snmp_sends_nothing_but_get(name: str) -> None:
    oid_map = load_oid_map(name)
    port = free_udp_port()
    with responder(encode(oid_map, dict.fromkeys(oid_map.fields, 1.0)), port):
        async with relay(port) as (front, wire):
            rows: list[dict[str, object]] = [
                {"device": "d", "map": name, "host": "127.0.0.1", "port": front}
            ]
            async with snmp_source(rows) as (source, _):
                await source.sample()
                await source.sample()
                await source.probe()
    assert wire.sent, "nothing was sent"
    assert {tag for message in wire.sent for tag in pdu_tags(message)} == {GET}


@contextlib.asynccontextmanager
async def talking(port: int, credentials: Any) -> AsyncIterator[Callable[..., Any]]:
    """Commands of the library to a port, with its whole freedom."""
    api = module("pysnmp.hlapi.v3arch.asyncio")
    engine = api.SnmpEngine()
    target = await api.UdpTransportTarget.create(("127.0.0.1", port), timeout=1, retries=0)
    name = api.ObjectType(api.ObjectIdentity("1.3.6.1.2.1.1.6.0"), api.OctetString("mine"))

    async def say(command: str) -> None:
        call = getattr(api, command)
        await call(engine, credentials, target, api.ContextData(), name, lookupMib=False)

    try:
        yield say
    finally:
        engine.close_dispatcher()


@pytest.mark.parametrize(("command", "tag"), [("set_cmd", SET), ("next_cmd", 0xA1)])
async def test_a_set_over_snmp_would_be_seen(command: str, tag: int) -> None:
    port = free_udp_port()
    community = module("pysnmp.hlapi.v3arch.asyncio").CommunityData("public", mpModel=1)
    with responder({}, port):
        async with relay(port) as (front, wire), talking(front, community) as say:
            await say(command)
    assert {one for message in wire.sent for one in pdu_tags(message)} == {tag}


@contextlib.contextmanager
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The PDUs that reach the responder, decrypted, by the name of their type."""
    found: list[str] = []
    dispatcher = module("pysnmp.proto.rfc3412").MsgAndPduDispatcher
    receive = dispatcher.receive_message

    def spying(self: Any, engine: Any, *arguments: Any) -> Any:
        for number in (0, 1, 3):
            subsystem = engine.message_processing_subsystems.get(number)
            if subsystem is not None and not hasattr(subsystem, "spied"):
                subsystem.spied = True
                prepare = subsystem.prepare_data_elements

                def wrapped(*given: Any, prepare: Any = prepare) -> Any:
                    answer = prepare(*given)
                    found.append(type(answer[7]).__name__)
                    return answer

                subsystem.prepare_data_elements = wrapped
        return receive(self, engine, *arguments)

    monkeypatch.setattr(dispatcher, "receive_message", spying)
    yield found


@needs_cryptography
async def test_under_encryption_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "auth").write_text(AUTH)
    (tmp_path / "priv").write_text(PRIV)
    keys = {"version": "v3", "user": "monitor", "auth_key_file": "auth", "priv_key_file": "priv"}
    oid_map = load_oid_map("apc-rpdu2")
    port = free_udp_port()
    api = module("pysnmp.hlapi.v3arch.asyncio")
    user = api.UsmUserData(
        "monitor",
        authKey=AUTH,
        privKey=PRIV,
        authProtocol=api.USM_AUTH_HMAC192_SHA256,
        privProtocol=api.USM_PRIV_CFB128_AES,
    )
    answers = {"ResponsePDU", "ReportPDU"}
    rows: list[dict[str, object]] = [
        {"device": "d", "map": "apc-rpdu2", "host": "127.0.0.1", "port": port, "credentials": "k"}
    ]
    with (
        asked(monkeypatch) as found,
        responder(encode(oid_map, dict.fromkeys(oid_map.fields, 1.0)), port),
    ):
        async with snmp_source(rows, config_dir=tmp_path, credentials={"k": keys}) as (source, _):
            (sample,) = await source.sample()
        assert sample.values["power_watts"] is not None
        assert set(found) - answers == {"GetRequestPDU"}
        found.clear()
        async with talking(port, user) as say:
            await say("set_cmd")
        assert "SetRequestPDU" in found, "the look sees a SET"
    await asyncio.sleep(0)
