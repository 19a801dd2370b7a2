# SPDX-License-Identifier: Apache-2.0
"""Reading ahead: the same messages in the same order, and nothing ahead of what comes live."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from collecting import CollectorKit, ListStore, collector_kit, message
from doubles import START_MS, Running, until

from rackwatt.collector.ingest.spool import STORE, Record, Spool
from rackwatt.collector.store import drain as draining
from rackwatt.collector.store.ahead import ReadAhead
from rackwatt.collector.store.drain import Drain

PDU = {"r1-pdu": {"power_watts": 1.0}}
COUNT = 25


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[CollectorKit]:
    async with collector_kit(tmp_path / "spool.db") as made:
        await made.put(*(message(START_MS + step, PDU) for step in range(COUNT)))
        yield made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What spools are asked for."""
    found: list[tuple[int, int]] = []
    reading = Spool.read

    async def read(
        self: Spool, after: int, limit: int, max_bytes: int | None = None
    ) -> list[Record]:
        found.append((after, limit))
        return await reading(self, after, limit, max_bytes)

    monkeypatch.setattr(Spool, "read", read)
    return found


async def test_a_backlog_is_read_ahead_once_and_in_order(
    kit: CollectorKit, asked: list[tuple[int, int]]
) -> None:
    reader = ReadAhead(kit.spool)
    found: list[int] = []
    while records := await reader.read(found[-1] if found else 0, 10):
        found += [record.id for record in records]
    assert found == list(range(1, COUNT + 1))
    assert sorted(asked) == [(0, 10), (10, 10), (20, 10), (25, 10)]


async def test_after_a_failure_the_batch_is_read_again(
    kit: CollectorKit, asked: list[tuple[int, int]]
) -> None:
    reader = ReadAhead(kit.spool)
    assert len(await reader.read(0, 10)) == 10
    assert [record.id for record in await reader.read(0, 5)] == [1, 2, 3, 4, 5]
    assert [record.id for record in await reader.read(5, 10)][:2] == [6, 7], "another limit"
    reader.close()


async def test_what_comes_live_is_not_read_ahead(
    kit: CollectorKit, asked: list[tuple[int, int]]
) -> None:
    reader = ReadAhead(kit.spool)
    assert len(await reader.read(0, 20)) == 20
    assert asked == [(0, 20)], "five more are no batch"


async def test_an_error_of_a_batch_ahead_is_raised_where_it_is_asked_for(
    kit: CollectorKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, reading = ReadAhead(kit.spool), Spool.read

    async def broken(
        self: Spool, after: int, limit: int, max_bytes: int | None = None
    ) -> list[Record]:
        if after == 10:
            raise sqlite3.OperationalError("disk I/O error")
        return await reading(self, after, limit, max_bytes)

    monkeypatch.setattr(Spool, "read", broken)
    assert len(await reader.read(0, 10)) == 10
    with pytest.raises(sqlite3.OperationalError):
        await reader.read(10, 10)
    assert len(await reader.read(11, 10)) == 10, "it goes on"
    await reader.read(0, 10)
    reader.close()  # an error that nobody asks for is nobody's concern


async def test_a_backlog_is_drained_in_order(
    kit: CollectorKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "BATCH_MESSAGES", 4)
    store = ListStore()
    drain = Drain(kit.spool, store, kit.site, kit.clock)
    async with Running(drain.run()):
        await until(lambda: kit.spool.cursor(STORE) == COUNT)
    times = [row.time_ms for write in store.writes for row in write]
    assert times == [START_MS + step for step in range(COUNT)]
