# SPDX-License-Identifier: Apache-2.0
"""Ingest: a batch of messages is checked, made durable in the spool, and only then acknowledged."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence

from rackwatt.collector.ingest.appending import append
from rackwatt.collector.ingest.checks import Checks, Places, note_losses
from rackwatt.collector.ingest.counts import Counts
from rackwatt.collector.ingest.replays import Replays
from rackwatt.collector.ingest.sessions import begun, ended, leave, used
from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks
from rackwatt.wire.session import BrokerSettings, NotConnected, Received, Session
from rackwatt.wire.topics import REPLAY, Topic, subscriptions

__all__ = ["Ingest", "Places"]

_log = logging.getLogger(__name__)


class Ingest:
    """The collector's side of MQTT.

    Characteristics: group commit, a batch is what arrived while the one before was written; one
    batch is checked while the one before it is written; when the spool is full or the disk refuses,
    nothing is acknowledged and the same batch is tried again; no message is dropped without a dead
    letter and a count.

    Args:
        broker: where the broker is.
        places: the site.
        spool: the durable log, started by `run`.
        clock: where the time comes from.
        halls: the halls of this collector; None: all.
        backfill_seconds: how far back to ask agents that were never seen; None: all they have.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        places: Places,
        spool: Spool,
        clock: Clock,
        *,
        halls: tuple[str, ...] | None = None,
        backfill_seconds: float | None = 0.0,
    ) -> None:
        self._site = places.id
        self._spool = spool
        self._clock = clock
        # What the watch holds as received is in the spool, in the batch that is being written, or
        # in that of the lock's holder: nobody else may save the watch meanwhile, else a crash
        # would lose those batches.
        self._saving = asyncio.Lock()
        self._writing: asyncio.Future[None] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._caught_up = asyncio.Event()
        shard = "-".join(halls) if halls else "all"
        name = self._name = f"rackwatt-collector-{places.id}-{shard}"
        self._broker = broker
        # Who asks for nobody's messages: what we say there comes back to us alone.
        self._own = str(Topic(places.id, "site", name[:100], REPLAY))
        self.checks = Checks(places, spool, clock, self._own, backfill_seconds)
        self.watch = self.checks.watch
        self.clocks = self.checks.clocks
        self.replays = Replays(self.watch, clock.now_ms())
        self.session = Session(
            broker,
            name,
            subscriptions=[*subscriptions(places.id, halls), self._own],
            on_batch=self._on_batch,
            clock=clock,
        )

    @property
    def counts(self) -> Counts:
        """What was done since the spool was made."""
        return self.checks.counts

    async def run(self) -> None:
        """Take messages until cancelled. The spool must be started, and its watch restored."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self.session.run(), name="session")
            tasks.create_task(self._leave(), name="leave")
            tasks.create_task(self._ask_again(), name="replays")
            tasks.create_task(self._trim(), name="trim")
            tasks.create_task(self._call(), name="echo")

    async def retire(self) -> None:
        """Take nothing any more: end every session that the broker holds for this spool."""
        await leave(self._broker, await self._spool.look(used), self._forget)

    async def _leave(self) -> None:
        """End the sessions of earlier names, once the one of today takes their messages."""
        await self.save(lambda: Batch(notes=[begun(self._name)]))
        await self.session.connected.wait()
        left = [name for name in await self._spool.look(used) if name != self._name]
        await leave(self._broker, left, self._forget)

    async def _forget(self, name: str) -> None:
        await self.save(lambda: Batch(notes=[ended([name])]))

    async def catch_up(self, timeout: float) -> None:
        """Wait until what the broker holds for us now was taken; beside `run`, before it ends.

        What is not here by then the broker keeps, or the agents send it again.

        Args:
            timeout: seconds to wait at most.
        """
        last = self.checks.echo.last
        with contextlib.suppress(NotConnected, TimeoutError):
            async with asyncio.timeout(timeout):
                await self.session.publish(self._own, last, timeout=timeout)
                await self._caught_up.wait()

    # -- taking ------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is received that is not in the spool yet."""
        return self._saving.locked() or not (self._writing is None or self._writing.done())

    async def _on_batch(self, received: Sequence[Received]) -> None:
        async with self._saving:
            batch = self.checks.sort(received)
            batch.freeze()
            last = self.checks.echo.ended
            await self._written()
            writing = self._write(batch, received, last=last)
            try:
                if self._tasks is None:  # not within `run`
                    await writing
                else:
                    self._writing = self._tasks.create_task(writing, name="write")
            except RuntimeError:  # `run` is ending, and takes no more tasks
                writing.close()
                await self._write(batch, received, last=last)

    async def _write(self, batch: Batch, received: Sequence[Received], *, last: bool) -> None:
        await append(self._spool, batch)
        self.session.ack(received)
        if last:
            self._caught_up.set()

    async def _written(self) -> None:
        """Wait for the batch that is being written. Its errors end `run`, not who waits."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def save(self, make: Callable[[], Batch]) -> None:
        """Make a batch and have it durable, while nobody else changes what is remembered."""
        async with self._saving:
            await self._written()
            await append(self._spool, make())

    def reconsider(self, topic: str, payload: bytes, received_ms: int, *, again: bool) -> Batch:
        """Check a message that was refused once more, without counting it; within `save`.

        Args:
            topic: as it came.
            payload: as it came.
            received_ms: when it came.
            again: a part of it was taken then.
        """
        message = Received(topic, payload, retain=False, mid=0, qos=0, connection=0)
        return self.checks.sort_again(message, received_ms, again=again)

    # -- asking again ------------------------------------------------------------------------

    async def _ask_again(self) -> None:
        """Once a second; a turn that is missed is skipped, the next one sees the same gaps."""
        async for _ in ticks(1.0, self._clock):
            if not self.session.connected.is_set():
                continue
            async with self._saving:
                await self._written()
                asks, losses = self.replays.plan(self._clock.monotonic(), self._spool.full_ratio)
                if losses:
                    note_losses(losses)
                    names = {loss.agent for loss in losses}
                    watches = [agent for agent in self.watch if agent.name in names]
                    await append(self._spool, Batch(watches=watches, losses=losses))
            for ask in asks:
                topic = str(Topic(self._site, ask.hall, ask.agent, REPLAY))
                _log.info(
                    "%s: asking for epoch %d, ranges %s%s again",
                    ask.agent,
                    ask.request.epoch,
                    list(ask.request.ranges[:3]),
                    " …" if len(ask.request.ranges) > 3 else "",
                )
                with contextlib.suppress(NotConnected):
                    await self.session.publish(topic, ask.request.model_dump_json().encode())

    async def _trim(self) -> None:
        """Every 2 s; a turn that is missed is skipped."""
        async for _ in ticks(2.0, self._clock):
            if self.checks.owners.forget(self._clock.monotonic()):
                await self.save(lambda: Batch(notes=self.checks.owners.notes()))
            try:
                await self._spool.trim()
                await self._spool.fold()
            except sqlite3.Error as error:
                _log.error("spool: cannot trim: %s", error)

    async def _call(self) -> None:
        """Now and then, to hear how long messages wait at the broker."""
        async for _ in ticks(1.0, self._clock):
            if not self.session.connected.is_set():
                continue
            payload = self.checks.echo.call(self.session.number, self._clock.monotonic())
            if payload is not None:
                with contextlib.suppress(NotConnected):
                    await self.session.publish(self._own, payload)
