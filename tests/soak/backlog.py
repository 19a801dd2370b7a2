# SPDX-License-Identifier: Apache-2.0
"""How far the collector is behind what the agents hold, by their files."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rackwatt.wire.ranges import Ranges

Held = dict[str, dict[int, int]]
"""Agent, epoch and its last message."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a gap watch says of an epoch."""

    received: Ranges = field(default_factory=Ranges)
    lost: Ranges = field(default_factory=Ranges)
    sent_through: int = 0


Watch = Mapping[tuple[str, int], Watched]


@dataclass(frozen=True, slots=True)
class Behind:
    """What is still to do."""

    messages: int
    """That agents hold and that are neither received nor closed as lost."""
    store: int
    """Messages received and not yet stored."""
    accountant: int
    """Messages received and not yet booked."""

    def __bool__(self) -> bool:
        return self.messages > 0 or self.store > 0 or self.accountant > 0

    def __str__(self) -> str:
        return (
            f"{self.messages} messages not received, {self.store} not stored, "
            f"{self.accountant} not booked"
        )


def open_readonly(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)


def held_by(outboxes: Mapping[str, Path]) -> Held:
    """What every agent has made durable."""
    found: Held = {}
    for agent, path in outboxes.items():
        if path.exists():
            with closing(open_readonly(path)) as db:
                rows = db.execute("SELECT epoch, max(seq) FROM messages GROUP BY epoch").fetchall()
            found[agent] = dict(rows)
    return found


def watch_of(spool: Path) -> dict[tuple[str, int], Watched]:
    """The gap watch as it is on the disk."""
    query = "SELECT agent, epoch, received, lost, sent_through FROM watch"
    with closing(open_readonly(spool)) as db:
        return {
            (agent, epoch): Watched(_ranges(received), _ranges(lost), sent)
            for agent, epoch, received, lost, sent in db.execute(query)
        }


def _ranges(text: str) -> Ranges:
    return Ranges((low, high) for low, high in json.loads(text))


def behind(spool: Path, held: Held, through: int) -> Behind:
    """How far a collector is behind.

    Args:
        spool: its file.
        held: what is to be received.
        through: the number in the spool up to which it is to be stored and booked.
    """
    watch = watch_of(spool)
    nothing = Watched()
    messages = sum(
        _open(watch.get((agent, epoch), nothing), last)
        for agent, epochs in held.items()
        for epoch, last in epochs.items()
    )
    with closing(open_readonly(spool)) as db:
        cursors = dict(db.execute("SELECT name, id FROM cursors").fetchall())
    return Behind(
        messages,
        max(0, through - cursors.get("store", 0)),
        max(0, through - cursors.get("accountant", 0)),
    )


def _open(watched: Watched, last: int) -> int:
    return sum(
        total(watched.lost.missing(low, high)) for low, high in watched.received.missing(1, last)
    )


def last_id(spool: Path) -> int:
    """The newest number in a spool."""
    with closing(open_readonly(spool)) as db:
        (newest,) = db.execute("SELECT max(id) FROM messages").fetchone()
        (passed,) = db.execute("SELECT max(id) FROM cursors").fetchone()
    return max(newest or 0, passed or 0)


def losses(spool: Path) -> list[tuple[str, int, int, int, str]]:
    """Agent, epoch, first, last and reason of what was closed as lost."""
    with closing(open_readonly(spool)) as db:
        return db.execute("SELECT agent, epoch, low, high, reason FROM losses").fetchall()


def total(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(high - low + 1 for low, high in ranges)
