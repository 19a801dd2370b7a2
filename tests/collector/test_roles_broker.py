# SPDX-License-Identifier: Apache-2.0
"""The embedded broker: the two corrections that amqtt needs, with real clients."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from doubles import Running, until

from rackwatt.collector.roles.children import answers
from rackwatt.wire.session import BrokerSettings, Received, Session
from servers.fixtures import free_port

CLIENTS = 40


@asynccontextmanager
async def broker() -> AsyncIterator[BrokerSettings]:
    """The broker as `rackwatt up` starts it: a process of its own."""
    port = free_port()
    command = ["-m", "rackwatt.collector.roles.broker", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        async with asyncio.timeout(20):
            while not await answers(port):  # noqa: ASYNC110 - nothing tells when it listens
                await asyncio.sleep(0.02)
        yield BrokerSettings(url=f"mqtt://127.0.0.1:{port}")
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_client_gets_only_the_retained_messages_it_asked_for() -> None:
    got: list[Received] = []

    async def take(batch: Sequence[Received]) -> None:
        got.extend(batch)

    async with broker() as settings:
        speaker = Session(settings, "speaker")
        everyone = Session(settings, "collector", subscriptions=["rackwatt/+/status"])
        late = Session(settings, "late", subscriptions=["rackwatt/late/replay"], on_batch=take)
        async with Running(speaker.run()), Running(everyone.run()):
            await asyncio.gather(speaker.connected.wait(), everyone.connected.wait())
            await speaker.publish("rackwatt/speaker/status", b"retained", retain=True)
            async with Running(late.run()):
                await late.connected.wait()
                await speaker.publish("rackwatt/late/replay", b"for late")
                await until(lambda: bool(got))
    assert [(message.topic, message.payload) for message in got] == [
        ("rackwatt/late/replay", b"for late")
    ]


async def wave(settings: BrokerSettings, *, watching: bool) -> int:
    """Clients that come at once, say something retained, and go; returns their reconnections."""
    own = [f"rackwatt/agent-{number}/replay" for number in range(CLIENTS)]
    common = ["rackwatt/+/status"]
    sessions = [
        Session(settings, f"agent-{number}", subscriptions=common + [own[number]] * watching)
        for number in range(CLIENTS)
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(session.run()) for session in sessions]
        await asyncio.gather(*(session.connected.wait() for session in sessions))
        for number, session in enumerate(sessions):
            await session.publish(f"rackwatt/agent-{number}/status", b"x", retain=True)
        for task in running:
            task.cancel()
    return sum(session.reconnects for session in sessions)


async def test_clients_that_come_back_at_once_are_all_served() -> None:
    """Amqtt sends retained messages by its subscriptions, to which others add meanwhile."""
    async with broker() as settings:
        assert await wave(settings, watching=False) == 0
        assert await wave(settings, watching=True) == 0
