# SPDX-License-Identifier: Apache-2.0
"""An agent that is killed between sample and publish, and one whose outbox was put back."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from doubles import Running, until
from faults_kit.chain import Chain, chain, embedded
from faults_kit.compare import Values, difference, outbox_messages, stored_in, values_of
from faults_kit.fleet import begun, make_agent
from faults_kit.table import FULL, Line

from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.readings import PowerReading
from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

NAME = "agent-0"
KILLS = 50 if FULL else 5
CONFIG = """\
agent:
  {{site: demo, hall: hall-a, name: agent-0, node: machine-0, sample_every: 50ms, send_every: 50ms}}
broker: {{url: "{url}"}}
outbox: {{path: outbox.db}}
source: host
host: {{timeout: 40ms}}
"""


@asynccontextmanager
async def agent_process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real agent of this machine; ended by SIGKILL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rackwatt.agents.cli", "run", str(config)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


def rows(path: Path) -> int:
    """Messages that are durable in an outbox."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # it is being made


def kept(path: Path) -> Values:
    return values_of(outbox_messages(path))


async def has_all(made: Chain, sent: Values) -> None:
    """Wait until every value that an outbox held is stored; none may differ."""
    found = difference(sent, {})
    async with asyncio.timeout(30):
        while found.lost:
            await asyncio.sleep(0.05)
            found = difference(sent, await asyncio.to_thread(stored_in, made.store, "host"))
    assert not found.changed


async def test_an_agent_that_is_killed_between_sample_and_publish_loses_nothing(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """The broker is held still before each kill: what is sampled then cannot have been sent."""
    config, outbox = tmp_path / "agent.yaml", tmp_path / "outbox.db"
    config.write_text(CONFIG.format(url=mosquitto.url))
    chance = random.Random(7)  # noqa: S311 - no secret
    unsent = 0
    store = embedded(tmp_path)
    async with chain(mosquitto.url, tmp_path, store) as made:
        for _ in range(KILLS):
            async with agent_process(config):
                before, taken = rows(outbox), made.spool.last_id
                await until(lambda: made.spool.last_id >= taken + 3, timeout=20)  # noqa: B023
                os.kill(mosquitto.pid, signal.SIGSTOP)
                held = rows(outbox)
                await until(lambda: rows(outbox) >= held + 3)  # noqa: B023
                await asyncio.sleep(chance.random() * 0.05)
            durable = kept(outbox)
            unsent += rows(outbox) - held
            os.kill(mosquitto.pid, signal.SIGCONT)
            assert rows(outbox) > before
        assert unsent >= 3 * KILLS, "it was killed before it could send"
        async with agent_process(config):
            await has_all(made, durable)
        assert made.spool.lost == 0
    line.note(
        "SIGKILL of an agent between sample and publish",
        kills=KILLS,
        unsent_at_the_kills=unsent,
        values=len(durable),
        lost=0,
    )


@pytest.mark.parametrize("ahead", [0.0, 3600.0], ids=["clock-right", "clock-was-ahead"])
async def test_an_outbox_that_was_put_back_overwrites_nothing(
    mosquitto: Mosquitto, tmp_path: Path, line: Line, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it numbers anew is a new epoch; what only the lost file held is closed as lost."""
    now = SYSTEM_CLOCK.now_ms()
    path, copy, sent = tmp_path / "o.db", tmp_path / "copy.db", Values()
    store = embedded(tmp_path)

    async def live(messages: int, step: int, shift: float = 0.0) -> tuple[int, int]:
        agent = make_agent(mosquitto.url, path, NAME)
        clock = agent.outbox._clock
        monkeypatch.setattr(agent.outbox, "_clock", _Shifted(clock.now_ms, shift))
        async with Running(agent.run()):
            await until(lambda: begun(agent))
            await agent.outbox.put(
                [("power", now + step * 100 + n, [_reading(step)]) for n in range(messages)]
            )
            agent.sender.wake()
            await until(lambda: not agent.outbox.unsent(1))
            epoch, last = agent.outbox.epoch, agent.outbox.states()[-1].last
            sent.update(kept(path))
            watch = made.ingest.watch
            await until(
                lambda: (
                    (found := watch.get(NAME)) is not None
                    and found.online
                    and epoch in found.epochs
                    and found.epochs[epoch].sent_through >= last
                    and not found.epochs[epoch].open_ranges(last)
                )
            )
        return epoch, last

    async with chain(mosquitto.url, tmp_path, store) as made:
        first = await live(20, 1)
        shutil.copy(path, copy)
        second = await live(30, 2, ahead)
        path.unlink()
        shutil.copy(copy, path)  # the node's disk was put back to yesterday
        third = await live(10, 3)
        assert len({first[0], second[0], third[0]}) == 3
        stored: Values = {}
        async with asyncio.timeout(20):
            while difference(sent, stored).lost:
                stored = await made.stored()
                await asyncio.sleep(0.05)
        assert not difference(sent, stored)
        assert made.spool.lost == 0
    line.note(
        f"an outbox restored from an old copy, clock {ahead:.0f} s ahead meanwhile",
        epochs=3, messages=60, overwritten=0, lost=0,
    )  # fmt: skip


class _Shifted:
    """A clock that is ahead."""

    def __init__(self, real: object, seconds: float) -> None:
        self._real = real
        self._shift_ms = round(seconds * 1000)

    def now_ms(self) -> int:
        return int(self._real()) + self._shift_ms  # type: ignore[operator]

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def _reading(number: int) -> PowerReading:
    return PowerReading.model_validate({"device": "m1", "power_watts": float(number)})
