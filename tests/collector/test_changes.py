# SPDX-License-Identifier: Apache-2.0
"""The gap watch and the clocks are as they were, however far their changes were folded."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rackwatt.collector.ingest import changes
from rackwatt.collector.ingest.changes import FOLD_BYTES, FOLD_SECONDS
from rackwatt.collector.ingest.clocks import AgentClock
from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.collector.ingest.watch import AgentWatch, EpochWatch
from rackwatt.wire.clock import ManualClock

EPOCH = 1_790_000_000_000 * 4096

Known = tuple[list[AgentWatch], list[tuple[str, AgentClock]]]


class Book:
    """A spool, and what a collector holds in memory beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.spool = Spool(path, max_bytes=10**8, clock=self.clock)
        self.agents: dict[str, AgentWatch] = {}

    async def add(self, name: str, seq: int, epoch: int = EPOCH) -> None:
        agent = self.agents.setdefault(name, AgentWatch(name, "h", introduced=True))
        agent.receive(epoch, seq)
        agent.epochs[epoch].sent_through = seq
        row = (name, seq / 10, f'{{"{epoch}": [{seq}, []]}}')
        message = (0, "t", f"{name}{seq}".encode())
        await self.spool.append(Batch(messages=[message], watches=[agent], clocks=[row]))

    async def killed(self, number: int) -> Known:
        """What another process finds in the file as it is now."""
        copy = self.path.with_name(f"copy-{number}.db")
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        other = Spool(copy, max_bytes=10**8, clock=self.clock)
        watches = await other.start()
        found = watches, list(other.remembered.clocks)
        await other.aclose()
        again = Spool(copy, max_bytes=10**8, clock=self.clock)
        assert by_name(await again.start()) == by_name(watches)  # folded when it was closed
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("SELECT count(*) FROM changes").fetchone() == (0,)
        await again.aclose()
        return found

    def right(self, known: Known) -> None:
        watches, clocks = known
        assert by_name(watches) == by_name(self.agents.values())
        for name, clock in clocks:
            newest = max(self.agents[name].epochs)
            (high,) = [high for _, high in self.agents[name].epochs[newest].received][-1:]
            assert clock.offset == high / 10
            assert clock.epochs[newest].through == high
        assert len(clocks) == len(self.agents)


def by_name(agents: object) -> dict[str, dict[int, EpochWatch]]:
    return {agent.name: agent.epochs for agent in agents}  # type: ignore[attr-defined]


async def test_whenever_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "FOLD_AGENTS", 2)
    book = Book(tmp_path / "s.db")
    await book.spool.start()
    for seq in (1, 2, 4):
        for name in "abcde":
            await book.add(name, seq)
    book.right(await book.killed(0))
    fold = book.spool._changes.take(0.0)
    step = 0
    while await book.spool._writer.run(fold.step):
        step += 1
        await book.add("abcde"[step], 5 + step)  # what comes meanwhile is newer
        book.right(await book.killed(step))
    assert step == 3
    book.right(await book.killed(9))
    await book.spool.aclose()


async def test_a_fold_that_is_given_up_is_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "FOLD_AGENTS", 2)
    book = Book(tmp_path / "s.db")
    await book.spool.start()
    for name in "abcde":
        await book.add(name, 1)
    real, count = book.spool._writer.run, 0

    async def failing(work, **options):  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        if count == 2:
            raise sqlite3.OperationalError("database or disk is full")
        return await real(work, **options)

    monkeypatch.setattr(book.spool._writer, "run", failing)
    with pytest.raises(sqlite3.OperationalError):
        await book.spool.fold(now=True)
    await book.add("a", 2)
    book.right(await book.killed(1))
    await book.spool.fold(now=True)
    assert dict(book.spool._changes.watches) == {}
    book.right(await book.killed(2))
    await book.spool.aclose()


async def test_it_is_folded_when_it_is_time(tmp_path: Path) -> None:
    book = Book(tmp_path / "s.db")
    await book.spool.start()
    await book.spool.fold()
    await book.add("a", 1)
    await book.spool.fold()
    assert book.spool._changes.watches
    book.clock.advance(FOLD_SECONDS)
    await book.spool.fold()
    assert not book.spool._changes.watches
    await book.add("a", 2)
    book.spool._changes._bytes = FOLD_BYTES
    await book.spool.fold()
    assert not book.spool._changes.watches
    await book.spool.aclose()


async def test_an_epoch_that_was_forgotten_is_gone(tmp_path: Path) -> None:
    book = Book(tmp_path / "s.db")
    await book.spool.start()
    await book.add("a", 1)
    await book.spool.fold(now=True)
    await book.add("a", 1, EPOCH + 1)
    del book.agents["a"].epochs[EPOCH]
    await book.add("a", 2, EPOCH + 1)
    book.right(await book.killed(0))
    await book.spool.aclose()
