# SPDX-License-Identifier: Apache-2.0
"""A vandal with a name at the broker: no crash, no loop, no stall of good traffic, all counted."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from collector.bench import Bench
from doubles import Running, session, until
from faults_kit.chain import Chain, chain, embedded
from faults_kit.fleet import Fleet, fleet
from faults_kit.memory import peak_mb, reset_peak
from faults_kit.table import FULL, Line
from faults_kit.vandal import Message, Vandal, huge

from rackwatt.collector.ingest import checks as checks_module
from rackwatt.collector.ingest import watch as watch_module
from rackwatt.wire.codec import Reason
from rackwatt.wire.session import Received
from servers.fixtures import Mosquitto

COUNT = 100_000 if FULL else 4_000
HUGE = (2_000_000, 10_000_000) if FULL else (2_000_000,)
SLOWEST_SECONDS = 30.0
"""After this a message counts as missing. Vandals and good ones share one process here."""
MEMORY_MB = 300.0
VANDALS = 4
IN_FLIGHT = 50


async def flood(url: str, messages: Iterator[Message], name: str) -> int:
    """Publish everything, many at a time; returns how much."""
    sent = 0
    sender = session(url, name)
    async with Running(sender.run()):
        await sender.connected.wait()
        while chunk := list(itertools.islice(messages, IN_FLIGHT)):
            await asyncio.gather(
                *(sender.publish(item.topic, item.payload, timeout=60.0) for item in chunk)
            )
            sent += len(chunk)
    return sent


@contextlib.asynccontextmanager
async def good_traffic(made: Chain, senders: Fleet) -> AsyncIterator[list[float]]:
    """A message of each agent now and then; tells how long it took until they were here."""
    stopping = asyncio.Event()
    delays: list[float] = []

    async def run() -> None:
        time_ms = time.time_ns() // 1_000_000 - 3_600_000
        while not stopping.is_set():
            time_ms += 1000
            started = time.monotonic()
            await senders.put(time_ms)
            await until(lambda: all(newest_is_here(made, senders)), 60)
            delays.append(time.monotonic() - started)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(run())
    try:
        yield delays
    finally:
        stopping.set()
        await task


def newest_is_here(made: Chain, senders: Fleet) -> Iterator[bool]:
    for agent in senders.agents:
        watch = made.ingest.watch.get(agent.session._client_id)
        epoch = None if watch is None else watch.epochs.get(agent.outbox.epoch)
        yield epoch is not None and agent.outbox.states()[-1].last in epoch.received


async def floods(url: str) -> int:
    """All vandals at once."""
    each = [
        flood(url, Vandal(seed).messages(COUNT // VANDALS), f"flood-{seed}")
        for seed in range(VANDALS)
    ]
    return sum(await asyncio.gather(*each))


def large_messages() -> list[Message]:
    lasts = ("power", "status", "inventory", "gpu")
    return [
        Message(f"rackwatt/v1/demo/hall-a/vandal/{last}", payload)
        for size in HUGE
        for last, payload in zip(lasts, huge(size), strict=True)
    ]


@pytest.mark.e2e
async def test_a_flood_of_nonsense_through_the_broker(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    started = time.monotonic()
    async with (
        chain(mosquitto.url, tmp_path, embedded(tmp_path)) as made,
        fleet(mosquitto.url, tmp_path, 2) as senders,
    ):
        before = reset_peak()
        async with good_traffic(made, senders) as delays:
            sent = await floods(mosquitto.url)
            large = large_messages()
            sent += await flood(mosquitto.url, iter(large), "flood-large")
            rejected = made.ingest.counts.rejected
            await until(lambda: rejected[Reason.TOO_LARGE] == len(large), 60)
            rounds = len(delays)
            await until(lambda: len(delays) > rounds + 3, 60)
        seconds = time.monotonic() - started
        await made.settle(senders, 60)
        peak = peak_mb()
        sent_values = senders.sent()
        stored = await made.stored()
        assert sent_values.items() <= stored.items()
        grown = None if before is None or peak is None else peak - before
        line.note(
            "fuzzed messages through the broker",
            sent=sent,
            parts_rejected=rejected.total(),
            reasons=len(rejected),
            good_messages=senders.messages,
            good_lost=0,
            slowest_good=f"{max(delays):.2f} s",
            reconnects=made.ingest.session.reconnects,
            memory_grown=None if grown is None else f"{grown:.0f} MB",
            rate=f"{sent / seconds:.0f}/s",
        )
        assert made.ingest.session.reconnects == 0
        assert set(rejected) <= set(Reason)
        assert len(rejected) >= 8
        assert max(delays) < SLOWEST_SECONDS
        assert grown is None or grown < MEMORY_MB


def received(number: int, message: Message) -> Received:
    return Received(message.topic, message.payload, bool(number % 5 == 0), number % 65_535, 1, 1)


async def test_every_message_is_kept_counted_or_known(tmp_path: Path, line: Line) -> None:
    """Topics of any form, straight into ingest: each message leaves a trace, none an exception."""
    bench = await Bench(tmp_path / "spool.db").start()
    messages = Vandal(99, wild_topics=True).messages(COUNT // 2)
    for number, message in enumerate(messages):
        before = trace(bench)
        await bench.take(received(number, message))
        good_status = message.topic.endswith(("/status", "/inventory"))
        assert trace(bench) > before or good_status, message
    assert len(bench.acknowledged) == COUNT // 2
    rejected = bench.ingest.counts.rejected
    again = await Bench(bench.path).start()  # what was saved can be loaded
    assert 0 < len(again.ingest.watch) <= len(bench.ingest.watch)
    assert again.spool.lost == pytest.approx(bench.spool.lost)
    line.note("fuzzed messages and topics, one by one", messages=COUNT // 2,
              rejected=rejected.total(), reasons=len(rejected))  # fmt: skip
    await again.spool.aclose()
    await bench.spool.aclose()


def trace(bench: Bench) -> int:
    """Grows with each message of readings, and with each that is refused."""
    counts = bench.ingest.counts
    return counts.messages.total() + counts.rejected.total() + counts.duplicates


async def test_an_agent_that_makes_up_numbers_fills_no_memory(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "MAX_EPOCHS", 50)
    monkeypatch.setattr(watch_module, "MAX_RUNS", 100)
    monkeypatch.setattr(checks_module, "MAX_AGENTS", 30)
    bench = await Bench(tmp_path / "spool.db").start()

    def message(agent: str, epoch: int, seq: int) -> Received:
        body = {"epoch": epoch, "seq": seq, "time": 1, "readings": []}
        topic = f"rackwatt/v1/demo/hall-a/{agent}/power"
        return Received(topic, json.dumps(body).encode(), False, 1, 1, 1)

    await bench.take(*(message("gaps", 1, 2 * n) for n in range(1, 201)))
    await bench.take(*(message("epochs", n, 1) for n in range(1, 101)))
    await bench.take(*(message(f"stranger-{n}", 1, 1) for n in range(100)))
    await bench.take(message("snmp-a", 1, 1))  # the site file names it
    gaps, epochs = bench.ingest.watch.get("gaps"), bench.ingest.watch.get("epochs")
    assert gaps is not None
    assert epochs is not None
    assert gaps.epochs[1].received.runs() == 100
    assert len(epochs.epochs) == 50
    assert len(bench.ingest.watch) == 31
    rejected = bench.ingest.counts.rejected
    assert rejected[Reason.TOO_MANY_GAPS] == 100 + 50
    assert rejected[Reason.TOO_MANY_AGENTS] == 100 - 28
    # What fills a gap is taken all the same, and makes room for what was refused.
    await bench.take(*(message("gaps", 1, 2 * n - 1) for n in range(1, 101)))
    assert gaps.epochs[1].received.runs() == 1
    await bench.take(*(message("gaps", 1, 2 * n) for n in range(101, 201)))
    assert rejected[Reason.TOO_MANY_GAPS] == 100 + 50 + 1
    line.note("made-up numbers and names", bounded="agents, epochs, gaps")
    await bench.spool.aclose()
