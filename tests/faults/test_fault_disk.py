# SPDX-License-Identifier: Apache-2.0
"""The spool's disk is full: nothing is acknowledged that is not kept, and it recovers by itself."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doubles import until
from faults_kit.chain import Chain, chain, embedded
from faults_kit.compare import Values, outbox_messages, values_of
from faults_kit.fleet import Fleet, fleet
from faults_kit.table import FULL, Line

from rackwatt.collector.ingest.spool import STORE
from rackwatt.collector.ingest.state import watches_in
from rackwatt.collector.store.base import StoreUnavailable
from rackwatt.wire.codec import decode_envelope
from rackwatt.wire.ranges import Ranges
from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

AGENTS = 4
ROUNDS = 5 if FULL else 1
BLOCK = 400


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def acknowledged_is_kept(made: Chain, senders: Fleet, stored: Values) -> int:
    """What counts as received on the disk is in the spool or the store; returns how much is.

    What is acknowledged is part of it: the watch is saved with its messages, before.
    """
    with closing(sqlite3.connect(made.spool._path)) as db:
        watches = {
            epoch: at.received for agent in watches_in(db) for epoch, at in agent.epochs.items()
        }
        payloads = {bytes(payload) for (payload,) in db.execute("SELECT payload FROM messages")}
    count = 0
    for agent in senders.agents:
        for kind, payload in outbox_messages(agent.outbox._writer.path):
            envelope = decode_envelope(payload)
            if envelope.seq in watches.get(envelope.epoch, Ranges()):
                count += 1
                if payload not in payloads:
                    assert values_of([(kind, payload)]).items() <= stored.items()
    assert count >= made.acknowledged
    return count


async def put_until_full(made: Chain, senders: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """Send until the disk has refused at least twice."""
    before = said(caplog, "disk is full")

    def refused() -> bool:
        return said(caplog, "disk is full") >= before + 2

    for _ in range(100):
        # In the past, each time once; the outbox keeps a day.
        sent = senders.messages // len(senders.agents)
        await senders.put(now_ms() - 20 * 3_600_000 + sent * 1000, BLOCK)
        total = senders.messages
        await until(lambda n=total: refused() or made.spool.last_id >= n, 60)  # type: ignore[misc]
        if refused():
            return
    pytest.fail("the disk never was full")


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


async def pages(made: Chain, limit: int) -> int:
    """Limit the spool's file to so many pages more than it has; returns how many it may have."""

    def work(db):  # type: ignore[no-untyped-def]
        (count,) = db.execute("PRAGMA page_count").fetchone()
        return db.execute(f"PRAGMA max_page_count = {count + limit}").fetchone()[0]

    return int(await made.spool._writer.run(work))


class Shut:
    """A store that takes nothing for a while: what comes stays in the spool."""

    def __init__(self, made: Chain) -> None:
        self._made = made
        self._write = made.store.write

    def close(self) -> None:
        async def write(rows):  # type: ignore[no-untyped-def]
            raise StoreUnavailable("shut")

        self._made.store.write = write  # type: ignore[method-assign]

    def open(self) -> None:
        self._made.store.write = self._write  # type: ignore[method-assign]


async def test_the_spools_file_cannot_grow(
    mosquitto: Mosquitto, tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite says "database or disk is full", as it does on a full disk."""
    async with (
        chain(mosquitto.url, tmp_path, embedded(tmp_path)) as made,
        fleet(mosquitto.url, tmp_path, AGENTS) as senders,
    ):
        shut = Shut(made)
        for _ in range(ROUNDS):
            shut.close()
            await pages(made, 60)
            await put_until_full(made, senders, caplog)
            assert made.behind(senders) > 0
            await acknowledged_is_kept(made, senders, await made.stored())
            shut.open()  # what is drained makes room, page by page
            await made.settle(senders, 60)
        sent = await made.check(senders)
        line.note(
            "the spool's file cannot grow (max_page_count)",
            times=ROUNDS,
            messages=senders.messages,
            values=len(sent),
            lost=0,
            refused_by_the_disk=said(caplog, "disk is full"),
            repeated=made.ingest.counts.duplicates,
        )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MB, where this user may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("NOT TESTED: mounting a small tmpfs needs Linux and root")
    command = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: no tmpfs may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def fill(folder: Path) -> Path:
    """Take the last byte."""
    filler = folder / "somebody-elses-file"
    with filler.open("ab") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    return filler


async def test_somebody_else_fills_the_disk_and_clears_it(
    mosquitto: Mosquitto, tmp_path: Path, small_disk: Path, line: Line,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async with (
        chain(mosquitto.url, small_disk, embedded(tmp_path)) as made,
        fleet(mosquitto.url, tmp_path, AGENTS) as senders,
    ):
        shut = Shut(made)
        for _ in range(ROUNDS):
            shut.close()
            filler = fill(small_disk)
            assert free_bytes(small_disk) == 0
            await put_until_full(made, senders, caplog)
            assert made.behind(senders) > 0
            await acknowledged_is_kept(made, senders, await made.stored())
            filler.unlink()
            shut.open()
            await made.settle(senders, 60)
        sent = await made.check(senders)
        line.note(
            "somebody else fills the disk, then clears it (tmpfs of 10 MB)",
            times=ROUNDS,
            messages=senders.messages,
            values=len(sent),
            lost=0,
            refused_by_the_disk=said(caplog, "disk is full"),
            repeated=made.ingest.counts.duplicates,
        )


async def test_the_spool_itself_fills_the_disk_to_the_last_byte(
    mosquitto: Mosquitto, tmp_path: Path, small_disk: Path, line: Line,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The store is down until nothing is left; when it is back, deleting itself needs room."""
    async with (
        chain(mosquitto.url, small_disk, embedded(tmp_path)) as made,
        fleet(mosquitto.url, tmp_path, AGENTS) as senders,
    ):
        shut = Shut(made)
        shut.close()
        await put_until_full(made, senders, caplog)
        filler = fill(small_disk)
        assert free_bytes(small_disk) == 0
        assert made.spool.cursor(STORE) == 0
        await acknowledged_is_kept(made, senders, await made.stored())
        kept = made.spool.last_id
        shut.open()
        await made.settle(senders, 120)
        sent = await made.check(senders)
        line.note(
            "the spool fills its disk to the last byte, nobody clears it",
            messages=senders.messages,
            in_the_spool_when_full=kept,
            values=len(sent),
            lost=0,
            refused_by_the_disk=said(caplog, "disk is full"),
        )
        filler.unlink()


async def test_it_starts_on_a_full_disk_and_waits(
    mosquitto: Mosquitto, tmp_path: Path, small_disk: Path, line: Line
) -> None:
    """Killed while the disk was full: the next start must not depend on room."""
    start = now_ms() - 3_600_000
    async with fleet(mosquitto.url, tmp_path, AGENTS) as senders:
        async with chain(mosquitto.url, small_disk, embedded(tmp_path)) as made:
            await senders.put(start, 50)
            await made.settle(senders, 30)
        filler = fill(small_disk)
        async with chain(mosquitto.url, small_disk, embedded(tmp_path)) as made:
            await senders.put(start + 50_000, 400)
            await asyncio.sleep(0.5)
            await acknowledged_is_kept(made, senders, await made.stored())
            filler.unlink()
            await made.settle(senders, 60)
            sent = await made.check(senders)
    line.note("a start on a full disk", messages=senders.messages, values=len(sent), lost=0)
