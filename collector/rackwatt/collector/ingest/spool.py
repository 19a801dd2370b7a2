# SPDX-License-Identifier: Apache-2.0
"""The spool: the messages as received, the only log of the collector.

What was acknowledged to the broker is here, on the disk, in the same transaction as the gap
watch's state. Two cursors read it, `store` and `accountant`; what both have passed is deleted.
"""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rackwatt.collector.ingest.watch import AgentWatch, EpochWatch, Loss
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import Reason
from rackwatt.wire.database import Writer, connect
from rackwatt.wire.ranges import Ranges

STORE: Final = "store"
ACCOUNTANT: Final = "accountant"
MAX_DEADLETTERS: Final = 10_000
"""The newest are kept: an agent of another version must not fill the disk."""

RESERVE_BYTES: Final = 4_000_000
"""Kept free for deleting what was read, when the disk is full."""
_LETTER_BYTES: Final = 65_536
"""Of a dead letter's payload; a message of a whole rack has some 10 kB."""
_TRIM_MESSAGES: Final = 50_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS watch (
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, hall TEXT NOT NULL, introduced INTEGER NOT NULL,
  floor INTEGER NOT NULL, sent_through INTEGER NOT NULL, received TEXT NOT NULL,
  lost TEXT NOT NULL, PRIMARY KEY (agent, epoch));
CREATE TABLE IF NOT EXISTS losses (
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
  reason TEXT NOT NULL, closed_ms INTEGER NOT NULL, PRIMARY KEY (agent, epoch, low));
CREATE TABLE IF NOT EXISTS deadletters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A message in the spool; `id` grows and is never used again."""

    id: int
    received_ms: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or what was refused of one, kept for a person to look at."""

    received_ms: int
    topic: str
    payload: bytes
    reason: Reason
    detail: str


@dataclass(slots=True)
class Batch:
    """What one transaction appends."""

    messages: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Receive time in ms, topic, payload."""
    deadletters: list[DeadLetter] = field(default_factory=list)
    watches: list[AgentWatch] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.messages or self.deadletters or self.watches or self.losses)


class Spool:
    """A SQLite file between the broker and everything behind it.

    Args:
        path: the file.
        max_bytes: beyond this `full_ratio` exceeds 1 and ingest stops taking messages: the broker
            and the outboxes hold them.
        consumers: the cursors that must pass a message before it goes.
        clock: where the time comes from.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        clock: Clock,
        consumers: Sequence[str] = (STORE, ACCOUNTANT),
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._writer = Writer(path, _SCHEMA, reserve_bytes=RESERVE_BYTES)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spool-read")
        self._reading: sqlite3.Connection | None = None
        self._cursors = dict.fromkeys(consumers, 0)
        self._saved: dict[str, int] = {}
        self._trimmed = 0
        self._bytes = 0
        self.identity = ""
        """Made with the file: tells a reader with a cursor whether it is still the same log."""
        self.last_id = 0
        self.deadletters = 0
        self.lost = 0
        self.appended = asyncio.Condition()

    async def start(self) -> list[AgentWatch]:
        """Open the file; returns the gap watch as it was left.

        Raises:
            sqlite3.Error: the file cannot be used.
        """
        await self._writer.start()
        watches = await self._writer.run(self._load)
        loop = asyncio.get_running_loop()
        self._reading = await loop.run_in_executor(self._reader, self._open_reader)
        return watches

    def _open_reader(self) -> sqlite3.Connection:
        return connect(self._path, read_only=True)

    def _load(self, db: sqlite3.Connection) -> list[AgentWatch]:
        db.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (uuid.uuid4().hex,))
        self.identity = db.execute("SELECT id FROM identity").fetchone()[0]
        for name in self._cursors:
            db.execute("INSERT OR IGNORE INTO cursors VALUES (?, 0)", (name,))
        saved = dict(db.execute("SELECT name, id FROM cursors").fetchall())
        self._cursors = {name: saved[name] for name in self._cursors}
        self._saved = dict(self._cursors)
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
        self.last_id = last[0] if last else 0
        first = db.execute("SELECT min(id) FROM messages").fetchone()[0]
        self._trimmed = self.last_id if first is None else first - 1
        query = "SELECT coalesce(sum(length(payload)), 0) FROM messages"
        self._bytes = db.execute(query).fetchone()[0]
        self.deadletters = db.execute("SELECT count(*) FROM deadletters").fetchone()[0]
        # As floats: an agent may claim so much that a sum of integers overflows.
        query = "SELECT total(high - low + 1) FROM losses"
        self.lost = int(db.execute(query).fetchone()[0])
        return _load_watches(db)

    async def append(self, batch: Batch) -> None:
        """Make a batch durable, gap watch and all, in one transaction.

        Raises:
            sqlite3.Error: nothing of it was written.
        """
        if not batch:
            return
        now = self._clock.now_ms()
        rows = _watch_rows(batch.watches)
        oldest = [(agent.name, min(agent.epochs, default=0)) for agent in batch.watches]

        def work(db: sqlite3.Connection) -> int:
            db.executemany(
                "INSERT INTO messages (received_ms, topic, payload) VALUES (?, ?, ?)",
                batch.messages,
            )
            last = db.execute("SELECT last_insert_rowid()").fetchone()[0] if batch.messages else 0
            db.executemany(
                "INSERT INTO deadletters (received_ms, topic, payload, reason, detail) "
                "VALUES (?, ?, ?, ?, ?)",
                [
                    (d.received_ms, d.topic, d.payload[:_LETTER_BYTES], d.reason, d.detail)
                    for d in batch.deadletters
                ],
            )
            db.executemany("INSERT OR REPLACE INTO watch VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany("DELETE FROM watch WHERE agent = ? AND epoch < ?", oldest)
            db.executemany(
                "INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?, ?, ?)",
                [(x.agent, x.epoch, x.low, x.high, x.reason, now) for x in batch.losses],
            )
            return int(last)

        last = await self._writer.run(work)
        self._bytes += sum(len(payload) for _, _, payload in batch.messages)
        self.deadletters += len(batch.deadletters)
        self.lost += sum(loss.count for loss in batch.losses)
        if batch.messages:
            self.last_id = last
            async with self.appended:
                self.appended.notify_all()

    async def read(self, after: int, limit: int, max_bytes: int | None = None) -> list[Record]:
        """Up to `limit` messages with an id above `after`, in order.

        With `max_bytes` no more follow once their payloads together reach it.
        """
        query = (
            "SELECT id, received_ms, topic, payload FROM messages WHERE id > ? ORDER BY id LIMIT ?"
        )

        def work() -> list[Record]:
            if self._reading is None:
                return []
            found: list[Record] = []
            size = 0
            with closing(self._reading.execute(query, (after, limit))) as rows:
                for row in rows:
                    found.append(Record(*row))
                    size += len(found[-1].payload)
                    if max_bytes is not None and size >= max_bytes:
                        break
            return found

        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    async def wait(self, after: int, timeout: float) -> None:
        """Wait until there is a message with an id above `after`, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self.appended:
                await self.appended.wait_for(lambda: self.last_id > after)
        except TimeoutError:
            return

    def passed(self, cursor: str, through: int) -> None:
        """A consumer is done with all up to `through`; durable at the next `trim`."""
        if cursor in self._cursors:
            self._cursors[cursor] = max(self._cursors[cursor], through)

    def cursor(self, name: str) -> int:
        """The last id that a consumer has passed."""
        return self._cursors.get(name, 0)

    async def trim(self) -> None:
        """Remember the cursors and delete what all have passed.

        Raises:
            sqlite3.Error: the disk is full.
        """
        cursors = dict(self._cursors)
        # Not all at once after a long outage: appending waits for this transaction.
        through = min(*cursors.values(), self.last_id, self._trimmed + _TRIM_MESSAGES)
        excess = self.deadletters - MAX_DEADLETTERS
        if cursors == self._saved and through <= self._trimmed and excess <= 0:
            return

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            db.executemany(
                "UPDATE cursors SET id = ? WHERE name = ?",
                [(value, name) for name, value in cursors.items()],
            )
            query = "SELECT coalesce(sum(length(payload)), 0) FROM messages WHERE id <= ?"
            size: int = db.execute(query, (through,)).fetchone()[0]
            db.execute("DELETE FROM messages WHERE id <= ?", (through,))
            query = (
                "DELETE FROM deadletters WHERE id IN "
                "(SELECT id FROM deadletters ORDER BY id LIMIT ?)"
            )
            return size, db.execute(query, (max(0, excess),)).rowcount

        # With the reserve: on a disk that is full to the last byte only this makes room.
        size, buried = await self._writer.run(work, last_resort=True)
        self._bytes -= size
        self.deadletters -= buried
        self._trimmed = max(self._trimmed, through)
        self._saved = cursors

    async def backlog(self) -> dict[str, tuple[int, float]]:
        """Per cursor: bytes of payload not yet passed, and the age in s of the oldest such."""
        now = self._clock.now_ms()
        cursors = dict(self._cursors)

        def work() -> dict[str, tuple[int, float]]:
            found: dict[str, tuple[int, float]] = {}
            if self._reading is None:
                return found
            for name, after in cursors.items():
                size, oldest = self._reading.execute(
                    "SELECT coalesce(sum(length(payload)), 0), min(received_ms) "
                    "FROM messages WHERE id > ?",
                    (after,),
                ).fetchone()
                age = 0.0 if oldest is None else max(0.0, (now - oldest) / 1000)
                found[name] = (size, age)
            return found

        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    @property
    def full_ratio(self) -> float:
        """Payload kept against the allowed size."""
        return self._bytes / self._max_bytes

    @property
    def size_bytes(self) -> int:
        """Payload kept, in bytes."""
        return self._bytes

    async def aclose(self) -> None:
        """Remember the cursors and close the file."""
        try:
            await self.trim()
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._reader, self._close_reader)
            self._reader.shutdown(wait=False)
            await self._writer.aclose()

    def _close_reader(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None


def _watch_rows(watches: Iterable[AgentWatch]) -> list[tuple[object, ...]]:
    return [
        (
            agent.name,
            number,
            agent.hall,
            int(agent.introduced),
            epoch.floor,
            epoch.sent_through,
            json.dumps(list(epoch.received)),
            json.dumps(list(epoch.lost)),
        )
        for agent in watches
        for number, epoch in agent.epochs.items()
    ]


def _load_watches(db: sqlite3.Connection) -> list[AgentWatch]:
    agents: dict[str, AgentWatch] = {}
    query = (
        "SELECT agent, epoch, hall, introduced, floor, sent_through, received, lost FROM watch "
        "ORDER BY agent, epoch"
    )
    for name, number, hall, introduced, floor, sent, received, lost in db.execute(query):
        agent = agents.setdefault(name, AgentWatch(name, hall))
        agent.introduced = agent.introduced or bool(introduced)
        agent.epochs[number] = EpochWatch(
            floor=floor,
            received=Ranges((low, high) for low, high in json.loads(received)),
            lost=Ranges((low, high) for low, high in json.loads(lost)),
            sent_through=sent,
        )
    query = "SELECT agent, total(high - low + 1) FROM losses GROUP BY agent"
    for name, lost in db.execute(query):
        if name in agents:
            agents[name].forgotten_lost = max(0, int(lost) - agents[name].lost())
    return list(agents.values())
