# SPDX-License-Identifier: Apache-2.0
"""From spool to store: nothing lost, nothing twice, what is refused is kept with the reason."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from collecting import CollectorKit, ListStore, collector_kit, message
from doubles import START_MS, Running, until

from rackwatt.collector.ingest.decoding import Message
from rackwatt.collector.ingest.spool import STORE, Record
from rackwatt.collector.store import EmbeddedStore, Row, StoreRefused, StoreUnavailable, read
from rackwatt.collector.store.base import Store, WriteResult
from rackwatt.collector.store.drain import Drain
from rackwatt.wire.backoff import Backoff

PDU = {"r1-pdu": {"power_watts": 1.0}}


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[CollectorKit]:
    async with collector_kit(tmp_path / "spool.db") as made:
        yield made


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of the drain's back-off, made short."""
    found: list[float] = []
    following = Backoff.next

    def quick(self: Backoff) -> float:
        found.append(following(self))
        return 0.001

    monkeypatch.setattr(Backoff, "next", quick)
    return found


def drain_of(kit: CollectorKit, store: Store) -> Drain:
    return Drain(kit.spool, store, kit.site, kit.clock)


async def test_rows_arrive_in_order_and_the_cursor_follows(kit: CollectorKit) -> None:
    store = ListStore()
    for step in range(3):
        await kit.put(message(START_MS + step, PDU))
    await kit.put((START_MS, "rackwatt/v1/demo/site/meters/inventory", b"{}"))
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: kit.spool.cursor(STORE) == 4)
    times = [row.time_ms for write in store.writes for row in write]
    assert times == [START_MS, START_MS + 1, START_MS + 2]
    assert (drain.points, drain.refused, drain.up) == (3, 0, True)
    assert store.closed


async def test_a_store_that_is_down_gets_the_same_rows_again(
    kit: CollectorKit, waits: list[float]
) -> None:
    store = ListStore()
    store.failures = [StoreUnavailable("down"), StoreUnavailable("down"), StoreRefused("no token")]
    await kit.put(message(START_MS, PDU), message(START_MS + 1, PDU))
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: drain.points == 2)
    assert [len(write) for write in store.writes] == [2]
    assert store.starts == 4
    assert len(waits) == 3
    assert waits[2] > waits[0], "it backs off while the store stays down"


class _Stuck(ListStore):
    """Fails to write the first time, then takes for ever."""

    entered = False

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        if self.failures:
            raise self.failures.pop(0)
        self.entered = True
        await asyncio.Event().wait()
        raise AssertionError


async def test_it_is_up_only_once_the_store_took_a_batch_again(kit: CollectorKit) -> None:
    store = _Stuck()
    store.failures = [StoreUnavailable("down")]
    await kit.put(message(START_MS, PDU))
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: store.entered)
        assert not drain.up, "it answers, but has taken nothing since it failed"
    assert kit.spool.cursor(STORE) == 0, "the cursor moves only after the write"


async def test_it_waits_as_long_as_the_store_asks(kit: CollectorKit) -> None:
    store = ListStore()
    store.failures = [StoreUnavailable("busy", retry_after=0.2)]
    await kit.put(message(START_MS, PDU))
    drain = drain_of(kit, store)
    begun = asyncio.get_running_loop().time()
    async with Running(drain.run()):
        await until(lambda: drain.points == 1)
    assert asyncio.get_running_loop().time() - begun >= 0.19


def letters(path: Path) -> list[tuple[str, str, str]]:
    connection = sqlite3.connect(path)
    try:
        query = "SELECT topic, reason, detail FROM deadletters"
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def test_refused_rows_become_dead_letters_with_the_stores_words(
    kit: CollectorKit, tmp_path: Path
) -> None:
    store = ListStore()
    store.refuse = {"r2-pdu": "field type conflict: power_watts is a string"}
    await kit.put(message(START_MS, {**PDU, "r2-pdu": {"power_watts": 2.0}}))
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: kit.spool.cursor(STORE) == 1)
    assert letters(tmp_path / "spool.db") == [
        ("power", "refused_by_store", "field type conflict: power_watts is a string")
    ]
    assert (drain.points, drain.refused, kit.spool.deadletters) == (1, 1, 1)


async def test_without_room_for_dead_letters_nothing_is_passed(
    kit: CollectorKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ListStore()
    store.refuse = {"r1-pdu": "no"}
    await kit.put(message(START_MS, PDU))
    append = kit.spool.append
    full = [sqlite3.OperationalError("database or disk is full")]

    async def sometimes(batch: object) -> None:
        if full:
            raise full.pop()
        await append(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(kit.spool, "append", sometimes)
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: kit.spool.cursor(STORE) == 1)
    assert len(store.writes) == 2, "written again with its dead letter"
    assert (drain.refused, kit.spool.deadletters) == (1, 1)


async def test_after_a_crash_the_same_rows_are_written_again_harmlessly(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for _ in range(2):
        async with collector_kit(tmp_path / "spool.db") as kit:
            if kit.spool.last_id == 0:
                for step in range(5):
                    await kit.put(message(START_MS + step * 1000, PDU))
            assert kit.spool.cursor(STORE) == 0
            drain = drain_of(kit, EmbeddedStore(folder, clock=kit.clock))
            async with Running(drain.run()):
                await until(lambda: drain.points == 5)  # noqa: B023 - called at once
            kit.spool._cursors[STORE] = 0  # the process died before the cursor was saved
    found = [(row.time_ms, row.fields) for row in read(folder, "power")]
    assert found == [(START_MS + step * 1000, {"power_watts": 1.0}) for step in range(5)]


async def test_a_real_store_is_started_again_after_a_failure(
    kit: CollectorKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore(tmp_path / "store", clock=kit.clock)
    write = store.write
    failures: list[Exception] = [StoreUnavailable("disk full")]

    async def sometimes(rows: list[Row]) -> WriteResult:
        if failures:
            raise failures.pop()
        return await write(rows)

    monkeypatch.setattr(store, "write", sometimes)
    await kit.put(message(START_MS, PDU))
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: drain.points == 1)
    assert len(list(read(tmp_path / "store", "power"))) == 1


async def test_it_counts_how_old_rows_were_when_they_were_stored(kit: CollectorKit) -> None:
    now = kit.clock.now_ms()
    ages = (0, 1500, 40_000)
    await kit.put(*(message(now - age, PDU) for age in ages))
    drain = drain_of(kit, ListStore())
    async with Running(drain.run()):
        await until(lambda: drain.points == 3)
    within = dict(drain.within())
    assert [within[name] for name in ("0.5", "1", "2", "30", "60", "+Inf")] == [1, 1, 2, 2, 3, 3]
    assert drain.lag_seconds == 40.0


async def test_a_reading_without_any_value_is_no_row(kit: CollectorKit) -> None:
    store = ListStore()
    nothing = {"power_watts": None, "energy_import_watt_hours": None}
    zero = {"power_watts": 0.0, "energy_import_watt_hours": None}
    await kit.put(message(START_MS, {"r1-pdu": nothing, "r2-pdu": zero}))
    drain = drain_of(kit, store)
    async with Running(drain.run()):
        await until(lambda: kit.spool.cursor(STORE) == 1)
    assert [row.fields for write in store.writes for row in write] == [{"power_watts": 0.0}]


class _Slow(ListStore):
    """Takes its first batch only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.may = asyncio.Event()

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        self.entered.set()
        await self.may.wait()
        return await super().write(rows)


async def test_the_next_batch_is_made_ready_and_waits_for_its_turn(
    kit: CollectorKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rackwatt.collector.store.drain.BATCH_MESSAGES", 2)
    store = _Slow()
    await kit.put(*(message(START_MS + step, PDU) for step in range(5)))
    drain = drain_of(kit, store)
    asked: list[int] = []
    decoded = kit.spool.decodings.decoded

    def spying(record: Record) -> Message:
        asked.append(record.id)
        return decoded(record)

    monkeypatch.setattr(kit.spool.decodings, "decoded", spying)
    async with Running(drain.run()):
        await store.entered.wait()
        await until(lambda: asked == [1, 2, 3, 4])
        assert kit.spool.cursor(STORE) == 0
        store.failures = [StoreUnavailable("down")]
        store.may.set()
        await until(lambda: kit.spool.cursor(STORE) == 5)
    times = [row.time_ms - START_MS for write in store.writes for row in write]
    assert times == [0, 1, 2, 3, 4], "in order, what failed again, and nothing twice"
