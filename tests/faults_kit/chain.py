# SPDX-License-Identifier: Apache-2.0
"""The collector's part of the way: ingest, spool and drain over a real store, in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from collecting import small_site
from doubles import Running
from faults_kit.compare import Values, difference, not_received, stored_in
from faults_kit.fleet import Fleet

from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.replays import Ask
from rackwatt.collector.ingest.spool import STORE, Spool
from rackwatt.collector.ingest.watch import Loss
from rackwatt.collector.site import Site
from rackwatt.collector.store import EmbeddedStore, InfluxStore
from rackwatt.collector.store.drain import Drain
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.readings import KINDS
from rackwatt.wire.session import BrokerSettings, Received
from servers.fixtures import InfluxBucket

AnyStore = EmbeddedStore | InfluxStore


@dataclass
class Chain:
    """A running collector."""

    site: Site
    spool: Spool
    ingest: Ingest
    drain: Drain
    store: AnyStore
    requests: int = 0
    """Replay requests that were sent."""
    asked: int = 0
    """Messages in them."""
    acknowledged: int = 0
    """Messages of readings that were acknowledged to the broker."""

    def behind(self, fleet: Fleet) -> int:
        """Messages that agents hold and that are not received, or not yet stored."""
        missing = sum(
            not_received(self.ingest.watch, agent.session._client_id, agent.outbox.states())
            for agent in fleet.agents
        )
        # What is being written counts as received already.
        writing = int(self.ingest.busy)
        return missing + writing + self.spool.last_id - self.spool.cursor(STORE)

    async def settle(self, fleet: Fleet, seconds: float) -> None:
        """Wait until everything that agents hold is stored."""
        try:
            async with asyncio.timeout(seconds):
                while self.behind(fleet):  # noqa: ASYNC110 - of many places, by no one event
                    await asyncio.sleep(0.02)
        except TimeoutError:
            msg = f"still {self.behind(fleet)} behind after {seconds:.0f} s"
            raise AssertionError(msg) from None

    async def stored(self) -> Values:
        """What the store holds now."""
        return await asyncio.to_thread(stored_in, self.store, "power")

    async def check(self, fleet: Fleet, store: AnyStore | None = None) -> Values:
        """What was sent is stored, every value of it and nothing else; returns it."""
        sent = fleet.sent()
        stored = await asyncio.to_thread(stored_in, store or self.store, "power")
        found = difference(sent, stored)
        assert not found, str(found)
        assert self.spool.lost == 0
        assert len(sent) > 0
        return sent


@asynccontextmanager
async def chain(
    broker: str, folder: Path, store: AnyStore, *, spool_bytes: int = 10**9
) -> AsyncIterator[Chain]:
    """A collector with its spool in `folder`, over a store that is not started."""
    site = small_site()
    spool = Spool(
        folder / "spool.db", max_bytes=spool_bytes, clock=SYSTEM_CLOCK, consumers=(STORE,)
    )
    watches = await spool.start()
    ingest = Ingest(BrokerSettings(url=broker), site, spool, SYSTEM_CLOCK, backfill_seconds=None)
    ingest.watch.restore(watches)
    drain = Drain(spool, store, site, SYSTEM_CLOCK)
    made = Chain(site, spool, ingest, drain, store)
    _count(made)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(spool.aclose)
        await stack.enter_async_context(Running(drain.run()))
        await stack.enter_async_context(Running(ingest.run()))
        await ingest.session.connected.wait()
        yield made


def _count(made: Chain) -> None:
    plan = made.ingest.replays.plan

    def counted(now: float, spool_ratio: float) -> tuple[list[Ask], list[Loss]]:
        asks, losses = plan(now, spool_ratio)
        made.requests += len(asks)
        made.asked += sum(h - low + 1 for ask in asks for low, h in ask.request.ranges)
        return asks, losses

    made.ingest.replays.plan = counted  # type: ignore[method-assign]
    ack = made.ingest.session.ack

    def acknowledge(messages: Iterable[Received]) -> None:
        taken = list(messages)
        made.acknowledged += sum(message.topic.rsplit("/", 1)[1] in KINDS for message in taken)
        ack(taken)

    made.ingest.session.ack = acknowledge  # type: ignore[method-assign]


def embedded(folder: Path) -> EmbeddedStore:
    return EmbeddedStore(folder / "store", keep_seconds=10 * 86_400.0)


def influx(bucket: InfluxBucket, url: str | None = None, timeout: float = 10.0) -> InfluxStore:
    return InfluxStore(
        url=url or bucket.url,
        org=bucket.org,
        bucket=bucket.bucket,
        token=bucket.token,
        timeout_seconds=timeout,
    )
