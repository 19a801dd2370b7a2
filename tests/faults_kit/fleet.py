# SPDX-License-Identifier: Apache-2.0
"""Agents that send known values: the real loop, outbox and session; only the device is a fake."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from doubles import FakeSource, Running
from faults_kit.compare import Values, outbox_messages, values_of

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import reading_of
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.readings import Kind, Reading
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings

DEVICES = 4
"""Of each agent."""


class Fleet:
    """Running agents.

    Args:
        agents: by name; each has a hall of `collecting.small_site`.
        paths: the files of their outboxes.
    """

    def __init__(self, agents: Sequence[Agent], paths: Sequence[Path]) -> None:
        self.agents = agents
        self._paths = paths
        self._number = 0

    async def put(self, time_ms: int, count: int = 1, step_ms: int = 1000) -> None:
        """Give every agent messages as if it had sampled at these times.

        Args:
            time_ms: of the first message; give no time twice.
            count: messages of each agent, made durable in one go.
            step_ms: between them.
        """
        for agent in self.agents:
            name = agent.session._client_id
            messages: list[tuple[Kind, int, Sequence[Reading]]] = []
            for index in range(count):
                at = time_ms + index * step_ms
                messages.append(("power", at, [self._reading(name, d, at) for d in range(DEVICES)]))
            await agent.outbox.put(messages)
            agent.sender.wake()

    def _reading(self, agent: str, device: int, time_ms: int) -> Reading:
        self._number += 1
        values = {"power_watts": float(self._number), "voltage_volts": self._number / 1024}
        return reading_of(Sample("power", f"{agent}-d{device}", values), time_ms)

    def sent(self) -> Values:
        """Every value that an agent holds as sampled."""
        found: Values = {}
        for path in self._paths:
            found |= values_of(outbox_messages(path))
        return found

    @property
    def messages(self) -> int:
        return sum(state.last for agent in self.agents for state in agent.outbox.states())

    @property
    def published(self) -> int:
        """Acknowledged by a broker, again and again if so."""
        return sum(agent.counts.sent for agent in self.agents)

    @property
    def replayed(self) -> int:
        return sum(agent.counts.replayed for agent in self.agents)

    @property
    def reconnects(self) -> int:
        return sum(agent.session.reconnects for agent in self.agents)


def make_agent(url: str, path: Path, name: str, hall: str = "hall-a") -> Agent:
    settings = AgentSettings(site="demo", hall=hall, name=name, sample_every=1, send_every=1)
    config = Config(agent=settings, broker=BrokerSettings(url=url), source="fake")
    outbox = Outbox(path, keep_seconds=86_400, max_bytes=10**9, clock=SYSTEM_CLOCK)
    return Agent(config, FakeSource(lambda _: ()), outbox, ErrorCounter())


@asynccontextmanager
async def fleet(
    url: str, folder: Path, size: int = 4, hall: str = "hall-a", prefix: str = "agent"
) -> AsyncIterator[Fleet]:
    """`size` agents of a hall that send to the broker at `url`."""
    names = [f"{prefix}-{number}" for number in range(size)]
    paths = [folder / f"{name}.db" for name in names]
    agents = [make_agent(url, path, name, hall) for path, name in zip(paths, names, strict=True)]
    async with AsyncExitStack() as stack:
        for agent in agents:
            await stack.enter_async_context(Running(agent.run()))
        while not all(begun(agent) for agent in agents):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        yield Fleet(agents, paths)


def begun(agent: Agent) -> bool:
    """Whether its outbox takes messages: a restored one lists older epochs before its own."""
    return agent.outbox.epoch in {state.epoch for state in agent.outbox.states()}
