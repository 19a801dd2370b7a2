# SPDX-License-Identifier: Apache-2.0
"""The spool: the messages as received, the only log of the collector.

What was acknowledged to the broker is here, on the disk, in the same transaction as the gap
watch's state. Two cursors read it, `store` and `accountant`; what both have passed is deleted.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from rackwatt.collector.ingest import changes, clocks, deadletters, messages, sessions, state
from rackwatt.collector.ingest.batch import Batch
from rackwatt.collector.ingest.changes import Changes, watch_rows
from rackwatt.collector.ingest.clocks import AgentClock
from rackwatt.collector.ingest.deadletters import DeadLetter
from rackwatt.collector.ingest.decoding import Decodings
from rackwatt.collector.ingest.messages import Record
from rackwatt.collector.ingest.state import Note
from rackwatt.collector.ingest.watch import AgentWatch
from rackwatt.wire.clock import Clock
from rackwatt.wire.database import Writer, connect

__all__ = ["ACCOUNTANT", "STORE", "Batch", "DeadLetter", "Note", "Record", "Remembered", "Spool"]

_log = logging.getLogger(__name__)

T = TypeVar("T")
STORE: Final = "store"
ACCOUNTANT: Final = "accountant"
REPLAYED: Final = "letters replayed"
DROPPED: Final = "letters dropped"
EVICTED: Final = "letters evicted"
RESERVE_BYTES: Final = 4_000_000
"""Kept free for deleting what was read, when the disk is full."""
_TRIM_MESSAGES: Final = 50_000

_ROOMS: Final = (messages, state, clocks, changes, deadletters, sessions)
_SCHEMA: Final = "".join(room.SCHEMA for room in _ROOMS)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a spool remembers of its collector."""

    owners: Sequence[tuple[str, str]] = ()
    """Device and agent."""
    clocks: Sequence[tuple[str, AgentClock]] = ()


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
        self._letter_bytes = 0
        self._named = 0
        """The largest id that a cursor of this spool can have."""
        self.identity = ""
        """Made with the file: tells a reader with a cursor whether it is still the same log."""
        self.generation = 0
        """Grows with each start."""
        self.remembered = Remembered()
        self.tallies: dict[str, int] = {}
        """Totals since the spool was made."""
        self.last_id = 0
        self.deadletters = 0
        self.lost = 0
        self._changes = Changes()
        self.appended = asyncio.Condition()
        self.decodings = Decodings()
        """For those who read in this process: what was decoded to be checked."""

    async def start(self) -> list[AgentWatch]:
        """Open the file; returns the gap watch as it was left.

        Raises:
            sqlite3.Error: the file cannot be used.
        """
        await self._writer.start()
        watches = await self._writer.run(self._load, last_resort=True)
        try:
            self.identity, self.generation = await self._writer.run(
                lambda db: state.identify(db, self._path), last_resort=True
            )
        except (OSError, sqlite3.Error) as error:
            _log.error("spool: cannot begin a generation: %s", error)
        loop = asyncio.get_running_loop()
        self._reading = await loop.run_in_executor(self._reader, self._open_reader)
        return watches

    def _open_reader(self) -> sqlite3.Connection:
        return connect(self._path, read_only=True)

    def _load(self, db: sqlite3.Connection) -> list[AgentWatch]:
        messages.prepare(db)
        deadletters.prepare(db)
        found = db.execute("SELECT id FROM identity").fetchone()
        self.identity = "" if found is None else found[0]
        for name in self._cursors:
            db.execute("INSERT OR IGNORE INTO cursors VALUES (?, 0)", (name,))
        saved = dict(db.execute("SELECT name, id FROM cursors").fetchall())
        self._cursors = {name: saved[name] for name in self._cursors}
        self._saved = dict(self._cursors)
        self.last_id, self._trimmed = messages.span(db)
        self._named = self.last_id
        self._bytes, _ = messages.behind(db, 0)
        self.deadletters, self._letter_bytes = deadletters.kept(db)
        # As floats: an agent may claim so much that a sum of integers overflows.
        query = "SELECT total(high - low + 1) FROM losses"
        self.lost = int(db.execute(query).fetchone()[0])
        self.tallies = state.load_tallies(db)
        self._changes.load(db)
        agents = clocks.load_clocks(clocks.saved_clocks(db), self._changes.clocks)
        self.remembered = Remembered(state.load_owners(db), agents)
        offsets = {name: clock.offset for name, clock in agents}
        return state.load_watches(db, offsets, self._changes.watches)

    async def adopt(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Change what is remembered, in one transaction, while no collector runs on this spool.

        Raises:
            sqlite3.Error: nothing of it was written.
        """
        await self._writer.run(work)

    async def append(self, batch: Batch) -> None:
        """Make a batch durable, gap watch and all, in one transaction.

        Once begun it is carried out, and known here, even where its caller is cancelled.

        Raises:
            sqlite3.Error: nothing of it was written.
        """
        if not batch:
            return
        writing = asyncio.ensure_future(self._append(batch))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait((writing,))
            if not writing.cancelled() and (error := writing.exception()) is not None:
                _log.error("spool: %s; this batch comes again", error)
            raise

    async def _append(self, batch: Batch) -> None:
        now = self._clock.now_ms()
        totals = {k: v for k, v in batch.tallies.items() if self.tallies.get(k) != v}
        notes = [
            state.losses_note(batch.losses, now),
            *batch.notes,
            state.totals_note(totals),
        ]
        watches = watch_rows(batch.watches) if batch.frozen is None else batch.frozen
        removals = ((REPLAYED, batch.replayed), (DROPPED, batch.dropped))

        def work(
            db: sqlite3.Connection,
        ) -> tuple[int, int, Mapping[str, int], tuple[int, int] | None]:
            last = messages.insert(db, batch.messages)
            size = deadletters.bury(db, batch.deadletters)
            gone: dict[str, int] = {}
            for name, numbers in removals:
                gone[name], freed = deadletters.remove(db, numbers)
                size -= freed
            for note in (*notes, state.added_note(gone)):
                if note.rows:
                    db.executemany(note.statement, note.rows)
            if not watches and not batch.clocks:
                return last, size, gone, None
            return last, size, gone, self._changes.append(db, watches, batch.clocks)

        last, size, gone, change = await self._writer.run(work)
        if change is not None:
            self._changes.appended(change, watches, batch.clocks)
        self._bytes += sum(len(payload) for _, _, payload in batch.messages)
        self.deadletters += len(batch.deadletters) - sum(gone.values())
        self._letter_bytes += size
        self.tallies |= totals
        self._add(gone)
        self.lost += sum(loss.count for loss in batch.losses)
        if batch.messages:
            self.last_id = last
            if batch.decoded:
                sizes = [len(payload) for _, _, payload in batch.messages]
                first = last - len(batch.messages) + 1
                self.decodings.keep(first, list(zip(batch.decoded, sizes, strict=True)))
            async with self.appended:
                self.appended.notify_all()

    def _add(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self.tallies[name] = self.tallies.get(name, 0) + count

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Look into the file, beside the writer."""

        def looking() -> T:
            if self._reading is None:
                msg = f"{self._path} is not open"
                raise sqlite3.ProgrammingError(msg)
            return work(self._reading)

        return await asyncio.get_running_loop().run_in_executor(self._reader, looking)

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

    def gave(self, through: int) -> None:
        """A consumer elsewhere was given all up to `through`."""
        self._named = max(self._named, through)

    async def belongs(self, after: int) -> bool:
        """Whether a consumer elsewhere can have been given `after` by this spool.

        If not, the file was put back from a copy, and lacks what the consumer has read since:
        numbers above are given to other messages. From now on it is another spool.

        Raises:
            sqlite3.Error: that cannot be written.
        """
        if after <= self._named:
            return True
        _log.error(
            "a reader of this spool has read up to %d, it was never given more than %d: "
            "the spool was put back from a copy; from here on it counts as another one",
            after,
            self._named,
        )
        self.identity = await self._writer.run(state.renew)
        return False

    async def trim(self) -> None:
        """Remember the cursors and delete what all have passed.

        Raises:
            sqlite3.Error: the disk is full.
        """
        cursors = dict(self._cursors)
        # Not all at once after a long outage: appending waits for this transaction.
        through = min(*cursors.values(), self.last_id, self._trimmed + _TRIM_MESSAGES)
        excess = max(0, self.deadletters - deadletters.MAX_DEADLETTERS)
        too_large = max(0, self._letter_bytes - deadletters.MAX_DEADLETTER_BYTES)
        full = excess > 0 or too_large > 0
        if cursors == self._saved and through <= self._trimmed and not full:
            return

        def work(db: sqlite3.Connection) -> tuple[int, int, int]:
            db.executemany(
                "UPDATE cursors SET id = ? WHERE name = ?",
                [(value, name) for name, value in cursors.items()],
            )
            size = messages.bytes_before(db, through) - messages.bytes_before(db, 0)
            db.execute("DELETE FROM messages WHERE id <= ?", (through,))
            gone = deadletters.evict(db, excess, too_large) if full else (0, 0)
            note = state.added_note({EVICTED: gone[0]})
            db.executemany(note.statement, note.rows)
            return size, *gone

        # With the reserve: on a disk that is full to the last byte only this makes room.
        size, buried, freed = await self._writer.run(work, last_resort=True)
        self._bytes -= size
        self.deadletters -= buried
        self._letter_bytes -= freed
        self._add({EVICTED: buried})
        self._trimmed = max(self._trimmed, through)
        self._saved = cursors

    async def fold(self, *, now: bool = False) -> None:
        """Bring the tables up to what each batch has changed, if it is time or if it must be now.

        Raises:
            sqlite3.Error: the disk is full; nothing is lost by it.
        """
        monotonic = self._clock.monotonic()
        if not self._changes.due(monotonic) and not now:
            return
        fold = self._changes.take(monotonic)
        try:
            number = 0
            while await self._writer.run(partial(fold.step, number)):
                number += 1
        except BaseException:
            self._changes.give_back(fold)
            raise

    async def backlog(self) -> dict[str, tuple[int, float]]:
        """Per cursor: bytes of payload not yet passed, and the age in s of the oldest such."""
        now = self._clock.now_ms()
        cursors = dict(self._cursors)

        def work(db: sqlite3.Connection) -> dict[str, tuple[int, float]]:
            found: dict[str, tuple[int, float]] = {}
            for name, after in cursors.items():
                size, since = messages.behind(db, after)
                found[name] = (size, 0.0 if since is None else max(0.0, (now - since) / 1000))
            return found

        return await self.look(work)

    @property
    def full_ratio(self) -> float:
        """Payload kept against the allowed size."""
        return self._bytes / self._max_bytes

    @property
    def size_bytes(self) -> int:
        """Payload kept, in bytes."""
        return self._bytes

    async def aclose(self) -> None:
        """Remember the cursors and close the file; a full disk is no reason not to end."""
        try:
            await self.trim()
            await self.fold(now=True)
        except sqlite3.Error as error:
            _log.error("spool: cannot trim: %s; what was read is read again", error)
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._reader, self._close_reader)
            self._reader.shutdown(wait=False)
            await self._writer.aclose()

    def _close_reader(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
