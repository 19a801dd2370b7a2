# SPDX-License-Identifier: Apache-2.0
"""An agent whose clock is set says so before it sends what it read since."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from doubles import FakeSource, Inbox, Running, session

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.codec import decode_envelope
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings, Received
from rackwatt.wire.status import Status
from servers.fixtures import Mosquitto


class Settable:
    """This machine's clock, which can be set."""

    def __init__(self) -> None:
        self.shift_ms = 0

    def now_ms(self) -> int:
        return round(time.time() * 1000) + self.shift_ms

    def monotonic(self) -> float:
        return time.monotonic()


def moment(message: Received) -> int:
    if message.topic.endswith("/status"):
        return Status.model_validate_json(message.payload).time
    return decode_envelope(message.payload).time_ms


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_was_set_is_told_first(
    mosquitto: Mosquitto, tmp_path: Path, step_ms: int
) -> None:
    clock, inbox = Settable(), Inbox()
    config = Config(
        agent=AgentSettings(
            site="demo", hall="hall-a", name="snmp-a", sample_every=0.05, send_every=0.05
        ),
        broker=BrokerSettings(url=mosquitto.url),
        source="fake",
    )
    source = FakeSource(lambda number: [Sample("power", "m1", {"power_watts": float(number)})])
    outbox = Outbox(tmp_path / "o.db", keep_seconds=90_000, max_bytes=10**8, clock=clock)
    agent = Agent(config, source, outbox, ErrorCounter(), clock)

    async def take(batch: Sequence[Received]) -> None:
        await inbox.on_batch(batch)
        receiver.ack(batch)

    receiver = session(mosquitto.url, "listener", inbox, "rackwatt/v1/demo/hall-a/snmp-a/+")
    receiver._on_batch = take
    async with Running(receiver.run()), Running(agent.run()):
        await inbox.wait(lambda got: sum(m.topic.endswith("/power") for m in got) >= 3)
        said = sum(message.topic.endswith("/status") for message in inbox.messages)
        clock.shift_ms = step_ms
        border = clock.now_ms() - step_ms // 2

        def shifted(message: Received) -> bool:
            return (moment(message) - border) * step_ms > 0

        async with asyncio.timeout(3):  # the next status by itself is up to 10 s away
            await inbox.wait(
                lambda got: sum(m.topic.endswith("/power") and shifted(m) for m in got) >= 3
            )
    first = next(message for message in inbox.messages if shifted(message))
    assert first.topic.endswith("/status")
    assert said <= 3, "it says so only when the clock was set"
