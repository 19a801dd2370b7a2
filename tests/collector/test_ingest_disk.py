# SPDX-License-Identifier: Apache-2.0
"""Ingest when the disk refuses or is full: nothing is acknowledged before it is kept."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from collector.bench import Bench, bench, message
from doubles import until

from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE, Batch
from rackwatt.wire.backoff import Backoff

__all__ = ["bench"]  # a fixture


class Broken:
    """A disk that refuses a number of times."""

    def __init__(self, bench: Bench, failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures = failures
        self.tries = 0
        self._real = bench.spool.append
        monkeypatch.setattr(bench.spool, "append", self.append)
        self._bench = bench

    async def append(self, batch: Batch) -> None:
        self.tries += 1
        assert self._bench.acknowledged == []
        if self.tries <= self.failures:
            raise sqlite3.OperationalError("database or disk is full")
        await self._real(batch)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.01)


@pytest.mark.usefixtures("quick")
async def test_nothing_is_acknowledged_before_it_is_on_the_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Broken(bench, 3, monkeypatch)
    messages = [message(1), message(2)]
    await bench.take(*messages)
    assert disk.tries == 4
    assert bench.acknowledged == messages
    assert await bench.kept() == [(item.topic, item.payload) for item in messages]
    assert "disk is full; nothing is acknowledged meanwhile" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_who_is_stopped_while_the_disk_refuses_acknowledges_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Broken(bench, 10**9, monkeypatch)
    task = asyncio.ensure_future(bench.take(message(1)))
    await until(lambda: disk.tries >= 2)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert bench.acknowledged == []
    monkeypatch.undo()
    after = await Bench(bench.path).start()  # killed and started again
    await after.take(message(1))
    assert len(await after.kept()) == 1
    await after.spool.aclose()


@pytest.mark.usefixtures("quick")
async def test_a_loss_does_not_save_the_watch_before_its_messages(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a crash between the two would leave messages that count as received and are nowhere."""
    disk = Broken(bench, 10**9, monkeypatch)
    task = asyncio.ensure_future(bench.take(message(1)))
    await until(lambda: disk.tries >= 1)
    monkeypatch.setattr(bench.ingest.session.connected, "is_set", lambda: True)
    monkeypatch.setattr(bench.ingest.replays, "plan", pytest.fail)
    asking = asyncio.ensure_future(bench.ingest._ask_again())
    bench.clock.advance(5.0)
    await asyncio.sleep(1.1)
    assert not asking.done()
    for each in (asking, task):
        each.cancel()
    await asyncio.wait([asking, task])


@pytest.mark.usefixtures("quick")
async def test_a_full_spool_takes_nothing_until_there_is_room(tmp_path: Path) -> None:
    bench = await Bench(tmp_path / "small.db", max_bytes=50).start()
    first, second = message(1), message(2)
    await bench.take(first)
    assert bench.spool.full_ratio > 1
    task = asyncio.ensure_future(bench.take(second))
    await asyncio.sleep(0.05)
    assert not task.done()
    assert bench.acknowledged == [first]
    for name in (STORE, ACCOUNTANT):
        bench.spool.passed(name, 1)
    await bench.spool.trim()
    async with asyncio.timeout(2):
        await task
    assert bench.acknowledged == [first, second]
    assert len(await bench.kept()) == 1
    await bench.spool.aclose()
