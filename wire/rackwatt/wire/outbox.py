# SPDX-License-Identifier: Apache-2.0
"""The agent's durable queue: every message is kept for a day, acknowledged or not.

A broker's acknowledgement is no promise that the message arrived: the outbox keeps it until its
window has passed, so that a collector can ask for it again.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import MAX_PAYLOAD_BYTES, encode
from rackwatt.wire.database import Writer
from rackwatt.wire.ranges import Range, Ranges
from rackwatt.wire.readings import EventReading, Kind, Reading
from rackwatt.wire.status import EpochState

_SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs (
  epoch INTEGER PRIMARY KEY, last INTEGER NOT NULL, sent_through INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
  epoch INTEGER NOT NULL, seq INTEGER NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL,
  payload BLOB NOT NULL, PRIMARY KEY (epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
  id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
  time_ms INTEGER NOT NULL, kind TEXT NOT NULL, payload BLOB NOT NULL);
"""

_MAX_EPOCHS: Final = 500
"""Half of what a status may list."""
_MAX_REFUSED: Final = 20
"""Messages that no broker takes, kept for a person to look at; the newest."""


class OutboxBusy(OSError):  # noqa: N818 - a state, not a fault
    """Another agent has the file: neither would know what the other one keeps in it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the outbox."""

    epoch: int
    seq: int
    kind: Kind
    payload: bytes


@dataclass(slots=True)
class _Epoch:
    oldest: int
    last: int
    acknowledged: Ranges
    bytes: int = 0


class Outbox:
    """A SQLite file of numbered messages.

    Characteristics: a message is on the disk when `put` returns; bounded in age and bytes, the
    oldest go first; each start opens a new epoch, so a file restored from an old copy cannot
    overwrite anything.

    Args:
        path: the file.
        keep_seconds: how long messages are kept.
        max_bytes: how many bytes of payload are kept at most.
        clock: where the time comes from.
    """

    def __init__(self, path: Path, *, keep_seconds: float, max_bytes: int, clock: Clock) -> None:
        self._path = path
        self._lock = -1
        self._writer = Writer(path, _SCHEMA)
        self._keep_ms = round(keep_seconds * 1000)
        self._max_bytes = max_bytes
        self._clock = clock
        self._epochs: dict[int, _Epoch] = {}
        self.epoch = 0
        self.evicted = 0
        """Messages that went before they were acknowledged, because the outbox was full."""
        self.refused = 0
        """Messages that no broker takes, and that a notice stands for."""

    async def start(self) -> None:
        """Open the file and begin a new epoch.

        Raises:
            OutboxBusy: another agent uses it.
            OSError: it cannot be locked.
            sqlite3.Error: the file cannot be used.
        """
        self._lock = _locked(self._path)
        try:
            await self._start()
        except BaseException:
            self._unlock()
            raise

    async def _start(self) -> None:
        await self._writer.start()
        self._epochs = await self._writer.run(_load)
        # Milliseconds and 12 random bits: grows with each start, and two copies of one outbox
        # cannot choose the same; stays below 2**53, which JSON readers keep exact.
        first = max(self._clock.now_ms() * 4096, max(self._epochs, default=0) + 1)
        self.epoch = first + secrets.randbelow(4096)
        epoch = self.epoch
        await self._writer.run(
            lambda db: db.execute("INSERT INTO epochs VALUES (?, 0, 0)", (epoch,))
        )
        self._epochs[epoch] = _Epoch(oldest=1, last=0, acknowledged=Ranges())
        await self._forget_epochs(sorted(self._epochs)[:-_MAX_EPOCHS])

    async def put(self, messages: Sequence[tuple[Kind, int, Sequence[Reading]]]) -> list[Stored]:
        """Number and keep messages, each a kind, a time in ms and its readings.

        One that is larger than a message may be becomes several.

        Raises:
            sqlite3.Error: they could not be kept; their numbers are not used up.
        """
        current = self._epochs[self.epoch]
        rows: list[tuple[int, int, int, Kind, bytes]] = []
        for kind, time_ms, readings in messages:
            waiting = [readings]
            while waiting:
                part = waiting.pop()
                seq = current.last + len(rows) + 1
                payload = encode(self.epoch, seq, time_ms, part)
                if len(payload) > MAX_PAYLOAD_BYTES and len(part) > 1:
                    middle = len(part) // 2
                    waiting += [part[middle:], part[:middle]]
                    continue
                rows.append((self.epoch, seq, time_ms, kind, payload))
        if not rows:
            return []
        size = sum(len(row[4]) for row in rows)
        before = self._clock.now_ms() - self._keep_ms
        excess = self.size_bytes + size - self._max_bytes
        sent = [(self._through(state), epoch) for epoch, state in self._epochs.items()]

        def work(db: sqlite3.Connection) -> list[tuple[int, int, int]]:
            db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", rows)
            db.execute("UPDATE epochs SET last = ? WHERE epoch = ?", (rows[-1][1], self.epoch))
            db.executemany("UPDATE epochs SET sent_through = ? WHERE epoch = ?", sent)
            return _evict(db, before, excess)

        gone = await self._writer.run(work)
        # No await from here on: the caller sees new messages and what is unsent change together,
        # else its sender would take them for backlog and send them twice.
        current.last = rows[-1][1]
        current.bytes += size
        self._forget(gone)
        return [Stored(row[0], row[1], row[3], row[4]) for row in rows]

    def acknowledged(self, message: Stored) -> None:
        """A broker has taken `message`."""
        state = self._epochs.get(message.epoch)
        if state is not None:
            state.acknowledged.add(message.seq)

    async def refuse(self, message: Stored, notice: EventReading) -> None:
        """No broker takes `message`: a notice goes under its number, and it is kept aside.

        So the number is not missing for ever, and whoever collects learns what became of it.

        Raises:
            sqlite3.Error: it could not be written.
        """

        def work(db: sqlite3.Connection) -> int | None:
            key = (message.epoch, message.seq)
            query = "SELECT time_ms, payload FROM messages WHERE epoch = ? AND seq = ?"
            row = db.execute(query, key).fetchone()
            if row is None:
                return None
            payload = encode(*key, row[0], [notice])
            db.execute(
                "INSERT INTO refused (epoch, seq, time_ms, kind, payload) VALUES (?, ?, ?, ?, ?)",
                (*key, row[0], message.kind, row[1]),
            )
            db.execute(
                "DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (_MAX_REFUSED,)
            )
            db.execute(
                "UPDATE messages SET kind = 'event', payload = ? WHERE epoch = ? AND seq = ?",
                (payload, *key),
            )
            return len(row[1]) - len(payload)

        freed = await self._writer.run(work)
        if freed is not None:
            self.refused += 1
            self._epochs[message.epoch].bytes -= freed

    def unsent(self, limit: int) -> list[tuple[int, Range]]:
        """The oldest ranges that no broker has acknowledged, of at most `limit` messages."""
        found: list[tuple[int, Range]] = []
        for epoch in sorted(self._epochs):
            state = self._epochs[epoch]
            for low, high in state.acknowledged.missing(state.oldest, state.last):
                if limit <= 0:
                    return found
                end = min(high, low + limit - 1)
                found.append((epoch, (low, end)))
                limit -= end - low + 1
        return found

    def kept(self, epoch: int, ranges: Sequence[Range]) -> list[Range]:
        """What of `ranges` is still here: a request cannot make us look for more than we have."""
        state = self._epochs.get(epoch)
        if state is None:
            return []
        cut = [(max(low, state.oldest), min(high, state.last)) for low, high in ranges]
        return [(low, high) for low, high in cut if low <= high]

    async def fetch(self, epoch: int, span: Range) -> list[Stored]:
        """The messages of `epoch` in the closed range `span` that are still kept."""
        query = (
            "SELECT epoch, seq, kind, payload FROM messages "
            "WHERE epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        )
        rows = await self._writer.run(lambda db: db.execute(query, (epoch, *span)).fetchall())
        return [Stored(*row) for row in rows]

    def states(self) -> tuple[EpochState, ...]:
        """What the status message says of each epoch."""
        return tuple(
            EpochState(
                epoch=epoch,
                oldest=state.oldest,
                last=state.last,
                sent_through=self._through(state),
            )
            for epoch, state in sorted(self._epochs.items())
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of payload kept."""
        return sum(state.bytes for state in list(self._epochs.values()))  # threads read it

    async def aclose(self) -> None:
        """Remember what was sent and close the file."""
        sent = [(self._through(state), epoch) for epoch, state in self._epochs.items()]
        query = "UPDATE epochs SET sent_through = ? WHERE epoch = ?"
        try:
            await self._writer.run(lambda db: db.executemany(query, sent))
        finally:
            await self._writer.aclose()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @staticmethod
    def _through(state: _Epoch) -> int:
        return state.acknowledged.through(state.oldest)

    def _forget(self, gone: Sequence[tuple[int, int, int]]) -> None:
        """Messages that were evicted: epoch, number, bytes.

        An epoch that is empty now stays in the status until the next start: `oldest` tells the
        collector what went with it, to the last message.
        """
        for epoch, seq, size in gone:
            state = self._epochs[epoch]
            state.bytes -= size
            self.evicted += seq not in state.acknowledged
            state.oldest = max(state.oldest, seq + 1)

    async def _forget_epochs(self, epochs: Sequence[int]) -> None:
        """Delete whole epochs: an agent that restarts all day must not outgrow its status."""
        rows = [(epoch,) for epoch in epochs]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM messages WHERE epoch = ?", rows)
            db.executemany("DELETE FROM epochs WHERE epoch = ?", rows)

        if rows:
            await self._writer.run(work)
        for epoch in epochs:
            state = self._epochs.pop(epoch)
            self.evicted += sum(
                high - low + 1 for low, high in state.acknowledged.missing(state.oldest, state.last)
            )


def _locked(path: Path) -> int:
    """Lock `path`'s lock file; the kernel lets go of it with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise OutboxBusy(
            f"{path} is in use by another agent: stop that one, or give this one an outbox "
            "of its own"
        ) from error
    return lock


def _load(db: sqlite3.Connection) -> dict[int, _Epoch]:
    epochs: dict[int, _Epoch] = {}
    kept = {
        row[0]: row[1:]
        for row in db.execute(
            "SELECT epoch, min(seq), sum(length(payload)) FROM messages GROUP BY epoch"
        )
    }
    for epoch, last, sent_through in db.execute("SELECT * FROM epochs").fetchall():
        if epoch not in kept:
            db.execute("DELETE FROM epochs WHERE epoch = ?", (epoch,))
            continue
        oldest, size = kept[epoch]
        state = _Epoch(oldest=oldest, last=last, acknowledged=Ranges(), bytes=size)
        if sent_through >= 1:
            state.acknowledged.add(1, sent_through)
        epochs[epoch] = state
    return epochs


def _evict(db: sqlite3.Connection, before_ms: int, excess: int) -> list[tuple[int, int, int]]:
    """Delete what is too old, then the oldest beyond the size; say what went."""
    gone: list[tuple[int, int, int]] = []
    query = "SELECT epoch, seq, time_ms, length(payload) FROM messages ORDER BY epoch, seq"
    for epoch, seq, time_ms, size in db.execute(query):
        too_old = time_ms < before_ms
        if not too_old and excess <= 0:
            break
        gone.append((epoch, seq, size))
        excess -= size
        if len(gone) >= 5000:
            break
    db.executemany(
        "DELETE FROM messages WHERE epoch = ? AND seq = ?", [(row[0], row[1]) for row in gone]
    )
    return gone
