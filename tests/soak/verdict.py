# SPDX-License-Identifier: Apache-2.0
"""What was sent against what is stored and booked, value by value, when all has settled."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from faults_kit.chain import AnyStore
from faults_kit.compare import outbox_messages
from soak.backlog import Held, Watch, Watched, losses, open_readonly, total, watch_of
from soak.places import HOST
from soak.world import World

from rackwatt.collector.accounting.channels import BOOKED_FIELDS
from rackwatt.collector.store import EmbeddedStore, StoredRow
from rackwatt.wire.codec import decode_envelope, decode_readings
from rackwatt.wire.readings import KINDS, Kind

Place = tuple[Kind, str, str, int]
"""Kind, device, field, time in ms."""
Sent = dict[Place, set[float]]
"""More than one value of a place: a clock was set back, and the same time came twice."""


@dataclass
class Verdict:
    """What was found; what is in `wrong` fails the soak."""

    messages: int = 0
    """That agents have made durable."""
    values: int = 0
    events: int = 0
    twice: int = 0
    """Places with two values."""
    booked: int = 0
    """Values of meters in the ledger, those that are held among them."""
    held: int = 0
    shown: int = 0
    """Messages that only a lost outbox had, closed as lost and recorded."""
    unheard: int = 0
    """Messages that only a lost outbox had, of which nobody was ever told."""
    wrong: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def note(self, what: str, count: int, example: object) -> None:
        if count:
            self.wrong[what] = self.wrong.get(what, 0) + count
            if len(self.examples) < 20:
                self.examples.append(f"{what}: {example}")


def judge(world: World, until: Held) -> Verdict:
    """Compare.

    Args:
        world: with the collector stopped.
        until: what agents held when they were told to be quiet; of this machine's own agent, which
            cannot be told, the rest is not looked at.
    """
    found = Verdict()
    spool = world.data / "spool.db"
    watch = watch_of(spool)
    store = world.store()
    _index(world.data / "store")
    boxes = _lost_boxes(world)
    closed = {(agent, epoch) for agent, epoch, *_ in losses(spool)}
    for name in world.names():
        held = until.get(name, {})
        found.note("agents that sent nothing", not held, name)
        _judge_watch(found, name, held, boxes.get(name, {}), watch)
        messages = list(_messages(world, name, held, watch, found))
        _judge_agent(found, name, messages, store, world.books / "ledger.db")
    allowed = {(agent, epoch) for agent, epochs in boxes.items() for epoch in epochs}
    ours = set(world.names())
    for agent, epoch in closed - allowed:
        if agent in ours:
            found.note("ranges closed as lost", 1, (agent, epoch))
    return found


def _judge_watch(
    found: Verdict, name: str, held: Mapping[int, int], gone: Mapping[int, int], watch: Watch
) -> None:
    """The gap watch has what the agent holds, and has made up nothing."""
    for epoch, last in held.items():
        received = watch.get((name, epoch), Watched()).received
        missing = received.missing(1, last)
        found.note("messages not received", total(missing), (name, epoch, list(missing)[:3]))
        newest = max(last, gone.get(epoch, 0))
        beyond = [span for span in received if span[1] > newest] if name != HOST else []
        found.note("messages received that nobody sent", total(beyond), (name, epoch, beyond))


def _lost_boxes(world: World) -> dict[str, dict[int, int]]:
    """Epochs of outboxes that were replaced and the last message of each, by agent."""
    found: dict[str, dict[int, int]] = {}
    for agent, path in world.discarded:
        with closing(open_readonly(path)) as db:
            rows = db.execute("SELECT epoch, last FROM epochs").fetchall()
        epochs = found.setdefault(agent, {})
        for epoch, last in rows:
            epochs[epoch] = max(last, epochs.get(epoch, 0))
    return found


def _messages(
    world: World, name: str, held: Mapping[int, int], watch: Watch, found: Verdict
) -> Iterator[tuple[Kind, bytes]]:
    """All that an agent made durable and that came; what only a lost outbox had may be missing."""
    seen: set[tuple[int, int]] = set()
    boxes = [world.outbox(name), *(path for agent, path in world.discarded if agent == name)]
    for number, box in enumerate(boxes):
        for kind, payload in outbox_messages(box):
            envelope = decode_envelope(payload)
            key = envelope.epoch, envelope.seq
            if key in seen or (number == 0 and key[1] > held.get(key[0], 0)):
                continue
            seen.add(key)
            found.messages += 1
            watched = watch.get((name, envelope.epoch), Watched())
            if number and envelope.seq not in watched.received:
                _only_there(found, name, key, watched)
                continue
            assert kind in KINDS
            yield kind, payload


def _only_there(found: Verdict, name: str, key: tuple[int, int], watched: Watched) -> None:
    if key[1] in watched.lost:
        found.shown += 1
    elif key[1] > watched.sent_through:
        found.unheard += 1
    else:
        found.note("messages lost without a word", 1, (name, key))


def _judge_agent(
    found: Verdict, name: str, messages: list[tuple[Kind, bytes]], store: AnyStore, ledger: Path
) -> None:
    sent, events = _values(messages)
    found.values += len(sent)
    found.events += len(events)
    found.twice += sum(len(values) > 1 for values in sent.values())
    devices = {(kind, device) for kind, device, _, _ in sent}
    stored = dict(_stored(store, devices))
    _compare(found, "stored", sent, stored, foreign=name != HOST)
    there = {
        (device, row.time_ms)
        for device, row in _rows(store, "event", sorted({device for device, _ in events}))
    }
    gone = events - there
    found.note("events not stored", len(gone), sorted(gone)[:2])
    if name != HOST:
        _judge_ledger(found, sent, ledger)


def _values(messages: list[tuple[Kind, bytes]]) -> tuple[Sent, set[tuple[str, int]]]:
    sent: Sent = {}
    events: set[tuple[str, int]] = set()
    for kind, payload in messages:
        for reading in decode_readings(kind, decode_envelope(payload)).readings:
            if kind == "event":
                events.add((reading.device, reading.time_ms))
            for name, value in reading.values.items():
                if value is not None:
                    sent.setdefault((kind, reading.device, name, reading.time_ms), set()).add(value)
    return sent, events


def _stored(store: AnyStore, devices: set[tuple[Kind, str]]) -> Iterator[tuple[Place, float]]:
    for kind in {kind for kind, _ in devices}:
        for device, row in _rows(store, kind, [name for own, name in devices if own == kind]):
            for name, value in row.fields.items():
                if isinstance(value, float):
                    yield (kind, device, name, row.time_ms), value


def _rows(store: AnyStore, kind: Kind, devices: Sequence[str]) -> Iterator[tuple[str, StoredRow]]:
    """All rows of devices, in the way that is the quickest."""
    one_by_one = isinstance(store, EmbeddedStore)
    for names in [[name] for name in devices] if one_by_one else [devices]:
        for device, rows in store.history(kind, 0, 4_000_000_000_000, names):
            for row in rows:
                yield device, row


def _index(folder: Path) -> None:
    """Let the embedded store find a device's rows: it is not made for that, and is stopped."""
    for path in folder.glob("raw-*.db"):
        with closing(sqlite3.connect(path)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            for kind in tables & set(KINDS):
                db.execute(f"CREATE INDEX IF NOT EXISTS soak_{kind} ON {kind} (device, time_ms)")
            db.commit()


def _compare(
    found: Verdict, where: str, sent: Sent, kept: Mapping[Place, float], *, foreign: bool
) -> None:
    lost = sent.keys() - kept.keys()
    changed = {place for place in sent.keys() & kept.keys() if kept[place] not in sent[place]}
    found.note(f"values not {where}", len(lost), sorted(lost)[:2])
    found.note(f"values {where} and changed", len(changed), sorted(changed)[:2])
    if foreign:
        beyond = kept.keys() - sent.keys()
        found.note(f"values {where} that nobody sent", len(beyond), sorted(beyond)[:2])


def _judge_ledger(found: Verdict, sent: Sent, ledger: Path) -> None:
    """Every value of a meter is among the readings that are booked, or waits for its release."""
    wanted = {
        place: values
        for place, values in sent.items()
        if place[0] == "power" and place[2] in BOOKED_FIELDS
    }
    kept: dict[Place, float] = {}
    with closing(open_readonly(ledger)) as db:
        for device in {place[1] for place in wanted}:
            inputs = db.execute(
                "SELECT field, time_ms, value FROM inputs JOIN series ON series.id = inputs.series"
                " WHERE device = ?", (device,),
            ).fetchall()  # fmt: skip
            held = db.execute(
                "SELECT field, time_ms, value FROM held WHERE device = ?", (device,)
            ).fetchall()
            found.held += len(held)
            kept |= {("power", device, name, at): value for name, at, value in [*held, *inputs]}
    found.booked += len(kept)
    _compare(found, "in the ledger", wanted, kept, foreign=True)


def verify_ledger(world: World) -> tuple[bool, str]:
    """`rackwatt ledger verify`: whether it is sound, and the last line that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "rackwatt.collector.cli", "ledger", "verify",
         "--data", str(world.books), "--site", str(world.site)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, " / ".join(lines[-6:])


def restatements(ledger: Path) -> tuple[int, int]:
    """Intervals in the book, and revisions of them beyond the first."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        (rows, first) = db.execute(
            "SELECT count(*), count(DISTINCT start_ms) FROM journal WHERE kind = 'interval'"
        ).fetchone()
    return first, rows - first
