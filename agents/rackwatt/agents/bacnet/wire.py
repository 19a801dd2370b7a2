# SPDX-License-Identifier: Apache-2.0
"""BACnet/IP on one UDP socket: three requests, and nothing else, can be written here.

bacpypes3 makes and takes apart what stands in the datagrams. Its application layer is not used: it
would also answer writes and relay between networks.
"""

import asyncio
import importlib
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Protocol

from rackwatt.agents.bacnet.numbers import DEVICE
from rackwatt.agents.bacnet.objectmap import Answer, Problem, Ref
from rackwatt.agents.bacnet.settings import Settings
from rackwatt.agents.bacnet.tags import Malformed, one_property, properties
from rackwatt.wire.readings import Quality

Address = tuple[str, int]
_UNICAST: Final = 0x0A
_FORWARDED: Final = 0x04
_BROADCAST: Final = 0x0B
_COMPLEX_ACK, _ERROR, _REJECT, _ABORT = 3, 5, 6, 7
_UNCONFIRMED, _I_AM = 1, 0
_MAX_RESPONSE: Final = 5
"""Code for 1476 octets. Answers in segments are not taken: the device is asked for less."""
_TOO_BIG: Final = frozenset({(_ABORT, 1), (_ABORT, 4), (_ABORT, 11), (_REJECT, 1), (_REJECT, 7)})
"""Buffer overflow, segmentation not supported, APDU too long, too many arguments."""
_UNKNOWN_SERVICE: Final = (_REJECT, 9)


class ReadFailed(Exception):  # noqa: N818 - it reads as a sentence where it is caught
    """A request brought no values.

    Attributes:
        quality: what becomes of the values.
        answered: the device is there; it refused this request.
        reason: kind of the refusal, and its reason code.
        problem: the error, where the answer was one.
    """

    def __init__(
        self,
        quality: Quality,
        message: str,
        reason: tuple[int, int] | None = None,
        problem: Problem | None = None,
    ) -> None:
        super().__init__(message)
        self.quality = quality
        self.answered = reason is not None
        self.reason = reason
        self.problem = problem

    @property
    def too_big(self) -> bool:
        """The device asks for smaller requests."""
        return self.reason in _TOO_BIG

    @property
    def unknown_service(self) -> bool:
        """The device has no ReadPropertyMultiple."""
        return self.reason == _UNKNOWN_SERVICE


@dataclass(frozen=True, slots=True)
class Station:
    """Where a device is: an address, or a network and a MAC address behind it."""

    address: Address
    network: int = 0
    mac: bytes = b""

    def __str__(self) -> str:
        place = f"{self.address[0]}:{self.address[1]}"
        return f"{place}, network {self.network}, {self.mac.hex()}" if self.network else place


class Reader(Protocol):
    """ReadProperty, ReadPropertyMultiple and Who-Is, and nothing else."""

    async def open(self) -> None:
        """Open the socket.

        Raises:
            OSError: the address is taken.
        """

    async def resolve(self, host: str, port: int) -> Address:
        """The IPv4 address of a host.

        Raises:
            ReadFailed: the name is not known.
        """

    async def find(self, address: Address, network: int | None, instance: int) -> Station | None:
        """Where a device says that it is; None: nobody has answered."""

    async def read(self, station: Station, refs: Sequence[Ref]) -> Mapping[Ref, Answer]:
        """Some properties in one request; what is missing in the answer is missing here.

        Raises:
            ReadFailed: no answer, or a refusal.
        """

    async def read_one(self, station: Station, ref: Ref) -> Answer:
        """One property, by the request that every device has.

        Raises:
            ReadFailed: no answer, or a refusal; an error is an answer.
        """

    async def aclose(self) -> None:
        """Close the socket; may be called more than once."""


class UdpReader(asyncio.DatagramProtocol):
    """See `Reader`.

    Args:
        settings: time-out, attempts, address.
    """

    def __init__(self, settings: Settings) -> None:
        # bacpypes3 carries no type information: imported by name, it is Any.
        self._apdu: Any = importlib.import_module("bacpypes3.apdu")
        self._types: Any = importlib.import_module("bacpypes3.basetypes")
        self._primitive: Any = importlib.import_module("bacpypes3.primitivedata")
        self._settings = settings
        self._transport: asyncio.DatagramTransport | None = None
        self._open: dict[tuple[Station, int], asyncio.Future[bytes]] = {}
        self._sought: dict[int, asyncio.Future[Station]] = {}
        self._next = 0
        self._limit = asyncio.Semaphore(settings.concurrency)

    async def open(self) -> None:
        """See `Reader.open`."""
        host, _, port = self._settings.listen.rpartition(":")
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(host, int(port)), family=socket.AF_INET
        )

    async def resolve(self, host: str, port: int) -> Address:
        """See `Reader.resolve`."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM
            )
        except OSError as error:
            raise ReadFailed(Quality.TIMEOUT, f"{host}: unknown host") from error
        return str(found[0][4][0]), port

    async def find(self, address: Address, network: int | None, instance: int) -> Station | None:
        """See `Reader.find`."""
        request = self._apdu.WhoIsRequest(
            deviceInstanceRangeLowLimit=instance, deviceInstanceRangeHighLimit=instance
        )
        datagram = _datagram(Station(address, network or 0), _octets(request), reply=False)
        async with self._limit:
            future: asyncio.Future[Station] = asyncio.get_running_loop().create_future()
            if self._sought.setdefault(instance, future) is not future:
                return None  # the same instance is looked for elsewhere: one after the other
            try:
                for _ in range(self._settings.retries + 1):
                    self._send(datagram, address)
                    done, _ = await asyncio.wait({future}, timeout=self._settings.timeout)
                    if done:
                        return future.result()
                return None
            finally:
                del self._sought[instance]

    async def read(self, station: Station, refs: Sequence[Ref]) -> Mapping[Ref, Answer]:
        """See `Reader.read`."""
        types, primitive = self._types, self._primitive
        specs = [
            types.ReadAccessSpecification(
                objectIdentifier=primitive.ObjectIdentifier(found),
                listOfPropertyReferences=[
                    types.PropertyReference(
                        propertyIdentifier=types.PropertyIdentifier(ref.property)
                    )
                    for ref in group
                ],
            )
            for found, group in groupby(refs, key=lambda ref: (ref.type, ref.instance))
        ]
        request = self._apdu.ReadPropertyMultipleRequest(listOfReadAccessSpecs=specs)
        answer = await self._ask(station, request)
        try:
            return properties(answer[3:])
        except Malformed as error:
            raise _nonsense(station, error) from error

    async def read_one(self, station: Station, ref: Ref) -> Answer:
        """See `Reader.read_one`."""
        request = self._apdu.ReadPropertyRequest(
            objectIdentifier=self._primitive.ObjectIdentifier((ref.type, ref.instance)),
            propertyIdentifier=self._types.PropertyIdentifier(ref.property),
        )
        try:
            answer = await self._ask(station, request)
            return one_property(answer[3:], ref)
        except ReadFailed as error:
            if error.problem is None:
                raise
            return error.problem
        except Malformed as error:
            raise _nonsense(station, error) from error

    async def _ask(self, station: Station, request: Any) -> bytes:
        """The answer to a confirmed request: an unsegmented ComplexAck of the same service."""
        async with self._limit:
            number = self._number(station)
            request.apduSeg = request.apduMor = request.apduSA = False
            request.apduMaxSegs, request.apduMaxResp = 0, _MAX_RESPONSE
            request.apduInvokeID = number
            datagram = _datagram(station, _octets(request), reply=True)
            future = asyncio.get_running_loop().create_future()
            self._open[station, number] = future
            try:
                for _ in range(self._settings.retries + 1):
                    self._send(datagram, station.address)
                    done, _ = await asyncio.wait({future}, timeout=self._settings.timeout)
                    if done:
                        return _judged(station, future.result(), request.apduService)
            finally:
                del self._open[station, number]
        raise ReadFailed(Quality.TIMEOUT, f"{station}: no answer")

    def _number(self, station: Station) -> int:
        # An answer to a request that was given up must not pass for one to the next.
        for _ in range(256):
            self._next = (self._next + 1) % 256
            if (station, self._next) not in self._open:
                return self._next
        raise ReadFailed(Quality.TIMEOUT, f"{station}: too many requests are open")

    def _send(self, datagram: bytes, address: Address) -> None:
        if self._transport is not None:
            self._transport.sendto(datagram, address)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """An answer; what is none of ours is dropped."""
        try:
            station, apdu = _taken_apart((str(addr[0]), addr[1]), data)
            kind = apdu[0] >> 4
            if kind in {_COMPLEX_ACK, _ERROR, _REJECT, _ABORT}:
                future = self._open.get((station, apdu[1]))
                if future is not None and not future.done() and len(apdu) >= 3:
                    future.set_result(apdu)
            elif kind == _UNCONFIRMED and apdu[1] == _I_AM and apdu[2] == 0xC4:
                identifier = int.from_bytes(apdu[3:7], "big")
                sought = self._sought.get(identifier & 0x3FFFFF)
                if identifier >> 22 == DEVICE and sought is not None and not sought.done():
                    sought.set_result(station)
        except (IndexError, struct.error):
            return

    def error_received(self, exc: Exception) -> None:
        """A closed port: the request runs into its time-out."""

    async def aclose(self) -> None:
        """See `Reader.aclose`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)


def _octets(request: Any) -> bytes:
    return bytes(request.encode().encode().pduData)


def _datagram(station: Station, apdu: bytes, *, reply: bool) -> bytes:
    """An APDU with its network header and BACnet/IP header."""
    control = 0x04 if reply else 0
    npdu = bytes([1, control])
    if station.network:
        to = struct.pack(">HB", station.network, len(station.mac)) + station.mac
        npdu = bytes([1, control | 0x20]) + to + b"\xff"
    whole = npdu + apdu
    return struct.pack(">BBH", 0x81, _UNICAST, len(whole) + 4) + whole


def _taken_apart(sender: Address, data: bytes) -> tuple[Station, bytes]:
    """Who has sent a datagram, and its APDU.

    Raises:
        IndexError, struct.error: it holds none.
    """
    magic, function, length = struct.unpack_from(">BBH", data)
    if magic != 0x81 or length != len(data):
        raise IndexError("no BACnet/IP")
    at = 4
    if function == _FORWARDED:
        sender = (socket.inet_ntoa(data[4:8]), int.from_bytes(data[8:10], "big"))
        at = 10
    elif function not in {_UNICAST, _BROADCAST}:
        raise IndexError("a message between BACnet/IP devices")
    version, control = data[at], data[at + 1]
    at += 2
    if version != 1 or control & 0x80:
        raise IndexError("a message between routers")
    if control & 0x20:
        at += 3 + data[at + 2]
    station = Station(sender)
    if control & 0x08:
        network, size = struct.unpack_from(">HB", data, at)
        station = Station(sender, network, data[at + 3 : at + 3 + size])
        at += 3 + size
    if control & 0x20:
        at += 1
    data[at + 1]
    return station, data[at:]


def _judged(station: Station, apdu: bytes, service: int) -> bytes:
    kind = apdu[0] >> 4
    if kind == _COMPLEX_ACK:
        if apdu[0] & 0x08:
            raise ReadFailed(Quality.EXCEPTION, f"{station}: answers in segments", (_ABORT, 4))
        if apdu[2] != service:
            raise _nonsense(station, f"an answer to service {apdu[2]}")
        return apdu
    if kind == _ERROR:
        # Two enumerations: error class, error code.
        problem = Problem(apdu[4], apdu[6]) if len(apdu) >= 7 else Problem(0, 0)
        message = f"{station}: error {problem.error_class}/{problem.code}"
        raise ReadFailed(problem.quality, message, (_ERROR, problem.code), problem)
    word = "reject" if kind == _REJECT else "abort"
    raise ReadFailed(Quality.EXCEPTION, f"{station}: {word}, reason {apdu[2]}", (kind, apdu[2]))


def _nonsense(station: Station, what: object) -> ReadFailed:
    return ReadFailed(Quality.EXCEPTION, f"{station}: answers nonsense: {what}", (0, 0))
