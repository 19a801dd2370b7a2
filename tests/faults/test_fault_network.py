# SPDX-License-Identifier: Apache-2.0
"""The network between agents and broker is cut: all arrives, and no storm follows."""

import asyncio
import contextlib
import functools
import random
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles import Inbox, Running, session, until
from faults_kit.chain import chain, embedded
from faults_kit.fleet import Fleet, fleet
from faults_kit.proxy import Proxy
from faults_kit.table import FULL, Line

from rackwatt.wire import inflow
from rackwatt.wire import session as session_module
from servers.fixtures import HOST, Mosquitto

pytestmark = pytest.mark.e2e

CUTS = 100 if FULL else 6
AGENTS = 4
STEP_SECONDS = 0.02


@contextlib.asynccontextmanager
async def traffic(senders: Fleet) -> AsyncIterator[None]:
    """One message of each agent every 20 ms; ends between two messages."""
    stopping = asyncio.Event()

    async def run() -> None:
        time_ms = time.time_ns() // 1_000_000 - 3_600_000
        while not stopping.is_set():
            await senders.put(time_ms)
            time_ms += 1000
            await asyncio.sleep(STEP_SECONDS)

    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        stopping.set()
        await task


async def cut(proxy: Proxy, senders: Fleet, rng: random.Random, kind: str) -> None:
    """One fault, for as long as it takes to be noticed."""
    await asyncio.sleep(rng.uniform(0.02, 0.2))  # at a random moment of the traffic
    await until(lambda: connected(senders), 20)  # a long stall ends connections by itself
    reconnects = senders.reconnects
    if kind == "drop":
        proxy.withhold()  # so that the broker has what the agent does not know that it has
        await asyncio.sleep(0.1)
        proxy.cut()
        proxy.resume()
    elif kind == "away":
        proxy.refuse()
        await asyncio.sleep(rng.uniform(0.05, 0.4))
        proxy.resume()
    elif kind == "stall":
        proxy.stall()
        await asyncio.sleep(rng.uniform(0.1, 3.0 if FULL else 0.6))
        proxy.resume()
        return  # shorter than the keep-alive it is not noticed at all
    elif kind == "half-open, agent believes":
        proxy.half_open("client")
    else:
        proxy.half_open("server")
    await until(lambda: senders.reconnects > reconnects and connected(senders), 20)


def connected(senders: Fleet) -> bool:
    return all(agent.session.connected.is_set() for agent in senders.agents)


KINDS = ("drop", "half-open, agent believes", "stall", "away", "half-open, broker believes")


async def test_agents_are_cut_off_again_and_again(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    rng = random.Random(4)  # noqa: S311 - repeatable
    async with (
        Proxy(mosquitto.port) as proxy,
        chain(mosquitto.url, tmp_path, embedded(tmp_path)) as made,
        fleet(proxy.url("mqtt"), tmp_path, AGENTS) as senders,
    ):
        async with traffic(senders):
            await until(lambda: made.spool.last_id > 10)
            for number in range(CUTS):
                await cut(proxy, senders, rng, KINDS[number % len(KINDS)])
        await made.settle(senders, 60)
        sent = await made.check(senders)
        assert proxy.cuts >= CUTS // 2
        assert senders.reconnects >= CUTS // 2
        repeated = made.ingest.counts.duplicates
        assert repeated + senders.replayed >= CUTS // len(KINDS)  # under way, and came again
        # What is under way at a cut comes again, and not much else.
        assert repeated <= CUTS * AGENTS * 2 * 32
        assert made.requests <= CUTS * AGENTS
        assert made.asked <= senders.messages
        line.note(
            f"{CUTS} cuts between agents and broker (drop, away, stall, half-open)",
            messages=senders.messages,
            values=len(sent),
            lost=0,
            reconnects=senders.reconnects,
            repeated=repeated,
            replay_requests=made.requests,
            replayed=senders.replayed,
        )


async def test_the_collector_is_cut_off_again_and_again(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """What the broker delivered and nobody acknowledged comes again."""
    rng = random.Random(5)  # noqa: S311 - repeatable
    cuts = CUTS // 3
    async with (
        Proxy(mosquitto.port) as proxy,
        chain(proxy.url("mqtt"), tmp_path, embedded(tmp_path)) as made,
        fleet(mosquitto.url, tmp_path, AGENTS) as senders,
    ):
        session = made.ingest.session
        async with traffic(senders):
            await until(lambda: made.spool.last_id > 10)
            for number in range(cuts):
                before = session.reconnects
                await asyncio.sleep(rng.uniform(0.02, 0.2))
                if number % 3 == 0:
                    proxy.stall()  # so that something is certainly under way
                    await asyncio.sleep(0.1)
                    proxy.cut()
                    proxy.resume()
                elif number % 3 == 1:
                    proxy.half_open("client")
                else:
                    proxy.half_open("server")
                await until(
                    lambda b=before: session.reconnects > b and session.connected.is_set(),  # type: ignore[misc]
                    20,
                )
        await made.settle(senders, 60)
        sent = await made.check(senders)
        assert session.reconnects >= cuts
        assert made.requests <= cuts * AGENTS
        line.note(
            f"{cuts} cuts between broker and collector",
            messages=senders.messages,
            values=len(sent),
            lost=0,
            repeated=made.ingest.counts.duplicates,
            replay_requests=made.requests,
            replayed=senders.replayed,
        )


async def test_what_a_broker_forgot_is_asked_for_without_a_storm(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """Everything of every agent is missing at once, and the way to them is slow."""
    count = 1500 if FULL else 300
    async with fleet(mosquitto.url, tmp_path, AGENTS) as senders:
        await senders.put(time.time_ns() // 1_000_000 - 3_600_000, count)
        # Nobody is subscribed: the broker acknowledges and forgets.
        await until(lambda: senders.published >= AGENTS * count, 60)
        async with chain(mosquitto.url, tmp_path, embedded(tmp_path)) as made:
            await made.settle(senders, 60)
            sent = await made.check(senders)
            await until(lambda: senders.replayed >= AGENTS * count)  # counted once acknowledged
            # In operation 20 s pass before an agent is asked again, here half a second.
            assert senders.replayed <= AGENTS * count * 2
            assert made.requests <= AGENTS * (3 + count // 300)
            line.note(
                "a broker that acknowledged and forgot",
                messages=senders.messages,
                values=len(sent),
                lost=0,
                replay_requests=made.requests,
                replayed=senders.replayed,
                repeated=made.ingest.counts.duplicates,
            )


# -- a broker that is none ---------------------------------------------------------------------


class Hostile:
    """Speaks as much MQTT as a session needs to believe it, and sends what it is told."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.acknowledged: list[int] = []
        self.connections = 0
        self.acknowledges = True
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, body = await packet(reader)
                if kind == 1:
                    writer.write(b"\x20\x02\x00\x00")
                elif kind == 8:
                    topics = body[2:].count(b"rackwatt")
                    writer.write(b"\x90" + bytes([2 + topics]) + body[:2] + b"\x01" * topics)
                    for item in self.packets:
                        writer.write(item)
                elif kind == 3 and self.acknowledges:
                    size = struct.unpack(">H", body[:2])[0]
                    writer.write(b"\x40\x02" + body[2 + size : 4 + size])
                elif kind == 4:
                    self.acknowledged.append(struct.unpack(">H", body)[0])
                elif kind == 12:
                    writer.write(b"\xd0\x00")
                await writer.drain()
        writer.close()


async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head >> 4, await reader.readexactly(size)


def publish(topic: bytes, payload: bytes, mid: int) -> bytes:
    """A PUBLISH of QoS 1, or of QoS 0 where `mid` is 0."""
    body = (
        struct.pack(">H", len(topic)) + topic + (struct.pack(">H", mid) if mid else b"") + payload
    )
    size, head = len(body), [0x32 if mid else 0x30]
    while True:
        size, rest = divmod(size, 128)
        head.append(rest | (128 if size else 0))
        if not size:
            return bytes(head) + body


@contextlib.asynccontextmanager
async def hostile(broker: Hostile):  # type: ignore[no-untyped-def]
    server = await asyncio.start_server(broker.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"mqtt://{HOST}:{port}"
    finally:
        server.close()


GOOD = b"rackwatt/v1/demo/hall-a/agent/power"


async def test_a_topic_that_is_no_text_does_not_end_the_connection(line: Line) -> None:
    """The library would end it, and the broker send the same again on the next one, for ever."""
    broker, inbox = Hostile(), Inbox()
    bad = [b"rackwatt/v1/demo/hall-a/\xff\xfe/power", b"a\x00b", b"rackwatt/#", b"+"]
    broker.packets = [publish(topic, b"x", n + 1) for n, topic in enumerate(bad)]
    broker.packets.append(publish(GOOD, b"good", 99))
    async with hostile(broker) as url:
        taker = session(url, "taker", inbox, "rackwatt/#")
        async with Running(taker.run()):
            got = await inbox.wait(lambda messages: len(messages) == len(bad) + 1)
            taker.ack(got)
            await until(lambda: broker.acknowledged == [1, 2, 3, 4, 99])
    assert broker.connections == 1
    assert got[0].topic == "rackwatt/v1/demo/hall-a/\\xff\\xfe/power"
    line.note("topics that are no text", rejected=len(bad), reconnects=0)


async def test_more_than_can_be_handled_stays_in_the_socket(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of QoS 0, which no broker holds back, while the disk takes nothing."""
    small = functools.partial(inflow.Inflow, max_bytes=1_000_000)
    monkeypatch.setattr(session_module, "Inflow", small)
    broker, inbox = Hostile(), Inbox()
    total = 3000
    broker.packets = [publish(GOOD, b"%06d" % n + b"x" * 5000, 0) for n in range(total)]
    gate = asyncio.Event()

    async def held(batch):  # type: ignore[no-untyped-def]
        await gate.wait()
        await asyncio.sleep(0.02)  # slower than what comes
        await inbox.on_batch(batch)

    async with hostile(broker) as url:
        taker = session(url, "taker", inbox, "rackwatt/#")
        taker._on_batch = held
        async with Running(taker.run()):
            await until(lambda: taker.pauses > 0)
            await asyncio.sleep(0.1)
            most = taker.waiting_bytes
            assert most < 1_200_000
            gate.set()
            messages = await inbox.wait(lambda found: len(found) == total)
            assert [message.payload[:6] for message in messages] == [
                b"%06d" % n for n in range(total)
            ]
            assert taker.waiting_bytes == 0
            assert taker.pauses > 1
    assert broker.connections == 1
    line.note("a flood of QoS 0 while nothing is saved", sent=f"{total * 5 / 1000:.0f} MB",
              held_at_most=f"{most / 1e6:.1f} MB", lost=0)  # fmt: skip


async def test_a_broker_that_acknowledges_nothing_is_given_up(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers pings: only what was published tells, and the library keeps all of it."""
    monkeypatch.setattr(session_module, "_MAX_UNANSWERED", 20)
    broker = Hostile()
    broker.acknowledges = False
    async with hostile(broker) as url:
        sender = session(url, "sender")
        async with Running(sender.run()):
            await sender.connected.wait()
            calls = [sender.publish("a/b", b"x", timeout=0.05) for _ in range(20)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, ConnectionError) for each in results)
            await until(lambda: broker.connections == 2)
    line.note("a broker that acknowledges nothing", given_up_after="20 of 500 publishes")
