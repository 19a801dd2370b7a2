# SPDX-License-Identifier: Apache-2.0
"""An ingest on the bench: batches go in by hand, what it keeps and acknowledges is looked at."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from doubles import FakePlaces

from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.spool import Spool
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.session import BrokerSettings, Received

ROOT = "rackwatt/v1/demo/hall-a/snmp-a"
EPOCH = 1_790_000_000_000 * 4096


class Bench:
    """An ingest over a spool of its own; acknowledgements are noted and not sent."""

    def __init__(self, path: Path, *, max_bytes: int = 10**8) -> None:
        self.path = path
        self.clock = ManualClock()
        self.spool = Spool(path, max_bytes=max_bytes, clock=self.clock)
        self.acknowledged: list[Received] = []

    async def start(self) -> "Bench":
        watches = await self.spool.start()
        broker = BrokerSettings(url="mqtt://127.0.0.1:1")
        self.ingest = Ingest(broker, FakePlaces(), self.spool, self.clock, backfill_seconds=None)
        self.ingest.watch.restore(watches)
        self.ingest.session.ack = self._ack  # type: ignore[method-assign]
        return self

    def _ack(self, messages: Iterable[Received]) -> None:
        self.acknowledged += messages

    async def take(self, *messages: Received) -> None:
        await self.ingest._on_batch(messages)

    async def kept(self) -> list[tuple[str, bytes]]:
        return [(record.topic, record.payload) for record in await self.spool.read(0, 999)]

    def letters(self) -> list[tuple[str, str]]:
        connection = sqlite3.connect(self.path)
        try:
            query = "SELECT reason, detail FROM deadletters ORDER BY id"
            return connection.execute(query).fetchall()
        finally:
            connection.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = await Bench(tmp_path / "spool.db").start()
    yield made
    await made.spool.aclose()


def received(topic: str, payload: bytes, *, retain: bool = False) -> Received:
    return Received(topic, payload, retain, 1, 1, 1)


def message(
    seq: int, *readings: dict[str, Any], topic: str = f"{ROOT}/power", epoch: int = EPOCH
) -> Received:
    given = readings or ({"device": "m1", "power_watts": float(seq)},)
    body = {"epoch": epoch, "seq": seq, "time": 1_790_000_000_000, "readings": given}
    return received(topic, json.dumps(body).encode())


def status(
    sent: int, *, oldest: int = 1, state: str = "online", retain: bool = False, late_ms: int = 0
) -> Received:
    epochs = [{"epoch": EPOCH, "oldest": oldest, "last": max(sent, oldest - 1),
               "sent_through": sent}]  # fmt: skip
    body = {
        "state": state,
        "session": 1,
        "time": ManualClock().now_ms() - late_ms,
        "epochs": epochs,
    }
    return received(f"{ROOT}/status", json.dumps(body).encode(), retain=retain)
