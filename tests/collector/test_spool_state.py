# SPDX-License-Identifier: Apache-2.0
"""What a collector remembers over a restart, and how a spool knows that it was put back."""

import shutil
import sqlite3
import time
from pathlib import Path

import httpx
import pytest
from collecting import EPOCH, TOKEN, collector_kit, message
from collector.bench import Bench, received, status
from collector.bench import message as reading
from doubles import START_MS

from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE, Batch, Spool
from rackwatt.collector.ingest.state import OWNER_SECONDS, Owners, SpoolBusy, SpoolLock
from rackwatt.collector.live.spoolclient import CollectorClient, CollectorUnavailable
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import Reason
from rackwatt.wire.status import EpochState, Status

CLOCK = ManualClock()
PDU = {"r1-pdu": {"power_watts": 1.0}}
OTHER = "rackwatt/v1/demo/site/meters/power"


async def opened(path: Path) -> Spool:
    spool = Spool(path, max_bytes=10**9, clock=CLOCK)
    await spool.start()
    return spool


def batch(*payloads: bytes) -> Batch:
    return Batch(messages=[(CLOCK.now_ms(), "t", payload) for payload in payloads])


# -- restarts of the collector ------------------------------------------------------------------


async def test_a_wrong_clock_is_known_from_the_first_answer_after_a_restart(tmp_path: Path) -> None:
    async with collector_kit(tmp_path / "spool.db") as kit:
        told = [received("rackwatt/v1/demo/site/meters/status", _status(START_MS + 900_000, 7))]
        await kit.ingest._on_batch(told)
    async with collector_kit(tmp_path / "spool.db") as kit:
        summary = kit.state.summary()
        assert summary["clock_offsets"] == {"meters": -900.0}
        (epoch,) = summary["clock_epochs"]["meters"]
        assert (epoch["through"], epoch["wrong"]) == (7, [(1, 7, -900.0)])


def _status(time_ms: int, last: int) -> bytes:
    epoch = EpochState(epoch=EPOCH, oldest=1, last=last, sent_through=0)
    status = Status(state="online", session=1, time=time_ms, epochs=(epoch,))
    return status.model_dump_json().encode()


async def test_a_device_keeps_its_agent_over_a_restart(tmp_path: Path) -> None:
    bench = await Bench(tmp_path / "s.db").start()
    await bench.take(reading(1))
    after = await Bench(tmp_path / "s.db").start()  # the first was killed
    await after.take(reading(1, topic=OTHER))
    assert after.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 1}
    after.clock.advance(OWNER_SECONDS + 1)
    await after.take(reading(2, topic=OTHER))
    assert len(await after.kept()) == 2
    again = await Bench(tmp_path / "s.db").start()
    await again.take(reading(2))
    assert again.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 2}
    for each in (bench, after, again):
        await each.spool.aclose()


def test_owners_are_written_when_they_change_and_not_with_each_reading() -> None:
    owners = Owners()
    for second in range(5):
        assert owners.claim("d", "a", float(second)) is None
    assert [note.rows for note in owners.notes()] == [[("d", "a")]]
    assert owners.notes() == []
    assert owners.claim("d", "b", 10.0) == "reported by 'a'"
    assert owners.forget(4.0 + OWNER_SECONDS)
    assert [note.rows for note in owners.notes()] == [[("d",)]]


async def test_totals_go_on_after_a_restart(tmp_path: Path) -> None:
    bench = await Bench(tmp_path / "s.db").start()
    await bench.take(
        reading(1), reading(1), received("rackwatt/v1/other/x/y/power", b""), status(1)
    )
    after = await Bench(tmp_path / "s.db").start()
    counts = after.ingest.counts
    assert (counts.messages, counts.duplicates) == ({"power": 1}, 1)
    assert counts.rejected == {Reason.WRONG_SITE: 1}
    await after.take(reading(2))
    assert after.ingest.counts.messages == {"power": 2}
    for each in (bench, after):
        await each.spool.aclose()


async def test_two_collectors_cannot_write_one_spool(tmp_path: Path) -> None:
    lock = SpoolLock(tmp_path / "spool.db")
    with pytest.raises(SpoolBusy, match="in use by a collector"):
        SpoolLock(tmp_path / "spool.db")
    lock.release()
    SpoolLock(tmp_path / "spool.db").release()


# -- the size of the backlog ---------------------------------------------------------------------


async def test_the_backlog_is_right_after_every_step_and_a_restart(tmp_path: Path) -> None:
    spool = await opened(tmp_path / "s.db")
    kept: dict[int, int] = {}
    for step in range(12):
        await spool.append(batch(*(b"x" * (step + n) for n in range(step % 4))))
        for n in range(step % 4):
            kept[len(kept) + 1] = step + n
        spool.passed(STORE, step)
        spool.passed(ACCOUNTANT, step // 2)
        await spool.trim()
        if step % 5 == 4:
            await spool.aclose()
            spool = await opened(tmp_path / "s.db")
        found = await spool.backlog()
        for name in (STORE, ACCOUNTANT):
            after = spool.cursor(name)
            assert found[name][0] == sum(size for id_, size in kept.items() if id_ > after), step
        gone = min(spool.cursor(STORE), spool.cursor(ACCOUNTANT))
        assert spool.size_bytes == sum(size for id_, size in kept.items() if id_ > gone)
    await spool.aclose()


async def test_a_long_backlog_is_measured_as_fast_as_a_short_one(tmp_path: Path) -> None:
    spool = await opened(tmp_path / "s.db")
    await spool.append(batch(*[b"x" * 200] * 200_000))
    spool.passed(STORE, 100_000)
    begun = time.perf_counter()
    for _ in range(100):
        found = await spool.backlog()
    assert found[STORE][0] == 100_000 * 200
    assert found[ACCOUNTANT][0] == 200_000 * 200
    assert time.perf_counter() - begun < 1.0, "100 look-ups; a sum over the table takes 10 s"
    await spool.aclose()


async def test_a_spool_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.executescript(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT"
            " NULL, topic TEXT NOT NULL, payload BLOB NOT NULL);"
            "CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);"
            "CREATE TABLE cursors (name TEXT PRIMARY KEY, id INTEGER NOT NULL);"
            "CREATE TABLE deadletters (id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER"
            " NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, detail"
            " TEXT NOT NULL);"
            "INSERT INTO identity VALUES (1, 'old'); INSERT INTO cursors VALUES ('store', 1);"
            "INSERT INTO messages VALUES (1, 5, 't', x'aaaa'), (2, 6, 't', x'aaaaaa'),"
            " (4, 7, 't', x'aa');"
            "INSERT INTO deadletters VALUES (1, 5, 't', x'00', 'unreadable', '');"
        )
    db.close()
    spool = await opened(path)
    assert spool.identity == "old", "an upgrade is no copy"
    await spool.append(batch(b"1234"))
    found = await spool.backlog()
    assert (found[STORE][0], found[ACCOUNTANT][0]) == (8, 10)
    assert (spool.size_bytes, spool.deadletters) == (10, 1)
    await spool.aclose()


# -- copies that were put back -------------------------------------------------------------------


def backup(path: Path, to: Path) -> None:
    source, target = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def put_back(copy: Path, path: Path) -> None:
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        name.unlink(missing_ok=True)
    shutil.copy(copy, path)


async def test_a_restart_keeps_the_identity_and_counts_the_generation(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        spool = await opened(tmp_path / "s.db")
        seen.append((spool.identity, spool.generation))
        await spool.aclose()
    assert [generation for _, generation in seen] == [1, 2, 3]
    assert len({identity for identity, _ in seen}) == 1


async def test_a_spool_that_was_put_back_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    spool = await opened(path)
    await spool.append(batch(b"1", b"2"))
    await spool.aclose()
    backup(path, tmp_path / "copy.db")
    spool = await opened(path)
    first = spool.identity
    await spool.append(batch(b"3"))
    await spool.aclose()
    put_back(tmp_path / "copy.db", path)
    spool = await opened(path)
    assert spool.identity != first
    assert spool.generation == 3
    again = spool.identity
    await spool.aclose()
    spool = await opened(path)
    assert spool.identity == again, "and stays that one"
    await spool.aclose()


async def test_a_folder_that_was_put_back_is_found_out_by_its_reader(tmp_path: Path) -> None:
    """Generation file and all: only the reader's cursor tells, even when the log has grown."""
    path = tmp_path / "spool.db"
    async with collector_kit(path) as kit:
        await kit.put(*(message(START_MS + n, PDU) for n in range(5)))
        identity = kit.spool.identity
    async with collector_kit(path) as kit:
        assert await kit.spool.belongs(5), "what was here at the start may have been read before"
        transport = httpx.ASGITransport(kit.door.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as http:
            client = CollectorClient("http://collector", TOKEN, http)
            await kit.put(*(message(START_MS + n, PDU) for n in range(60)))
            assert len(await client.spool(identity, 5)) == 60
            assert await client.spool(identity, 64)
            with pytest.raises(CollectorUnavailable, match="409"):
                await client.spool(identity, 66)  # never given: from before the copy was put back
            assert kit.spool.cursor(ACCOUNTANT) == 64
            with pytest.raises(CollectorUnavailable, match="409"):
                await client.spool(identity, 65)
            assert await client.identity() != identity
            assert len(await client.spool(await client.identity(), 0)) == 65
