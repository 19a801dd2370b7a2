# SPDX-License-Identifier: Apache-2.0
"""SQLite the one way we use it: a file per writing process, one writer thread, durable commits."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")
_MOST_PAGES: Final = 2**32 - 2
"""That a file may have by its format."""

_ROOMY: Final = 16
"""Reserves that a disk has room for which is far from full."""
_PASSING: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN}
)


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
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def is_full(error: sqlite3.Error) -> bool:
    """Whether it says that the disk, or what the file may take of it, is full."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def may_pass(error: sqlite3.Error) -> bool:
    """Whether it may work again without anybody here: no room, a disk that fails, a lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING


class Writer:
    """The one thread that writes to a file.

    Characteristics: calls are carried out in order, each in a transaction of its own, which no
    await can hold open; a caller that is cancelled does not undo its call.

    Args:
        path: the database file.
        schema: statements that make the tables, each harmless when repeated.
        durable: see `connect`.
        reserve_bytes: size of a file beside it that holds room on the disk for calls of last
            resort; 0: none.
    """

    def __init__(
        self, path: Path, schema: str, *, durable: bool = True, reserve_bytes: int = 0
    ) -> None:
        self.path = path
        self._schema = schema
        self._durable = durable
        self._reserve = path.with_name(f"{path.name}-reserve")
        self._reserve_bytes = reserve_bytes
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{path.stem}")
        self._connection: sqlite3.Connection | None = None
        self._most_pages: int | None = None
        """That the file may have, as we said last."""

    async def start(self) -> None:
        """Open the file and make the tables.

        Raises:
            sqlite3.Error: the file is no database, or cannot be written.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    def _open(self) -> None:
        try:
            self._connection = self._opened()
        except sqlite3.OperationalError:
            if not self._reserve.exists():
                raise
            self._reserve.unlink()  # a full disk has no room for the log either
            self._connection = self._opened()
        self._hold_reserve()

    def _opened(self) -> sqlite3.Connection:
        connection = connect(self.path, durable=self._durable)
        try:
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection

    async def run(self, work: Callable[[sqlite3.Connection], T], *, last_resort: bool = False) -> T:
        """Carry out `work` in a transaction; what it raises undoes it.

        Args:
            work: given the connection.
            last_resort: it makes room: where the disk is full it may use what the reserve holds.

        Raises:
            sqlite3.Error: the disk is full, the file is damaged, …
        """
        call = self._with_reserve if last_resort else self._transaction
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, work)

    def _with_reserve(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Deleting needs room too: in the log, before anything becomes free."""
        self._limit(None)
        try:
            result = self._transaction(work)
        except sqlite3.OperationalError:
            if not self._reserve.exists():
                raise
            self._reserve.unlink()
            self._empty_log()  # first of all: a longer log would take the room of what it holds
            self._limit(None)
            result = self._transaction(work)
        self._hold_reserve()
        return result

    def _hold_reserve(self) -> None:
        """Make the reserve where there is none; on a full disk, some other time."""
        if not self._reserve_bytes:
            return
        if not self._reserve.exists():
            self._empty_log()
            try:
                with self._reserve.open("wb") as file:
                    file.write(bytes(self._reserve_bytes))
            except OSError:
                self._reserve.unlink(missing_ok=True)
        self._limit(self._reserve_bytes if self._reserve.exists() else 0)

    def _limit(self, growth: int | None) -> bool:
        """Let the file grow by so many bytes, None: by any number; whether that is more now.

        What is in the log and not in the file yet must find room there once the log is written
        back, else it could never be: neither deleting nor writing would go on. So it may be no
        more than what the reserve holds.
        """
        if self._connection is None:
            return False
        (limit,) = self._connection.execute("PRAGMA max_page_count").fetchone()
        if self._most_pages not in (None, limit):
            return False  # somebody else has a word to say
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        pages = _MOST_PAGES
        if growth is not None:
            pages = max(1, (self.path.stat().st_size + growth) // size)
        # Never below what it has already.
        row = self._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        self._most_pages = row[0]
        return bool(row[0] > limit)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        for help_out in (self._make_room, self._lift):
            try:
                return self._attempt(work)
            except sqlite3.OperationalError as error:
                if not is_full(error) or not (help_out() or self._lift()):
                    raise
        return self._attempt(work)

    def _lift(self) -> bool:
        """Let the file grow by any number for a large transaction, where the disk has room."""
        room = shutil.disk_usage(self.path.parent).free
        return room >= _ROOMY * max(self._reserve_bytes, 1) and self._limit(None)

    def _make_room(self) -> bool:
        """Where the disk is full, or the file may not grow; whether there may be room now."""
        if self._reserve.exists() and self._limit(self._reserve_bytes):
            return True  # the log was written back meanwhile, by itself
        held = self._reserve.exists()
        emptied = self._empty_log()
        if not held or emptied:
            self._hold_reserve()
        return emptied or self._reserve.exists() != held

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
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

    def _empty_log(self) -> bool:
        """Have the log written over from its start; whether that makes room.

        By itself SQLite does so only after a commit, when the log is large: on a full disk it
        may be too short for that, too long for one more commit, and would stay so for ever.
        """
        if self._connection is None:
            return False
        try:
            row = self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.OperationalError:
            return False
        return bool(row[0] == 0 and row[1] > 0)

    async def aclose(self) -> None:
        """Finish what was asked for and close the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._close)
        self._executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
