# SPDX-License-Identifier: Apache-2.0
"""One supervisor per data folder; what is stale blocks nobody, what still lives does."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rackwatt.collector.roles.lock import Busy, DataLock

HOLDER = """\
import asyncio, sys, time
from pathlib import Path
from rackwatt.collector.roles.lock import DataLock
asyncio.run(DataLock(Path(sys.argv[1])).acquire())
print("held", flush=True)
time.sleep(60)
"""


async def test_the_second_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    async with DataLock(tmp_path):
        with pytest.raises(Busy, match=rf"process {os.getpid()}.*--data"):
            await DataLock(tmp_path).acquire()
    async with DataLock(tmp_path):
        pass


async def test_the_folder_is_made(tmp_path: Path) -> None:
    async with DataLock(tmp_path / "a" / "b") as lock:
        assert lock.children is not None
    assert lock.children is None


@pytest.mark.parametrize("left", ["", "4242\n", "no number"])
async def test_a_file_that_was_left_behind_blocks_nobody(tmp_path: Path, left: str) -> None:
    for name in ("supervisor.lock", "children.lock"):
        (tmp_path / name).write_text(left)
    async with DataLock(tmp_path):
        text = (tmp_path / "supervisor.lock").read_text()
        assert text == f"{os.getpid()}\n"


def test_a_holder_that_was_killed_blocks_nobody(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {holder.pid}"):
            asyncio.run(DataLock(tmp_path).acquire())
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        lock = DataLock(tmp_path)
        asyncio.run(lock.acquire(0.1))
        lock.release()


async def test_an_orphan_holds_the_folder_until_it_ends(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    await lock.acquire()
    assert lock.children is not None
    orphan = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; sys.stdin.read()",
        stdin=subprocess.PIPE,
        pass_fds=(lock.children,),
    )
    lock.release()
    with pytest.raises(Busy, match="still ending"):
        await DataLock(tmp_path).acquire(0.05)
    waiting = asyncio.create_task(DataLock(tmp_path).acquire(10.0))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await orphan.communicate(b"the end")
    async with asyncio.timeout(5):
        await waiting


async def test_who_gives_up_waiting_lets_go(tmp_path: Path) -> None:
    first = DataLock(tmp_path)
    await first.acquire()
    assert first.children is not None
    kept = os.dup(first.children)
    first.release()
    second = DataLock(tmp_path)
    waiting = asyncio.create_task(second.acquire(60.0))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert second.children is None
    os.close(kept)
    async with DataLock(tmp_path):
        pass
