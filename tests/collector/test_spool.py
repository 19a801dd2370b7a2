# SPDX-License-Identifier: Apache-2.0
"""The spool: one transaction with the gap watch, two cursors, bounded, kept over a crash."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rackwatt.collector.ingest import deadletters
from rackwatt.collector.ingest import spool as spool_module
from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE, Batch, DeadLetter, Record, Spool
from rackwatt.collector.ingest.watch import AgentWatch, EpochWatch, Loss, LossReason
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import Reason
from rackwatt.wire.ranges import Ranges

CLOCK = ManualClock()
NOW = CLOCK.now_ms()


@asynccontextmanager
async def opened(
    path: Path, max_bytes: int = 10**9, consumers: tuple[str, ...] = (STORE, ACCOUNTANT)
) -> AsyncIterator[tuple[Spool, list[AgentWatch]]]:
    spool = Spool(path, max_bytes=max_bytes, clock=CLOCK, consumers=consumers)
    watches = await spool.start()
    try:
        yield spool, watches
    finally:
        await spool.aclose()


def batch(*payloads: bytes) -> Batch:
    return Batch(messages=[(NOW, "topic", payload) for payload in payloads])


def watched(name: str = "a") -> AgentWatch:
    agent = AgentWatch(name, "hall-a", introduced=True)
    agent.epochs[5] = EpochWatch(floor=2, sent_through=9)
    for seq in (3, 4, 8):
        agent.receive(5, seq)
    agent.epochs[7] = EpochWatch()
    return agent


def ids(records: list[Record]) -> list[int]:
    return [record.id for record in records]


async def test_messages_come_out_as_they_went_in(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, watches):
        assert watches == []
        await spool.append(batch(b"one", b"two"))
        await spool.append(batch())
        await spool.append(batch(b"\x00\xff"))
        assert await spool.read(0, 10) == [
            Record(1, NOW, "topic", b"one"),
            Record(2, NOW, "topic", b"two"),
            Record(3, NOW, "topic", b"\x00\xff"),
        ]
        assert ids(await spool.read(1, 1)) == [2]
        assert spool.last_id == 3
        assert spool.size_bytes == 8


async def test_the_watch_is_in_the_same_transaction(tmp_path: Path) -> None:
    loss = Loss("a", 5, 5, 6, LossReason.EVICTED)
    agent = watched()
    agent.close(5, 5, 6, LossReason.EVICTED)
    whole = Batch([(NOW, "t", b"x")], [], [agent], [loss])
    async with opened(tmp_path / "s.db") as (spool, _):
        await spool.append(whole)
        assert spool.lost == 2
    async with opened(tmp_path / "s.db") as (spool, (again,)):
        assert spool.lost == 2
        assert (again.name, again.hall, again.introduced) == ("a", "hall-a", True)
        assert again.epochs[5] == EpochWatch(2, Ranges([(3, 4), (8, 8)]), Ranges([(5, 6)]), 9)
        assert set(again.epochs) == {5, 7}
        assert again.lost() == 2


async def test_when_one_part_fails_nothing_is_written(tmp_path: Path) -> None:
    bad = DeadLetter(NOW, "t", b"x", Reason.UNREADABLE, "\ud800")  # no text for SQLite
    async with opened(tmp_path / "s.db") as (spool, _):
        with pytest.raises(UnicodeEncodeError):
            await spool.append(Batch([(NOW, "t", b"x")], [bad], [watched()]))
        assert await spool.read(0, 9) == []
        assert (spool.last_id, spool.size_bytes, spool.deadletters) == (0, 0, 0)
        await spool.append(batch(b"y"))
    async with opened(tmp_path / "s.db") as (_, watches):
        assert watches == []


async def test_a_watch_that_forgot_an_epoch_is_saved_without_it(tmp_path: Path) -> None:
    agent = watched()
    lost = agent.close(5, 5, 7, LossReason.EPOCH_GONE)
    async with opened(tmp_path / "s.db") as (spool, _):
        await spool.append(Batch(watches=[agent, watched("b")], losses=[lost]))
        agent.forgotten_lost += agent.epochs.pop(5).lost.count()
        await spool.append(Batch(watches=[agent]))
    async with opened(tmp_path / "s.db") as (_, (first, second)):
        assert set(first.epochs) == {7}
        assert first.lost() == 3
        assert set(second.epochs) == {5, 7}


async def test_a_message_goes_when_both_cursors_have_passed(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, _):
        await spool.append(batch(b"1", b"2", b"3", b"4"))
        spool.passed(STORE, 3)
        await spool.trim()
        assert ids(await spool.read(0, 9)) == [1, 2, 3, 4]
        spool.passed(ACCOUNTANT, 2)
        await spool.trim()
        assert ids(await spool.read(0, 9)) == [3, 4]
        assert spool.size_bytes == 2
        spool.passed(ACCOUNTANT, 1)  # a cursor never goes back
        assert spool.cursor(ACCOUNTANT) == 2
        spool.passed("stranger", 99)
        assert spool.cursor("stranger") == 0


async def test_each_cursor_survives_though_the_other_stands_still(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, _):
        await spool.append(batch(b"1", b"2", b"3"))
        spool.passed(STORE, 3)
        await spool.trim()
        for file in tmp_path.glob("s.db*"):  # killed here
            shutil.copy(file, tmp_path / file.name.replace("s.db", "killed.db"))
    async with opened(tmp_path / "killed.db") as (spool, _):
        assert (spool.cursor(STORE), spool.cursor(ACCOUNTANT)) == (3, 0)
        assert ids(await spool.read(0, 9)) == [1, 2, 3]


async def test_identifiers_are_never_used_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, _):
        await spool.append(batch(b"1", b"2"))
        for name in (STORE, ACCOUNTANT):
            spool.passed(name, 2)
    async with opened(tmp_path / "s.db") as (spool, _):
        assert (spool.last_id, spool.size_bytes) == (2, 0)
        await spool.append(batch(b"3"))
        assert ids(await spool.read(2, 9)) == [3]
        for name in (STORE, ACCOUNTANT):
            spool.passed(name, 3)
        await spool.trim()
        assert await spool.read(0, 9) == []


async def test_a_kill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, _):
        await spool.append(batch(b"1", b"2"))
        for file in tmp_path.glob("s.db*"):
            shutil.copy(file, tmp_path / file.name.replace("s.db", "killed.db"))
    async with opened(tmp_path / "killed.db") as (spool, _):
        assert ids(await spool.read(0, 9)) == [1, 2]
        assert spool.size_bytes == 2


async def test_one_consumer_is_enough_where_there_is_one(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db", consumers=(STORE,)) as (spool, _):
        await spool.append(batch(b"1"))
        spool.passed(STORE, 1)
        await spool.trim()
        assert await spool.read(0, 9) == []


async def test_a_long_backlog_goes_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_TRIM_MESSAGES", 10)
    async with opened(tmp_path / "s.db", consumers=(STORE,)) as (spool, _):
        await spool.append(batch(*[b"x"] * 25))
        spool.passed(STORE, 25)
        sizes = []
        for _ in range(3):
            await spool.trim()
            sizes.append(spool.size_bytes)
        assert sizes == [15, 5, 0]
    async with opened(tmp_path / "s.db", consumers=(STORE,)) as (spool, _):
        await spool.append(batch(b"x"))
        spool.passed(STORE, 26)
        await spool.trim()
        assert spool.size_bytes == 0


async def test_how_full_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db", max_bytes=10) as (spool, _):
        await spool.append(batch(b"12345"))
        assert spool.full_ratio == 0.5
        await spool.append(batch(b"1234567"))
        assert spool.full_ratio == 1.2
    async with opened(tmp_path / "s.db", max_bytes=10) as (spool, _):
        assert spool.full_ratio == 1.2


async def test_the_backlog_of_each_consumer(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, _):
        assert await spool.backlog() == {STORE: (0, 0.0), ACCOUNTANT: (0, 0.0)}
        await spool.append(Batch(messages=[(NOW - 5_000, "t", b"123"), (NOW - 1_000, "t", b"4")]))
        spool.passed(STORE, 1)
        assert await spool.backlog() == {STORE: (1, 1.0), ACCOUNTANT: (4, 5.0)}


async def test_who_waits_is_woken(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as (spool, _):
        waiting = asyncio.ensure_future(spool.wait(0, 10.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        await spool.append(Batch(watches=[watched()]))
        await asyncio.sleep(0)
        assert not waiting.done()
        await spool.append(batch(b"1"))
        async with asyncio.timeout(1.0):
            await waiting
        await spool.wait(0, 10.0)
        await spool.wait(1, 0.01)  # nothing comes: it returns


async def test_dead_letters_are_kept_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "MAX_DEADLETTERS", 3)
    huge = b"x" * 1_000_001  # no message can be so large: its beginning is kept
    async with opened(tmp_path / "s.db") as (spool, _):
        for number in range(5):
            letter = DeadLetter(NOW, "t", huge, Reason.UNREADABLE, f"detail {number}")
            await spool.append(Batch(deadletters=[letter]))
        assert spool.deadletters == 5
        await spool.trim()
        assert spool.deadletters == 3
    async with opened(tmp_path / "s.db") as (spool, _):
        assert spool.deadletters == 3
    with sqlite3.connect(tmp_path / "s.db") as db:
        rows = db.execute("SELECT detail, length(payload), reason FROM deadletters").fetchall()
    db.close()
    assert rows == [(f"detail {n}", 65_536, "unreadable") for n in (2, 3, 4)]


async def test_a_spool_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"no database at all, but long enough to be one" * 40)
    with pytest.raises(sqlite3.DatabaseError):
        await Spool(tmp_path / "s.db", max_bytes=1, clock=CLOCK).start()
