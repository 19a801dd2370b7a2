# SPDX-License-Identifier: Apache-2.0
"""The faults of the soak, each a function that does it and undoes it, and says what it did."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from doubles import Running, session
from faults_kit.vandal import Vandal
from soak.parts import Part
from soak.places import METERS
from soak.world import World

from rackwatt.wire.session import NotConnected

Fault = Callable[[World, random.Random, float], Awaitable[str]]
"""Takes the world, chance, and how long it lasts in s; returns what was done."""

_STEP_MS: Final = 3_600_000
_ROOM: Final = (4_000, 64_000, 256_000)
"""Bytes by which files may be larger than the log while the disk counts as full."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come."""

    number: int
    pause: float
    """Seconds of peace before it."""
    kind: str
    seconds: float
    """How long it lasts."""
    seed: int


def plan(
    seed: int, kinds: Sequence[str], pause: tuple[float, float], longest: float
) -> Iterator[Planned]:
    """Faults without end, the same for the same seed, each kind as often as the others.

    Args:
        seed: of all chance.
        kinds: names in `FAULTS`.
        pause: the least and the most seconds between two.
        longest: how long one lasts at most, in s.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable
    number = 0
    while True:
        for kind in rng.sample(kinds, len(kinds)):
            number += 1
            # Most are short, some are as long as it takes to be noticed.
            seconds = 2.0 + (longest - 2.0) * rng.random() ** 2
            yield Planned(number, rng.uniform(*pause), kind, seconds, rng.randrange(2**32))


# -- processes -----------------------------------------------------------------------------------


async def _killed(part: Part, seconds: float) -> None:
    await asyncio.to_thread(part.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(part.start)


async def kill_collector(world: World, rng: random.Random, seconds: float) -> str:
    await _killed(world.collector, seconds / 4)
    return "the collector is killed"


async def kill_accountant(world: World, rng: random.Random, seconds: float) -> str:
    await _killed(world.accountant, seconds / 4)
    return "the accountant is killed"


async def kill_agents(world: World, rng: random.Random, seconds: float) -> str:
    part = rng.choice([*world.shards, world.machine])
    await _killed(part, seconds / 4)
    return f"{part.name} is killed"


async def kill_broker(world: World, rng: random.Random, seconds: float) -> str:
    await asyncio.to_thread(world.broker.kill)
    await asyncio.sleep(seconds / 4)
    await asyncio.to_thread(world.broker.start)
    return "the broker is killed, with what it alone had"


async def freeze(world: World, rng: random.Random, seconds: float) -> str:
    """Nothing of it moves, as of a virtual machine that is paused."""
    part = rng.choice([world.collector, world.accountant, *world.shards])
    part.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        part.send(signal.SIGCONT)
    return f"{part.name} stands still"


async def full_disk(world: World, rng: random.Random, seconds: float) -> str:
    """No file may grow: that is told by another error than a full disk's, and needs no rights."""
    part = rng.choice([world.collector, world.accountant, *world.shards])
    part.narrow(part.log.stat().st_size + rng.choice(_ROOM))
    try:
        await asyncio.sleep(seconds)
    finally:
        part.narrow(None)
    return f"no file of {part.name} may grow"


# -- network -------------------------------------------------------------------------------------


async def cut(world: World, rng: random.Random, seconds: float) -> str:
    name, link = rng.choice(list(world.links.items()))
    times = 1 + round(seconds / 4)
    for _ in range(times):
        link.cut()
        await asyncio.sleep(rng.uniform(0.2, 3.0))
    return f"{name}: cut {times} times"


async def stall(world: World, rng: random.Random, seconds: float) -> str:
    name, link = rng.choice(list(world.links.items()))
    answers = rng.random() < 0.3
    if answers:
        link.withhold()
    else:
        link.stall()
    await asyncio.sleep(seconds)
    link.resume()
    return f"{name}: {'answers do not come' if answers else 'stalled'}"


async def half_open(world: World, rng: random.Random, seconds: float) -> str:
    name, link = rng.choice(list(world.links.items()))
    side = rng.choice(["client", "server"])
    link.half_open(side)
    await asyncio.sleep(seconds)
    return f"{name}: half open, the {side} does not know"


async def unreachable(world: World, rng: random.Random, seconds: float) -> str:
    name, link = rng.choice(list(world.links.items()))
    link.refuse()
    await asyncio.sleep(seconds)
    link.resume()
    return f"{name}: every connection is refused"


# -- the store -----------------------------------------------------------------------------------


async def store_down(world: World, rng: random.Random, seconds: float) -> str:
    if world.influx is None:
        await asyncio.to_thread(_locked, world.data / "store", seconds)
        return "the embedded store is locked by somebody"
    if rng.random() < 0.5:
        await asyncio.to_thread(world.influx.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(world.influx.start)
        return "InfluxDB is killed"
    os.kill(world.influx.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(world.influx.pid, signal.SIGCONT)
    return "InfluxDB stands still"


def _locked(folder: Path, seconds: float) -> None:
    locks = [
        sqlite3.connect(path, isolation_level=None, timeout=20)
        for path in sorted(folder.glob("raw-*.db"))
    ]
    try:
        for lock in locks:
            lock.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
    finally:
        for lock in locks:
            lock.close()


async def store_slow(world: World, rng: random.Random, seconds: float) -> str:
    if world.store_link is None:
        return await store_down(world, rng, seconds)
    world.store_link.bytes_per_second = 100_000.0
    await asyncio.sleep(seconds)
    world.store_link.bytes_per_second = None
    return "the way to the store is slow"


# -- messages, clocks, copies ----------------------------------------------------------------------


async def nonsense(world: World, rng: random.Random, seconds: float) -> str:
    """A vandal with a name of its own."""
    count = 500 + round(100 * seconds)
    taken = 0
    sender = session(world.broker.url, "flood")
    async with Running(sender.run()):
        await sender.connected.wait()
        for message in Vandal(rng.randrange(2**32)).messages(count):
            try:
                await sender.publish(message.topic, message.payload, timeout=10.0)
                taken += 1
            except NotConnected:
                await sender.connected.wait()
    return f"{taken} messages of nonsense"


async def clock_step(world: World, rng: random.Random, seconds: float) -> str:
    agent = METERS if rng.random() < 0.3 else rng.choice(world.members).name
    step = rng.choice((_STEP_MS, -_STEP_MS))
    part = world.shard_of(agent)
    part.order(f"step {agent} {step}")
    await asyncio.sleep(max(10.0, seconds))
    part.order(f"step {agent} 0")
    return f"the clock of {agent} is off by {step // 3_600_000:+d} h"


async def restored(world: World, rng: random.Random, seconds: float) -> str:
    """The agent's disk is put back to how it was a while ago."""
    agent = rng.choice(world.members).name
    path, part = world.outbox(agent), world.shard_of(agent)
    copy = path.with_suffix(".copy")
    await asyncio.to_thread(_copy, path, copy)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(part.kill)
    old = path.with_name(f"{agent}-lost-{len(world.discarded)}.db")
    await asyncio.to_thread(_copy, path, old)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.move(copy, path)
    world.discarded.append((agent, old))
    await asyncio.to_thread(part.start)
    return f"the outbox of {agent} is put back from a copy"


def _copy(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(copy)) as target:
        db.backup(target)


async def twofold(world: World, rng: random.Random, seconds: float) -> str:
    """Somebody comes with an agent's name: the broker ends the connection of the other one."""
    agent = rng.choice(world.members).name
    async with Running(session(world.broker.url, agent).run()):
        await asyncio.sleep(seconds / 4)
    return f"another client calls itself {agent}"


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "collector": kill_collector,
        "accountant": kill_accountant,
        "agents": kill_agents,
        "broker": kill_broker,
        "frozen": freeze,
        "disk": full_disk,
        "cut": cut,
        "stall": stall,
        "half-open": half_open,
        "unreachable": unreachable,
        "store": store_down,
        "slow-store": store_slow,
        "nonsense": nonsense,
        "clock": clock_step,
        "restored": restored,
        "name-twice": twofold,
    }
)
