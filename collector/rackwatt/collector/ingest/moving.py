# SPDX-License-Identifier: Apache-2.0
"""What a collector knows of a hall's agents, taken to another collector.

Which messages of each agent are here, were lost, or are still to come; which agent reports which
device; which messages were taken by a wrong clock. With it the new collector asks for exactly what
the old one did not get. Without it, it would take each agent for a new one and ask for nothing that
was sent before (or, with a backfill, for everything).
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import msgspec

from rackwatt.collector.ingest.changes import Changes, ClockRow, WatchRow, watch_rows
from rackwatt.collector.ingest.clocks import (
    AgentClock,
    clock_row,
    joined_clock,
    load_clocks,
    saved_clocks,
)
from rackwatt.collector.ingest.state import load_owners, load_watches, taken_note
from rackwatt.collector.ingest.watch import AgentWatch, EpochWatch
from rackwatt.wire.database import connect
from rackwatt.wire.ranges import Ranges

FORMAT: Final = "rackwatt hall state"


class HallState(msgspec.Struct, forbid_unknown_fields=True):
    """A hall's agents, as a file holds them.

    Attributes:
        hall: its id.
        taken_ms: when it was taken, in ms since 1970 UTC.
        agents: their gap watch, as the spool writes it.
        clocks: their clocks, as the spool writes them.
        owners: device and agent.
    """

    hall: str
    taken_ms: int
    agents: list[WatchRow]
    clocks: list[ClockRow]
    owners: list[tuple[str, str]]
    format: Literal["rackwatt hall state"] = FORMAT
    version: Literal[1] = 1

    def messages(self) -> int:
        """How many messages the old collector had taken."""
        return sum(
            high - low + 1 for row in self.agents for epoch in row[3] for low, high in epoch[3]
        )


class UnknownHall(LookupError):  # noqa: N818 - a state, not a fault
    """The spool knows no agent of that hall."""


def export_hall(spool: Path, hall: str, now_ms: int) -> HallState:
    """What a spool knows of a hall, as of one moment; its collector may be running.

    Raises:
        UnknownHall: no agent of that hall; the message names the halls that there are.
        sqlite3.Error: the file cannot be read.
    """
    with closing(connect(spool, read_only=True)) as db:
        db.execute("BEGIN")
        watches, clocks = _remembered(db)
        owners = load_owners(db)
    mine = [watch for watch in watches if watch.hall == hall]
    if not mine:
        known = ", ".join(sorted({watch.hall for watch in watches})) or "none"
        raise UnknownHall(f"{spool} knows no agent of hall {hall!r}; halls in it: {known}")
    names = {watch.name for watch in mine}
    return HallState(
        hall,
        now_ms,
        watch_rows(mine),
        [clock_row(name, clock) for name, clock in clocks.items() if name in names],
        [(device, agent) for device, agent in owners if agent in names],
    )


def import_hall(db: sqlite3.Connection, state: HallState) -> None:
    """Take a hall over, in one transaction; what the spool knows already is joined with it.

    Args:
        db: the spool's file, with its tables; nobody else writes it.
        state: what the other collector knew.
    """
    watches, clocks = _remembered(db)
    known = {watch.name: watch for watch in watches}
    moved = [_joined(known.get(watch.name), watch) for watch in _watches(state.agents)]
    theirs = load_clocks([], {row[0]: row for row in state.clocks})
    times = [clock_row(name, joined_clock(clocks.get(name), clock)) for name, clock in theirs]
    Changes().append(db, watch_rows(moved), times)
    note = taken_note(state.owners)
    db.executemany(note.statement, note.rows)


def _remembered(db: sqlite3.Connection) -> tuple[list[AgentWatch], dict[str, AgentClock]]:
    changes = Changes()
    changes.load(db)
    saved = saved_clocks(db)
    return load_watches(db, {}, changes.watches), dict(load_clocks(saved, changes.clocks))


def _watches(rows: Iterable[WatchRow]) -> Iterable[AgentWatch]:
    for name, hall, introduced, epochs in rows:
        watch = AgentWatch(name, hall, introduced=bool(introduced))
        for number, floor, sent, received, lost in epochs:
            watch.epochs[number] = EpochWatch(floor, Ranges(received), Ranges(lost), sent)
        yield watch


def _joined(mine: AgentWatch | None, theirs: AgentWatch) -> AgentWatch:
    """Both spools' knowledge of an agent: a message is here when either of them has it."""
    if mine is None:
        return theirs
    joined = AgentWatch(theirs.name, theirs.hall, introduced=mine.introduced or theirs.introduced)
    for number in sorted(mine.epochs.keys() | theirs.epochs.keys()):
        one, other = mine.epochs.get(number), theirs.epochs.get(number)
        if one is None or other is None:
            joined.epochs[number] = one or other or EpochWatch()
            continue
        for low, high in one.received:
            other.received.add(low, high)
        for low, high in one.lost:
            other.lost.add(low, high)
        other.floor = min(one.floor, other.floor)
        other.sent_through = max(one.sent_through, other.sent_through)
        joined.epochs[number] = other
    return joined
