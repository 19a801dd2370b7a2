# SPDX-License-Identifier: Apache-2.0
"""BACnet octets: examples of the standard's annex F, and what is none."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.bacnet.objectmap import Problem, Ref
from rackwatt.agents.bacnet.settings import Settings
from rackwatt.agents.bacnet.tags import Malformed, one_property, properties
from rackwatt.agents.bacnet.wire import ReadFailed, Station, UdpReader

ACK = bytes.fromhex("0c00000005 1955 3e 444290999a 3f".replace(" ", ""))
ROW = {"device": "d", "map": "chiller", "host": "127.0.0.1"}


class Device(asyncio.DatagramProtocol):
    """Answers each datagram with the next of a list, whatever it says."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.got: list[bytes] = []
        self.transport: Any = None

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.got.append(data)
        while self.answers:
            answer = self.answers.pop(0)
            self.transport.sendto(answer.replace(b"\xee", data[8:9]), addr)


async def asked(*answers: bytes, timeout: float = 10.0) -> tuple[Any, list[bytes]]:
    """What one ReadProperty of analog-input,5 brings, and what was sent."""
    loop = asyncio.get_running_loop()
    device = Device(list(answers))
    device.transport, _ = await loop.create_datagram_endpoint(
        lambda: device, local_addr=("127.0.0.1", 0)
    )
    settings: Any = {"devices": [ROW], "timeout": timeout, "retries": 0}
    reader = UdpReader(Settings.model_validate(settings))
    await reader.open()
    try:
        address = device.transport.get_extra_info("sockname")
        return await reader.read_one(Station(address), Ref(0, 5, 85)), device.got
    finally:
        await reader.aclose()
        device.transport.close()
        await asyncio.sleep(0)


def framed(apdu: bytes, npdu: bytes = b"\x01\x00", function: int = 0x0A) -> bytes:
    whole = npdu + apdu
    return bytes([0x81, function]) + (len(whole) + 4).to_bytes(2, "big") + whole


async def test_read_property_as_in_annex_f() -> None:
    value, sent = await asked(framed(b"\x30\xee\x0c" + ACK))
    assert value == pytest.approx(72.3, abs=1e-5)
    apdu = sent[0][6:]
    assert apdu[:2] + apdu[3:] == bytes.fromhex("00050c0c000000051955")


async def test_an_error_is_an_answer() -> None:
    value, _ = await asked(framed(b"\x50\xee\x0c\x91\x01\x91\x1f"))
    assert value == Problem(1, 31)


@pytest.mark.parametrize(
    ("apdu", "words"),
    [
        (b"\x60\xee\x09", "reject, reason 9"),
        (b"\x71\xee\x04", "abort, reason 4"),
        (b"\x38\xee\x00\x01\x0c" + ACK, "segments"),
        (b"\x30\xee\x0e" + ACK, "another|answer to service 14"),
        (b"\x30\xee\x0c" + ACK[:-1], "nonsense"),
        (b"\x30\xee\x0c" + ACK.replace(b"\x19\x55", b"\x19\x56"), "another property"),
        (b"\x30\xee\x0c\xff\xff", "nonsense"),
    ],
)
async def test_refusals(apdu: bytes, words: str) -> None:
    with pytest.raises(ReadFailed, match=words) as caught:
        await asked(framed(apdu))
    assert caught.value.answered


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x81",
        framed(b""),
        framed(b"\x30"),
        framed(b"\x30\xee\x0c" + ACK)[:-1],
        framed(b"\x30\xee\x0c" + ACK, function=0x00),
        framed(b"\x30\xee\x0c" + ACK, b"\x02\x00"),
        framed(b"\x01", b"\x01\x80"),
        framed(b"\x30\xee\x0c" + ACK, b"\x01\x08\x07\xd1\x01\x11"),
        framed(b"\x10\x00"),
    ],
)
async def test_what_is_no_answer_of_the_device_is_dropped(datagram: bytes) -> None:
    value, _ = await asked(datagram, framed(b"\x30\xee\x0c" + ACK))
    assert value == pytest.approx(72.3, abs=1e-5)


async def test_silence() -> None:
    with pytest.raises(ReadFailed, match="no answer") as caught:
        await asked(timeout=0.1)
    assert not caught.value.answered


async def test_an_answer_with_an_address_of_ours_in_it() -> None:
    npdu = b"\x01\x20\x00\x05\x01\x07\xff"
    value, _ = await asked(framed(b"\x30\xee\x0c" + ACK, npdu))
    assert value == pytest.approx(72.3, abs=1e-5)


def test_values() -> None:
    def value(octets: str) -> Any:
        head = bytes.fromhex("0c00000005 1955 3e".replace(" ", ""))
        return one_property(head + bytes.fromhex(octets) + b"\x3f", Ref(0, 5, 85))

    assert value("00") is None
    assert value("11") == 1.0
    assert value("2203e8") == 1000.0
    assert value("31ff") == -1.0
    assert value("5508 3ff8000000000000".replace(" ", "")) == 1.5
    assert value("820460") == (False, True, True, False)
    assert value("74 00 4162 63".replace(" ", "")) == "Abc"
    assert value("0c 41200000".replace(" ", "")) == 10.0
    assert value("0c 7f800000".replace(" ", "")) == "", "no scale is infinite"
    assert value("19fd") == 0.001
    assert value("197f") == ""
    assert value("21012102") == "", "a list"


@given(st.binary(max_size=80))
def test_any_octets_are_an_answer_or_malformed(octets: bytes) -> None:
    for reading in (properties, lambda data: one_property(data, Ref(0, 5, 85))):
        try:
            reading(octets)
        except Malformed:
            continue


@given(st.binary(max_size=60))
def test_any_value_in_an_answer(octets: bytes) -> None:
    head = bytes.fromhex("0c000000051e29554e")
    try:
        found = properties(head + octets + bytes.fromhex("4f1f"))
    except Malformed:
        return
    assert all(isinstance(ref, Ref) for ref in found)
