# SPDX-License-Identifier: Apache-2.0
"""The database goes away, comes back slow, and refuses: nothing is lost, memory stays bounded."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from doubles import until
from faults_kit.chain import Chain, chain, embedded, influx
from faults_kit.compare import difference, stored_in
from faults_kit.fleet import fleet
from faults_kit.memory import peak_mb, reset_peak
from faults_kit.proxy import Proxy
from faults_kit.table import FULL, Line

from rackwatt.collector.ingest.spool import STORE
from rackwatt.collector.store import EmbeddedStore
from rackwatt.collector.store.letters import from_payload
from servers.fixtures import InfluxBucket, Mosquitto

pytestmark = pytest.mark.e2e

SECONDS = 600 if FULL else 60
"""Traffic during the outage, as many messages as agents send in that time."""
AGENTS = 8 if FULL else 4
MEMORY_MB = 150.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def proxy(influx_bucket: InfluxBucket) -> AsyncIterator[Proxy]:
    async with Proxy(influx_bucket.server.port) as made:
        yield made


async def test_influxdb_is_down_then_slow_then_back(
    mosquitto: Mosquitto,
    influx_bucket: InfluxBucket,
    proxy: Proxy,
    tmp_path: Path,
    line: Line,
) -> None:
    store = influx(influx_bucket, proxy.url("http"), timeout=1.0)
    start = now_ms() - 3 * SECONDS * 1000
    async with (
        chain(mosquitto.url, tmp_path, store) as made,
        fleet(mosquitto.url, tmp_path, AGENTS) as senders,
    ):
        await senders.put(start, 20)
        await made.settle(senders, 30)
        before = reset_peak()
        proxy.refuse()
        await senders.put(start + 20_000, SECONDS)
        await until(lambda: made.spool.last_id >= AGENTS * (20 + SECONDS), 120)
        await until(lambda: not made.drain.up, 20)
        down = made.spool.last_id - made.spool.cursor(STORE)
        assert down == AGENTS * SECONDS
        proxy.resume()
        proxy.stall()  # it takes connections and answers nothing
        accepted = proxy.accepted
        await until(lambda: proxy.accepted >= accepted + 2, 30)
        proxy.bytes_per_second = 40_000.0  # slower than a whole batch within the time-out
        proxy.resume()
        slow = time.monotonic()
        await until(lambda: made.spool.last_id - made.spool.cursor(STORE) < down, 60)
        slow = time.monotonic() - slow
        assert made.drain._limit < 1000
        proxy.bytes_per_second = None
        await made.settle(senders, 60)
        peak = peak_mb()
        sent = await made.check(senders, influx(influx_bucket))
        grown = None if before is None or peak is None else peak - before
        assert grown is None or grown < MEMORY_MB
        assert proxy.cuts + proxy.refused > 0
        line.note(
            f"InfluxDB down for {SECONDS} s of traffic, stalled, slow, back",
            messages=senders.messages,
            values=len(sent),
            lost=0,
            waiting_at_most=down,
            first_batch_through_while_slow=f"{slow:.1f} s",
            memory_grown=None if grown is None else f"{grown:.0f} MB",
        )


async def test_the_embedded_store_is_locked_then_back(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """Another process holds its file: the nearest to a database that is down."""
    store = embedded(tmp_path)
    start = now_ms() - 3 * SECONDS * 1000
    start -= start % 86_400_000 - 3_600_000  # all within one day: one file
    async with (
        chain(mosquitto.url, tmp_path, store) as made,
        fleet(mosquitto.url, tmp_path, AGENTS) as senders,
    ):
        await senders.put(start, 20)
        await made.settle(senders, 30)
        (file,) = (tmp_path / "store").glob("raw-*.db")
        await quick_to_give_up(store)
        before = reset_peak()
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await senders.put(start + 20_000, SECONDS)
            await until(lambda: made.spool.last_id >= AGENTS * (20 + SECONDS), 120)
            await until(lambda: not made.drain.up, 20)
            waiting = made.spool.last_id - made.spool.cursor(STORE)
            assert waiting == AGENTS * SECONDS
            other.execute("ROLLBACK")
        await made.settle(senders, 60)
        peak = peak_mb()
        sent = await made.check(senders)
        grown = None if before is None or peak is None else peak - before
        assert grown is None or grown < MEMORY_MB
        line.note(
            f"embedded store locked for {SECONDS} s of traffic, then back",
            messages=senders.messages,
            values=len(sent),
            lost=0,
            waiting_at_most=waiting,
            memory_grown=None if grown is None else f"{grown:.0f} MB",
        )


async def quick_to_give_up(store: EmbeddedStore) -> None:
    """Waiting 10 s for a lock is right in operation, and long in a test."""

    def work() -> None:
        for tables in store._open.values():
            tables.connection.execute("PRAGMA busy_timeout = 50")

    await store._run(work)


async def test_rows_that_influxdb_refuses_are_buried_and_the_rest_is_stored(
    mosquitto: Mosquitto, influx_bucket: InfluxBucket, tmp_path: Path, line: Line
) -> None:
    """A field that somebody wrote as a text refuses numbers for ever."""
    start = now_ms() - 600_000
    day = start - start % 86_400_000
    influx_bucket.write(f'power,site=demo power_watts="text" {day}')
    count = 200 if FULL else 40
    store = influx(influx_bucket)
    async with (
        chain(mosquitto.url, tmp_path, store) as made,
        fleet(mosquitto.url, tmp_path, 2) as senders,
    ):
        await senders.put(start, count)
        await made.settle(senders, 60)
        sent = senders.sent()
        refused = made.drain.refused
        stored = await asyncio.to_thread(stored_in, store, "power")
        gone = difference(sent, stored)
        letters = dead_letters(tmp_path)
        assert refused == len(letters) > 0
        assert all("conflict" in detail for _, detail, _ in letters)
        assert {reason for reason, _, _ in letters} == {"refused_by_store"}
        # What is not stored is in the letters, row by row, and nothing else is.
        assert {key[1] for key in gone.lost} == {device for _, _, device in letters}
        assert len({(key[1], key[3]) for key in gone.lost}) == refused
        assert not gone.changed
        assert not gone.foreign
        line.note(
            "InfluxDB refuses rows (field type conflict)",
            rows=count * 8,
            dead_letters=refused,
            reason=repr(letters[0][1][:60]),
        )


def dead_letters(folder: Path) -> list[tuple[str, str, str]]:
    """Reason, detail and device of each."""
    with closing(sqlite3.connect(folder / "spool.db")) as db:
        rows = db.execute("SELECT reason, detail, payload FROM deadletters").fetchall()
    return [(r, d, dict(from_payload(p).tags)["device"]) for r, d, p in rows]


async def test_one_bad_row_of_many_costs_the_others_nothing(
    mosquitto: Mosquitto, influx_bucket: InfluxBucket, tmp_path: Path, line: Line
) -> None:
    """A time beyond what the database takes, in the middle of good rows."""
    start = now_ms() - 600_000
    bad_ms = 9_300_000_000_000  # the year 2264: beyond 64-bit nanoseconds
    store = influx(influx_bucket)
    async with (
        chain(mosquitto.url, tmp_path, store) as made,
        fleet(mosquitto.url, tmp_path, 2) as senders,
    ):
        await senders.put(start, 20)
        await senders.put(bad_ms)
        await senders.put(start + 20_000, 20)
        await made.settle(senders, 60)
        sent = senders.sent()
        stored = await asyncio.to_thread(stored_in, store, "power")
        gone = difference(sent, stored)
        assert {key[3] for key in gone.lost} == {bad_ms}
        assert len(gone.lost) == 2 * 2 * 4  # agents, fields, devices
        assert not gone.changed
        assert made.drain.refused == len(dead_letters(tmp_path)) == 2 * 4
        line.note("a row that no database takes", dead_letters=8, others_lost=0)


async def test_a_message_in_the_spool_that_cannot_be_read_holds_up_nothing(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """A spool of another version, or a damaged one: the collector must not die of it for ever."""
    start = now_ms() - 600_000
    poison = [b"\x00\xff", b"{}", json.dumps({"epoch": 1}).encode()]
    async with (
        chain(mosquitto.url, tmp_path, embedded(tmp_path)) as made,
        fleet(mosquitto.url, tmp_path, 2) as senders,
    ):
        await senders.put(start, 5)
        await made.settle(senders, 30)
        await spoil(made, poison)
        await senders.put(start + 5_000, 5)
        await made.settle(senders, 30)
        await made.check(senders)
        assert made.drain.unreadable == len(poison) + 1
        assert made.spool.deadletters == len(poison) + 1
        line.note("poison in the spool itself", dead_letters=made.spool.deadletters, lost=0)


async def spoil(made: Chain, payloads: list[bytes]) -> None:
    topic = "rackwatt/v1/demo/hall-a/agent-0/power"
    rows = [(now_ms(), topic, payload) for payload in payloads]
    rows.append((now_ms(), "no/topic", b"{}"))

    def work(db: sqlite3.Connection) -> None:
        db.executemany("INSERT INTO messages (received_ms, topic, payload) VALUES (?, ?, ?)", rows)

    await made.spool._writer.run(work)
