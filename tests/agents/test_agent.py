# SPDX-License-Identifier: Apache-2.0
"""The loop that all agents share, over a real broker: samples, keeps, sends, answers."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from doubles import FakeSource, Inbox, Running, session, until

from rackwatt.agents import agent as agent_module
from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter, StartError
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import decode_envelope
from rackwatt.wire.inventory import Inventory, InventoryItem
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Event, Sample
from rackwatt.wire.session import BrokerSettings, Received
from rackwatt.wire.status import Status
from servers.fixtures import Mosquitto, free_port

ROOT = "rackwatt/v1/demo/hall-a/snmp-a"
Rounds = Callable[[int], Sequence[Sample]]


def steady(number: int) -> list[Sample]:
    return [Sample("power", "m1", {"power_watts": float(number)})]


def make(url: str, folder: Path, source: FakeSource, send_every: float = 0.1) -> Agent:
    config = Config(
        agent=AgentSettings(
            site="demo", hall="hall-a", name="snmp-a", sample_every=0.05, send_every=send_every
        ),
        broker=BrokerSettings(url=url),
        source="fake",
    )
    outbox = Outbox(folder / "outbox.db", keep_seconds=3600, max_bytes=10**8, clock=SYSTEM_CLOCK)
    return Agent(config, source, outbox, ErrorCounter())


@asynccontextmanager
async def listening(url: str, *lasts: str) -> AsyncIterator[Inbox]:
    """What a collector would see, acknowledged as it comes."""
    inbox = Inbox()

    async def take(batch: Sequence[Received]) -> None:
        await inbox.on_batch(batch)
        receiver.ack(batch)

    receiver = session(url, "listener", inbox, *(f"{ROOT}/{last}" for last in lasts))
    receiver._on_batch = take
    async with Running(receiver.run()):
        await receiver.connected.wait()
        yield inbox


def numbers(messages: Sequence[Received]) -> list[int]:
    return [decode_envelope(message.payload).seq for message in messages]


def readings(message: Received) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(message.payload)["readings"]
    return found


def statuses(inbox: Inbox) -> list[Status]:
    return [
        Status.model_validate_json(message.payload)
        for message in inbox.messages
        if message.topic.endswith("/status")
    ]


async def test_samples_are_folded_numbered_and_sent(mosquitto: Mosquitto, tmp_path: Path) -> None:
    source = FakeSource(steady)
    agent = make(mosquitto.url, tmp_path, source)
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 4)
        await until(lambda: agent.counts.sent >= 4)  # the last acknowledgement is on its way
    assert numbers(inbox.messages) == list(range(1, len(inbox.messages) + 1))
    times = [decode_envelope(message.payload).time_ms for message in inbox.messages]
    assert times == sorted(times)
    for message in inbox.messages[1:3]:
        (reading,) = readings(message)
        low, high = reading["power_min_watts"], reading["power_max_watts"]
        assert low <= reading["power_watts"] <= high
    assert source.closed == 1


async def test_one_message_a_kind_and_a_bad_sample_costs_only_itself(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    def rounds(number: int) -> list[Sample]:
        return [
            Sample("power", "dead", {"power_watts": None}, {"power_watts": Quality.TIMEOUT}),
            Sample("power", "m1", {"power_watts": 5.0}),
            Sample("climate", "inlet", {"temperature_celsius": 22.0}),
            Sample("event", "m1", event=Event("NOT A CODE", "info", "")),
        ]

    agent = make(mosquitto.url, tmp_path, FakeSource(rounds))
    async with listening(mosquitto.url, "power", "climate", "event") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 4)
    kinds = {message.topic.rsplit("/", 1)[1]: message for message in inbox.messages}
    assert set(kinds) == {"power", "climate"}
    dead, alive = readings(kinds["power"])
    assert dead["power_watts"] is None
    assert dead["quality"]["power_watts"] == "timeout"
    assert alive["power_watts"] == 5.0
    assert agent.counts.unkept >= 2


async def test_what_could_not_be_sent_is_sent_later_after_the_live_messages(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with listening(mosquitto.url, "power"):
        pass  # from here on the broker keeps for it, so that who connects first does not matter
    mosquitto.stop()
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    agent.session._backoff._cap = 0.1
    async with Running(agent.run()):
        await until(lambda: any(state.last >= 5 for state in agent.outbox.states()))
        agent.sender._live.clear()  # what a restart, or a full memory, leaves to the outbox
        await until(lambda: agent.outbox.states()[-1].last >= 7)
        mosquitto.start()
        async with listening(mosquitto.url, "power") as inbox:
            await inbox.wait(lambda messages: set(range(1, 9)) <= set(numbers(messages)), 15.0)
        await until(lambda: agent.outbox.states()[-1].sent_through >= 8)


async def test_live_messages_go_before_replays_and_replays_before_the_backlog(
    tmp_path: Path,
) -> None:
    agent = make("mqtt://127.0.0.1:1", tmp_path, FakeSource(steady))
    await agent.outbox.start()
    samples = [Sample("power", "m1", {"power_watts": 1.0})]
    stored = []
    for _ in range(4):
        stored += await agent.outbox.put(agent._messages(samples, SYSTEM_CLOCK.now_ms()))
    agent.sender._live.append(stored[3])
    epoch = agent.outbox.epoch
    agent.sender._replays[epoch] = (1, [(2, 2)])
    order = [await agent.sender._next_batch() for _ in range(3)]
    assert [([item.seq for item in batch], replayed) for batch, replayed in order] == [
        ([4], False), ([2], True), ([1, 2, 3, 4], False),
    ]  # fmt: skip
    await agent.outbox.aclose()


async def ask(url: str, payload: str) -> None:
    sender = session(url, "asking")
    async with Running(sender.run()):
        await sender.connected.wait()
        await sender.publish(f"{ROOT}/replay", payload.encode())


async def test_a_replay_is_the_original_message_to_the_byte(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 4)
        epoch = agent.outbox.epoch
        await ask(mosquitto.url, "no request at all")
        await ask(mosquitto.url, f'{{"request": 5, "epoch": {epoch}, "ranges": [[1, 2], [4, 4]]}}')
        await inbox.wait(lambda messages: numbers(messages).count(4) == 2)
        for seq in (1, 2, 4):
            first, second = (m for m in inbox.messages if numbers([m]) == [seq])
            assert first.payload == second.payload
            assert first.topic == second.topic
        assert numbers(inbox.messages).count(3) == 1
        await until(lambda: agent.counts.replayed == 3)


async def test_an_absurd_request_holds_up_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 1)
        epoch = agent.outbox.epoch
        for number in (epoch, 77):
            text = '{"request": 9, "epoch": %d, "ranges": [[1, 9007199254740991], [5, 2]]}'
            await ask(mosquitto.url, text % number)
        await inbox.wait(lambda messages: numbers(messages).count(1) == 2)
        seen = len(inbox.messages)
        await inbox.wait(lambda messages: len(messages) >= seen + 3)
        assert not agent.sender._replays


async def test_the_status_tells_of_birth_beats_and_goodbye(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "STATUS_SECONDS", 0.05)
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    async with listening(mosquitto.url, "status", "power") as inbox:
        async with Running(agent.run()):
            await until(lambda: len(statuses(inbox)) >= 5)
            await until(lambda: statuses(inbox)[-1].epochs[-1].sent_through >= 2)
        await until(lambda: statuses(inbox)[-1].state == "offline")
        states = statuses(inbox)
    assert {status.state for status in states[:-1]} == {"online"}
    assert len({status.session for status in states}) == 1
    through = [status.epochs[-1].sent_through for status in states]
    assert through == sorted(through)
    async with listening(mosquitto.url, "status") as late:
        (message,) = await late.wait(lambda messages: len(messages) == 1)
        assert message.retain
        assert Status.model_validate_json(message.payload).state == "offline"


async def test_nothing_says_online_after_the_goodbye(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker keeps the last word for ever, and a peaceful end has no will to correct it."""
    monkeypatch.setattr(agent_module, "STATUS_SECONDS", 0.02)
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    goodbye = agent._say_goodbye

    async def slowly() -> None:
        await goodbye()
        await asyncio.sleep(0.2)  # beats fall due meanwhile

    monkeypatch.setattr(agent, "_say_goodbye", slowly)
    async with listening(mosquitto.url, "status") as inbox:
        async with Running(agent.run()):
            await until(lambda: len(statuses(inbox)) >= 3)
        await until(lambda: any(status.state == "offline" for status in statuses(inbox)))
        assert statuses(inbox)[-1].state == "offline"


async def test_who_vanishes_is_offline_by_its_will(mosquitto: Mosquitto, tmp_path: Path) -> None:
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    async with listening(mosquitto.url, "status") as inbox, Running(agent.run()):
        await until(lambda: len(statuses(inbox)) >= 1)
        client = agent.session._client
        assert client is not None
        client._client._sock_close()
        await until(lambda: any(s.state == "offline" for s in statuses(inbox)))
        will = next(s for s in statuses(inbox) if s.state == "offline")
        assert will.session == statuses(inbox)[0].session


async def test_the_last_window_is_kept_when_it_stops(mosquitto: Mosquitto, tmp_path: Path) -> None:
    source = FakeSource(steady)
    agent = make(mosquitto.url, tmp_path, source, send_every=1000.0)
    async with Running(agent.run()):
        await until(lambda: agent.counts.rounds >= 3)
    outbox = Outbox(tmp_path / "outbox.db", keep_seconds=3600, max_bytes=10**8, clock=SYSTEM_CLOCK)
    await outbox.start()
    (item,) = await outbox.fetch(agent.outbox.epoch, (1, 9))
    (reading,) = json.loads(item.payload)["readings"]
    assert reading["power_max_watts"] == float(agent.counts.rounds)
    await outbox.aclose()


async def test_the_inventory_is_retained_and_sent_again_when_it_grows(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    source = FakeSource(steady, items=[InventoryItem(device="m1")])
    agent = make(mosquitto.url, tmp_path, source)
    async with Running(agent.run()), listening(mosquitto.url, "inventory") as inbox:
        await inbox.wait(lambda messages: len(messages) >= 1)
        source.items = [InventoryItem(device="m1"), InventoryItem(device="m2")]
        await inbox.wait(lambda messages: b"m2" in messages[-1].payload)
    async with listening(mosquitto.url, "inventory") as late:
        (message,) = await late.wait(lambda messages: len(messages) == 1)
        inventory = Inventory.model_validate_json(message.payload)
        assert [item.device for item in inventory.devices] == ["m1", "m2"]


async def test_sampling_does_not_wait_for_a_broker_that_does_not_answer(tmp_path: Path) -> None:
    """It takes the connection, and then acknowledges nothing."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        data = await reader.read(1000)
        writer.write(b"\x90\x03" + data[2:4] + b"\x01")
        await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    source = FakeSource(steady, items=[InventoryItem(device="m1")])
    agent = make(url, tmp_path, source)
    async with server, Running(agent.run()):
        await agent.session.connected.wait()
        before = agent.counts.rounds
        await until(lambda: agent.counts.rounds >= before + 6, 3.0)
        assert agent.counts.skipped <= 2
        for writer in writers:
            writer.close()


async def test_turns_that_a_slow_source_misses_are_counted(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    class Slow(FakeSource):
        async def sample(self) -> Sequence[Sample]:
            await asyncio.sleep(0.17)
            return await super().sample()

    agent = make(mosquitto.url, tmp_path, Slow(steady))
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 2)
        assert agent.counts.skipped >= 3


async def test_a_source_that_is_not_ready_yet_is_tried_again(
    mosquitto: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource(steady, start_errors=[StartError("retry", "still booting")])
    agent = make(mosquitto.url, tmp_path, source)
    with caplog.at_level(logging.WARNING):
        async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
            await inbox.wait(lambda messages: len(messages) >= 1)
    assert "snmp-a: still booting; trying again" in caplog.text


@pytest.mark.parametrize("broker", [True, False])
async def test_a_source_that_cannot_start_ends_the_agent(
    mosquitto: Mosquitto, tmp_path: Path, broker: bool
) -> None:
    url = mosquitto.url if broker else f"mqtt://127.0.0.1:{free_port()}"
    source = FakeSource(steady, start_errors=[StartError("fatal", "no such device")])
    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup) as caught:
            await make(url, tmp_path, source).run()
    assert caught.group_contains(StartError, match="no such device")
    assert source.closed == 1


async def test_a_bug_of_a_driver_ends_the_agent_and_says_so(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    def rounds(number: int) -> list[Sample]:
        return [Sample("power", "m1", {"power_horses" if number == 3 else "power_watts": 1.0})]

    source = FakeSource(rounds)
    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup) as caught:
            await make(mosquitto.url, tmp_path, source).run()
    assert caught.group_contains(ValueError, match="power_horses")
    assert source.closed == 1


async def test_a_full_disk_stops_neither_sampling_nor_the_agent(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    real = agent.outbox.put
    failures = [0]

    async def put(messages: Any) -> Any:
        if 1 < agent.counts.rounds < 8:
            failures[0] += 1
            raise sqlite3.OperationalError("database or disk is full")
        return await real(messages)

    monkeypatch.setattr(agent.outbox, "put", put)
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await until(lambda: failures[0] >= 2)
        await inbox.wait(lambda messages: len(messages) >= 3)
        assert numbers(inbox.messages)[:3] == [1, 2, 3]
        assert agent.counts.unkept == failures[0]


async def test_a_broker_restart_loses_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    agent = make(mosquitto.url, tmp_path, FakeSource(steady))
    agent.session._backoff._cap = 0.1
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 2)
        mosquitto.restart()
        seen = len(inbox.messages)
        await inbox.wait(lambda messages: len(messages) >= seen + 4)
        last = agent.outbox.states()[-1].last
        await inbox.wait(lambda messages: set(range(1, last + 1)) <= set(numbers(messages)))
