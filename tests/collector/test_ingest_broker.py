# SPDX-License-Identifier: Apache-2.0
"""Agents, broker and collector together: nothing is lost, whoever dies."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from doubles import FakePlaces, FakeSource, Running, session, until

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.collector.ingest import watch as watch_module
from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import Reason, decode_envelope
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.topics import Topic
from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps are noticed, and connections made again, in a fraction of a second."""
    monkeypatch.setattr(watch_module, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr("rackwatt.agents.agent.STATUS_SECONDS", 0.1)
    monkeypatch.setattr("rackwatt.wire.session.Backoff.next", lambda _: 0.05)


def make_agent(url: str, folder: Path, name: str = "snmp-a") -> Agent:
    settings = AgentSettings(
        site="demo", hall="hall-a", name=name, sample_every=0.05, send_every=0.05
    )
    config = Config(agent=settings, broker=BrokerSettings(url=url), source="fake")
    source = FakeSource(lambda number: [Sample("power", f"{name}-m", {"power_watts": number})])
    outbox = Outbox(folder / f"{name}.db", keep_seconds=3600, max_bytes=10**8, clock=SYSTEM_CLOCK)
    return Agent(config, source, outbox, ErrorCounter())


class Collector:
    """An ingest over a spool file."""

    def __init__(self, ingest: Ingest, spool: Spool) -> None:
        self.ingest = ingest
        self.spool = spool

    async def numbers(self, agent: str = "snmp-a") -> list[int]:
        return [
            decode_envelope(record.payload).seq
            for record in await self.spool.read(0, 10**6)
            if Topic.parse(record.topic).agent == agent
        ]

    async def has(self, last: int) -> None:
        """Wait until 1 to `last` are all here."""
        wanted = set(range(1, last + 1))
        async with asyncio.timeout(20):
            while not wanted <= set(await self.numbers()):
                await self.spool.wait(self.spool.last_id, 0.5)


async def make_collector(url: str, path: Path) -> Collector:
    spool = Spool(path, max_bytes=10**8, clock=SYSTEM_CLOCK)
    watches = await spool.start()
    ingest = Ingest(
        BrokerSettings(url=url), FakePlaces(), spool, SYSTEM_CLOCK, backfill_seconds=None
    )
    ingest.watch.restore(watches)
    return Collector(ingest, spool)


@asynccontextmanager
async def collecting(url: str, path: Path) -> AsyncIterator[Collector]:
    collector = await make_collector(url, path)
    async with Running(collector.ingest.run()):
        yield collector
    await collector.spool.aclose()


async def test_from_the_agent_to_the_spool(mosquitto: Mosquitto, tmp_path: Path) -> None:
    agent = make_agent(mosquitto.url, tmp_path)
    async with collecting(mosquitto.url, tmp_path / "spool.db") as collector:
        await collector.ingest.session.connected.wait()
        async with Running(agent.run()):
            await collector.has(8)
            watch = collector.ingest.watch.get("snmp-a")
            assert watch is not None
            assert watch.online
            sent = await agent.outbox.fetch(agent.outbox.epoch, (1, 8))
            kept = [record.payload for record in await collector.spool.read(0, 8)]
            assert kept == [item.payload for item in sent]
        await until(lambda: not watch.online)
        assert watch.clock_offset_seconds is not None
        assert abs(watch.clock_offset_seconds) < 1.0


async def test_a_collector_that_is_killed_goes_on_without_a_loss(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Killed: its connection breaks in the middle of a batch, nothing is closed or said."""
    agent = make_agent(mosquitto.url, tmp_path)
    path = tmp_path / "spool.db"
    async with Running(agent.run()):
        for _ in range(3):
            collector = await make_collector(mosquitto.url, path)
            task = asyncio.ensure_future(collector.ingest.run())
            before = collector.spool.last_id
            await until(lambda c=collector, n=before: c.spool.last_id >= n + 5)  # type: ignore[misc]
            client = collector.ingest.session._client
            assert client is not None
            collector.ingest.session.ack = lambda messages: None  # type: ignore[method-assign]
            await until(lambda c=collector, n=before: c.spool.last_id >= n + 8)  # type: ignore[misc]
            client._client._sock_close()
            task.cancel()
            await asyncio.wait([task])
            await collector.spool._writer.aclose()
        async with collecting(mosquitto.url, path) as collector:
            last = agent.outbox.states()[-1].last
            await collector.has(last)
            numbers = await collector.numbers()
            assert len(numbers) == len(set(numbers))
            await until(lambda: collector.ingest.counts.duplicates >= 3)
            assert len(await collector.numbers()) == collector.spool.last_id


async def test_a_disk_that_refuses_holds_up_and_loses_nothing(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(mosquitto.url, tmp_path)
    async with collecting(mosquitto.url, tmp_path / "spool.db") as collector:
        refused = [0]
        real = collector.spool.append

        async def append(batch: Batch) -> None:
            if batch.messages and 3 <= collector.spool.last_id < 10 and refused[0] < 3:
                refused[0] += 1
                raise sqlite3.OperationalError("disk I/O error")
            await real(batch)

        monkeypatch.setattr(collector.spool, "append", append)
        async with Running(agent.run()):
            await collector.has(20)
        assert refused[0] == 3
        numbers = await collector.numbers()
        assert len(numbers) == len(set(numbers))


async def test_what_the_broker_lost_is_asked_for_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The broker acknowledges, is killed, and comes back with nothing."""
    agent = make_agent(mosquitto.url, tmp_path)
    path = tmp_path / "spool.db"
    async with collecting(mosquitto.url, path) as collector, Running(agent.run()):
        await collector.has(3)
    agent = make_agent(mosquitto.url, tmp_path)
    async with Running(agent.run()):
        await until(lambda: agent.counts.sent >= 6)  # the collector is away: the broker holds them
        mosquitto.kill()
        for file in mosquitto.directory.glob("mosquitto.db*"):
            file.unlink()
        mosquitto.start()
        async with collecting(mosquitto.url, path) as collector:
            epoch = agent.outbox.epoch

            def complete() -> bool:
                watch = collector.ingest.watch.get("snmp-a")
                state = agent.outbox.states()[-1]
                return (
                    watch is not None
                    and epoch in watch.epochs
                    and state.sent_through >= 10
                    and not watch.epochs[epoch].open_ranges(state.sent_through)
                )

            await until(complete, 20.0)
            assert collector.ingest.counts.recovered >= 6
            await until(lambda: agent.counts.replayed >= 6)
            assert collector.spool.lost == 0
            watch = collector.ingest.watch.get("snmp-a")
            assert watch is not None
            await until(lambda: watch.missing() == 0)


async def idle() -> None:
    await asyncio.sleep(0)


async def test_a_message_that_stays_unreadable_is_given_up(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent whose outbox was damaged answers each request with the same broken bytes."""
    monkeypatch.setattr(
        "rackwatt.collector.ingest.replays.Backoff", lambda **_: Backoff(0.05, 0.05)
    )
    agent = make_agent(mosquitto.url, tmp_path)
    await agent.outbox.start()
    real = agent.outbox.put

    async def put(messages):  # type: ignore[no-untyped-def]
        stored = await real(messages)
        if agent.outbox.states()[-1].last == 3:
            epoch = agent.outbox.epoch
            await agent.outbox._writer.run(
                lambda db: db.execute(
                    "UPDATE messages SET payload = ? WHERE epoch = ? AND seq = 3",
                    (b"broken", epoch),
                )
            )
            return await agent.outbox.fetch(epoch, (3, 3))
        return stored

    monkeypatch.setattr(agent.outbox, "put", put)
    monkeypatch.setattr(agent.outbox, "start", idle)
    async with collecting(mosquitto.url, tmp_path / "spool.db") as collector:
        await collector.ingest.session.connected.wait()
        async with Running(agent.run()):
            await until(lambda: collector.spool.lost == 1, 20.0)
            watch = collector.ingest.watch.get("snmp-a")
            assert watch is not None
            await until(lambda: watch.missing() == 0)
            assert list(watch.epochs[agent.outbox.epoch].lost) == [(3, 3)]
        rejected = collector.ingest.counts.rejected
        assert rejected[Reason.UNREADABLE] >= 3


async def test_poison_from_the_wire_does_not_stop_the_others(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = make_agent(mosquitto.url, tmp_path)
    poison = [
        ("power", b"\x00"),
        ("power", b'{"epoch":1,"seq":1,"time":1,"readings":[{"device":"\\ud800"}]}'),
        ("power", b'{"epoch":1,"seq":2,"time":1,"readings":[{"device":"x","power_watts":1'
         + b"0" * 400 + b"}]}"),
        ("status", b"[]"),
        ("inventory", json.dumps({"version": 1}).encode()),
    ]  # fmt: skip
    async with collecting(mosquitto.url, tmp_path / "spool.db") as collector:
        await collector.ingest.session.connected.wait()
        sender = session(mosquitto.url, "vandal")
        async with Running(agent.run()), Running(sender.run()):
            await sender.connected.wait()
            for last, payload in poison:
                await sender.publish(f"rackwatt/v1/demo/hall-a/vandal/{last}", payload)
            await collector.has(5)
            await until(lambda: collector.ingest.counts.rejected.total() == len(poison))
        assert collector.spool.deadletters == len(poison)
        assert collector.ingest.session.reconnects == 0
