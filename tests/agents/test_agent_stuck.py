# SPDX-License-Identifier: Apache-2.0
"""A message that the broker does not take holds up no other."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from doubles import FakeSource, Inbox, Running, session, until

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.agents.stuck import LARGE_BYTES, TRIES, Stuck
from rackwatt.wire.clock import SYSTEM_CLOCK, ManualClock
from rackwatt.wire.codec import MAX_PAYLOAD_BYTES, decode_envelope, decode_readings
from rackwatt.wire.outbox import Outbox, Stored
from rackwatt.wire.readings import EventReading, PowerReading, Reading
from rackwatt.wire.session import BrokerSettings, Received
from servers.fixtures import Mosquitto

ROOT = "rackwatt/v1/demo/hall-a/snmp-a"


CLOCK = ManualClock()
NOW = CLOCK.now_ms()


def many(count: int) -> list[Reading]:
    return [
        PowerReading.model_validate({"device": f"meter-{n:06d}", "power_watts": float(n)})
        for n in range(count)
    ]


def stored(seq: int, size: int = LARGE_BYTES + 1) -> Stored:
    return Stored(5, seq, "power", b"x" * size)


def test_one_message_is_found_when_connections_end_at_it_again_and_again() -> None:
    stuck = Stuck()
    assert stuck.broke([stored(1, 10), stored(2, 10)], 1) is None
    assert not _suspicious(stuck), "small messages are not suspected"
    assert stuck.broke([stored(1), stored(2), stored(3, 10)], 1) is None
    assert _suspicious(stuck)
    stuck.went(stored(1))
    for connection in range(2, TRIES + 1):
        assert stuck.broke([stored(2)], connection) is None
        assert stuck.broke([stored(2)], connection) is None, "one connection counts once"
    assert stuck.broke([stored(2)], TRIES + 1) == stored(2)
    assert not _suspicious(stuck)


def _suspicious(stuck: Stuck) -> bool:
    return stuck.suspicious


async def test_readings_that_make_too_large_a_message_make_several(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.db", keep_seconds=9, max_bytes=10**9, clock=CLOCK)
    await outbox.start()
    readings = many(50_000)
    made = await outbox.put(
        [("power", NOW, many(1)), ("power", NOW, readings), ("power", NOW, many(1))]
    )
    assert [item.seq for item in made] == list(range(1, len(made) + 1))
    assert len(made) > 4
    assert max(len(item.payload) for item in made) <= MAX_PAYLOAD_BYTES
    devices = [
        reading.device
        for item in made[1:-1]
        for reading in decode_readings("power", decode_envelope(item.payload)).readings
    ]
    assert devices == [reading.device for reading in readings], "all of them, in order"
    assert await outbox.fetch(outbox.epoch, (1, 99)) == made
    await outbox.aclose()


async def test_a_refused_message_is_kept_aside_and_its_number_has_a_notice(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.db", keep_seconds=9, max_bytes=10**9, clock=CLOCK)
    await outbox.start()
    notice = EventReading(device="a", code="message_refused", severity="critical", text="")
    made = await outbox.put([("power", NOW, many(n)) for n in range(1, 31)])
    for message in made[:25]:
        await outbox.refuse(message, notice)
    await outbox.refuse(stored(99), notice)  # it was evicted meanwhile
    assert outbox.refused == 25
    found = await outbox.fetch(outbox.epoch, (1, 99))
    assert [item.kind for item in found] == ["event"] * 25 + ["power"] * 5
    assert outbox.size_bytes == sum(len(item.payload) for item in found)
    envelope = decode_envelope(found[3].payload)
    assert (envelope.epoch, envelope.seq, envelope.time_ms) == (outbox.epoch, 4, NOW)
    await outbox.aclose()
    with closing(sqlite3.connect(tmp_path / "o.db")) as db:
        kept = db.execute("SELECT seq, payload FROM refused ORDER BY id").fetchall()
    assert [seq for seq, _ in kept] == list(range(6, 26))
    assert kept[-1][1] == made[24].payload


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that ends the connection at packets above 50 kB."""
    with Mosquitto(tmp_path / "mosquitto", extra=["max_packet_size 50000"]) as broker:
        yield broker


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Inbox]:
    inbox = Inbox()

    async def take(batch: Sequence[Received]) -> None:
        await inbox.on_batch(batch)
        receiver.ack(batch)

    receiver = session(url, "listener", inbox, f"{ROOT}/power", f"{ROOT}/event")
    receiver._on_batch = take
    async with Running(receiver.run()):
        await receiver.connected.wait()
        yield inbox


async def test_a_message_that_the_broker_does_not_take_holds_up_no_other(
    narrow: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two of them, at the head of the backlog and in its midst; before, none ever passed."""
    monkeypatch.setattr("rackwatt.wire.session.Backoff.next", lambda _: 0.05)
    config = Config(
        agent=AgentSettings(site="demo", hall="hall-a", name="snmp-a"),
        broker=BrokerSettings(url=narrow.url),
        source="fake",
    )
    path = tmp_path / "o.db"

    def opened() -> Outbox:
        return Outbox(path, keep_seconds=3600, max_bytes=10**9, clock=SYSTEM_CLOCK)

    outbox = opened()
    await outbox.start()
    now = SYSTEM_CLOCK.now_ms()
    sizes = [1500, *[1] * 10, 2000, *[600] * 3, *[1] * 40]
    before = await outbox.put([("power", now + n, many(size)) for n, size in enumerate(sizes)])
    await outbox.aclose()
    outbox = opened()
    agent = Agent(config, FakeSource(lambda _: ()), outbox, ErrorCounter())
    async with listening(narrow.url) as inbox, Running(agent.run()):
        await until(lambda: outbox.refused == 2, timeout=20)
        live = await outbox.put([("power", now + 999, many(1))])
        agent.sender.wake()
        await inbox.wait(lambda got: len({m.payload for m in got}) >= len(sizes) + 1, timeout=20)
        await until(lambda: not outbox.unsent(1))
        assert not agent.sender._stuck.suspicious
    payloads = set(inbox.payloads())
    good = [item.payload for item in before if len(item.payload) < 50_000]
    assert len(good) == len(sizes) - 2
    assert payloads >= {*good, live[0].payload}
    notices = {m.payload for m in inbox.messages if m.topic.endswith("/event")}
    assert sorted(json.loads(payload)["seq"] for payload in notices) == [1, 12]
    (reading,) = json.loads(min(notices))["readings"]
    assert (reading["device"], reading["code"]) == ("snmp-a", "message_refused")
    assert "the broker ends the connection at it" in caplog.text
