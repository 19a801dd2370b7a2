# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to store, drain and process on the way: each value is stored, as it was."""

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from collecting import CollectorKit, collector_kit, message
from doubles import START_MS

from rackwatt.collector.ingest.decoding import decode
from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE, Batch, Record
from rackwatt.collector.store import Row, StoreRefused, StoreUnavailable
from rackwatt.collector.store.base import WriteResult
from rackwatt.collector.store.drain import Drain
from rackwatt.wire.backoff import Backoff

Key = tuple[str, int]


class _Adverse:
    """Keeps rows; fails before, in the middle of and after a write, refuses some, is slow."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self.kept: dict[Key, float] = {}
        self.gentle = False

    async def start(self) -> None:
        if not self.gentle and self._choice.random() < 0.2:
            raise StoreUnavailable("down")

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        fate = 1.0 if self.gentle else self._choice.random()
        await self._pause()
        if fate < 0.15:
            raise StoreUnavailable("away")
        part = len(rows) // 2 if fate < 0.3 else len(rows)
        rejected: list[tuple[Row, str]] = []
        for row in list(rows)[:part]:
            if row.time_ms % 17 == 0:
                rejected.append((row, "seventeen"))
                continue
            value = row.fields["power_watts"]
            assert isinstance(value, float)
            assert self.kept.setdefault((dict(row.tags)["device"], row.time_ms), value) == value
        await self._pause()
        if fate < 0.4:
            raise StoreRefused("half of it is there")
        return WriteResult(len(rows) - len(rejected), tuple(rejected))

    async def _pause(self) -> None:
        if self._choice.random() < 0.5:
            await asyncio.sleep(self._choice.random() * 0.004)

    async def aclose(self) -> None:
        await self._pause()


class _World:
    """A collector's spool and drain, and who does them harm."""

    kit: CollectorKit

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)  # noqa: S311 - repeatable
        self.store = _Adverse(self.choice)
        self.sent: dict[Key, float] = {}
        self.booked: list[int] = []

    async def send(self) -> None:
        """What comes, decoded as ingest leaves it, or not."""
        batch = Batch()
        for _ in range(self.choice.randrange(1, 12)):
            at = START_MS + len(self.sent)
            value = float(len(self.sent)) + 0.5
            batch.messages.append(message(at, {"r1-pdu": {"power_watts": value}}))
            self.sent["r1-pdu", at] = value
        if self.choice.random() < 0.7:
            batch.decoded = [decode(Record(0, *each)) for each in batch.messages]
        await self.kit.spool.append(batch)

    async def book(self) -> None:
        """The other reader: follows, and is sometimes ahead of the store, sometimes behind."""
        spool = self.kit.spool
        records = await spool.read(spool.cursor(ACCOUNTANT), self.choice.randrange(1, 40))
        for record in records:
            spool.decodings.decoded(record)
            self.booked.append(record.id)
            spool.passed(ACCOUNTANT, record.id)

    async def live(self, steps: int) -> None:
        """A life of the drain, which ends anywhere."""
        drain = Drain(self.kit.spool, self.store, self.kit.site, self.kit.clock)
        task = asyncio.ensure_future(drain.run())
        for _ in range(steps):
            await self.choice.choice((self.send, self.send, self.book, self._trim, self._wait))()
        if self.choice.random() < 0.3:
            await drain.finish(0.02)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled(), task.exception()

    async def _trim(self) -> None:
        await self.kit.spool.trim()

    async def _wait(self) -> None:
        await asyncio.sleep(self.choice.random() * 0.01)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.001)
    monkeypatch.setattr("rackwatt.collector.store.drain.BATCH_MESSAGES", 7)
    monkeypatch.setattr("rackwatt.collector.store.drain._LEAST_MESSAGES", 1)
    monkeypatch.setattr("rackwatt.collector.store.drain.PACE_SECONDS", 0.001)
    path = tmp_path / "spool.db"
    world = _World(seed)
    for _ in range(3):  # the process too
        async with collector_kit(path) as world.kit:
            for _ in range(4):
                await world.live(15)
    async with collector_kit(path) as kit:
        world.kit = kit
        world.store.gentle = True
        drain = Drain(kit.spool, world.store, kit.site, kit.clock)
        task = asyncio.ensure_future(drain.run())
        await drain.finish(20.0)
        task.cancel()
        await asyncio.wait((task,))
        refused = {key for key in world.sent if key[1] % 17 == 0}
        assert kit.spool.cursor(STORE) == kit.spool.last_id == len(world.sent)
        while kit.spool.cursor(ACCOUNTANT) < kit.spool.last_id:
            await world.book()
    assert world.store.kept == {k: v for k, v in world.sent.items() if k not in refused}
    assert set(world.booked) == set(range(1, len(world.sent) + 1))
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT payload FROM deadletters"
        letters = [bytes(row[0]) for row in db.execute(query)]
    for _, at in refused:
        assert any(str(at).encode() in letter for letter in letters), at
