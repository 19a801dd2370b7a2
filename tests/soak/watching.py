# SPDX-License-Identifier: Apache-2.0
"""Looks at the system while it runs: memory, spool, counters, and how long recovery takes."""

import asyncio
import sqlite3
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from soak.backlog import Behind, Held, behind, held_by, last_id
from soak.parts import memory_mb
from soak.world import World

_PATIENCE_SECONDS = 240.0
"""What is not back after this has not recovered."""
_CACHE_MB = 2.0
"""SQLite's, of each outbox."""
_COUNTERS = (
    "rackwatt_messages_recovered_total",
    "rackwatt_messages_duplicate_total",
    "rackwatt_messages_rejected_total",
    "rackwatt_messages_lost_total",
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process over all its lives, in MB."""

    first: float
    """Median of the first third."""
    last: float
    """Median of the last third."""
    most: float
    samples: int
    allowed: float
    """What the last third may have at most."""

    @property
    def flat(self) -> bool:
        """Whether the last third needs about as much as the first."""
        return self.last <= self.allowed


@dataclass
class Seen:
    """What was looked at, each few seconds."""

    memory: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    spool_most: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By cursor, in bytes of payload."""
    oldest_most: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By cursor, in s."""
    counted: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    """How often the collector told its metrics."""
    caches: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """MB that the page caches of a process fill in time, and no more."""
    _last: dict[str, float] = field(default_factory=dict)

    def memories(self) -> dict[str, Memory]:
        found = {}
        for name, values in self.memory.items():
            third = max(1, len(values) // 3)
            first, last = statistics.median(values[:third]), statistics.median(values[-third:])
            allowed = first * 1.5 + 40.0 + self.caches[name]
            found[name] = Memory(first, last, max(values), len(values), allowed)
        return found

    def take(self, metrics: dict[str, float]) -> None:
        if not metrics:
            return
        self.answers += 1
        for cursor in ("store", "accountant"):
            for most, name in (
                (self.spool_most, "rackwatt_spool_bytes"),
                (self.oldest_most, "rackwatt_spool_oldest_seconds"),
            ):
                most[cursor] = max(most[cursor], metrics.get(f"{name} {cursor}", 0.0))
        for key, value in metrics.items():
            name, _, label = key.partition(" ")
            if name in _COUNTERS:
                # Those of a process begin anew with it.
                before = self._last.get(key, 0.0)
                self.counted[f"{name} {label}".strip()] += round(
                    value - before if value >= before else value
                )
                self._last[key] = value


async def look(world: World, seen: Seen, every: float) -> None:
    """Until cancelled."""
    for part in world.shards:
        seen.caches[part.name] = _CACHE_MB * len(world.members) / len(world.shards)
    while True:
        pids = {part.name: part for part in world.parts}
        for name, part in pids.items():
            if part.running:
                _note(seen, name, part.pid)
        for name, server in (("mosquitto", world.broker), ("influxd", world.influx)):
            if server is not None and server.is_running():
                _note(seen, name, server.pid)
        seen.take(await asyncio.to_thread(world.metrics))
        await asyncio.sleep(every)


def _note(seen: Seen, name: str, pid: int) -> None:
    value = memory_mb(pid)
    if value is not None:
        seen.memory[name].append(value)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How it went on after a fault."""

    seconds: float | None
    """Until all that was held at the end of the fault was stored and booked; None: not at all."""
    behind: str = ""
    """What was still to do when patience ended."""


async def recovered(world: World, patience: float = _PATIENCE_SECONDS) -> Recovery:
    """Wait until all that agents hold now is received, stored and booked."""
    started = time.monotonic()
    held = await asyncio.to_thread(held_by, {n: world.outbox(n) for n in world.names()})
    through: int | None = None
    found: Behind | None = None
    while time.monotonic() - started < patience:
        found, through = await asyncio.to_thread(_step, world, held, through)
        if found is not None and not found:
            return Recovery(time.monotonic() - started)
        await asyncio.sleep(0.5)
    return Recovery(None, str(found))


def _step(world: World, held: Held, through: int | None) -> tuple[Behind | None, int | None]:
    """How far behind; what is to be passed is known once all is received."""
    spool = world.data / "spool.db"
    try:
        found = behind(spool, held, 0 if through is None else through)
        if found.messages == 0 and through is None:
            through = last_id(spool)
            found = behind(spool, held, through)
    except sqlite3.OperationalError:
        return None, through  # it is being made, or written back
    return found, through
