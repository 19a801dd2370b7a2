# SPDX-License-Identifier: Apache-2.0
"""A fake BACnet/IP device with faults: `python -m rackwatt.twin.servers.bacnet`.

| fault | target | effect |
|---|---|---|
| `fault`, `overridden`, `out_of_service` | `analog-input,1` | that status flag is set |
| `gone` | `analog-input,1` | unknown object |
| `silent` | `all` | answers nothing |
| `slow` | seconds | each answer takes that long |
| `single` | `all` | has no ReadPropertyMultiple |
| `small` | octets | answers no more than that, without segments |
| `garbled` | `all` | answers what is no BACnet |
| `mute` | `all` | does not answer Who-Is |

It is written from the standard and shares no code with the agent, so that the two check each
other. Whatever is no reading is refused and kept in `requests`.
"""

import argparse
import asyncio
import contextlib
import struct
from collections.abc import Mapping
from typing import Any, Final, Self

from rackwatt.wire.config import nearest

FAULTS: Final = frozenset(
    {
        "fault", "overridden", "out_of_service", "gone",
        "silent", "slow", "single", "small", "garbled", "mute",
    }
)  # fmt: skip
TYPES: Final = {
    "analog-input": 0,
    "analog-output": 1,
    "analog-value": 2,
    "binary-input": 3,
    "device": 8,
    "accumulator": 23,
}
_FLAGS: Final = ("in_alarm", "fault", "overridden", "out_of_service")
_ANY: Final = 4194303
_READ, _READ_MULTIPLE, _WHO_IS = 12, 14, 8

Properties = dict[int, bytes]


def real(value: float) -> bytes:
    """An application-tagged REAL."""
    return b"\x44" + struct.pack(">f", value)


def unsigned(value: int) -> bytes:
    """An application-tagged Unsigned."""
    return _number(0x20, value)


def enumerated(value: int) -> bytes:
    """An application-tagged Enumerated."""
    return _number(0x90, value)


def text(value: str) -> bytes:
    """An application-tagged CharacterString in UTF-8."""
    data = b"\0" + value.encode()
    head = bytes([0x70 | len(data)]) if len(data) < 5 else bytes([0x75, len(data)])
    return head + data


def scale(value: float) -> bytes:
    """An accumulator's float scale."""
    return b"\x0c" + struct.pack(">f", value)


def _number(tag: int, value: int) -> bytes:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([tag | len(data)]) + data


PLANT: Final[Mapping[str, tuple[bytes, Properties]]] = {
    "analog-input,1": (real(6.5), {117: enumerated(62)}),
    "analog-input,2": (real(54.5), {117: enumerated(64)}),
    "analog-input,3": (real(180.0), {117: enumerated(135)}),
    "analog-value,4": (real(350.0), {117: enumerated(52)}),
    "binary-input,11": (enumerated(1), {}),
    "binary-input,12": (enumerated(1), {}),
    "binary-input,13": (enumerated(0), {}),
    "analog-output,11": (real(80.0), {117: enumerated(98)}),
    "analog-input,12": (real(50.0), {117: enumerated(87)}),
    "analog-input,13": (real(1.5), {117: enumerated(55)}),
    "analog-input,21": (real(26.0), {117: enumerated(62)}),
    "analog-input,22": (real(31.0), {117: enumerated(62)}),
    "analog-input,23": (real(70.0), {117: enumerated(98)}),
    "analog-output,21": (real(40.0), {117: enumerated(98)}),
    "binary-input,31": (enumerated(0), {}),
    "binary-input,32": (enumerated(0), {}),
    "analog-input,41": (real(412.5), {117: enumerated(48)}),
    "analog-input,42": (real(600.0), {117: enumerated(3)}),
    "analog-input,43": (real(610.0), {117: enumerated(3)}),
    "analog-input,44": (real(590.0), {117: enumerated(3)}),
    "analog-input,45": (real(50.0), {117: enumerated(27)}),
    "accumulator,41": (
        unsigned(1234567),
        {117: enumerated(19), 187: scale(10.0), 65: unsigned(99999999)},
    ),
    "accumulator,51": (
        unsigned(4321),
        {117: enumerated(80), 187: scale(0.5), 65: unsigned(999999)},
    ),
    "analog-input,51": (real(120.0), {117: enumerated(88)}),
}
"""Object to its value and further properties: what the agent's shipped maps read."""


class FakeBacnet(asyncio.DatagramProtocol):
    """A device on the loopback; an asynchronous context manager.

    Args:
        instance: of its device object.
        port: 0 for any.
        network: it is behind a router, on this network; 0: it is not.
        mac: its address on that network.
    """

    def __init__(
        self, instance: int = 120001, port: int = 0, network: int = 0, mac: bytes = b""
    ) -> None:
        self.instance = instance
        self.port = port
        self.broken: set[tuple[str, str]] = set()
        self.slow = 0.0
        self.small = 1476
        self.requests: list[bytes] = []
        """Each APDU that came, Who-Is included."""
        self._network = network
        self._mac = mac
        self._transport: Any = None
        self.objects: dict[tuple[int, int], Properties] = {
            _key(name): {85: value, **more} for name, (value, more) in PLANT.items()
        }
        self.objects[TYPES["device"], instance] = {
            75: b"\xc4" + struct.pack(">I", TYPES["device"] << 22 | instance),
            77: text("plant"),
            70: text("Made-up controller"),
            121: text("Nobody"),
            44: text("1.2.3"),
        }

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    def put(self, name: str, value: bytes, number: int = 85) -> None:
        """Show another value, or property, of an object."""
        self.objects.setdefault(_key(name), {})[number] = value

    def inject(self, name: str, target: str) -> None:
        """Break something.

        Raises:
            ValueError: no such fault.
        """
        if name not in FAULTS:
            raise ValueError(f"no fault '{name}' ({nearest(name, FAULTS)})")
        if name == "slow":
            self.slow = float(target)
        elif name == "small":
            self.small = int(target)
        else:
            self.broken.add((name, target))

    def repair(self) -> None:
        """Mend everything."""
        self.broken.clear()
        self.slow = 0.0
        self.small = 1476

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A request."""
        if data[0] != 0x81 or ("silent", "all") in self.broken:
            return
        control, at = data[5], 6
        if control & 0x20:
            network, size = struct.unpack_from(">HB", data, at)
            mac = data[at + 3 : at + 3 + size]
            at += 4 + size
            if network != self._network or (size and mac != self._mac):
                return
        elif self._network:
            return
        self.requests.append(data[at:])
        answer = self._answer(data[at:])
        if answer is not None:
            asyncio.get_running_loop().call_later(self.slow, self._send, answer, addr)

    def _send(self, apdu: bytes, addr: Any) -> None:
        if ("garbled", "all") in self.broken:
            apdu = apdu[:3] + b"\x0c\xff\x7e\x3e\x55"
        npdu = b"\x01\x00"
        if self._network:
            npdu = b"\x01\x08" + struct.pack(">HB", self._network, len(self._mac)) + self._mac
        whole = npdu + apdu
        if not self._transport.is_closing():
            self._transport.sendto(struct.pack(">BBH", 0x81, 0x0A, len(whole) + 4) + whole, addr)

    def _answer(self, apdu: bytes) -> bytes | None:
        if apdu[0] >> 4 == 1:
            return self._who_is(apdu)
        if apdu[0] >> 4 != 0:
            return None
        number, service = apdu[2], apdu[3]
        if service == _READ:
            return self._read(number, apdu[4:])
        if service == _READ_MULTIPLE and ("single", "all") not in self.broken:
            body = self._read_multiple(apdu[4:])
            if len(body) + 3 > self.small:
                return bytes([0x71, number, 4])
            return bytes([0x30, number, service]) + body
        return bytes([0x60, number, 9])

    def _who_is(self, apdu: bytes) -> bytes | None:
        if apdu[1] != _WHO_IS or ("mute", "all") in self.broken:
            return None
        limits = []
        at = 2
        while at < len(apdu):
            size = apdu[at] & 7
            limits.append(int.from_bytes(apdu[at + 1 : at + 1 + size], "big"))
            at += 1 + size
        if limits and not limits[0] <= self.instance <= limits[1]:
            return None
        whole = TYPES["device"] << 22 | self.instance
        return b"\x10\x00\xc4" + struct.pack(">I", whole) + b"\x22\x01\xe0\x91\x03\x21\x0f"

    def _read(self, number: int, body: bytes) -> bytes:
        key = _object(body[1:5])
        size = body[5] & 7
        wanted = int.from_bytes(body[6 : 6 + size], "big")
        value = self._property(key, wanted)
        if isinstance(value, tuple):
            return bytes([0x50, number, _READ, 0x91, value[0], 0x91, value[1]])
        return (
            bytes([0x30, number, _READ]) + self._shown(body[:5]) + body[5 : 6 + size]
            + b"\x3e" + value + b"\x3f"
        )  # fmt: skip

    def _shown(self, identifier: bytes) -> bytes:
        if _object(identifier[1:]) != (TYPES["device"], _ANY):
            return identifier
        return identifier[:1] + struct.pack(">I", TYPES["device"] << 22 | self.instance)

    def _read_multiple(self, body: bytes) -> bytes:
        found = b""
        at = 0
        while at < len(body):
            key = _object(body[at + 1 : at + 5])
            found += body[at : at + 5] + b"\x1e"
            at += 6
            while body[at] != 0x1F:
                size = body[at] & 7
                wanted = int.from_bytes(body[at + 1 : at + 1 + size], "big")
                found += bytes([0x28 | size]) + body[at + 1 : at + 1 + size]
                value = self._property(key, wanted)
                if isinstance(value, tuple):
                    found += bytes([0x5E, 0x91, value[0], 0x91, value[1], 0x5F])
                else:
                    found += b"\x4e" + value + b"\x4f"
                at += 1 + size
            found += b"\x1f"
            at += 1
        return found

    def _property(self, key: tuple[int, int], number: int) -> bytes | tuple[int, int]:
        if key == (TYPES["device"], _ANY):
            key = (TYPES["device"], self.instance)
        name = _name(key)
        if key not in self.objects or ("gone", name) in self.broken:
            return 1, 31
        if number == 111 and key[0] != TYPES["device"]:
            bits = sum(
                8 >> place for place, flag in enumerate(_FLAGS) if (flag, name) in self.broken
            )
            return bytes([0x82, 4, bits << 4])
        return self.objects[key].get(number, (2, 32))


def _key(name: str) -> tuple[int, int]:
    kind, _, number = name.partition(",")
    return TYPES[kind], int(number)


def _name(key: tuple[int, int]) -> str:
    names = {number: name for name, number in TYPES.items()}
    return f"{names.get(key[0])},{key[1]}"


def _object(data: bytes) -> tuple[int, int]:
    whole = int.from_bytes(data, "big")
    return whole >> 22, whole & 0x3FFFFF


async def _serve(port: int, instance: int, faults: list[str]) -> None:
    async with FakeBacnet(instance, port) as device:
        for fault in faults:
            name, _, target = fault.partition("=")
            device.inject(name, target or "all")
        print(f"device {instance} at 127.0.0.1:{device.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="A fake BACnet/IP device on the loopback.")
    parser.add_argument("--port", type=int, default=47808)
    parser.add_argument("--instance", type=int, default=120001)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=TARGET",
        help=", ".join(sorted(FAULTS)),
    )
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.instance, options.fault))


if __name__ == "__main__":
    main()
