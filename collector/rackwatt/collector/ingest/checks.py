# SPDX-License-Identifier: Apache-2.0
"""What of the messages that came is kept, and where: the checks of ingest. No I/O."""

import logging
from collections.abc import Sequence
from typing import Final, Protocol, cast

from pydantic import ValidationError

from rackwatt.collector.ingest.clocks import Clocks, Echo
from rackwatt.collector.ingest.complaints import Complaints
from rackwatt.collector.ingest.counts import Counts
from rackwatt.collector.ingest.decoding import Message
from rackwatt.collector.ingest.quick import Quick
from rackwatt.collector.ingest.said import Said
from rackwatt.collector.ingest.spool import Batch, DeadLetter, Spool
from rackwatt.collector.ingest.state import Owners
from rackwatt.collector.ingest.watch import AgentWatch, Backfill, GapWatch, Loss, Taken
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import (
    MAX_PAYLOAD_BYTES,
    Envelope,
    Reason,
    ReceivedReading,
    Reject,
    UnreadableEnvelope,
    decode_envelope,
    decode_readings,
    encode_received,
)
from rackwatt.wire.inventory import Inventory
from rackwatt.wire.readings import KINDS, Kind
from rackwatt.wire.session import Received
from rackwatt.wire.status import Status
from rackwatt.wire.topics import INVENTORY, STATUS, Topic, TopicError

_log = logging.getLogger(__name__)

MAX_AGENTS: Final = 20_000
"""Beyond this no agent is taken in that the site file does not name."""
_MAX_HOMES: Final = 400_000
"""Topics that are known to be in order, each some 300 bytes: a campus has half as many."""


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


class Checks:
    """Sorts messages into what is kept, what is refused, and what is known already.

    Args:
        places: the site.
        spool: started: what it remembers is taken over.
        clock: where the time comes from.
        own: the topic on which our own echo comes back.
        backfill_seconds: how far back to ask agents that were never seen; None: all they have.
    """

    def __init__(
        self, places: Places, spool: Spool, clock: Clock, own: str, backfill_seconds: float | None
    ) -> None:
        self._places = places
        self._clock = clock
        self._own = own
        self._backfill_seconds = backfill_seconds
        self._inventories: dict[str, str] = {}
        self._homes: dict[str, Topic] = {}
        self._complaints = Complaints(clock)
        self._quick = Quick()
        self.owners = Owners(spool.remembered.owners, clock.monotonic())
        self.watch = GapWatch()
        self.counts = Counts.of(spool.tallies)
        self.clocks = Clocks(spool.remembered.clocks)
        self.echo = Echo(f"{clock.now_ms()}")

    @property
    def places(self) -> Places:
        """The site."""
        return self._places

    @places.setter
    def places(self, places: Places) -> None:
        self._places = places
        self._homes.clear()

    def sort_again(self, message: Received, received_ms: int, *, again: bool) -> Batch:
        """Check a message that was refused once more, without counting it."""
        topic = message.topic
        agent = self.watch.get(topic.split("/")[-2]) if "/" in topic else None
        said = None if agent is None else (agent.last_seen_ms, agent.unreadable)
        counts, self.counts = self.counts, Counts()
        try:
            return self.sort([message], received_ms, again=again)
        finally:
            self.counts = counts
            if agent is not None and said is not None:
                agent.last_seen_ms, agent.unreadable = said

    def sort(
        self, received: Sequence[Received], now: int | None = None, *, again: bool = False
    ) -> Batch:
        """What of these messages is to be kept, and where.

        Args:
            received: messages, in the order in which they came.
            now: when they came, in ms; None: just now.
            again: a part of each was taken before.
        """
        batch = Batch()
        touched: dict[str, AgentWatch] = {}
        now = self._clock.now_ms() if now is None else now
        homes = self._homes
        for message in received:
            topic = homes.get(message.topic) or self._at_home(batch, message, now)
            if topic is None:
                continue
            if len(message.payload) > MAX_PAYLOAD_BYTES:
                self._too_large(batch, message, topic, now)
            elif topic.last in KINDS:
                self._take_readings(batch, message, topic, now, touched, again=again)
            elif topic.last == STATUS:
                self._take_status(batch, message, topic, now, touched)
            elif topic.last == INVENTORY:
                self._take_inventory(batch, message, topic, now)
        batch.watches = list(touched.values())
        batch.clocks = self.clocks.changed()
        batch.notes += self.owners.notes()
        batch.tallies = self.counts.tallies()
        return batch

    def _at_home(self, batch: Batch, message: Received, now: int) -> Topic | None:
        """The topic, where its agent may speak there; remembered, since agents do not move."""
        if message.topic == self._own:
            self.echo.heard(message.payload)
            return None
        try:
            topic = Topic.parse(message.topic)
        except TopicError as error:
            self._reject(batch, message, now, Reject(Reason.BAD_TOPIC, str(error)))
            return None
        expected = self._places.hall_of_agent(topic.agent)
        stranger = expected is None and self.watch.get(topic.agent) is None
        reject = self._out_of_place(topic, expected, stranger=stranger)
        if reject is not None:
            self._reject(batch, message, now, reject)
            return None
        if not stranger:
            if len(self._homes) >= _MAX_HOMES:
                self._homes.clear()
            self._homes[message.topic] = topic
        return topic

    def _out_of_place(self, topic: Topic, expected: str | None, *, stranger: bool) -> Reject | None:
        if topic.site != self._places.id:
            detail = f"site {topic.site!r} is not {self._places.id!r}"
            return Reject(Reason.WRONG_SITE, detail)
        known = topic.hall == "site" or topic.hall in self._places.halls_ids
        if not known or (expected is not None and expected != topic.hall):
            belongs = f"belongs to {expected!r}" if expected else "is not in the site file"
            detail = f"agent {topic.agent!r} speaks from hall {topic.hall!r}, which {belongs}"
            return Reject(Reason.WRONG_HALL, detail)
        if stranger and len(self.watch) >= MAX_AGENTS:
            detail = f"agent {topic.agent!r} is one more than {MAX_AGENTS}"
            return Reject(Reason.TOO_MANY_AGENTS, detail)
        return None

    def _too_large(self, batch: Batch, message: Received, topic: Topic, now: int) -> None:
        """Before anything is parsed: some 10 MB of it would hold up all others for seconds."""
        detail = f"{len(message.payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read"
        self.watch.agent(topic.agent, topic.hall).unreadable += topic.last in KINDS
        self._reject(batch, message, now, Reject(Reason.TOO_LARGE, detail))

    def _reject(self, batch: Batch, message: Received, now: int, reject: Reject) -> None:
        """Keep, count and name what was refused."""
        self.counts.rejected[reject.reason] += 1
        # Names that came may hold lone surrogates, which no file and no terminal takes.
        detail = reject.detail.encode(errors="backslashreplace").decode()
        batch.deadletters.append(
            DeadLetter(now, message.topic, message.payload, reject.reason, detail)
        )
        self._complaints.say(reject.reason, message.topic, detail)

    # -- statuses and inventories --------------------------------------------------------------

    def _take_status(
        self,
        batch: Batch,
        message: Received,
        topic: Topic,
        now: int,
        touched: dict[str, AgentWatch],
    ) -> None:
        status: Said | None = self._quick.status(message.payload)
        if status is None:
            try:
                status = Status.model_validate_json(message.payload)
            except ValidationError as error:
                self._reject(batch, message, now, Reject(Reason.BAD_STATUS, _brief(error)))
                return
        monotonic = self._clock.monotonic()
        backfill = Backfill(self._backfill_seconds, now)
        losses = self.watch.status(
            topic.agent, topic.hall, status, monotonic, backfill, retained=message.retain
        )
        agent = self.watch.agent(topic.agent, topic.hall)
        if not message.retain:
            agent.last_seen_ms = now
            if status.state == "online":
                offset = (now - status.time) / 1000
                behind = self.echo.behind(monotonic)
                agent.clock_offset_seconds = self.clocks.told(
                    agent.name, status.epochs, offset, behind
                )
        touched[agent.name] = agent
        if losses:
            note_losses(losses)
            batch.losses += losses

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

    # -- readings ------------------------------------------------------------------------------

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
        kind = cast("Kind", topic.last)
        payload = message.payload
        good = self._quick.read(kind, payload)
        if good is not None:
            epoch, seq, time_ms, readings = good
            envelope = None
        else:
            try:
                envelope = decode_envelope(payload)
            except UnreadableEnvelope as error:
                agent.unreadable += 1
                self._reject(batch, message, now, Reject(error.reason, str(error)))
                return
            epoch, seq, time_ms = envelope.epoch, envelope.seq, envelope.time_ms
        taken = agent.take(epoch, seq)
        if taken is Taken.NO_ROOM:
            detail = f"epoch {epoch}, message {seq}: one gap too many"
            self._reject(batch, message, now, Reject(Reason.TOO_MANY_GAPS, detail))
            return
        if taken is Taken.AGAIN and not again:
            self.counts.duplicates += 1
            return
        touched[agent.name] = agent
        self.counts.recovered += taken is Taken.RECOVERED
        self.counts.messages[kind] += 1
        rejects: list[Reject] = []
        if envelope is not None:
            decoded = decode_readings(kind, envelope)
            readings, rejects = decoded.readings, decoded.rejects
        conflicts = self.owners.conflicts(readings, agent.name, self._clock.monotonic())
        if conflicts:
            readings = _without(readings, conflicts, rejects)
            payload = encode_received(Envelope(epoch, seq, time_ms, ()), readings)
        if rejects:
            self._reject_parts(batch, message, now, rejects)
        if readings:
            batch.messages.append((now, message.topic, payload))
            batch.decoded.append(Message(topic, readings, epoch, seq))

    def _reject_parts(
        self, batch: Batch, message: Received, now: int, rejects: Sequence[Reject]
    ) -> None:
        for reason in {reject.reason for reject in rejects}:
            same = [reject.detail for reject in rejects if reject.reason is reason]
            detail = "; ".join(same[:5]) + (f"; and {len(same) - 5} more" if len(same) > 5 else "")
            self._reject(batch, message, now, Reject(reason, detail))


def _without(
    readings: Sequence[ReceivedReading],
    conflicts: Sequence[tuple[str, str]],
    rejects: list[Reject],
) -> list[ReceivedReading]:
    """Refuse readings of a device that another agent reports; the rest stays."""
    for device, owner in conflicts:
        rejects.append(Reject(Reason.DEVICE_CONFLICT, f"{device} is reported by {owner!r}"))
    refused = {device for device, _ in conflicts}
    return [item for item in readings if item.device not in refused]


def note_losses(losses: Sequence[Loss]) -> None:
    """Say what will never come."""
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


def _brief(error: ValidationError) -> str:
    """What is wrong, in short; a large message may have half a million faults."""
    if error.error_count() > 100:
        return f"{error.error_count()} faults in {error.title}"
    return str(error).replace("\n", " ")[:300]
