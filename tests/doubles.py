# SPDX-License-Identifier: Apache-2.0
"""Stand-ins that several test files share: clocks, a site, a source, a place for messages."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from rackwatt.agents.source import ProbeRow, StartError
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings, Received, Session, Will

START_MS = 1_790_000_000_000


class LoopClock:
    """The event loop's own time, virtual or not, with a wall clock that can be stepped."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.offset_ms = start_ms

    def now_ms(self) -> int:
        return self.offset_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class FakeSource:
    """A source whose rounds are given by a function of their number."""

    rounds: Callable[[int], Sequence[Sample]]
    start_errors: list[StartError] = field(default_factory=list)
    items: Sequence[InventoryItem] = ()
    number: int = 0
    started: bool = False
    closed: int = 0

    def inventory(self) -> Sequence[InventoryItem]:
        return self.items

    async def start(self) -> None:
        if self.start_errors:
            raise self.start_errors.pop(0)
        self.started = True

    async def sample(self) -> Sequence[Sample]:
        self.number += 1
        return self.rounds(self.number)

    async def probe(self) -> Sequence[ProbeRow]:
        return []

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class FakePlaces:
    """A site with two halls; agents that the site file names."""

    id: str = "demo"
    halls_ids: Sequence[str] = ("hall-a", "hall-b")
    agents: dict[str, str] = field(default_factory=lambda: {"snmp-a": "hall-a", "meters": "site"})

    nodes: Sequence[str] = ("node-1",)

    def hall_of_agent(self, agent: str) -> str | None:
        return self.agents.get(agent)

    def is_node(self, name: str) -> bool:
        return name in self.nodes


class Inbox:
    """Collects what a session receives; acknowledges only when told to."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self._more = asyncio.Condition()

    async def on_batch(self, batch: Sequence[Received]) -> None:
        self.messages += batch
        async with self._more:
            self._more.notify_all()

    async def wait(
        self, found: Callable[[list[Received]], bool], timeout: float = 10.0
    ) -> list[Received]:
        """Wait until `found` says yes of what has come."""
        async with asyncio.timeout(timeout), self._more:
            await self._more.wait_for(lambda: found(self.messages))
        return self.messages

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


class Running:
    """A coroutine that works in the background of a test and is stopped with it."""

    def __init__(self, work: Awaitable[None]) -> None:
        self._work = work
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "asyncio.Task[None]":
        self.task = asyncio.ensure_future(_await(self._work))
        return self.task

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (error := self.task.exception()) is not None:
            raise error


async def _await(work: Awaitable[None]) -> None:
    await work


async def until(true: Callable[[], bool], timeout: float = 10.0) -> None:
    """Look again every 5 ms until it is true; a time-out fails the test."""
    async with asyncio.timeout(timeout):
        while not true():  # noqa: ASYNC110 - what is looked at has no event of its own
            await asyncio.sleep(0.005)


def session(
    url: str,
    name: str,
    inbox: Inbox | None = None,
    *subscriptions: str,
    will: Callable[[int], Will] | None = None,
) -> Session:
    """A session with quick reconnection."""
    return Session(
        BrokerSettings(url=url),
        name,
        subscriptions=subscriptions,
        on_batch=inbox.on_batch if inbox is not None else None,
        will=will,
        backoff=Backoff(first=0.02, cap=0.1),
    )
