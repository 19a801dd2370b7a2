# SPDX-License-Identifier: Apache-2.0
"""Delivery by the MQTT session, with a real broker: who acknowledges what, and what survives."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import aiomqtt
import pytest
from doubles import Inbox, Running, session, until
from wire.sessions import TOPIC, count, publish

from rackwatt.wire.inflow import Inflow
from rackwatt.wire.session import BrokerSettings, Received, Session
from servers.fixtures import Mosquitto


async def test_what_is_not_acknowledged_comes_again(mosquitto: Mosquitto) -> None:
    """Fails as well if the client library stops honouring `manual_ack_set`."""
    first = Inbox()
    receiver = session(mosquitto.url, "receiver", first, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"1", b"2", b"3")
        await first.wait(count(3))
        receiver.ack(first.messages[:1])
        receiver.ack(first.messages[2:])
    again = Inbox()
    receiver = session(mosquitto.url, "receiver", again, TOPIC)
    async with Running(receiver.run()):
        await again.wait(count(1))
        await publish(mosquitto.url, b"4")
        await again.wait(count(2))
        assert again.payloads() == [b"2", b"4"]
        receiver.ack(again.messages)
    last = Inbox()
    receiver = session(mosquitto.url, "receiver", last, TOPIC)
    async with Running(receiver.run()):
        await publish(mosquitto.url, b"5")
        await last.wait(count(1))
        assert last.payloads() == [b"5"]


async def test_the_library_still_lets_us_acknowledge(mosquitto: Mosquitto) -> None:
    """We lean on two private members of aiomqtt; this names them when an update moves them."""
    client = aiomqtt.Client("127.0.0.1", mosquitto.port)
    assert callable(client._client.manual_ack_set)
    assert callable(client._client.ack)
    assert isinstance(client._queue, asyncio.Queue)


async def test_an_acknowledgement_held_across_a_broker_restart_does_not_swallow_a_new_message(
    mosquitto: Mosquitto,
) -> None:
    inbox = Inbox()
    receiver = session(mosquitto.url, "receiver", inbox, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"old")
        (old,) = await inbox.wait(count(1))
        mosquitto.kill()
        for file in mosquitto.directory.glob("mosquitto.db*"):
            file.unlink()  # it comes back with nothing: its packet identifiers start anew
        await until(lambda: not receiver.connected.is_set())
        receiver.ack([old])  # no connection: nothing happens
        mosquitto.start()
        await receiver.connected.wait()
        await publish(mosquitto.url, b"new")
        await inbox.wait(count(2))
        new = inbox.messages[-1]
        assert (new.payload, new.mid) == (b"new", old.mid)
        assert new.connection > old.connection
        receiver.ack([old])
        await publish(mosquitto.url, b"later")  # the broker has handled the acknowledgement
        await inbox.wait(count(3))
        receiver.ack(inbox.messages[-1:])
    again = Inbox()
    receiver = session(mosquitto.url, "receiver", again, TOPIC)
    async with Running(receiver.run()):
        await again.wait(count(1))
        assert again.payloads() == [b"new"]


async def test_without_the_binding_the_new_message_would_be_swallowed(
    mosquitto: Mosquitto,
) -> None:
    """The control of the test above: the danger is real with this broker and this library."""
    inbox = Inbox()
    receiver = session(mosquitto.url, "receiver", inbox, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"new")
        (new,) = await inbox.wait(count(1))
        stale = Received(TOPIC, b"old", False, new.mid, 1, receiver.number)
        receiver.ack([stale])
    again = Inbox()
    receiver = session(mosquitto.url, "receiver", again, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"later")
        await again.wait(count(1))
        assert again.payloads() == [b"later"]


async def test_the_session_and_its_messages_survive_a_broker_restart(mosquitto: Mosquitto) -> None:
    inbox = Inbox()
    receiver = session(mosquitto.url, "receiver", inbox, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
    await publish(mosquitto.url, b"while it was away")
    mosquitto.restart()
    async with Running(receiver.run()):
        await inbox.wait(count(1))
        assert inbox.payloads() == [b"while it was away"]


async def test_a_redelivered_message_can_be_acknowledged_on_its_new_connection(
    mosquitto: Mosquitto,
) -> None:
    inbox = Inbox()
    receiver = session(mosquitto.url, "receiver", inbox, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"1")
        await inbox.wait(count(1))
        mosquitto.restart()
        await inbox.wait(count(2))
        assert inbox.payloads() == [b"1", b"1"]
        receiver.ack(inbox.messages)  # the first is of the old connection
        await until(receiver.connected.is_set)
    again = Inbox()
    receiver = session(mosquitto.url, "receiver", again, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"2")
        await again.wait(count(1))
        assert again.payloads() == [b"2"]


async def test_a_batch_is_what_came_while_the_one_before_was_handled(mosquitto: Mosquitto) -> None:
    sizes: list[int] = []
    go_on = asyncio.Event()

    async def handle(batch: object) -> None:
        sizes.append(len(batch))  # type: ignore[arg-type]
        await go_on.wait()

    receiver = Session(
        BrokerSettings(url=mosquitto.url), "receiver", subscriptions=[TOPIC], on_batch=handle
    )
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"first")
        await until(lambda: sizes == [1])
        await publish(mosquitto.url, *[b"more"] * 30)
        client = receiver._client
        assert client is not None
        await until(lambda: client._queue.qsize() == 30)
        go_on.set()
        await until(lambda: sizes == [1, 30])


async def test_a_backlog_larger_than_what_may_wait_here_holds_up_no_beginning(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker sends it before it answers the subscription."""
    monkeypatch.setattr("rackwatt.wire.session.Inflow", partial(Inflow, max_bytes=20_000))
    monkeypatch.setattr("rackwatt.wire.session._CONNECT_SECONDS", 1.0)
    async with Running((receiver := session(mosquitto.url, "receiver", Inbox(), TOPIC)).run()):
        await receiver.connected.wait()
    sent = [f"{number:0500}".encode() for number in range(300)]
    await publish(mosquitto.url, *sent)
    inbox = Inbox()
    receiver = session(mosquitto.url, "receiver", inbox, TOPIC)
    async with Running(receiver.run()):
        await inbox.wait(count(len(sent)))
        await receiver.connected.wait()
        assert inbox.payloads() == sent, "each once"
        assert receiver.pauses > 0
        assert receiver.reconnects == 0


async def test_what_came_before_the_subscription_was_answered_can_be_acknowledged(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Running((receiver := session(mosquitto.url, "receiver", Inbox(), TOPIC)).run()):
        await receiver.connected.wait()
    await publish(mosquitto.url, b"1")
    answered = asyncio.Event()
    subscribe = aiomqtt.Client.subscribe

    async def late(self: aiomqtt.Client, *args: Any, **options: Any) -> Any:
        await answered.wait()
        return await subscribe(self, *args, **options)

    monkeypatch.setattr(aiomqtt.Client, "subscribe", late)
    inbox = Inbox()
    receiver = session(mosquitto.url, "receiver", inbox, TOPIC)
    async with Running(receiver.run()):
        receiver.ack(await inbox.wait(count(1)))
        assert not receiver.connected.is_set()
        answered.set()
        await receiver.connected.wait()
    last = Inbox()
    receiver = session(mosquitto.url, "receiver", last, TOPIC)
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, b"2")
        await last.wait(count(1))
        assert last.payloads() == [b"2"]


async def test_while_nothing_is_read_an_answer_to_a_ping_is_not_missed(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that waits here would come again on the next connection."""
    monkeypatch.setattr("rackwatt.wire.session.Inflow", partial(Inflow, max_bytes=20_000))
    monkeypatch.setattr("rackwatt.wire.session._KEEPALIVE_SECONDS", 1)
    monkeypatch.setattr("rackwatt.wire.inflow._HOLD_SECONDS", 0.2)
    taken: list[bytes] = []
    busy = asyncio.Event()

    async def on_batch(batch: Sequence[Received]) -> None:
        if not taken:
            await busy.wait()
        taken.extend(message.payload for message in batch)

    receiver = Session(
        BrokerSettings(url=mosquitto.url), "receiver", subscriptions=[TOPIC], on_batch=on_batch
    )
    async with Running(receiver.run()):
        await receiver.connected.wait()
        await publish(mosquitto.url, *(f"{number:0500}".encode() for number in range(100)))
        await until(lambda: receiver.pauses > 0)
        asyncio.get_running_loop().call_later(4.0, busy.set)
        await until(lambda: len(taken) == 100)
        assert receiver.reconnects == 0
