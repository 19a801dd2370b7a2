# SPDX-License-Identifier: Apache-2.0
"""The life of an MQTT session: its will, its connections, how publishing fails and how it ends."""

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from doubles import Inbox, Running, session, until
from pydantic import ValidationError
from wire.sessions import STATUS, TOPIC, count, publish

from rackwatt.wire.backoff import Backoff
from rackwatt.wire.buffered import BufferedSocket
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.session import BrokerSettings, NotConnected, Session, Will
from servers.fixtures import Mosquitto, free_port


async def test_the_last_will_is_kept_for_those_who_come_later(mosquitto: Mosquitto) -> None:
    made: list[int] = []

    def will(number: int) -> Will:
        made.append(number)
        return Will(STATUS, f"offline {number}".encode())

    dying = session(mosquitto.url, "agent", will=will)
    async with Running(dying.run()):
        await dying.connected.wait()
        await dying.publish(STATUS, b"online", retain=True)
        client = dying._client
        assert client is not None
        sock: object = client._client.socket()
        assert isinstance(sock, BufferedSocket)
        sock.sock.shutdown(socket.SHUT_RDWR)  # as if the machine were gone
        await until(lambda: len(made) == 2)
        await dying.connected.wait()
        assert dying.number == made[1] > made[0]
    inbox = Inbox()
    late = session(mosquitto.url, "late", inbox, STATUS)
    async with Running(late.run()):
        (message,) = await inbox.wait(count(1))
        assert message.payload == f"offline {made[0]}".encode()
        assert message.retain


async def test_a_session_that_ends_in_peace_leaves_no_will(mosquitto: Mosquitto) -> None:
    agent = session(mosquitto.url, "agent", will=lambda _: Will(STATUS, b"offline"))
    async with Running(agent.run()):
        await agent.connected.wait()
        await agent.publish(STATUS, b"online", retain=True)
    inbox = Inbox()
    late = session(mosquitto.url, "late", inbox, STATUS)
    async with Running(late.run()):
        await inbox.wait(count(1))
        assert inbox.payloads() == [b"online"]


async def test_publishing_fails_at_once_without_a_broker() -> None:
    sender = session(f"mqtt://127.0.0.1:{free_port()}", "sender")
    async with Running(sender.run()):
        with pytest.raises(NotConnected, match="not connected"):
            await sender.publish(TOPIC, b"x")
        await until(lambda: sender.reconnects >= 3)
        assert not sender.connected.is_set()


async def test_publishing_fails_as_soon_as_its_connection_breaks() -> None:
    """A broker that takes a message and dies without a word, before it acknowledges."""
    took = asyncio.Event()
    connack, publish_packet = b"\x20\x02\x00\x00", 3

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(connack)
        while True:
            data = await reader.read(1000)
            if data and data[0] >> 4 == publish_packet:
                took.set()
                writer.close()
                return

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Session(
        BrokerSettings(url=f"mqtt://127.0.0.1:{port}"), "sender", backoff=Backoff(60, 60)
    )
    async with server, Running(sender.run()):
        await sender.connected.wait()
        async with asyncio.timeout(3.0):
            with pytest.raises(NotConnected, match="it broke"):
                await sender.publish(TOPIC, b"x", timeout=60.0)
        assert took.is_set()
        assert not sender._waiting


async def test_publishing_gives_up_on_a_broker_that_does_not_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = session(f"mqtt://127.0.0.1:{port}", "sender")
    async with server:
        task = asyncio.ensure_future(sender.run())
        await sender.connected.wait()
        with pytest.raises(NotConnected, match="in time"):
            await sender.publish(TOPIC, b"x", timeout=0.05)
        server.close()
        task.cancel()
        await asyncio.wait([task])


async def test_it_comes_back_after_each_loss_and_greets_each_time(mosquitto: Mosquitto) -> None:
    greeted: list[int] = []

    async def greet(number: int) -> None:
        greeted.append(number)

    agent = Session(
        BrokerSettings(url=mosquitto.url),
        "agent",
        on_connect=greet,
        backoff=Backoff(0.02, 0.1),
    )
    async with Running(agent.run()):
        for round_number in range(1, 4):
            await until(lambda: len(greeted) == round_number)  # noqa: B023
            mosquitto.kill()
            await until(lambda: not agent.connected.is_set())
            mosquitto.start()
        await until(lambda: len(greeted) == 4)
    assert greeted == sorted(set(greeted))


async def test_session_numbers_grow_though_the_clock_stands_still(mosquitto: Mosquitto) -> None:
    agent = Session(
        BrokerSettings(url=mosquitto.url), "agent", clock=ManualClock(), backoff=Backoff(0.02, 0.1)
    )
    numbers: list[int] = []
    async with Running(agent.run()):
        for _ in range(2):
            await agent.connected.wait()
            numbers.append(agent.number)
            mosquitto.restart()
            await until(lambda: agent.number > numbers[-1])
    assert numbers[1] > numbers[0]


async def test_a_subscription_that_the_broker_refuses_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else a collector whose rights are wrong would be connected, ready and deaf."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        data = await reader.read(1000)
        writer.write(b"\x90\x04" + data[2:4] + b"\x01\x80")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receiver = session(f"mqtt://127.0.0.1:{port}", "receiver", Inbox(), TOPIC, STATUS)
    with caplog.at_level(logging.WARNING):
        async with server, Running(receiver.run()):
            await until(lambda: receiver.reconnects >= 1)
            assert not receiver.connected.is_set()
    assert f"the broker refuses the subscription to {STATUS}" in caplog.text


async def test_it_ends_when_cancelled_whatever_it_is_doing(mosquitto: Mosquitto) -> None:
    """A cancellation that coincides with the end of connecting must not get lost."""
    for steps in range(60):
        agent = session(mosquitto.url, "agent", Inbox(), TOPIC)
        task = asyncio.ensure_future(agent.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5.0)
        assert done
        assert task.cancelled()


async def test_a_cancellation_that_the_library_swallows_still_ends_it(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = session(mosquitto.url, "agent", Inbox(), TOPIC)
    real = aiomqtt.Client.subscribe

    async def subscribe(client: aiomqtt.Client, *args: Any, **more: Any) -> Any:
        granted = await real(client, *args, **more)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return granted

    monkeypatch.setattr(aiomqtt.Client, "subscribe", subscribe)
    task = asyncio.ensure_future(agent.run())
    done, _ = await asyncio.wait([task], timeout=5.0)
    assert done
    assert task.cancelled()


async def test_it_ends_though_leaving_fails(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's time-out takes the place of the cancellation that it was ending for."""
    real = aiomqtt.Client.__aexit__

    async def leave(client: aiomqtt.Client, *error: Any) -> None:
        await real(client, *error)
        raise aiomqtt.MqttError("Operation timed out")

    monkeypatch.setattr(aiomqtt.Client, "__aexit__", leave)
    agent = session(mosquitto.url, "agent", Inbox(), TOPIC)
    task = asyncio.ensure_future(agent.run())
    await agent.connected.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5.0)
    assert done
    assert task.cancelled()


async def test_what_a_handler_raises_ends_the_session(mosquitto: Mosquitto) -> None:
    async def handle(_: object) -> None:
        raise ZeroDivisionError

    receiver = Session(
        BrokerSettings(url=mosquitto.url), "receiver", subscriptions=[TOPIC], on_batch=handle
    )
    task = asyncio.ensure_future(receiver.run())
    await receiver.connected.wait()
    await publish(mosquitto.url, b"x")
    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup) as caught:
            await task
    assert caught.group_contains(ZeroDivisionError)


@pytest.mark.parametrize(
    "url", ["http://x", "mqtt://", "127.0.0.1", "mqtt://user:secret@host", "tcp://host:1883"]
)
def test_a_url_that_is_no_broker_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        BrokerSettings(url=url)


def test_where_the_broker_is(tmp_path: Path) -> None:
    assert BrokerSettings(url="mqtt://host").address == ("host", 1883)
    assert BrokerSettings(url="mqtts://host").address == ("host", 8883)
    assert BrokerSettings(url="mqtt://[::1]:77").address == ("::1", 77)
    assert BrokerSettings(url="mqtt://host").tls() is None
    assert BrokerSettings(url="mqtts://host").tls() is not None
    secret = tmp_path / "password"
    secret.write_text("one\n")
    settings = BrokerSettings(url="mqtt://host", password_file=secret)
    assert settings.password() == "one"
    secret.write_text("two\n")
    assert settings.password() == "two"
    assert BrokerSettings(url="mqtt://host").password() is None
