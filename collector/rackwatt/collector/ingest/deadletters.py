# SPDX-License-Identifier: Apache-2.0
"""Dead letters: what was refused, kept for a person to look at, and what becomes of it.

A command writes an order into the spool's file; the collector that writes the spool carries it out
within a second, each letter in one transaction with its message and the order's own state: once,
whatever crashes.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from rackwatt.collector.ingest.state import Note
from rackwatt.wire.codec import MAX_PAYLOAD_BYTES, Reason
from rackwatt.wire.database import connect

MAX_DEADLETTERS: Final = 10_000
"""The newest are kept: an agent of another version must not fill the disk."""
MAX_DEADLETTER_BYTES: Final = 256_000_000
_EVIDENCE_BYTES: Final = 65_536
"""Of a payload that is too large to be any message: it is not kept whole."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS deadletters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, letters TEXT NOT NULL,
  placed_ms INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL);
"""

Action = Literal["replay", "drop"]
OrderState = Literal["waiting", "done"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or what was refused of one, kept for a person to look at."""

    received_ms: int
    topic: str
    payload: bytes
    reason: Reason
    detail: str

    @property
    def kept(self) -> bytes:
        """What of the payload is kept."""
        whole = len(self.payload) <= MAX_PAYLOAD_BYTES
        return self.payload if whole else self.payload[:_EVIDENCE_BYTES]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it lies in the spool."""

    id: int
    received_ms: int
    topic: str
    payload: bytes
    size: int
    """Of the payload as it came, in bytes."""
    reason: str
    detail: str

    @property
    def agent(self) -> str:
        """Who sent it, by its topic; empty where the topic does not say."""
        parts = self.topic.split("/")
        return parts[4] if len(parts) == 6 else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of an order's letters so far."""

    replayed: int = 0
    dropped: int = 0
    refused: int = 0
    """They lie where they lay."""
    gone: int = 0
    """They were not there any more."""
    why: dict[str, int] = field(default_factory=dict)
    """Why letters were refused again, and how many."""

    def plus(self, other: "Outcome") -> "Outcome":
        """Both together."""
        why = Counter(self.why) + Counter(other.why)
        return Outcome(
            self.replayed + other.replayed,
            self.dropped + other.dropped,
            self.refused + other.refused,
            self.gone + other.gone,
            dict(why.most_common(20)),
        )

    def text(self) -> str:
        """As JSON."""
        return json.dumps(
            {
                "replayed": self.replayed,
                "dropped": self.dropped,
                "refused": self.refused,
                "gone": self.gone,
                "why": self.why,
            }
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What a command asks for."""

    number: int
    action: Action
    letters: Sequence[int]
    """Those that are still to be looked at."""
    state: OrderState
    outcome: Outcome


# -- writing, inside the spool's transactions ---------------------------------------------------


def prepare(db: sqlite3.Connection) -> None:
    """Bring the table of an older version up to date."""
    columns = [row[1] for row in db.execute("PRAGMA table_info(deadletters)")]
    if "size" not in columns:
        db.execute("ALTER TABLE deadletters ADD COLUMN size INTEGER NOT NULL DEFAULT 0")
        db.execute("UPDATE deadletters SET size = length(payload)")


def bury(db: sqlite3.Connection, letters: Sequence[DeadLetter]) -> int:
    """Keep letters; returns how many bytes of payload that takes."""
    kept = [(item, item.kept) for item in letters]
    db.executemany(
        "INSERT INTO deadletters (received_ms, topic, payload, reason, detail, size) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(d.received_ms, d.topic, kept, d.reason, d.detail, len(d.payload)) for d, kept in kept],
    )
    return sum(len(payload) for _, payload in kept)


def remove(db: sqlite3.Connection, letters: Iterable[int]) -> tuple[int, int]:
    """Take letters out; returns how many there were, and their bytes."""
    count = size = 0
    for number in letters:
        row = db.execute("SELECT length(payload) FROM deadletters WHERE id = ?", (number,))
        for (found,) in row.fetchall():
            count, size = count + 1, size + found
            db.execute("DELETE FROM deadletters WHERE id = ?", (number,))
    return count, size


def evict(db: sqlite3.Connection, count: int, size: int) -> tuple[int, int]:
    """Take the oldest out until at least so many letters and bytes went; returns what went."""
    gone: list[tuple[int, int]] = []
    freed = 0
    query = "SELECT id, length(payload) FROM deadletters ORDER BY id"
    for number, length in db.execute(query):
        if len(gone) >= count and freed >= size:
            break
        gone.append((number, length))
        freed += length
    db.executemany("DELETE FROM deadletters WHERE id = ?", [(number,) for number, _ in gone])
    return len(gone), freed


def kept(db: sqlite3.Connection) -> tuple[int, int]:
    """How many letters there are, and their bytes."""
    query = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM deadletters"
    count, size = db.execute(query).fetchone()
    return count, size


def order_note(order: Order) -> Note:
    """An order as it stands now."""
    row = (json.dumps(list(order.letters)), order.state, order.outcome.text(), order.number)
    return Note("UPDATE orders SET letters = ?, state = ?, outcome = ? WHERE id = ?", [row])


# -- reading -------------------------------------------------------------------------------------

_ORDER: Final = "SELECT id, action, letters, state, outcome FROM orders"
_LETTER: Final = "SELECT id, received_ms, topic, payload, size, reason, detail FROM deadletters"


def waiting(db: sqlite3.Connection) -> list[Order]:
    """Orders that wait, oldest first."""
    return [_order(row) for row in db.execute(f"{_ORDER} WHERE state = 'waiting' ORDER BY id")]


def letters(db: sqlite3.Connection, numbers: Iterable[int]) -> list[Letter]:
    """The letters of these numbers that are there."""
    found: list[Letter] = []
    for number in numbers:
        found += (Letter(*row) for row in db.execute(f"{_LETTER} WHERE id = ?", (number,)))
    return found


def _order(row: tuple[Any, ...]) -> Order:
    number, action, letters, state, outcome = row
    return Order(number, action, json.loads(letters), state, Outcome(**json.loads(outcome)))


# -- for commands --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant; what is not said is any."""

    numbers: Sequence[int] = ()
    reason: str | None = None
    agent: str | None = None
    since_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.numbers or letter.id in self.numbers)
            and self.reason in {None, letter.reason}
            and self.agent in {None, letter.agent}
            and (self.since_ms is None or letter.received_ms >= self.since_ms)
        )


def choose(path: Path, choice: Choice) -> list[Letter]:
    """The letters that are meant, oldest first, without their payloads.

    Raises:
        sqlite3.Error: the file is no spool, or cannot be read.
    """
    query = _LETTER.replace(" payload,", " x'',") + " ORDER BY id"
    db = connect(path, read_only=True)
    try:
        if "size" not in [row[1] for row in db.execute("PRAGMA table_info(deadletters)")]:
            query = query.replace(" size,", " length(payload),")
        return [item for row in db.execute(query) if choice.takes(item := Letter(*row))]
    finally:
        db.close()


def letter(path: Path, number: int) -> Letter | None:
    """One letter, whole.

    Raises:
        sqlite3.Error: the file is no spool, or cannot be read.
    """
    db = connect(path, read_only=True)
    try:
        found = letters(db, [number])
    finally:
        db.close()
    return found[0] if found else None


def place_order(path: Path, action: Action, numbers: Sequence[int], now_ms: int) -> int:
    """Ask the collector for something; returns the order's number.

    Raises:
        sqlite3.Error: the file is no spool, or cannot be written.
    """
    db = connect(path)
    try:
        db.executescript(SCHEMA)
        cursor = db.execute(
            "INSERT INTO orders (action, letters, placed_ms, state, outcome)"
            " VALUES (?, ?, ?, 'waiting', ?)",
            (action, json.dumps(list(numbers)), now_ms, Outcome().text()),
        )
        return int(cursor.lastrowid or 0)
    finally:
        db.close()


def look_up(path: Path, number: int) -> Order | None:
    """An order as it stands.

    Raises:
        sqlite3.Error: the file is no spool, or cannot be read.
    """
    db = connect(path, read_only=True)
    try:
        row = db.execute(f"{_ORDER} WHERE id = ?", (number,)).fetchone()
        return None if row is None else _order(row)
    finally:
        db.close()
