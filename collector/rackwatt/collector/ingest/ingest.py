# SPDX-License-Identifier: Apache-2.0
"""Ingest: a batch of messages is checked, made durable in the spool, and only then acknowledged."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from pydantic import ValidationError

from rackwatt.collector.ingest.appending import append
from rackwatt.collector.ingest.clocks import Clocks, Echo
from rackwatt.collector.ingest.complaints import Complaints
from rackwatt.collector.ingest.counts import Counts
from rackwatt.collector.ingest.decoding import Message
from rackwatt.collector.ingest.replays import Replays
from rackwatt.collector.ingest.spool import Batch, DeadLetter, Spool
from rackwatt.collector.ingest.state import Owners
from rackwatt.collector.ingest.watch import AgentWatch, Backfill, GapWatch, Loss
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import (
    MAX_PAYLOAD_BYTES,
    Decoded,
    Envelope,
    Reason,
    Reject,
    UnreadableEnvelope,
    decode_envelope,
    decode_readings,
    encode_received,
)
from rackwatt.wire.inventory import Inventory
from rackwatt.wire.periodic import ticks
from rackwatt.wire.readings import KINDS, Kind
from rackwatt.wire.session import BrokerSettings, NotConnected, Received, Session
from rackwatt.wire.status import Status
from rackwatt.wire.topics import INVENTORY, REPLAY, STATUS, Topic, TopicError, subscriptions

_log = logging.getLogger(__name__)

MAX_AGENTS: Final = 20_000
"""Beyond this no agent is taken in that the site file does not name."""


class Places(Protocol):
    """What ingest asks of the site file."""

    @property
    def id(self) -> str:
        """The site's name in topics."""

    @property
    def halls_ids(self) -> Sequence[str]:
        """The halls' names, without `site`."""

    def hall_of_agent(self, agent: str) -> str | None:
        """The hall that the site file gives to an agent; None when it does not name it."""


class Ingest:
    """The collector's side of MQTT.

    Characteristics: group commit, a batch is what arrived while the one before was written; when
    the spool is full or the disk refuses, nothing is acknowledged and the same batch is tried
    again; no message is dropped without a dead letter and a count.

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
        self._places = places
        self._spool = spool
        self._clock = clock
        self._backfill_seconds = backfill_seconds
        self._owners = Owners(spool.remembered.owners, clock.monotonic())
        self._inventories: dict[str, str] = {}
        # What the watch holds as received is in the spool, or in the batch of the lock's holder:
        # nobody else may save the watch meanwhile, else a crash would lose that batch.
        self._saving = asyncio.Lock()
        self._complaints = Complaints(clock)
        self.watch = GapWatch()
        self.counts = Counts.of(spool.tallies)
        self.clocks = Clocks(spool.remembered.clocks)
        self.replays = Replays(self.watch, clock.now_ms())
        shard = "-".join(halls) if halls else "all"
        name = f"rackwatt-collector-{places.id}-{shard}"
        # Who asks for nobody's messages: what we say there comes back to us alone.
        self._own = str(Topic(places.id, "site", name[:100], REPLAY))
        self._echo = Echo(f"{clock.now_ms()}")
        self.session = Session(
            broker,
            name,
            subscriptions=[*subscriptions(places.id, halls), self._own],
            on_batch=self._on_batch,
            clock=clock,
        )

    async def run(self) -> None:
        """Take messages until cancelled. The spool must be started, and its watch restored."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.session.run(), name="session")
            tasks.create_task(self._ask_again(), name="replays")
            tasks.create_task(self._trim(), name="trim")
            tasks.create_task(self._call(), name="echo")

    # -- taking ------------------------------------------------------------------------------

    async def _on_batch(self, received: Sequence[Received]) -> None:
        async with self._saving:
            await append(self._spool, self._sort(received))
        self.session.ack(received)

    async def save(self, make: Callable[[], Batch]) -> None:
        """Make a batch and have it durable, while nobody else changes what is remembered."""
        async with self._saving:
            await append(self._spool, make())

    def reconsider(self, topic: str, payload: bytes, received_ms: int, *, again: bool) -> Batch:
        """Check a message that was refused once more, without counting it; within `save`.

        Args:
            topic: as it came.
            payload: as it came.
            received_ms: when it came.
            again: a part of it was taken then.
        """
        agent = self.watch.get(topic.split("/")[-2]) if "/" in topic else None
        said = None if agent is None else (agent.last_seen_ms, agent.unreadable)
        counts, self.counts = self.counts, Counts()
        try:
            message = Received(topic, payload, retain=False, mid=0, qos=0, connection=0)
            return self._sort([message], received_ms, again=again)
        finally:
            self.counts = counts
            if agent is not None and said is not None:
                agent.last_seen_ms, agent.unreadable = said

    def _sort(
        self, received: Sequence[Received], now: int | None = None, *, again: bool = False
    ) -> Batch:
        """What of these messages is to be kept, and where."""
        batch = Batch()
        touched: dict[str, AgentWatch] = {}
        now = self._clock.now_ms() if now is None else now
        for message in received:
            if message.topic == self._own:
                self._echo.heard(message.payload)
                continue
            try:
                topic = Topic.parse(message.topic)
            except TopicError as error:
                self._reject(batch, message, now, Reject(Reason.BAD_TOPIC, str(error)))
                continue
            if not self._at_home(batch, message, topic, now):
                continue
            if topic.last == STATUS:
                self._take_status(batch, message, topic, now, touched)
            elif topic.last == INVENTORY:
                self._take_inventory(batch, message, topic, now)
            elif topic.last in KINDS:
                self._take_readings(batch, message, topic, now, touched, again=again)
        batch.watches = list(touched.values())
        batch.notes += [*self._owners.notes(), *self.clocks.notes()]
        batch.tallies = self.counts.tallies()
        return batch

    def _at_home(self, batch: Batch, message: Received, topic: Topic, now: int) -> bool:
        if topic.site != self._places.id:
            detail = f"site {topic.site!r} is not {self._places.id!r}"
            self._reject(batch, message, now, Reject(Reason.WRONG_SITE, detail))
            return False
        expected = self._places.hall_of_agent(topic.agent)
        known = topic.hall == "site" or topic.hall in self._places.halls_ids
        if not known or (expected is not None and expected != topic.hall):
            belongs = f"belongs to {expected!r}" if expected else "is not in the site file"
            detail = f"agent {topic.agent!r} speaks from hall {topic.hall!r}, which {belongs}"
            self._reject(batch, message, now, Reject(Reason.WRONG_HALL, detail))
            return False
        stranger = expected is None and self.watch.get(topic.agent) is None
        if stranger and len(self.watch) >= MAX_AGENTS:
            detail = f"agent {topic.agent!r} is one more than {MAX_AGENTS}"
            self._reject(batch, message, now, Reject(Reason.TOO_MANY_AGENTS, detail))
            return False
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            # Before anything is parsed: some 10 MB of it would hold up all others for seconds.
            detail = f"{len(message.payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read"
            self.watch.agent(topic.agent, topic.hall).unreadable += topic.last in KINDS
            self._reject(batch, message, now, Reject(Reason.TOO_LARGE, detail))
            return False
        return True

    def _reject(self, batch: Batch, message: Received, now: int, reject: Reject) -> None:
        """Keep, count and name what was refused."""
        self.counts.rejected[reject.reason] += 1
        # Names that came may hold lone surrogates, which no file and no terminal takes.
        detail = reject.detail.encode(errors="backslashreplace").decode()
        batch.deadletters.append(
            DeadLetter(now, message.topic, message.payload, reject.reason, detail)
        )
        self._complaints.say(reject.reason, message.topic, detail)

    def _take_status(
        self,
        batch: Batch,
        message: Received,
        topic: Topic,
        now: int,
        touched: dict[str, AgentWatch],
    ) -> None:
        try:
            status = Status.model_validate_json(message.payload)
        except ValidationError as error:
            self._reject(batch, message, now, Reject(Reason.BAD_STATUS, _brief(error)))
            return
        backfill = Backfill(self._backfill_seconds, now)
        losses = self.watch.status(
            topic.agent,
            topic.hall,
            status,
            self._clock.monotonic(),
            backfill,
            retained=message.retain,
        )
        agent = self.watch.agent(topic.agent, topic.hall)
        if not message.retain:
            agent.last_seen_ms = now
            if status.state == "online":
                offset = (now - status.time) / 1000
                behind = self._echo.behind(self._clock.monotonic())
                agent.clock_offset_seconds = self.clocks.told(
                    agent.name, status.epochs, offset, behind
                )
        touched[agent.name] = agent
        self._note_losses(losses)
        batch.losses += losses

    @staticmethod
    def _note_losses(losses: Sequence[Loss]) -> None:
        for loss in losses:
            _log.error(
                "%s: %d messages lost (%s): epoch %d, %d to %d",
                loss.agent,
                loss.count,
                loss.reason,
                loss.epoch,
                loss.low,
                loss.high,
            )

    def _take_inventory(self, batch: Batch, message: Received, topic: Topic, now: int) -> None:
        try:
            inventory = Inventory.model_validate_json(message.payload)
        except ValidationError as error:
            self._reject(batch, message, now, Reject(Reason.BAD_INVENTORY, _brief(error)))
            return
        self.watch.agent(topic.agent, topic.hall)  # counts for their bound
        if self._inventories.get(topic.agent) != inventory.version:
            self._inventories[topic.agent] = inventory.version
            batch.messages.append((now, message.topic, message.payload))
            batch.decoded.append(Message(topic, []))

    def _take_readings(
        self,
        batch: Batch,
        message: Received,
        topic: Topic,
        now: int,
        touched: dict[str, AgentWatch],
        *,
        again: bool,
    ) -> None:
        agent = self.watch.agent(topic.agent, topic.hall)
        agent.last_seen_ms = now
        try:
            envelope = decode_envelope(message.payload)
        except UnreadableEnvelope as error:
            agent.unreadable += 1
            self._reject(batch, message, now, Reject(error.reason, str(error)))
            return
        if not agent.has_room(envelope.epoch, envelope.seq):
            detail = f"epoch {envelope.epoch}, message {envelope.seq}: one gap too many"
            self._reject(batch, message, now, Reject(Reason.TOO_MANY_GAPS, detail))
            return
        overdue = self._is_overdue(agent, envelope)
        if not agent.receive(envelope.epoch, envelope.seq) and not again:
            self.counts.duplicates += 1
            return
        touched[agent.name] = agent
        self.counts.recovered += overdue
        self.counts.messages[topic.last] += 1
        kind = cast("Kind", topic.last)
        decoded = decode_readings(kind, envelope)
        payload = self._without_conflicts(decoded, envelope, message.payload, topic.agent)
        for reason in {reject.reason for reject in decoded.rejects}:
            same = [reject.detail for reject in decoded.rejects if reject.reason is reason]
            detail = "; ".join(same[:5]) + (f"; and {len(same) - 5} more" if len(same) > 5 else "")
            self._reject(batch, message, now, Reject(reason, detail))
        if decoded.readings:
            batch.messages.append((now, message.topic, payload))
            batch.decoded.append(Message(topic, decoded.readings, envelope.epoch, envelope.seq))

    @staticmethod
    def _is_overdue(agent: AgentWatch, envelope: Envelope) -> bool:
        epoch = agent.epochs.get(envelope.epoch)
        return epoch is not None and epoch.is_missing(envelope.seq)

    def _without_conflicts(
        self, decoded: Decoded, envelope: Envelope, payload: bytes, agent: str
    ) -> bytes:
        """Refuse readings of a device that another agent reports; the rest stays as received."""
        now = self._clock.monotonic()
        refused: set[str] = set()
        for reading in decoded.readings:
            owner = self._owners.claim(reading.device, agent, now)
            if owner is not None:
                refused.add(reading.device)
                detail = f"{reading.device} is reported by {owner!r}"
                decoded.rejects.append(Reject(Reason.DEVICE_CONFLICT, detail))
        if not refused:
            return payload
        decoded.readings = [item for item in decoded.readings if item.device not in refused]
        return encode_received(envelope, decoded.readings)

    # -- asking again ------------------------------------------------------------------------

    async def _ask_again(self) -> None:
        """Once a second; a turn that is missed is skipped, the next one sees the same gaps."""
        async for _ in ticks(1.0, self._clock):
            if not self.session.connected.is_set():
                continue
            async with self._saving:
                asks, losses = self.replays.plan(self._clock.monotonic(), self._spool.full_ratio)
                if losses:
                    self._note_losses(losses)
                    names = {loss.agent for loss in losses}
                    watches = [agent for agent in self.watch if agent.name in names]
                    await append(self._spool, Batch(watches=watches, losses=losses))
            for ask in asks:
                topic = str(Topic(self._places.id, ask.hall, ask.agent, REPLAY))
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
            if self._owners.forget(self._clock.monotonic()):
                await self.save(lambda: Batch(notes=self._owners.notes()))
            try:
                await self._spool.trim()
            except sqlite3.Error as error:
                _log.error("spool: cannot trim: %s", error)

    async def _call(self) -> None:
        """Now and then, to hear how long messages wait at the broker."""
        async for _ in ticks(1.0, self._clock):
            if not self.session.connected.is_set():
                continue
            payload = self._echo.call(self.session.number, self._clock.monotonic())
            if payload is not None:
                with contextlib.suppress(NotConnected):
                    await self.session.publish(self._own, payload)


def _brief(error: ValidationError) -> str:
    """What is wrong, in short; a large message may have half a million faults."""
    if error.error_count() > 100:
        return f"{error.error_count()} faults in {error.title}"
    return str(error).replace("\n", " ")[:300]
