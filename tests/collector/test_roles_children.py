# SPDX-License-Identifier: Apache-2.0
"""Children are started again when they die, stopped for good when told, and orphaned never."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles import Running, until

from rackwatt.collector.roles import children as children_module
from rackwatt.collector.roles.children import Command, Family, answers
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import SYSTEM_CLOCK, ManualClock
from rackwatt.wire.lifeline import VARIABLE
from servers.fixtures import free_port

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = """\
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(60)
"""
SUPERVISOR = """\
import asyncio, sys
from pathlib import Path
from rackwatt.collector.roles.children import Command, Family
from rackwatt.wire.clock import SYSTEM_CLOCK

CHILD = '''
import asyncio, os
from rackwatt.wire.lifeline import parent_gone
print(os.getpid(), os.getpgid(0), flush=True)
asyncio.run(parent_gone())
print("gone", flush=True)
'''

async def main():
    family = Family(Path(sys.argv[1]), SYSTEM_CLOCK)
    keeping = [asyncio.create_task(family.keep(Command(name, [sys.executable, "-c", CHILD])))
               for name in ("one", "two")]
    await asyncio.gather(*keeping)

asyncio.run(main())
"""


def python(name: str, text: str, port: int | None = None, **environment: str) -> Command:
    return Command(name, [sys.executable, "-c", text], environment, port)


@pytest.fixture
async def family(tmp_path: Path) -> AsyncIterator[Family]:
    made = Family(tmp_path / "logs", SYSTEM_CLOCK)
    yield made
    for name in list(made._processes):
        await made.stop(name)
    made.close()


def output(family: Family, name: str) -> str:
    path = family.log_file(name)
    return path.read_text() if path.exists() else ""


async def test_a_child_has_its_environment_the_lifeline_and_a_log(family: Family) -> None:
    text = (
        "import os, time\n"
        f"print(os.environ['GREETING'], os.fstat(int(os.environ['{VARIABLE}'])), flush=True)\n"
        "time.sleep(60)"
    )
    command = python("child", text, GREETING="hello")
    async with Running(family.keep(command)):
        await until(lambda: "hello os.stat_result" in output(family, "child"))
        assert family.pid("child") is not None
        await family.stop("child")
        assert family.pid("child") is None


async def test_a_child_that_crashes_is_started_again_and_again(
    family: Family, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bounds: list[float] = []

    def quick(self: Backoff) -> float:
        bounds.append(self._bound)
        self._bound *= 2
        return 0.001

    monkeypatch.setattr(Backoff, "next", quick)
    async with Running(family.keep(python("crashes", "raise SystemExit(3)"))):
        await until(lambda: family.restarts.get("crashes", 0) >= 3)
    assert bounds[:3] == [0.5, 1.0, 2.0]
    assert "crashes ended with exit code 3" in caplog.text
    assert str(family.log_file("crashes")) in caplog.text


async def test_a_child_that_lived_for_long_is_started_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, resets = ManualClock(), []
    monkeypatch.setattr(Backoff, "next", lambda _: 0.001)
    monkeypatch.setattr(Backoff, "reset", lambda _: resets.append(1))
    family = Family(tmp_path, clock)
    async with Running(family.keep(python("child", SLEEPS))):
        for killed, lived in ((1, 31.0), (2, 5.0)):
            await until(lambda: output(family, "child").count("up") == killed)  # noqa: B023
            clock.advance(lived)
            pid = family.pid("child")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: family.restarts.get("child", 0) == killed)  # noqa: B023
        assert resets == [1]
        assert "child ended with SIGKILL" in caplog.text
        await family.stop("child")
    family.close()


async def test_a_stopped_child_stays_stopped(family: Family) -> None:
    async with Running(family.keep(python("child", SLEEPS))) as keeping:
        await until(lambda: "up" in output(family, "child"))
        await family.stop("child")
        async with asyncio.timeout(5):
            await asyncio.wait([keeping])
    assert family.restarts == {}


async def test_a_child_that_ends_while_all_stop_stays_ended(family: Family) -> None:
    async with Running(family.keep(python("child", SLEEPS))) as keeping:
        await until(lambda: "up" in output(family, "child"))
        family.stop_restarting()
        pid = family.pid("child")
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(5):
            await asyncio.wait([keeping])
    assert family.restarts == {}


async def test_a_child_that_is_stopped_while_it_starts_does_not_live_on(family: Family) -> None:
    async with Running(family.keep(python("child", SLEEPS))) as keeping:
        await asyncio.sleep(0)
        assert family.pid("child") is None, "it is being started"
        await family.stop("child")
        async with asyncio.timeout(5):
            await asyncio.wait([keeping])
        assert family.pid("child") is None


async def test_a_child_that_does_not_listen_is_killed(
    family: Family, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(children_module, "STOP_SECONDS", 0.2)
    async with Running(family.keep(python("child", STUBBORN))):
        await until(lambda: "up" in output(family, "child"))
        async with asyncio.timeout(5):
            await family.stop("child")
    assert "did not end" in caplog.text
    assert family.pid("child") is None


async def test_who_was_never_started_can_be_stopped(family: Family) -> None:
    await family.stop("nobody")


async def test_it_is_ready_when_its_port_answers(family: Family) -> None:
    port = free_port()
    serves = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    command = python("server", serves, port)
    assert not await answers(port)
    assert not await family.ready(command, timeout=0.05)
    async with Running(family.keep(command)):
        assert await family.ready(command, timeout=20)
        await family.stop("server")
    assert await family.ready(python("portless", ""), timeout=0)


async def test_a_large_log_makes_room_at_the_next_start(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "_LOG_BYTES", 10)
    path = family.log_file("child")
    path.parent.mkdir(parents=True)
    path.write_text("what it said before")
    async with Running(family.keep(python("child", SLEEPS))):
        await until(lambda: output(family, "child") == "up\n")
        await family.stop("child")
    assert path.with_suffix(".log.1").read_text() == "what it said before"


async def test_a_log_stays_within_bounds_while_its_child_runs(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "_LOG_BYTES", 20_000)
    monkeypatch.setattr(children_module, "_LOG_CHECK_SECONDS", 0.02)
    talks = (
        "import itertools, time\n"
        "for n in itertools.count():\n"
        "    print(f'{n:09d}', flush=True)\n"
        "    time.sleep(0.00001)\n"
    )
    before = family.log_file("child").with_suffix(".log.1")
    turns: set[int] = set()
    sizes: list[int] = []

    def seen() -> bool:
        if before.exists() and (text := before.read_text()):
            first = text.split("\n", 1)[0].strip("\0")
            if first:  # else it is being made anew
                turns.add(int(first))
        if family.log_file("child").exists():
            sizes.append(family.log_file("child").stat().st_size)
        return len(turns) >= 4

    async with Running(family.keep(python("child", talks))):
        await until(seen, timeout=20.0)
        await family.stop("child")
    assert max(sizes) < 2_000_000
    assert family.restarts == {}


async def test_closing_the_family_ends_who_is_left(tmp_path: Path) -> None:
    family = Family(tmp_path, SYSTEM_CLOCK)
    text = "import asyncio\nfrom rackwatt.wire.lifeline import parent_gone\n"
    command = python("child", text + "print('up', flush=True)\nasyncio.run(parent_gone())")
    async with Running(family.keep(command)):
        await until(lambda: "up" in output(family, "child"))
        family.stop_restarting()
        process = family._processes["child"]
        family.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_children_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(tmp_path), start_new_session=True
    )
    logs = [tmp_path / f"{name}.log" for name in ("one", "two")]
    try:
        await until(lambda: all(log.exists() and log.read_text().count("\n") for log in logs))
        said = [list(map(int, log.read_text().split())) for log in logs]
        assert {group for _, group in said} == {supervisor.pid}, "they stay in its process group"
        supervisor.kill()
        await supervisor.wait()
        await until(lambda: all("gone" in log.read_text() for log in logs))
        await until(lambda: not any(_lives(pid) for pid, _ in said))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(supervisor.pid, signal.SIGKILL)
        await supervisor.wait()


def _lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")
