# SPDX-License-Identifier: Apache-2.0
"""The one writer of a file on a disk that is full: what is deleted always makes room again."""

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rackwatt.wire.database import Writer, connect, is_full

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, data BLOB);"
RESERVE_BYTES = 4_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MB, where this user may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("NOT TESTED: mounting a small tmpfs needs Linux and root")
    command = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: no tmpfs may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
async def writer(small_disk: Path) -> AsyncIterator[Writer]:
    made = Writer(small_disk / "w.db", SCHEMA, reserve_bytes=RESERVE_BYTES)
    await made.start()
    yield made
    await made.aclose()


async def put(writer: Writer, size: int) -> bool:
    """Append a row of so many bytes; whether the disk had room."""
    query = "INSERT INTO t (data) VALUES (?)"
    try:
        await writer.run(lambda db: db.execute(query, (bytes(size),)))
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise
        return False
    return True


async def fill(writer: Writer) -> None:
    while await put(writer, 100_000):
        pass
    while await put(writer, 3_000):
        pass


async def count(writer: Writer) -> int:
    return int(await writer.run(lambda db: db.execute("SELECT count(*) FROM t").fetchone()[0]))


async def drop(writer: Writer, rows: int) -> None:
    """Delete the oldest rows, as one that makes room."""
    query = "DELETE FROM t WHERE n IN (SELECT n FROM t ORDER BY n LIMIT ?)"
    await writer.run(lambda db: db.execute(query, (rows,)), last_resort=True)


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_written_between_deletions_does_not_use_up_what_deleting_needs(
    writer: Writer, seed: int
) -> None:
    choice = random.Random(seed)  # noqa: S311 - repeatable
    await fill(writer)
    for _ in range(20):
        await drop(writer, choice.randrange(1, 1 + await count(writer)))
        await fill(writer)
    await drop(writer, await count(writer))
    assert await put(writer, 500_000), "nothing is kept, and there is no room"


async def test_one_who_reads_while_the_log_should_end_holds_it_up_for_a_moment_only(
    writer: Writer, small_disk: Path
) -> None:
    with contextlib.closing(connect(small_disk / "w.db", read_only=True)) as reader:
        for size in (20_000, 150_000):
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM t").fetchone()
            while await put(writer, size):
                if (small_disk / "w.db-wal").stat().st_size > 5_000_000:
                    break
            reader.execute("COMMIT")
        await fill(writer)
        await drop(writer, await count(writer))
        assert await put(writer, 500_000)


async def test_room_that_somebody_else_gives_back_is_used(writer: Writer, small_disk: Path) -> None:
    filler = small_disk / "somebody-elses-file"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    await fill(writer)
    await drop(writer, 1)
    await fill(writer)
    before = await count(writer)
    filler.unlink()
    await fill(writer)
    assert await count(writer) > before + 10
    assert (small_disk / "w.db-reserve").stat().st_size == RESERVE_BYTES
