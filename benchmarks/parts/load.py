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
from rackwatt.wire.readings import Kind, Reading
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
TRAY_FIELDS: Final = (
    *GPU_FIELDS,
    "power_instant_watts",
    "power_limit_watts",
    "memory_total_bytes",
    "ecc_corrected_errors_total",
    "ecc_uncorrected_errors_total",
    "remapped_rows_total",
    "pcie_replays_total",
    "performance_state_number",
)
SHAPES: Final = ("p8", "tray", "rack", "meter")
"""8 GPUs of 12 values, 4 of 20, 40 sensors of 1, a meter of 8."""
CAMPUS: Final = ("tray",) * 18 + ("rack", "meter", "meter")
"""By messages, about as the reference campus sends them; each agent's status with each message."""
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


def shaped(shape: str, node: str, seed: int) -> tuple[Kind, list[Reading]]:
    """An agent's message; see `SHAPES`."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    if shape == "p8":
        return "gpu", gpu_readings(node, seed=seed)
    if shape == "tray":
        more = {name: float(chance.randint(0, 1200)) for name in TRAY_FIELDS[len(GPU_FIELDS) :]}
        more["performance_state_number"] = 0.0
        samples = gpu_samples(node, 4, seed)
        whole = [Sample("gpu", item.device, {**item.values, **more}) for item in samples]
        return "gpu", [reading_of(item, 0) for item in whole]
    if shape == "rack":
        air = [{"temperature_celsius": round(chance.uniform(18, 45), 2)} for _ in range(40)]
        items = [Sample("climate", f"{node}-s{number}", one) for number, one in enumerate(air)]
        return "climate", [reading_of(item, 0) for item in items]
    names = ("power_watts", "power_min_watts", "power_max_watts", "energy_import_watt_hours",
             "voltage_l1_volts", "voltage_l2_volts", "voltage_l3_volts")  # fmt: skip
    values = {name: round(chance.uniform(1e3, 1e6), 3) for name in names}
    values["power_factor_ratio"] = 0.98
    return "power", [reading_of(Sample("power", f"{node}-meter", values), 0)]


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
    readings: int
    values: int
    """In all messages."""


def make_load(agents: int, each: int, connections: int, end_ms: int, shape: str = "p8") -> Load:
    """`each` messages of every agent, 10 s apart, the last at `end_ms`.

    Round by round, as agents send; an agent stays on its connection.

    Args:
        agents: how many.
        each: messages of an agent.
        connections: that carry them.
        end_ms: ms since 1970 UTC.
        shape: of `SHAPES`, or `campus`, a mix with a status behind each message.
    """
    messages: list[list[tuple[bytes, bytes]]] = [[] for _ in range(connections)]
    statuses: list[list[tuple[bytes, bytes]]] = [[] for _ in range(connections)]
    shapes = CAMPUS if shape == "campus" else (shape,)
    epoch = end_ms * 4096
    names = [node_name(number) for number in range(agents)]
    bodies: list[tuple[Kind, bytes]] = []
    size = readings = values = 0
    for number, name in enumerate(names):
        kind, found = shaped(shapes[number % len(shapes)], name, number)
        bodies.append((kind, encode(1, 1, 0, found).partition(b'"readings":')[2]))
        readings += len(found) * each
        values += sum(len(item.model_fields_set) - 1 for item in found) * each
    for seq in range(1, each + 1):
        at = end_ms - (each - seq) * 10_000
        head = f'{{"epoch":{epoch},"seq":{seq},"time":{at},"readings":'.encode()
        for number, name in enumerate(names):
            last, body = bodies[number]
            payload = head + body
            size += len(payload)
            messages[number % connections].append(_packet(name, last, payload))
            if shape == "campus":
                status = _status(name, epoch, seq, end_ms)
                messages[number % connections].append(status)
    for number, name in enumerate(names):
        statuses[number % connections].append(_status(name, epoch, each, end_ms))
    return Load(messages, statuses, size / (agents * each), readings, values)


def _status(name: str, epoch: int, seq: int, now_ms: int) -> tuple[bytes, bytes]:
    state = EpochState(epoch=epoch, oldest=1, last=seq, sent_through=seq)
    status = Status(state="online", session=now_ms, time=now_ms, epochs=(state,))
    return _packet(name, "status", status.model_dump_json().encode())


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
