# SPDX-License-Identifier: Apache-2.0
"""A small site, its messages, and a collector over a real spool, for tests of roles and figures."""

import json
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from doubles import START_MS

from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.metrics import CollectorState
from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.collector.roles.collect import Door, known_of
from rackwatt.collector.site import Site, site_of
from rackwatt.collector.store import Row, StoredRow
from rackwatt.collector.store.base import WriteResult
from rackwatt.collector.store.drain import Drain
from rackwatt.wire.clock import Clock, ManualClock
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.config import Document
from rackwatt.wire.inventory import Inventory, InventoryItem
from rackwatt.wire.readings import Kind
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.status import EpochState, Status

TOKEN = "a-token-of-some-length"
EPOCH = START_MS * 4096

SITE_TEXT = """\
site: {id: demo, timezone: UTC, country: MA}
battery: {capacity_wh: 1000}
meters:
  - {id: grid-1, role: grid}
  - {id: pv-1, role: pv}
  - {id: battery-1, role: battery}
  - {id: it, role: it, position: pdu_output, sum: ["r[1-2]-pdu"]}
  - {id: cooling-1, role: cooling}
halls:
  - id: hall-a
    rows:
      - id: row-1
        racks: "r[1-2]"
        nodes: "{rack}-n1"
        pdus: "{rack}-pdu"
        sensors: {inlet: "{rack}-in", outlet: "{rack}-out"}
  - id: hall-b
    rows: [{id: row-9, racks: r9, nodes: r9-n1}]
agents:
  - {name: meters, hall: site}
  - {name: snmp-a, hall: hall-a}
  - {name: snmp-b, hall: hall-b}
"""


def small_site() -> Site:
    """Two racks with a PDU and probes, one GPU node each; a second hall with one rack."""
    return site_of(Document("site.yaml", SITE_TEXT))


class ShiftedClock:
    """The machine's clock, begun elsewhere, that can be stepped; every thread may ask it."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.start_ms = start_ms
        self._zero = time.monotonic()

    def now_ms(self) -> int:
        return self.start_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return time.monotonic() - self._zero


Values = Mapping[str, float | None]


def reading(device: str, time_ms: int = START_MS, **values: float | None) -> ReceivedReading:
    return ReceivedReading(device, time_ms, dict(values))


def payload(time_ms: int, readings: Mapping[str, Values], seq: int = 1) -> bytes:
    items = [{"device": device, **values} for device, values in readings.items()]
    return json.dumps({"epoch": EPOCH, "seq": seq, "time": time_ms, "readings": items}).encode()


def message(
    time_ms: int,
    readings: Mapping[str, Values],
    *,
    kind: Kind = "power",
    agent: str = "meters",
    hall: str = "site",
    received_ms: int | None = None,
) -> tuple[int, str, bytes]:
    """A message as the spool takes it."""
    topic = f"rackwatt/v1/demo/{hall}/{agent}/{kind}"
    return time_ms if received_ms is None else received_ms, topic, payload(time_ms, readings)


def inventory(items: Sequence[InventoryItem], time_ms: int) -> tuple[int, str, bytes]:
    text = Inventory.of(items, time_ms).model_dump_json()
    return time_ms, "rackwatt/v1/demo/site/meters/inventory", text.encode()


LOADS: Mapping[str, Values] = {
    "grid-1": {"power_watts": 90.0, "power_export_watts": 0.0},
    "pv-1": {"power_watts": 30.0},
    "battery-1": {"power_charge_watts": 0.0, "power_discharge_watts": 0.0},
    "r1-pdu": {"power_watts": 60.0},
    "r2-pdu": {"power_watts": 40.0},
    "cooling-1": {"power_watts": 20.0},
}
"""120 W in, 100 W of them to IT: the PUE is 1.2, a quarter is renewable."""


def told(sent: int, time_ms: int, *, state: str = "online") -> Status:
    """A status with one epoch."""
    epoch = EpochState(epoch=EPOCH, oldest=1, last=sent, sent_through=sent)
    return Status.model_validate({"state": state, "session": 1, "time": time_ms, "epochs": [epoch]})


class ListStore:
    """A store that keeps what it gets in order, and fails as it is told to."""

    def __init__(self) -> None:
        self.writes: list[list[Row]] = []
        self.failures: list[Exception] = []
        self.refuse: dict[str, str] = {}
        self.starts = 0
        self.closed = False

    async def start(self) -> None:
        self.starts += 1

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        if self.failures:
            raise self.failures.pop(0)
        self.writes.append(list(rows))
        devices = [dict(row.tags)["device"] for row in rows]
        refused = [
            (row, self.refuse[device])
            for row, device in zip(rows, devices, strict=True)
            if device in self.refuse
        ]
        return WriteResult(len(rows) - len(refused), tuple(refused))

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        return iter(())

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class CollectorKit:
    """A collector without its broker: what arrives is put into the spool by the test."""

    site: Site
    clock: Clock
    spool: Spool
    ingest: Ingest
    drain: Drain
    state: CollectorState
    door: Door

    async def put(self, *messages: tuple[int, str, bytes]) -> None:
        await self.spool.append(Batch(messages=list(messages)))

    def seen(self, agent: str, hall: str, offset_seconds: float | None = 0.0) -> None:
        """An agent has introduced itself just now."""
        watch = self.ingest.watch.agent(agent, hall)
        watch.online, watch.last_seen_ms = True, self.clock.now_ms()
        watch.clock_offset_seconds = offset_seconds
        if offset_seconds is not None:
            self.ingest.clocks.told(agent, (), offset_seconds, 0.0)


@asynccontextmanager
async def collector_kit(
    path: Path, clock: Clock | None = None, halls: tuple[str, ...] | None = None
) -> AsyncIterator[CollectorKit]:
    site, clock = small_site(), clock or ManualClock()
    spool = Spool(path, max_bytes=10**8, clock=clock)
    watches = await spool.start()
    ingest = Ingest(BrokerSettings(url="mqtt://127.0.0.1:1"), site, spool, clock, halls=halls)
    ingest.watch.restore(watches)
    drain = Drain(spool, ListStore(), site, clock)
    state = CollectorState(known_of(site, halls), ingest, spool, drain, clock)
    door = Door(state, spool, ingest, TOKEN)
    try:
        yield CollectorKit(site, clock, spool, ingest, drain, state, door)
    finally:
        door.close()
        await spool.aclose()
