# SPDX-License-Identifier: Apache-2.0
"""The one writer of a file: transactions, order, readers beside it."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from rackwatt.wire.database import Writer, connect

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY);"


async def test_what_raises_is_undone_and_the_next_call_works(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "deep" / "w.db", SCHEMA)
    await writer.start()

    def broken(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (1)")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await writer.run(broken)
    await writer.run(lambda db: db.execute("INSERT INTO t VALUES (2)"))
    assert await writer.run(lambda db: db.execute("SELECT n FROM t").fetchall()) == [(2,)]
    await writer.aclose()


async def test_calls_are_carried_out_in_order_and_readers_see_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    writer = Writer(path, SCHEMA)
    await writer.start()
    seen: list[int] = []

    def insert(number: int) -> None:
        seen.append(number)

    await asyncio.gather(*(writer.run(lambda _, n=n: insert(n)) for n in range(50)))  # type: ignore[misc]
    assert seen == list(range(50))
    reader = connect(path, read_only=True)
    await writer.run(lambda db: db.execute("INSERT INTO t VALUES (7)"))
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO t VALUES (8)")
    reader.close()
    await writer.aclose()


async def test_commits_are_on_the_disk_when_they_return(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "w.db", SCHEMA)
    await writer.start()
    for pragma, value in (("synchronous", 2), ("journal_mode", "wal")):
        query = f"PRAGMA {pragma}"
        connection = writer._connection
        assert connection is not None
        assert connection.execute(query).fetchone()[0] == value
    await writer.aclose()
    with pytest.raises(RuntimeError):
        await writer.run(lambda db: None)
