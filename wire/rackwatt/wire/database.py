# SPDX-License-Identifier: Apache-2.0
"""SQLite the one way we use it: a file per writing process, one writer thread, durable commits."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def connect(path: Path, *, read_only: bool = False, durable: bool = True) -> sqlite3.Connection:
    """Open a database file in WAL mode.

    Args:
        path: the file; its folder is made when missing.
        read_only: for readers beside the one writer.
        durable: a commit is on the disk when it returns (synchronous FULL); else only safe
            against a crash of the process, not of the machine.

    Raises:
        sqlite3.OperationalError: the file cannot be opened.
    """
    if read_only:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10.0)
        connection.execute("PRAGMA query_only = ON")
        return connection
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    return connection


class Writer:
    """The one thread that writes to a file.

    Characteristics: calls are carried out in order, each in a transaction of its own, which no
    await can hold open; a caller that is cancelled does not undo its call.

    Args:
        path: the database file.
        schema: statements that make the tables, each harmless when repeated.
        durable: see `connect`.
    """

    def __init__(self, path: Path, schema: str, *, durable: bool = True) -> None:
        self.path = path
        self._schema = schema
        self._durable = durable
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{path.stem}")
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        """Open the file and make the tables.

        Raises:
            sqlite3.Error: the file is no database, or cannot be written.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    def _open(self) -> None:
        connection = connect(self.path, durable=self._durable)
        connection.executescript(self._schema)
        self._connection = connection

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Carry out `work` in a transaction; what it raises undoes it.

        Raises:
            sqlite3.Error: the disk is full, the file is damaged, …
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._transaction, work
        )

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            msg = f"{self.path} is not open"
            raise sqlite3.ProgrammingError(msg)
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    async def aclose(self) -> None:
        """Finish what was asked for and close the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._close)
        self._executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
