# SPDX-License-Identifier: Apache-2.0
"""Messages as GPU agents send them, and a publisher that costs little beside what it measures.

The publisher speaks MQTT 3.1.1 bytes itself: a client library would be the limit. It sends QoS 1
and keeps a bounded number of messages unacknowledged, on several connections at once.
"""

import asyncio
import math
import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.site import Site, site_of
from rackwatt.wire.codec import encode, reading_of
from rackwatt.wire.config import Document
from rackwatt.wire.readings import Reading
from rackwatt.wire.sample import Sample
from rackwatt.wire.status import EpochState, Status

SITE: Final = "bench"
HALL: Final = "hall-a"
NODES_PER_RACK: Final = 18
GPU_FIELDS: Final = (
    "power_watts",
    "power_min_watts",
    "power_max_watts",
    "energy_import_watt_hours",
    "temperature_celsius",
    "memory_temperature_celsius",
    "utilization_ratio",
    "memory_utilization_ratio",
    "memory_used_bytes",
    "sm_clock_hertz",
    "memory_clock_hertz",
    "clock_event_reasons_bitmask",
)
_WINDOW: Final = 500
"""Messages of one connection that the broker has not acknowledged yet."""


def site(agents: int) -> Site:
    """A site with at least so many GPU nodes."""
    racks = math.ceil(agents / NODES_PER_RACK)
    return site_of(
        Document(
            "site.yaml",
            f"site: {{id: {SITE}, timezone: UTC}}\n"
            f"halls: [{{id: {HALL}, rows: [{{id: row-1, racks: 'r[0001-{racks:04d}]',"
            f" nodes: '{{rack}}-n[01-{NODES_PER_RACK}]'}}]}}]\n",
        )
    )


def node_name(number: int) -> str:
    """The name of a GPU node of that site, counted from 0."""
    return f"r{number // NODES_PER_RACK + 1:04d}-n{number % NODES_PER_RACK + 1:02d}"


def gpu_samples(node: str, gpus: int = 8, seed: int = 1) -> list[Sample]:
    """What the GPUs of a node show, with numbers as a driver gives them."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    values = {
        "power_watts": lambda: round(chance.uniform(70, 700), 3),
        "power_min_watts": lambda: round(chance.uniform(60, 400), 3),
        "power_max_watts": lambda: round(chance.uniform(400, 750), 3),
        "energy_import_watt_hours": lambda: round(chance.uniform(1e5, 9e6), 6),
        "temperature_celsius": lambda: float(chance.randint(30, 80)),
        "memory_temperature_celsius": lambda: float(chance.randint(35, 90)),
        "utilization_ratio": lambda: round(chance.random(), 4),
        "memory_utilization_ratio": lambda: round(chance.random(), 4),
        "memory_used_bytes": lambda: float(chance.randint(1, 80) * 2**30),
        "sm_clock_hertz": lambda: chance.randint(345, 1980) * 1e6,
        "memory_clock_hertz": lambda: 2_619_000_000.0,
        "clock_event_reasons_bitmask": lambda: float(chance.choice((0, 1, 4, 32))),
    }
    return [
        Sample(
            "gpu",
            f"{node}/GPU-{chance.getrandbits(32):08x}-1c2d-4e5f-8a9b-{chance.getrandbits(48):012x}",
            {name: values[name]() for name in GPU_FIELDS},
        )
        for _ in range(gpus)
    ]


def gpu_readings(node: str, gpus: int = 8, seed: int = 1) -> list[Reading]:
    """The same, as the contract's models."""
    return [reading_of(sample, 0) for sample in gpu_samples(node, gpus, seed)]


# -- a load -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Packets without their identifiers, dealt out to connections, agent by agent."""

    messages: Sequence[Sequence[tuple[bytes, bytes]]]
    """Per connection: what stands before and behind the packet identifier."""
    statuses: Sequence[Sequence[tuple[bytes, bytes]]]
    """The same: each agent's status after its last message."""
    payload_bytes: float
    """Mean of a message."""


def make_load(agents: int, each: int, connections: int, end_ms: int) -> Load:
    """`each` messages of every agent, 10 s apart, the last at `end_ms`; 8 GPUs of 12 values.

    Round by round, as agents send; an agent stays on its connection.
    """
    messages: list[list[tuple[bytes, bytes]]] = [[] for _ in range(connections)]
    statuses: list[list[tuple[bytes, bytes]]] = [[] for _ in range(connections)]
    epoch = end_ms * 4096
    names = [node_name(number) for number in range(agents)]
    bodies = [_body(name, number) for number, name in enumerate(names)]
    size = 0
    for seq in range(1, each + 1):
        at = end_ms - (each - seq) * 10_000
        head = f'{{"epoch":{epoch},"seq":{seq},"time":{at},"readings":'.encode()
        for number, name in enumerate(names):
            payload = head + bodies[number]
            size += len(payload)
            messages[number % connections].append(_packet(name, "gpu", payload))
    for number, name in enumerate(names):
        state = EpochState(epoch=epoch, oldest=1, last=each, sent_through=each)
        status = Status(state="online", session=end_ms, time=end_ms, epochs=(state,))
        packet = _packet(name, "status", status.model_dump_json().encode())
        statuses[number % connections].append(packet)
    return Load(messages, statuses, size / (agents * each))


def _body(name: str, seed: int) -> bytes:
    """The readings and all behind them, as the codec writes them."""
    return encode(1, 1, 0, gpu_readings(name, seed=seed)).partition(b'"readings":')[2]


def _packet(agent: str, last: str, payload: bytes) -> tuple[bytes, bytes]:
    topic = f"rackwatt/v1/{SITE}/{HALL}/{agent}/{last}".encode()
    left = 2 + len(topic) + 2 + len(payload)
    return b"\x32" + _varint(left) + struct.pack(">H", len(topic)) + topic, payload


def _varint(number: int) -> bytes:
    found = bytearray()
    while True:
        number, digit = divmod(number, 128)
        found.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(found)


class Publisher:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._mid = 0

    @classmethod
    async def connect(cls, port: int, client: str) -> "Publisher":
        """Connect to a broker on this machine.

        Raises:
            ConnectionError: it refuses.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        name = client.encode()
        variable = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack(">H", len(name)) + name
        writer.write(b"\x10" + _varint(len(variable)) + variable)
        if (await reader.readexactly(4))[3] != 0:
            raise ConnectionError("the broker refuses the connection")
        return cls(reader, writer)

    async def send(self, packets: Sequence[tuple[bytes, bytes]], per_second: float) -> None:
        """Publish all and return when the broker has acknowledged all.

        Args:
            packets: see `Load`.
            per_second: how many at most; infinite: as fast as the broker takes them.
        """
        begin = time.perf_counter()
        sent = acknowledged = 0
        while acknowledged < len(packets):
            room = min(len(packets), acknowledged + _WINDOW)
            if math.isfinite(per_second):
                room = min(room, int((time.perf_counter() - begin) * per_second) + 1)
            if room > sent:
                self._writer.write(self._framed(packets[sent:room]))
                sent = room
            if sent == acknowledged:
                await asyncio.sleep(1 / per_second)
                continue
            # PUBACK has 4 bytes; nothing else comes on this connection.
            data = await self._reader.read(65_536)
            if not data:
                raise ConnectionError("the broker ended the connection")
            data += await self._reader.readexactly(-len(data) % 4)
            acknowledged += len(data) // 4

    def _framed(self, packets: Sequence[tuple[bytes, bytes]]) -> bytes:
        parts: list[bytes] = []
        for head, payload in packets:
            self._mid = self._mid % 65_535 + 1
            parts += (head, struct.pack(">H", self._mid), payload)
        return b"".join(parts)

    async def aclose(self) -> None:
        """Say goodbye."""
        self._writer.write(b"\xe0\x00")
        self._writer.close()
        await self._writer.wait_closed()


async def publish(port: int, load: Load, per_second: float = math.inf) -> float:
    """Publish a load, then the statuses; returns when it began, in monotonic seconds."""
    senders = [
        await Publisher.connect(port, f"bench-load-{number}")
        for number in range(len(load.messages))
    ]
    begin = time.monotonic()
    share = per_second / len(senders)
    async with asyncio.TaskGroup() as tasks:
        for sender, packets in zip(senders, load.messages, strict=True):
            tasks.create_task(sender.send(packets, share))
    for sender, packets in zip(senders, load.statuses, strict=True):
        await sender.send(packets, math.inf)
        await sender.aclose()
    return begin
