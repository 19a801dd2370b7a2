# SPDX-License-Identifier: Apache-2.0
"""What a piece of a spool holds for the accountant: readings to book, counters, inventories."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from rackwatt.collector.ingest.clocks import Doubts, is_trusted
from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.counters import FIELD as COUNTER_FIELD
from rackwatt.collector.ledger.counters import CounterRecord
from rackwatt.wire.codec import Envelope, ReceivedReading, decode_envelope, decode_readings
from rackwatt.wire.inventory import Inventory, InventoryItem
from rackwatt.wire.readings import KINDS, Kind
from rackwatt.wire.topics import INVENTORY, Topic

NO_DOUBTS: Final[Doubts] = MappingProxyType({})


@dataclass(slots=True)
class Batch:
    """Messages of a spool, by what becomes of them."""

    inputs: list[InputRecord] = field(default_factory=list)
    counters: list[CounterRecord] = field(default_factory=list)
    inventories: list[tuple[int, Sequence[InventoryItem]]] = field(default_factory=list)
    readings: list[tuple[Kind, ReceivedReading, int]] = field(default_factory=list)
    """All of them, with when they were received: for the page."""


def sort(
    records: Sequence[Record],
    offsets: Mapping[str, float],
    utilities: Collection[tuple[Kind, str]] = (),
    doubts: Doubts = NO_DOUBTS,
) -> Batch:
    """Read messages.

    Args:
        records: as the collector received them.
        offsets: our clock minus an agent's, in s, as far as it is known.
        utilities: kind and device of the meters of water and heat that the site books.
        doubts: which messages were taken while their agent's clock was off.
    """
    batch = Batch()
    for record in records:
        topic = Topic.parse(record.topic)
        if topic.last == INVENTORY:
            inventory = Inventory.model_validate_json(record.payload)
            batch.inventories.append((inventory.time, inventory.devices))
        elif topic.last in KINDS:
            envelope = decode_envelope(record.payload)
            trusted = is_trusted(offsets, doubts, topic.agent, envelope.epoch, envelope.seq)
            source = _Source(topic.agent, topic.last, record.received_ms, trusted)
            _sort_readings(batch, envelope, source, utilities)
    return batch


class _Source(NamedTuple):
    """Where a message of readings comes from."""

    agent: str
    kind: Kind
    received_ms: int
    trusted: bool


def _sort_readings(
    batch: Batch, envelope: Envelope, source: _Source, utilities: Collection[tuple[Kind, str]]
) -> None:
    agent, kind, received, trusted = source
    for reading in decode_readings(kind, envelope).readings:
        batch.readings.append((kind, reading, received))
        device, time_ms = reading.device, reading.time_ms
        if kind == "power" or (kind, device) in utilities:
            batch.inputs.append(
                InputRecord(device, time_ms, reading.values, received, trusted, agent)
            )
        elif kind == "gpu":
            counter = reading.values.get(COUNTER_FIELD)
            if counter is not None:
                batch.counters.append(
                    CounterRecord(device, time_ms, counter, received, trusted, agent)
                )
