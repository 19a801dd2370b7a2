# SPDX-License-Identifier: Apache-2.0
"""What each batch changes of the gap watch and the clocks, in one row, and folded in later.

Nearly every message is another agent's: a row of its own for each would write two pages of the
file anew per message, ten times what the messages take. So a transaction appends one row with the
state of all agents that it touched, as it stands after it; now and then the last state of each goes
into the tables `watch` and `clocks`, and the rows before it go. Whoever reads the tables lays the
rows that are left over them, in their order: the last state of an agent counts, so that folding may
stop at any point.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from rackwatt.collector.ingest.watch import AgentWatch

FOLD_SECONDS: Final = 30.0
FOLD_BYTES: Final = 32_000_000
FOLD_AGENTS: Final = 500
"""Of one transaction: what comes from the broker waits meanwhile."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS changes (
  id INTEGER PRIMARY KEY, watches BLOB NOT NULL, clocks BLOB NOT NULL);
"""

Runs = list[tuple[int, int]]
EpochRow = tuple[int, int, int, Runs, Runs]
"""Epoch, floor, sent_through, received, lost."""
WatchRow = tuple[str, str, int, list[EpochRow]]
"""Agent, hall, introduced, epochs."""
ClockRow = tuple[str, float, str]
"""Agent, offset in s, epochs as JSON."""

_ENCODER: Final = msgspec.json.Encoder()
_WATCHES: Final = msgspec.json.Decoder(list[WatchRow])
_CLOCKS: Final = msgspec.json.Decoder(list[ClockRow])


def watch_rows(watches: Iterable[AgentWatch]) -> list[WatchRow]:
    """Agents as they stand."""
    return [
        (
            agent.name,
            agent.hall,
            int(agent.introduced),
            [
                (number, at.floor, at.sent_through, list(at.received), list(at.lost))
                for number, at in agent.epochs.items()
            ],
        )
        for agent in watches
    ]


class Changes:
    """What is in the rows and not in the tables yet; what stands here is durable."""

    def __init__(self) -> None:
        self._watches: dict[str, WatchRow] = {}
        self._clocks: dict[str, ClockRow] = {}
        self._last = 0
        self._bytes = 0
        self._since = 0.0

    def load(self, db: sqlite3.Connection) -> None:
        """Read the rows that are left."""
        for number, watches, clocks in db.execute("SELECT * FROM changes ORDER BY id"):
            self._last = number
            self._watches.update((row[0], row) for row in _WATCHES.decode(watches))
            self._clocks.update((row[0], row) for row in _CLOCKS.decode(clocks))

    @property
    def watches(self) -> Mapping[str, WatchRow]:
        """The last state of each agent."""
        return self._watches

    @property
    def clocks(self) -> Mapping[str, ClockRow]:
        """The same of each clock."""
        return self._clocks

    def append(
        self, db: sqlite3.Connection, watches: Sequence[WatchRow], clocks: Sequence[ClockRow]
    ) -> tuple[int, int]:
        """Write a row, in the transaction of a batch; returns its id and size."""
        data = _ENCODER.encode(watches), _ENCODER.encode(clocks)
        at = db.execute("INSERT INTO changes (watches, clocks) VALUES (?, ?)", data).lastrowid
        return at or 0, len(data[0]) + len(data[1])

    def appended(
        self,
        at: tuple[int, int],
        watches: Sequence[WatchRow],
        clocks: Sequence[ClockRow],
    ) -> None:
        """The row is durable."""
        self._last = at[0]
        self._bytes += at[1]
        self._watches.update((row[0], row) for row in watches)
        self._clocks.update((row[0], row) for row in clocks)

    def due(self, now: float) -> bool:
        """Whether to fold; `now` in monotonic seconds."""
        if not self._last:
            self._since = now
            return False
        return now - self._since >= FOLD_SECONDS or self._bytes >= FOLD_BYTES

    def take(self, now: float) -> "Fold":
        """What is to be folded; if it cannot be, give it back."""
        fold = Fold(self._watches, self._clocks, self._last)
        self._watches, self._clocks = {}, {}
        self._last, self._bytes, self._since = 0, 0, now
        return fold

    def give_back(self, fold: "Fold") -> None:
        """It was not folded; what came since is newer."""
        self._watches = {**fold.watches, **self._watches}
        self._clocks = {**fold.clocks, **self._clocks}
        self._last = max(self._last, fold.through)


class Fold:
    """The last states of agents, on their way into the tables; once begun it may be given up."""

    def __init__(
        self, watches: dict[str, WatchRow], clocks: dict[str, ClockRow], through: int
    ) -> None:
        self.watches = watches
        self.clocks = clocks
        self.through = through
        self._watches = iter(list(watches.values()))
        self._clocks = iter(list(clocks.values()))

    def step(self, db: sqlite3.Connection) -> bool:
        """Write some, in a transaction; whether there is more. The last one drops the rows."""
        watches = list(islice(self._watches, FOLD_AGENTS))
        clocks = list(islice(self._clocks, FOLD_AGENTS))
        db.executemany(
            "INSERT OR REPLACE INTO watch VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _table_rows(watches)
        )
        oldest = [(row[0], min((epoch[0] for epoch in row[3]), default=0)) for row in watches]
        db.executemany("DELETE FROM watch WHERE agent = ? AND epoch < ?", oldest)
        db.executemany("INSERT OR REPLACE INTO clocks VALUES (?, ?, ?)", clocks)
        if watches or clocks:
            return True
        db.execute("DELETE FROM changes WHERE id <= ?", (self.through,))
        return False


def _table_rows(watches: Iterable[WatchRow]) -> Iterable[tuple[object, ...]]:
    for name, hall, introduced, epochs in watches:
        for number, floor, sent, received, lost in epochs:
            yield (
                name,
                number,
                hall,
                introduced,
                floor,
                sent,
                _ENCODER.encode(received).decode(),
                _ENCODER.encode(lost).decode(),
            )
