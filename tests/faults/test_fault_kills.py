# SPDX-License-Identifier: Apache-2.0
"""Collector and broker are killed in full traffic: nothing is lost, nothing is changed."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from doubles import until
from faults_kit.chain import AnyStore, influx
from faults_kit.compare import difference, stored_in
from faults_kit.fleet import Fleet, fleet
from faults_kit.processes import QUICK, REAL, CollectorProcess, lifeline
from faults_kit.table import FULL, Line
from faults_kit.tap import Tap

from servers.fixtures import InfluxBucket, Mosquitto

pytestmark = pytest.mark.e2e

AGENTS = 10
RATE = 1000 if FULL else 400
"""Messages per second, of all agents."""
KILLS = 20 if FULL else 3
BROKER_KILLS = 10 if FULL else 2
BROKER_RATE = 200
QUEUED = 100
"""Messages that a broker takes alone before it is killed."""
DISTANCE = 0.005
"""Seconds to the broker and back, each: what is under way at a kill is lost with it."""
DEFAULT_AUTOSAVE = 1800
"""Mosquitto's own: a killed broker has forgotten what it took in half an hour."""


@contextlib.asynccontextmanager
async def traffic(senders: Fleet, rate: float) -> AsyncIterator[None]:
    """So many messages per second, of all agents together; ends between two rounds."""
    stopping = asyncio.Event()
    each = rate / len(senders.agents)
    step_ms = round(1000 / each)
    first_ms = time.time_ns() // 1_000_000 - 600_000

    async def run() -> None:
        started, given = time.monotonic(), 0
        while not stopping.is_set():
            due = int((time.monotonic() - started) * each)
            if due > given:
                await senders.put(first_ms + given * step_ms, due - given, step_ms)
                given = due
            await asyncio.sleep(0.02)

    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        stopping.set()
        await task


def outboxes(folder: Path, senders: Fleet) -> Mapping[str, Path]:
    return {
        agent.session._client_id: folder / f"{agent.session._client_id}.db"
        for agent in senders.agents
    }


async def kill_collector_again_and_again(
    collector: CollectorProcess, senders: Fleet, tap: Tap
) -> dict[str, object]:
    """At random moments of the traffic, the first with acknowledgements under way; figures."""
    rng = random.Random(20)  # noqa: S311 - repeatable
    began, away = time.monotonic(), 0.0
    async with traffic(senders, RATE):
        for number in range(KILLS):
            before = tap.published
            await until(lambda: tap.published > before, 20)  # noqa: B023 - it takes messages
            await asyncio.sleep(rng.uniform(0.0, 1.5))
            if number == 0:
                tap.hold_answers_of_the_client()
                await asyncio.sleep(0.2)
            await collector.kill()
            tap.cut()
            tap.let_go()
            killed = time.monotonic()
            await collector.start()
            away += time.monotonic() - killed
        lasted = time.monotonic() - began
    return {
        "kills": KILLS,
        "messages_per_s": f"{senders.messages / lasted:.0f}",
        "s_away_each": f"{away / KILLS:.1f}",
    }


async def compare(senders: Fleet, store: AnyStore, line: Line) -> None:
    sent = senders.sent()
    found = difference(sent, await asyncio.to_thread(stored_in, store, "power"))
    line.figures |= {
        "messages": senders.messages, "values": len(sent), "lost": len(found.lost),
        "changed": len(found.changed),
    }  # fmt: skip
    assert sent
    assert not found, str(found)


@pytest.mark.parametrize(
    "which", ["embedded", *(["influx"] if FULL else [])], ids=lambda which: which
)
async def test_a_collector_is_killed_again_and_again(
    mosquitto: Mosquitto,
    tmp_path: Path,
    line: Line,
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    """Its data survive, the broker sends what it had not acknowledged, twice comes in once."""
    arguments: list[str] = []
    if which == "influx":
        bucket: InfluxBucket = request.getfixturevalue("influx_bucket")
        (tmp_path / "token").write_text(bucket.token, encoding="utf-8")
        arguments = ["--influx", bucket.url, "--influx-org", bucket.org,
                     "--influx-bucket", bucket.bucket, "--influx-rollups-bucket", bucket.bucket,
                     "--influx-token-file", str(tmp_path / "token")]  # fmt: skip
    with lifeline() as life:
        async with (
            Tap(mosquitto.port, DISTANCE) as tap,
            fleet(mosquitto.url, tmp_path, AGENTS) as senders,
        ):
            collector = CollectorProcess(tmp_path, tap.url("mqtt"), life, arguments)
            try:
                await collector.start()
                figures = await kill_collector_again_and_again(collector, senders, tap)
                begun = time.monotonic()
                await collector.settle(outboxes(tmp_path, senders), 120)
                figures["settled_in"] = f"{time.monotonic() - begun:.1f} s"
                twice = int(await collector.metric("rackwatt_messages_duplicate_total"))
                lost = await collector.metric("rackwatt_messages_lost_total")
            finally:
                await collector.stop()
        store = influx(bucket) if which == "influx" else collector.store()
        line.note(
            f"SIGKILL of the collector, {which} store",
            **figures, redelivered=tap.redelivered, recognised_as_duplicates=twice,
            replayed=senders.replayed,
        )  # fmt: skip
        await compare(senders, store, line)
    assert tap.redelivered > 0, "nothing was under way at any kill"
    assert twice > 0, "no kill came between commit and acknowledgement"
    assert lost == 0


@pytest.mark.parametrize(
    ("module", "kills"),
    [(QUICK, BROKER_KILLS), *([(REAL, 1)] if FULL else [])],
    ids=["again-and-again", *(["as-it-is"] if FULL else [])],
)
async def test_a_broker_is_killed_with_what_it_alone_has(
    tmp_path: Path, line: Line, module: str, kills: int
) -> None:
    """All that it acknowledged and forgot is asked of the agents again.

    In operation 30 s pass before a message counts as missing; once that is waited for.
    """
    with lifeline() as life, Mosquitto(tmp_path / "m", autosave_seconds=DEFAULT_AUTOSAVE) as broker:
        async with Tap(broker.port) as tap, fleet(broker.url, tmp_path, AGENTS) as senders:
            collector = CollectorProcess(tmp_path, tap.url("mqtt"), life, module=module)
            try:
                await collector.start()
                async with traffic(senders, BROKER_RATE):
                    for _ in range(kills):
                        await kill_broker(broker, senders, tap)
                begun = time.monotonic()
                await collector.settle(outboxes(tmp_path, senders), 180)
                settled = time.monotonic() - begun
                recovered = int(await collector.metric("rackwatt_messages_recovered_total"))
                lost = await collector.metric("rackwatt_messages_lost_total")
            finally:
                await collector.stop()
        line.note(
            "SIGKILL of the broker with default persistence",
            kills=kills, replayed=senders.replayed, recovered=recovered,
            settled_in=f"{settled:.1f} s", grace="30 s" if module == REAL else "1 s",
        )  # fmt: skip
        await compare(senders, collector.store(), line)
    assert senders.replayed >= kills * QUEUED, "the broker lost nothing"
    assert recovered >= kills * QUEUED
    assert lost == 0


async def kill_broker(broker: Mosquitto, senders: Fleet, tap: Tap) -> None:
    """With at least `QUEUED` messages that nobody else has taken."""
    before = tap.published
    await until(lambda: tap.published > before, 20)  # what was before has come
    tap.refuse()
    published = senders.published
    await until(lambda: senders.published >= published + QUEUED, 20)
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    tap.resume()
