# SPDX-License-Identifier: Apache-2.0
"""The spool's messages in its file, each with the bytes that came before it.

So what lies behind a cursor is one look-up, however much it is, and nothing has to be counted up
anew after a restart.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL);
"""
_BEFORE: Final = """
UPDATE messages SET before = sums.size FROM (
  SELECT id, sum(length(payload)) OVER (ORDER BY id) - length(payload) AS size FROM messages
) AS sums WHERE sums.id = messages.id
"""
_FIRST: Final = "SELECT before, received_ms FROM messages WHERE id > ? ORDER BY id LIMIT 1"
"""The first message after a cursor: `before` are the bytes of payload before it."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message in the spool; `id` grows and is never used again."""

    id: int
    received_ms: int
    topic: str
    payload: bytes


def prepare(db: sqlite3.Connection) -> None:
    """Bring the table of an older version up to date."""
    if "before" not in [row[1] for row in db.execute("PRAGMA table_info(messages)")]:
        db.execute("ALTER TABLE messages ADD COLUMN before INTEGER NOT NULL DEFAULT 0")
        db.execute(_BEFORE)


def span(db: sqlite3.Connection) -> tuple[int, int]:
    """The last id that was ever given, and the last that is gone."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
    last = row[0] if row else 0
    first = db.execute("SELECT min(id) FROM messages").fetchone()[0]
    return last, last if first is None else first - 1


def insert(db: sqlite3.Connection, messages: Sequence[tuple[int, str, bytes]]) -> int:
    """Append messages, each with the bytes before it; returns the last id."""
    if not messages:
        return 0
    before = total(db)
    rows: list[tuple[int, str, bytes, int]] = []
    for received_ms, topic, payload in messages:
        rows.append((received_ms, topic, payload, before))
        before += len(payload)
    db.executemany(
        "INSERT INTO messages (received_ms, topic, payload, before) VALUES (?, ?, ?, ?)", rows
    )
    return int(db.execute("SELECT last_insert_rowid()").fetchone()[0])


def total(db: sqlite3.Connection) -> int:
    """Bytes of payload up to the newest message, counted from when the spool was last empty."""
    query = "SELECT before + length(payload) FROM messages ORDER BY id DESC LIMIT 1"
    row = db.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def bytes_before(db: sqlite3.Connection, after: int) -> int:
    """Of these, the bytes before the first message with an id above `after`."""
    row = db.execute(_FIRST, (after,)).fetchone()
    return total(db) if row is None else int(row[0])


def behind(db: sqlite3.Connection, after: int) -> tuple[int, int | None]:
    """Bytes of the messages with an id above `after`, and when the first of them came."""
    row = db.execute(_FIRST, (after,)).fetchone()
    return (0, None) if row is None else (total(db) - row[0], row[1])
