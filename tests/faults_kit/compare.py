# SPDX-License-Identifier: Apache-2.0
"""What was sent against what is stored: the set of (kind, device, field, time), values included."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rackwatt.collector.ingest.watch import GapWatch
from rackwatt.collector.store import EmbeddedStore, InfluxStore
from rackwatt.wire.codec import decode_envelope, decode_readings
from rackwatt.wire.readings import KINDS, Kind
from rackwatt.wire.status import EpochState

Key = tuple[str, str, str, int]
"""Kind, device, field, time in ms."""
Values = dict[Key, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """How two sets differ."""

    lost: frozenset[Key]
    changed: frozenset[Key]
    foreign: frozenset[Key]

    def __bool__(self) -> bool:
        return bool(self.lost or self.changed or self.foreign)

    def __str__(self) -> str:
        examples = sorted(self.lost)[:3], sorted(self.changed)[:3], sorted(self.foreign)[:3]
        return (
            f"{len(self.lost)} lost, {len(self.changed)} changed, {len(self.foreign)} foreign; "
            f"such as {examples}"
        )


def difference(sent: Mapping[Key, float], stored: Mapping[Key, float]) -> Difference:
    return Difference(
        lost=frozenset(sent.keys() - stored.keys()),
        changed=frozenset(k for k in sent.keys() & stored.keys() if sent[k] != stored[k]),
        foreign=frozenset(stored.keys() - sent.keys()),
    )


def values_of(messages: Iterable[tuple[str, bytes]]) -> Values:
    """The values of messages, each a kind and a payload."""
    found: Values = {}
    for kind, payload in messages:
        assert kind in KINDS
        for reading in decode_readings(kind, decode_envelope(payload)).readings:
            for name, value in reading.values.items():
                if value is not None:
                    found[kind, reading.device, name, reading.time_ms] = value
    return found


def outbox_messages(path: Path) -> Iterator[tuple[str, bytes]]:
    """All that an outbox's file holds."""
    with closing(sqlite3.connect(path)) as db:
        yield from db.execute("SELECT kind, payload FROM messages ORDER BY epoch, seq")


def stored_in(store: EmbeddedStore | InfluxStore, *kinds: Kind) -> Values:
    """All numbers of some kinds that a store holds."""
    found: Values = {}
    for kind in kinds:
        for device, rows in store.history(kind, 0, 4_000_000_000_000):
            for row in rows:
                for name, value in row.fields.items():
                    if isinstance(value, float):
                        found[kind, device, name, row.time_ms] = value
    return found


def not_received(watch: GapWatch, agent: str, states: Iterable[EpochState]) -> int:
    """How many of an agent's messages the gap watch misses; it must have none that it invented."""
    found = watch.get(agent)
    missing = 0
    for state in states:
        epoch = None if found is None else found.epochs.get(state.epoch)
        if epoch is None:
            missing += state.last
            continue
        missing += sum(high - low + 1 for low, high in epoch.received.missing(1, state.last))
        assert all(high <= state.last for _, high in epoch.received)
    return missing
