# SPDX-License-Identifier: Apache-2.0
"""Which rollups are still to be made, on the disk, so that a restart forgets none.

A mark is written before the spool's cursor passes the readings that it stands for, and goes once
the rollup is in the store.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rackwatt.wire.database import Writer

Level = Literal["minute", "hour"]
ALL: Final = ""
"""Instead of a device: all that have readings."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS marks (
  id INTEGER PRIMARY KEY, level TEXT NOT NULL, kind TEXT NOT NULL, device TEXT NOT NULL,
  start_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class Mark(NamedTuple):
    """One rollup to be made: a device's, or all devices', minute or hour."""

    id: int
    level: Level
    kind: str
    device: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class Left:
    """What the process before left behind."""

    marks: Sequence[Mark]
    through_ms: int
    """Minutes before this were rolled up: what comes for them now is late."""


class Marks:
    """The marks in a SQLite file.

    Characteristics: one writer thread; numbers are given by the caller, so that a mark that is
    set again while its rollup is made is another one.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, _SCHEMA)

    async def start(self) -> Left:
        """Open the file and read it.

        Raises:
            sqlite3.Error: it cannot be used.
        """
        await self._writer.start()
        return await self._writer.run(_load)

    async def add(self, marks: Iterable[Mark]) -> None:
        """Set marks; durable when this returns.

        Raises:
            sqlite3.Error: the disk is full, …
        """
        kept = list(marks)
        await self._writer.run(lambda db: _insert(db, kept))

    async def done(self, ids: Iterable[int], through_ms: int, more: Iterable[Mark]) -> None:
        """Take marks away and set others in their place, at once.

        Args:
            ids: what is in the store now.
            through_ms: minutes before this were rolled up.
            more: what is to be made of it: hours of minutes.
        """
        gone, kept = [(number,) for number in ids], list(more)

        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM marks WHERE id = ?", gone)
            _insert(db, kept)
            db.execute(
                "INSERT INTO meta VALUES ('through', ?) ON CONFLICT DO UPDATE"
                " SET value = max(value, excluded.value)",
                (through_ms,),
            )

        await self._writer.run(work)

    async def aclose(self) -> None:
        """Close the file."""
        await self._writer.aclose()


def _insert(db: sqlite3.Connection, marks: Sequence[Mark]) -> None:
    db.executemany("INSERT INTO marks VALUES (?, ?, ?, ?, ?)", marks)


def _load(db: sqlite3.Connection) -> Left:
    marks = [Mark(*row) for row in db.execute("SELECT * FROM marks ORDER BY id")]
    found = db.execute("SELECT value FROM meta WHERE name = 'through'").fetchone()
    return Left(marks, 0 if found is None else int(found[0]))
