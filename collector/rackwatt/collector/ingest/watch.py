# SPDX-License-Identifier: Apache-2.0
"""The gap watch: which messages of which agent are here, lost or missing.

Agents say what they have sent (`…/status`); the watch knows what has come. It trusts no broker:
what an agent handed over and what is not here 30 s later is asked for again, until it comes or
until the agent says that it no longer has it; then the range is closed as lost, on record.

Pure state: no I/O, no clock; times are given by the caller.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from itertools import islice
from typing import Final

from rackwatt.collector.ingest.said import Held, Said
from rackwatt.wire.ranges import Range, Ranges

GRACE_SECONDS: Final = 30.0
"""A message that was sent this long ago and is not here is missing."""
MAX_EPOCHS: Final = 1000
"""Of an agent: as many as a status lists, twice what an outbox keeps."""
MAX_RUNS: Final = 1000
"""Of an epoch: a message that would open one more gap is refused, those that fill gaps are not."""


class LossReason(StrEnum):
    """Why a range was closed without having come."""

    EVICTED = "evicted"
    """The agent's outbox no longer holds it."""
    EPOCH_GONE = "epoch_gone"
    """The agent no longer lists the epoch: its outbox was replaced or has aged."""
    UNREADABLE = "unreadable"
    """It came three times and could not be read."""


class Taken(Enum):
    """What a message is to the watch."""

    NEW = auto()
    RECOVERED = auto()
    """It was missing."""
    AGAIN = auto()
    """It is here already."""
    NO_ROOM = auto()
    """It cannot be remembered."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A range that will never come."""

    agent: str
    epoch: int
    low: int
    high: int
    reason: LossReason

    @property
    def count(self) -> int:
        """How many messages."""
        return self.high - self.low + 1


@dataclass(slots=True)
class EpochWatch:
    """One epoch of one agent. `floor` and below is none of our business."""

    floor: int = 0
    received: Ranges = field(default_factory=Ranges)
    lost: Ranges = field(default_factory=Ranges)
    sent_through: int = 0
    due_through: int = 0
    """`sent_through` as it stood 30 s ago."""
    pending: list[tuple[float, int]] = field(default_factory=list)

    def told(self, sent_through: int, now: float) -> bool:
        """The agent says that all up to `sent_through` were sent; `now` in monotonic seconds.

        Returns whether something of it is not here: then it may come to be missing. What is all
        here will not, so that nobody need look again.
        """
        self.sent_through = max(self.sent_through, sent_through)
        if self.complete(self.sent_through):
            self.due_through = self.sent_through
            if self.pending:
                self.pending.clear()
            return False
        # By whole seconds, so that an agent that says it without end fills no memory.
        told_at = math.ceil(now)
        if not self.pending or self.pending[-1][1] < sent_through:
            if self.pending and self.pending[-1][0] == told_at:
                self.pending.pop()
            self.pending.append((told_at, sent_through))
        self.age(now)
        return True

    def complete(self, through: int) -> bool:
        """Whether all of `floor+1..through` is here or closed as lost."""
        return self.received.covers(self.floor + 1, through) or not self.open_ranges(through)

    def age(self, now: float) -> None:
        """Move on what was sent at least 30 s ago."""
        while self.pending and now - self.pending[0][0] >= GRACE_SECONDS:
            self.due_through = max(self.due_through, self.pending.pop(0)[1])

    def open_ranges(self, through: int) -> list[Range]:
        """What of `floor+1..through` is neither here nor closed as lost."""
        gaps: list[Range] = []
        for low, high in self.received.missing(self.floor + 1, through):
            gaps += self.lost.missing(low, high)
        return gaps

    def missing(self) -> list[Range]:
        """What is overdue."""
        return self.open_ranges(self.due_through)

    def is_missing(self, seq: int) -> bool:
        """Whether one message is overdue; unlike `missing` it does not look at every gap."""
        due = self.floor < seq <= self.due_through
        return due and seq not in self.received and seq not in self.lost


@dataclass(slots=True)
class AgentWatch:
    """One agent: its epochs and what it last said of itself."""

    name: str
    hall: str
    epochs: dict[int, EpochWatch] = field(default_factory=dict)
    introduced: bool = False
    """A status was seen at some time, so that new epochs count from their first message."""
    online: bool = False
    session: int = -1
    life: int = 0
    """The newest epoch that a status listed: grows with each start of the agent."""
    overruled: tuple[int, int, float] = (0, -1, 0.0)
    """A life and session that are not the newest, and since when the agent speaks of them."""
    last_seen_ms: int = 0
    clock_offset_seconds: float | None = None
    unreadable: int = 0
    """Unreadable messages since the last replay request."""
    behind: bool = False
    """Something that it said it had sent was not here when it last said so."""
    forgotten_lost: int = 0
    """Messages lost in epochs that the agent no longer has and that left the watch."""

    def is_complete(self) -> bool:
        """Whether all that it said it had sent is here or closed as lost."""
        return all(epoch.complete(epoch.sent_through) for epoch in self.epochs.values())

    def missing(self) -> int:
        """How many messages are overdue."""
        return sum(
            high - low + 1 for epoch in self.epochs.values() for low, high in epoch.missing()
        )

    def lost(self) -> int:
        """How many messages were closed as lost."""
        return self.forgotten_lost + sum(epoch.lost.count() for epoch in self.epochs.values())

    def has_room(self, epoch: int, seq: int) -> bool:
        """Whether a message can be remembered: an agent that makes up numbers is bounded."""
        watch = self.epochs.get(epoch)
        if watch is None:
            return len(self.epochs) < MAX_EPOCHS
        if watch.received.runs() < MAX_RUNS:
            return True
        return any(number in watch.received for number in (seq - 1, seq, seq + 1))

    def insists(self, life: int, session: int, now: float) -> bool:
        """Whether it has said for 30 s what looks out of date: then it is not.

        An outbox that was put back from a copy, or a clock that was ahead, makes the newest life
        look like an old one. What is delivered late or again comes at once, not for so long.
        """
        if self.overruled[:2] != (life, session):
            self.overruled = (life, session, now)
        return now - self.overruled[2] >= GRACE_SECONDS

    def receive(self, epoch: int, seq: int) -> bool:
        """A message came; False when it was here already."""
        watch = self.epochs.get(epoch)
        if watch is None:
            watch = self.epochs[epoch] = EpochWatch()
        if seq in watch.received:
            return False
        watch.received.add(seq)
        return True

    def take(self, epoch: int, seq: int) -> Taken:
        """A message came."""
        watch = self.epochs.get(epoch)
        if watch is not None and watch.received.extend(seq):  # nearly always the next one
            overdue = watch.floor < seq <= watch.due_through and seq not in watch.lost
            return Taken.RECOVERED if overdue else Taken.NEW
        if not self.has_room(epoch, seq):
            return Taken.NO_ROOM
        overdue = watch is not None and watch.is_missing(seq)
        if not self.receive(epoch, seq):
            return Taken.AGAIN
        return Taken.RECOVERED if overdue else Taken.NEW

    def told(self, status: Said, now: float, backfill: "Backfill") -> list[Loss]:
        """Take a status that is not out of date; returns what is lost by it."""
        fresh = not self.introduced
        self.introduced = True
        losses: list[Loss] = []
        self.behind = False
        for state in status.epochs:
            watch = self.epochs.get(state.epoch)
            if watch is None:
                watch = self.epochs[state.epoch] = EpochWatch()
            if fresh:
                watch.floor = backfill.floor(state)
            if watch.told(state.sent_through, now):
                self.behind = True
            losses += self._close(state.epoch, state.oldest - 1, LossReason.EVICTED)
        listed = {state.epoch for state in status.epochs}
        if listed:
            for epoch in self.epochs.keys() - listed:
                through = self.epochs[epoch].sent_through
                losses += self._close(epoch, through, LossReason.EPOCH_GONE)
            # What is closed for good need not be remembered; an epoch beyond those listed may be
            # one whose first message came before the status that lists it.
            for epoch in [number for number in self.epochs if number < min(listed)]:
                self.forgotten_lost += self.epochs.pop(epoch).lost.count()
            unlisted = sorted(self.epochs.keys() - listed)
            for epoch in unlisted[: max(0, len(self.epochs) - MAX_EPOCHS)]:
                self.forgotten_lost += self.epochs.pop(epoch).lost.count()
        return losses

    def _close(self, epoch: int, through: int, reason: LossReason) -> list[Loss]:
        if self.epochs[epoch].complete(through):
            return []
        losses: list[Loss] = []
        for low, high in self.epochs[epoch].open_ranges(through):
            losses.append(self.close(epoch, low, high, reason))
        return losses

    def close(self, epoch: int, low: int, high: int, reason: LossReason) -> Loss:
        """Close a range as lost."""
        self.epochs[epoch].lost.add(low, high)
        return Loss(self.name, epoch, low, high, reason)


@dataclass(frozen=True, slots=True)
class Backfill:
    """How far back to ask an agent that was never seen before."""

    seconds: float | None = 0.0
    """0: nothing that was sent before; None: all that it still has."""
    now_ms: int = 0

    def floor(self, state: Held) -> int:
        """The last sequence number not to ask for.

        With a duration it is estimated from the epoch's mean rate: an epoch's number begins with
        the milliseconds at which it began (times 4096).
        """
        if self.seconds is None:
            return state.oldest - 1
        if self.seconds <= 0:
            return state.sent_through
        age = max(1.0, (self.now_ms - state.epoch // 4096) / 1000)
        asked = round(state.last * min(1.0, self.seconds / age))
        return max(state.oldest - 1, state.sent_through - asked)


class GapWatch:
    """All agents of a collector.

    Characteristics: who has sent something that is not here is a suspect until it is; nobody else
    can come to miss anything, so that of tens of thousands only those are looked at.
    """

    def __init__(self) -> None:
        self._agents: dict[str, AgentWatch] = {}
        self._suspects: dict[str, AgentWatch] = {}
        self._bereft: dict[str, AgentWatch] = {}
        """Those of which something was lost."""

    def __iter__(self) -> Iterator[AgentWatch]:
        """The agents, in the order in which they were first seen."""
        return iter(self._agents.values())

    def __len__(self) -> int:
        """How many agents."""
        return len(self._agents)

    def get(self, name: str) -> AgentWatch | None:
        """The agent of that name, if it was ever seen."""
        return self._agents.get(name)

    def agent(self, name: str, hall: str) -> AgentWatch:
        """The agent of that name, made when new."""
        watch = self._agents.get(name)
        if watch is None:
            watch = self._agents[name] = AgentWatch(name, hall)
        watch.hall = hall
        return watch

    def restore(self, agents: Iterable[AgentWatch]) -> None:
        """Take over what the spool remembers."""
        self._agents = {agent.name: agent for agent in agents}
        self._bereft = {agent.name: agent for agent in self if agent.lost()}

    def status(
        self,
        name: str,
        hall: str,
        status: Said,
        now: float,
        backfill: Backfill,
        *,
        retained: bool = False,
    ) -> list[Loss]:
        """Take an agent's status; one that is out of date changes nothing.

        A last will is made when its connection is: its time is old, its session tells whether
        it still counts. No clock is asked which status is newer, since clocks step: a session
        that has said goodbye has ended, and an agent's start shows in its newest epoch.
        """
        agent = self.agent(name, hall)
        life = max((state.epoch for state in status.epochs), default=agent.life)
        if (life, status.session) < (agent.life, agent.session):
            speaks = status.state == "online" and not retained
            if not speaks or not agent.insists(life, status.session, now):
                return []
        ended = (life, status.session) == (agent.life, agent.session) and not agent.online
        agent.life, agent.session = life, status.session
        agent.online = status.state == "online" and not ended
        losses = agent.told(status, now, backfill)
        if agent.behind:
            self._suspects[name] = agent
        if losses:
            self._bereft[name] = agent
        return losses

    def lost(self, loss: Loss) -> None:
        """A range was closed by somebody else."""
        self._bereft[loss.agent] = self._agents[loss.agent]

    def of_note(self) -> list[AgentWatch]:
        """Agents of which something is missing or lost, or may come to be; nearly all are not."""
        return list((self._suspects | self._bereft).values())

    def suspects(self, now: float, most: int) -> list[AgentWatch]:
        """Agents that may miss something, aged; at most so many, the others at the next calls."""
        found: list[AgentWatch] = []
        for name in list(islice(self._suspects, most)):
            agent = self._suspects.pop(name)
            if agent.is_complete():
                continue
            for epoch in agent.epochs.values():
                epoch.age(now)
            self._suspects[name] = agent  # behind all others
            found.append(agent)
        return found

    def age(self, now: float) -> None:
        """Let time pass for what was sent."""
        self.suspects(now, len(self._suspects))
