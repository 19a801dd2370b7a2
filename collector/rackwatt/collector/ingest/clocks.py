# SPDX-License-Identifier: Apache-2.0
"""Agents' clocks: how far off each is, and which of its messages were taken while it was.

An agent's status says how many messages it has taken, and when, by its own clock. What it took
between two statuses was taken by a clock that was off by one or the other of the two offsets: where
one of them is too large, these numbers stay untrusted, whenever they come. So a backlog that was
taken under a wrong clock and is sent after the clock was put right is held all the same.

Pure state: no I/O, no clock; times are given by the caller.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rackwatt.collector.ingest.changes import ClockRow
from rackwatt.collector.ingest.said import Held

CLOCK_LIMIT_SECONDS: Final = 60.0
"""Readings of an agent whose clock is off by more are kept, but not booked until released."""
FRESH_SECONDS: Final = 30.0
"""A status that may have waited for longer does not say that a clock is slow."""
ECHO_SECONDS: Final = 10.0
_ECHO_TRIES_SECONDS: Final = 300.0
"""A broker that lets nothing come back for so long will not: then statuses are taken as fresh."""
_MAX_SPANS: Final = 100
"""Of an epoch; beyond it the last one grows, over what was trusted in between."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS clocks (
  agent TEXT PRIMARY KEY, offset REAL NOT NULL, epochs TEXT NOT NULL);
"""

Wrong = tuple[int, int, float]
"""First and last message number, and the larger of the offsets in s."""


@dataclass(slots=True)
class EpochClock:
    """One epoch of an agent."""

    through: int
    """The last message that the agent had taken when it last said so."""
    wrong: list[Wrong] = field(default_factory=list)

    def add(self, low: int, high: int, offset: float) -> None:
        """Messages taken by a clock that was off."""
        if self.wrong and (self.wrong[-1][1] + 1 == low or len(self.wrong) >= _MAX_SPANS):
            low, _, before = self.wrong.pop()
            offset = max(before, offset, key=abs)
        self.wrong.append((low, high, offset))


@dataclass(slots=True)
class AgentClock:
    """One agent; `offset` is our clock minus its own, in s."""

    offset: float
    epochs: dict[int, EpochClock] = field(default_factory=dict)

    def is_doubtful(self) -> bool:
        """Whether it is off now, or was while messages were taken."""
        return is_off(self.offset) or any(at.wrong for at in self.epochs.values())


def is_off(offset: float) -> bool:
    """Whether a clock is too far off to be believed."""
    return abs(offset) > CLOCK_LIMIT_SECONDS


class Clocks:
    """The clocks of all agents of a collector.

    Args:
        known: agent and clock, as the spool remembers them.
    """

    def __init__(self, known: Iterable[tuple[str, AgentClock]] = ()) -> None:
        self._agents = dict(known)
        self._changed: set[str] = set()
        self.version = 0
        """Grows with each change of who is to be believed."""
        self._doubtful = {name for name, clock in self._agents.items() if clock.is_doubtful()}

    def told(
        self, agent: str, epochs: Sequence[Held], offset: float, behind: float
    ) -> float | None:
        """An agent has said its status just now, not by way of the broker's memory.

        Args:
            agent: its name.
            epochs: as in the status.
            offset: our time minus the status's, in s.
            behind: how long the status may have waited before it came to us, in s.

        Returns:
            The agent's clock offset; None while it is not known. A message that waited looks like
            one of a slow clock: it is left alone, the next will tell.
        """
        clock = self._agents.get(agent)
        if offset > CLOCK_LIMIT_SECONDS and behind > FRESH_SECONDS:
            return None if clock is None else clock.offset
        known = {} if clock is None else clock.epochs
        before = 0.0 if clock is None else clock.offset
        newest = max((state.epoch for state in epochs), default=0)
        # A status that was delivered again may not list the newest; what is older is gone.
        oldest = min((state.epoch for state in epochs), default=0)
        now = {epoch: at for epoch, at in known.items() if epoch >= oldest}
        for state in epochs:
            taken = known.get(state.epoch)
            at = now[state.epoch] = taken or EpochClock(0)
            possible = [before] if taken is not None else []
            if state.epoch == newest:
                possible.append(offset)
            worst = max(possible, key=abs, default=0.0)
            if state.last > at.through:
                if is_off(worst):
                    at.add(at.through + 1, state.last, worst)
                at.through = state.last
        self.version += is_off(offset) or is_off(before)
        self._agents[agent] = told = AgentClock(offset, now)
        if told.is_doubtful():
            self._doubtful.add(agent)
        else:
            self._doubtful.discard(agent)
        self._changed.add(agent)
        return offset

    def changed(self) -> list[ClockRow]:
        """What has changed since the last call."""
        if not self._changed:
            return []
        changed, self._changed = self._changed, set()
        return [clock_row(name, self._agents[name]) for name in changed]

    def off(self) -> dict[str, float]:
        """Our clock minus an agent's in s, of those that are not to be believed now."""
        return {
            name: offset
            for name in sorted(self._doubtful)
            if is_off(offset := self._agents[name].offset)
        }

    def doubtful(self) -> dict[str, list[dict[str, Any]]]:
        """Per agent and epoch which messages were taken by a wrong clock, as JSON.

        Only agents that have such messages or whose clock is off now; of these, what is above an
        epoch's `through` was taken by a clock that is off by the agent's present offset.
        """
        return {
            name: [
                {"epoch": epoch, "through": at.through, "wrong": list(at.wrong)}
                for epoch, at in sorted(clock.epochs.items())
            ]
            for name in sorted(self._doubtful)
            for clock in (self._agents[name],)
        }


Doubts = Mapping[str, Sequence[Mapping[str, Any]]]
"""As `Clocks.doubtful` says it."""


def is_trusted(
    offsets: Mapping[str, float], doubts: Doubts, agent: str, epoch: int, seq: int
) -> bool:
    """Whether a message was taken by a clock that was right, as far as is known.

    Args:
        offsets: agent to its present offset, in s.
        doubts: which messages were taken by a wrong clock.
        agent: who took the message.
        epoch: its epoch.
        seq: its number.
    """
    for known in doubts.get(agent, ()):
        if known["epoch"] == epoch and seq <= known["through"]:
            return not any(low <= seq <= high for low, high, _ in known["wrong"])
    return not is_off(offsets.get(agent, 0.0))


def _text(clock: AgentClock) -> str:
    if len(clock.epochs) == 1:  # as nearly always
        ((epoch, at),) = clock.epochs.items()
        if not at.wrong:
            return f'{{"{epoch}": [{at.through}, []]}}'
    return json.dumps({epoch: [at.through, at.wrong] for epoch, at in clock.epochs.items()})


def clock_row(name: str, clock: AgentClock) -> ClockRow:
    """A clock as the spool writes it."""
    return name, clock.offset, _text(clock)


def joined_clock(mine: AgentClock | None, theirs: AgentClock) -> AgentClock:
    """What two collectors know of one clock: `mine` says how far it is off now."""
    if mine is None:
        return theirs
    epochs: dict[int, EpochClock] = {}
    for number in sorted(mine.epochs.keys() | theirs.epochs.keys()):
        known = [at for at in (mine.epochs.get(number), theirs.epochs.get(number)) if at]
        wrong = sorted({span for at in known for span in at.wrong})
        epochs[number] = EpochClock(max(at.through for at in known), wrong)
    return AgentClock(mine.offset, epochs)


def saved_clocks(db: sqlite3.Connection) -> list[ClockRow]:
    """The table of clocks, without what is newer than it."""
    return db.execute("SELECT agent, offset, epochs FROM clocks").fetchall()


def load_clocks(
    saved: Iterable[ClockRow], changed: Mapping[str, ClockRow]
) -> list[tuple[str, AgentClock]]:
    """The clocks as they were left; `changed` is newer than what was `saved`."""
    rows = {row[0]: row for row in saved}
    found: list[tuple[str, AgentClock]] = []
    for name, offset, text in (rows | dict(changed)).values():
        epochs = {
            int(epoch): EpochClock(through, [(low, high, by) for low, high, by in wrong])
            for epoch, (through, wrong) in json.loads(text).items()
        }
        found.append((name, AgentClock(offset, epochs)))
    return found


class Echo:
    """Tells how long what arrives may have waited at the broker.

    A collector that was away gets what the broker kept for it, statuses among it, long after they
    were said. Our own message, sent to ourselves, comes back behind all that waited before it.

    Args:
        mark: tells our messages of this process from others.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._connection = -1
        self._since = math.inf
        self._next = 0
        self._sent: dict[str, float] = {}
        self._heard: float | None = None
        """When the newest message that came back was sent."""
        self.last = f"{mark} last".encode()
        """Said once, before we go: when it comes back, all that waited at the broker is here."""
        self.ended = False
        """It came back."""

    def call(self, connection: int, now: float) -> bytes | None:
        """What to send now, if it is time.

        Args:
            connection: number of the connection; what was sent on another one may be lost.
            now: monotonic seconds.
        """
        if connection != self._connection:
            self._connection, self._since = connection, now
            self._sent, self._heard = {}, None
        elif self._sent and now - max(self._sent.values()) < ECHO_SECONDS:
            return None
        self._next += 1
        text = f"{self._mark} {self._next}"
        if len(self._sent) >= 100:
            self._sent.pop(next(iter(self._sent)))
        self._sent[text] = now
        return text.encode()

    def heard(self, payload: bytes) -> None:
        """A message came on our own topic."""
        if payload == self.last:
            self.ended = True
        at = self._sent.get(payload.decode(errors="replace"))
        if at is not None:
            self._heard = max(at, self._heard or at)

    def behind(self, now: float) -> float:
        """How long a message that comes now may have waited, in s; infinite: not known."""
        if self._heard is not None:
            return now - self._heard
        return math.inf if now - self._since < _ECHO_TRIES_SECONDS else 0.0
