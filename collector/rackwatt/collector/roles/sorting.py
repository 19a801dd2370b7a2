# SPDX-License-Identifier: Apache-2.0
"""What a piece of a spool holds for the accountant: readings to book, counters, inventories."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from rackwatt.collector.ingest.clocks import Doubts, is_trusted
from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.counters import CounterRecord
from rackwatt.collector.ledger.samples import UTILIZATION, SampleRecord, own_minute
from rackwatt.collector.live.fleet import UNSET, GpuReading
from rackwatt.collector.roles.decoding import decode_gpus, decode_some
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.inventory import Inventory, InventoryItem
from rackwatt.wire.readings import KINDS, Kind
from rackwatt.wire.topics import INVENTORY

NO_DOUBTS: Final[Doubts] = MappingProxyType({})


@dataclass(slots=True)
class Batch:
    """Messages of a spool, by what becomes of them."""

    inputs: list[InputRecord] = field(default_factory=list)
    counters: list[CounterRecord] = field(default_factory=list)
    samples: list[SampleRecord] = field(default_factory=list)
    """Of probes all, of GPUs those of their own minutes."""
    inventories: list[tuple[int, Sequence[InventoryItem]]] = field(default_factory=list)
    readings: list[tuple[Kind, ReceivedReading, int]] = field(default_factory=list)
    """What is shown, with when it was received: for the page."""
    gpus: list[tuple[Sequence[GpuReading], int]] = field(default_factory=list)
    """GPUs' readings, message by message, with when it was received."""


class Wanted(NamedTuple):
    """What of the messages is used."""

    utilities: Collection[tuple[Kind, str]] = ()
    """Kind and device of the meters of water and heat that the site books."""
    probes: Collection[str] = ()
    """Devices of kind climate that are shown."""
    sampled: Mapping[str, Sequence[str]] = MappingProxyType({})
    """Those of which the books keep samples, and of which fields."""


def sort(
    records: Iterable[Record],
    offsets: Mapping[str, float],
    wanted: Wanted,
    doubts: Doubts = NO_DOUBTS,
) -> Batch:
    """Read messages.

    Args:
        records: as the collector received them.
        offsets: our clock minus an agent's, in s, as far as it is known.
        wanted: what of them is used.
        doubts: which messages were taken while their agent's clock was off.
    """
    batch = Batch()
    for record in records:
        # The collector has checked topics before it put them into its spool.
        _, agent, last = record.topic.rsplit("/", 2)
        if last == "gpu":
            epoch, seq, gpus = decode_gpus(record.payload)
            trusted = is_trusted(offsets, doubts, agent, epoch, seq)
            _take_gpus(batch, gpus, record.received_ms, trusted, agent)
        elif last in KINDS:
            _take(batch, record, (agent, last), wanted, (offsets, doubts))
        elif last == INVENTORY:
            inventory = Inventory.model_validate_json(record.payload)
            batch.inventories.append((inventory.time, inventory.devices))
    return batch


def _take_gpus(
    batch: Batch, readings: Sequence[GpuReading], received_ms: int, trusted: bool, agent: str
) -> None:
    batch.gpus.append((readings, received_ms))
    counters, samples = batch.counters, batch.samples
    for item in readings:
        used = item.utilization_ratio
        if used is not UNSET and used is not None and own_minute(item.device, item.time):
            samples.append(
                SampleRecord(item.device, UTILIZATION, item.time, used, received_ms, trusted)
            )
        counter = item.energy_import_watt_hours
        if counter is not UNSET and counter is not None:
            counters.append(
                CounterRecord(item.device, item.time, counter, received_ms, trusted, agent)
            )


def _take(
    batch: Batch,
    record: Record,
    source: tuple[str, Kind],
    wanted: Wanted,
    clocks: tuple[Mapping[str, float], Doubts],
) -> None:
    agent, kind = source
    epoch, seq, readings = decode_some(kind, record.payload)
    trusted = is_trusted(*clocks, agent, epoch, seq)
    received = record.received_ms
    for reading in readings:
        device = reading.device
        if kind == "climate" and device not in wanted.probes:
            continue
        batch.readings.append((kind, reading, received))
        if kind == "climate":
            for name in wanted.sampled.get(device, ()):
                value = reading.values.get(name)
                if value is not None:
                    batch.samples.append(
                        SampleRecord(device, name, reading.time_ms, value, received, trusted)
                    )
        if kind == "power" or (kind, device) in wanted.utilities:
            batch.inputs.append(
                InputRecord(device, reading.time_ms, reading.values, received, trusted, agent)
            )
