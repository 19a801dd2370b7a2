# SPDX-License-Identifier: Apache-2.0
"""What a collector remembers over a restart besides messages: who it is, gaps, owners, totals.

All of it stands in the spool's file and is written in the transaction of the messages it goes
with: after a crash it is as old as they are, and no older.
"""

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rackwatt.collector.ingest.changes import Changes, WatchRow
from rackwatt.collector.ingest.rights import Rights
from rackwatt.collector.ingest.watch import AgentWatch, EpochWatch, Loss
from rackwatt.wire.codec import Reason, ReceivedReading, Reject
from rackwatt.wire.inventory import Inventory
from rackwatt.wire.ranges import Ranges

SPOOL_FILE: Final = "spool.db"
OWNER_SECONDS: Final = 600.0
"""A device that its agent has not reported for so long may be taken over by another."""
MAX_DEVICES: Final = 1_000_000
"""Devices whose agent is remembered; whose device a further one is, is not looked after."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS generations (
  one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS watch (
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, hall TEXT NOT NULL, introduced INTEGER NOT NULL,
  floor INTEGER NOT NULL, sent_through INTEGER NOT NULL, received TEXT NOT NULL,
  lost TEXT NOT NULL, PRIMARY KEY (agent, epoch));
CREATE TABLE IF NOT EXISTS losses (
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
  reason TEXT NOT NULL, closed_ms INTEGER NOT NULL, PRIMARY KEY (agent, epoch, low));
CREATE TABLE IF NOT EXISTS tallies (name TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS owners (device TEXT PRIMARY KEY, agent TEXT NOT NULL) WITHOUT ROWID;
"""


class Note(NamedTuple):
    """A statement and its rows, for the transaction of a batch."""

    statement: str
    rows: Sequence[tuple[object, ...]]


class SpoolBusy(RuntimeError):  # noqa: N818 - a state, not a fault
    """Another process takes messages into the spool."""


class SpoolLock:
    """The right to write to a spool; the kernel takes it back from a process that dies.

    Args:
        spool: the spool's file; `spool.lock` beside it is locked.

    Raises:
        SpoolBusy: another process holds it.
        OSError: the lock file cannot be made.
    """

    def __init__(self, spool: Path) -> None:
        spool.parent.mkdir(parents=True, exist_ok=True)
        path = spool.with_suffix(".lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise SpoolBusy(
                f"{spool} is in use by a collector: stop that one, or choose another --data"
            ) from error

    def release(self) -> None:
        """Let go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


# -- which spool it is ---------------------------------------------------------------------------


def identify(db: sqlite3.Connection, path: Path) -> tuple[str, int]:
    """The spool's identity and its generation, which grows with each start.

    The generation also stands in a file beside the spool. Where they differ, this spool was put
    back from a copy, and its numbers will be given to other messages than before: it becomes
    another spool, so that nobody's cursor into the lost one passes over what comes now.

    Raises:
        OSError: the file beside it cannot be written.
    """
    beside = path.with_suffix(".generation")
    fresh = db.execute("SELECT count(*) FROM identity").fetchone()[0] == 0
    row = db.execute("SELECT at FROM generations").fetchone()
    generation = 0 if row is None else int(row[0])
    seen = _seen(beside)
    copied = not fresh and row is not None and seen != generation
    generation = max(generation, seen or 0) + 1
    _write_durably(beside, f"{generation}\n")
    db.execute("INSERT OR REPLACE INTO generations VALUES (1, ?)", (generation,))
    if fresh or copied:
        renew(db)
    return str(db.execute("SELECT id FROM identity").fetchone()[0]), generation


def renew(db: sqlite3.Connection) -> str:
    """Make it another spool; returns its identity."""
    identity = uuid.uuid4().hex
    db.execute("INSERT OR REPLACE INTO identity VALUES (1, ?)", (identity,))
    return identity


def _seen(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _write_durably(path: Path, text: str) -> None:
    part = path.with_suffix(".generation.part")
    with part.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


# -- gaps and losses -----------------------------------------------------------------------------


def losses_note(losses: Iterable[Loss], now_ms: int) -> Note:
    """What was closed as lost."""
    closed = [(x.agent, x.epoch, x.low, x.high, x.reason, now_ms) for x in losses]
    return Note("INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?, ?, ?)", closed)


def load_watches(
    db: sqlite3.Connection, offsets: Mapping[str, float], changed: Mapping[str, WatchRow]
) -> list[AgentWatch]:
    """The gap watch as it was left.

    Args:
        db: the spool's file.
        offsets: the agents' clock offsets in s.
        changed: what is newer than the table, by agent.
    """
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
    for name, hall, introduced, epochs in changed.values():
        agents[name] = AgentWatch(name, hall, introduced=bool(introduced))
        for number, floor, sent, received, lost in epochs:
            agents[name].epochs[number] = EpochWatch(
                floor=floor, received=Ranges(received), lost=Ranges(lost), sent_through=sent
            )
    query = "SELECT agent, total(high - low + 1) FROM losses GROUP BY agent"
    for name, lost in db.execute(query):
        if name in agents:
            agents[name].forgotten_lost = max(0, int(lost) - agents[name].lost())
    for name, agent in agents.items():
        agent.clock_offset_seconds = offsets.get(name)
    return list(agents.values())


def watches_in(db: sqlite3.Connection) -> list[AgentWatch]:
    """The gap watch in a spool's file that somebody may be writing."""
    db.execute("BEGIN")  # as of one moment
    changes = Changes()
    changes.load(db)
    return load_watches(db, {}, changes.watches)


# -- totals --------------------------------------------------------------------------------------


def totals_note(totals: Mapping[str, int]) -> Note:
    """Totals as they stand."""
    return Note("INSERT OR REPLACE INTO tallies VALUES (?, ?)", list(totals.items()))


def added_note(counts: Mapping[str, int]) -> Note:
    """What is added to totals."""
    rows = [(name, count) for name, count in counts.items() if count]
    query = (
        "INSERT INTO tallies VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET count = count + excluded.count"
    )
    return Note(query, rows)


def load_tallies(db: sqlite3.Connection) -> dict[str, int]:
    """Totals since the spool was made."""
    return dict(db.execute("SELECT name, count FROM tallies").fetchall())


# -- which agent reports a device ----------------------------------------------------------------


class Owners:
    """Which agent reports a device: another one that names it is refused.

    Characteristics: written when it changes, not with each reading; after a restart each device
    counts as just seen, so that nobody takes it over in the moment of the restart.

    Args:
        known: device and agent, as the spool remembers them.
        now: monotonic seconds.
        rights: who may report what, whoever was first.
    """

    def __init__(
        self,
        known: Iterable[tuple[str, str]] = (),
        now: float = 0.0,
        rights: Rights | None = None,
    ) -> None:
        self._rights = rights or Rights()
        self._owners: dict[str, tuple[str, float]] = {}
        self._changed: dict[str, str | None] = {}
        for device, agent in known:
            if self._rights.refusal(agent, device) is None:
                self._owners[device] = (agent, now)
            else:  # the site file says otherwise by now
                self._changed[device] = None
        self._due = now + OWNER_SECONDS

    def __len__(self) -> int:
        """How many devices."""
        return len(self._owners)

    def claim(self, device: str, agent: str, now: float) -> str | None:
        """An agent reports a device, which makes it the agent's; else why not."""
        owner = self._owners.get(device)
        if owner is None or owner[0] != agent:
            why = self.refusal(device, agent, now)
            if why is not None:
                return why
            if owner is None and len(self._owners) >= MAX_DEVICES:
                return None
            self._changed[device] = agent
        self._owners[device] = (agent, now)
        return None

    def refusal(self, device: str, agent: str, now: float) -> str | None:
        """Why an agent may say nothing of a device; None: it may, and need not have reported it."""
        name, seen = self._owners.get(device, (agent, now))
        if name != agent and now - seen < OWNER_SECONDS:
            return f"reported by {name!r}"
        return self._rights.refusal(agent, device)

    def own(self, inventory: Inventory, agent: str, now: float) -> tuple[Inventory, Reject | None]:
        """What an agent says of devices: how registers count is said by who reports them."""
        why = {item.device: self.refusal(item.device, agent, now) for item in inventory.devices}
        refused = [f"{device} is {reason}" for device, reason in why.items() if reason is not None]
        if not refused:
            return inventory, None
        kept = [item for item in inventory.devices if why[item.device] is None]
        more = f"; and {len(refused) - 5} more" if len(refused) > 5 else ""
        detail = "; ".join(refused[:5]) + more
        return Inventory.of(kept, inventory.time), Reject(Reason.DEVICE_CONFLICT, detail)

    def conflicts(
        self, readings: Iterable[ReceivedReading], agent: str, now: float
    ) -> list[tuple[str, str]]:
        """An agent reports these: each device that is not its to report, and why."""
        found: list[tuple[str, str]] = []
        owners, mine = self._owners, (agent, now)
        for reading in readings:
            device = reading.device
            owner = owners.get(device)
            if owner is not None and owner[0] == agent:
                owners[device] = mine
            elif (why := self.claim(device, agent, now)) is not None:
                found.append((device, why))
        return found

    def forget(self, now: float) -> bool:
        """Devices that nobody reports any more belong to nobody; whether it was time to look."""
        if now < self._due:
            return False
        self._due = now + OWNER_SECONDS
        gone = [name for name, (_, seen) in self._owners.items() if now - seen >= OWNER_SECONDS]
        for device in gone:
            del self._owners[device]
            self._changed[device] = None
        return True

    def notes(self) -> list[Note]:
        """What has changed since the last call."""
        changed, self._changed = self._changed, {}
        taken = [(device, agent) for device, agent in changed.items() if agent is not None]
        left = [(device,) for device, agent in changed.items() if agent is None]
        return [
            *([taken_note(taken)] if taken else []),
            *([Note("DELETE FROM owners WHERE device = ?", left)] if left else []),
        ]


def taken_note(taken: Sequence[tuple[str, str]]) -> Note:
    """Devices, each with the agent whose it is from now on."""
    return Note("INSERT OR REPLACE INTO owners VALUES (?, ?)", taken)


def load_owners(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Device and agent."""
    return db.execute("SELECT device, agent FROM owners").fetchall()
