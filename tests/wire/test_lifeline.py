# SPDX-License-Identifier: Apache-2.0
"""A child notices that its supervisor is gone, however that one ended."""

import asyncio
import os
import subprocess
import sys

import pytest

from rackwatt.wire.lifeline import VARIABLE, parent_gone, supervised

CHILD = """\
import asyncio
from rackwatt.wire.lifeline import parent_gone, supervised
assert supervised()
print("waiting", flush=True)
asyncio.run(parent_gone())
print("gone", flush=True)
"""


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    reading, writing = os.pipe()
    monkeypatch.setenv(VARIABLE, str(reading))
    return reading, writing


async def test_without_a_supervisor_it_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not supervised()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await parent_gone()


async def test_the_end_of_the_pipe_is_the_end_of_the_supervisor(pipe: tuple[int, int]) -> None:
    assert supervised()
    waiting = asyncio.create_task(parent_gone())
    await asyncio.sleep(0)
    os.write(pipe[1], b"still here")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.shield(waiting)
    os.close(pipe[1])
    async with asyncio.timeout(5):
        await waiting
    os.close(pipe[0])


async def test_who_stops_waiting_leaves_no_reader_behind(pipe: tuple[int, int]) -> None:
    waiting = asyncio.create_task(parent_gone())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not asyncio.get_running_loop().remove_reader(pipe[0])
    for descriptor in pipe:
        os.close(descriptor)


def test_a_process_ends_with_the_one_that_holds_the_other_end() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env={**os.environ, VARIABLE: str(reading)},
        pass_fds=(reading,),
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        os.close(reading)
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        assert child.poll() is None
        os.close(writing)
        assert child.stdout.readline() == "gone\n"
        assert child.wait(timeout=10) == 0
