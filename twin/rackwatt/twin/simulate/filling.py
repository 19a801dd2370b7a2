# SPDX-License-Identifier: Apache-2.0
"""Puts pieces into a store: the embedded one in bulk, an InfluxDB through the collector's own."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from rackwatt.collector.store import InfluxSpec, Row, StoreUnavailable, open_store
from rackwatt.collector.store.files import file_for
from rackwatt.collector.store.tables import TIME, Tables, quoted
from rackwatt.twin.simulate.pieces import Piece
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.database import connect

_TRIES: Final = 8
_LINES: Final = 20_000
_CHECKPOINT_PAGES: Final = 20_000


class Filler(Protocol):
    """Takes pieces."""

    def write(self, pieces: list[Piece]) -> int:
        """Write them; return how many rows the store took."""

    def close(self) -> None:
        """Finish."""


class EmbeddedFiller:
    """Writes the embedded store's files, in batches far larger than readings come in.

    What a crash of the machine leaves is worth nothing anyhow: no commit waits for the disk but
    the last. Pieces must come in order of time.

    Args:
        directory: The store's.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[Path, sqlite3.Connection] = {}
        self._known: dict[tuple[Path, str, tuple[str, ...], tuple[str, ...]], str] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, pieces: list[Piece]) -> int:
        """See `Filler.write`."""
        count = 0
        begun: dict[Path, sqlite3.Connection] = {}
        for piece in pieces:
            files: dict[Path, list[int]] = {}
            for at, time_ms in enumerate(piece.times_ms):
                path = file_for(self._directory, piece.measurement, time_ms).path
                files.setdefault(path, []).append(at)
            for path, chosen in files.items():
                statement = self._statement(path, piece, chosen[0], begun)
                connection = self._connection(path)
                if path not in begun:
                    connection.execute("BEGIN IMMEDIATE")
                    begun[path] = connection
                connection.executemany(statement, _records(piece, chosen))
                count += len(chosen) * len(piece.tags)
        for connection in begun.values():
            connection.execute("COMMIT")
        return count

    def _connection(self, path: Path) -> sqlite3.Connection:
        found = self._open.get(path)
        if found is None:
            found = self._open[path] = connect(path, durable=False)
            found.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        return found

    def _statement(
        self, path: Path, piece: Piece, at: int, begun: dict[Path, sqlite3.Connection]
    ) -> str:
        tags = tuple(name for name, _ in piece.tags[0])
        key = (path, piece.measurement, tags, piece.names)
        if key not in self._known:
            if path in begun:  # tables are made in a transaction of their own
                begun.pop(path).execute("COMMIT")
            self._make(path, piece, at)
            names = [TIME, *tags, *piece.names]
            listed = ", ".join(quoted(name) for name in names)
            marks = ", ".join("?" * len(names))
            self._known[key] = (
                f"INSERT OR REPLACE INTO {quoted(piece.measurement)} ({listed})"  # noqa: S608
                f" VALUES ({marks})"
            )
        return self._known[key]

    def _make(self, path: Path, piece: Piece, at: int) -> None:
        """Let the store itself make table and columns, by a row of this piece."""
        whole = Piece(
            piece.measurement, piece.times_ms[at : at + 1], piece.tags[:1], piece.names,
            piece.values[at : at + 1, :1],
        )  # fmt: skip
        rows = whole.rows()
        missing = set(piece.names) - set(rows[0].fields) if rows else set(piece.names)
        if missing:
            msg = f"{piece.measurement}: the first row must have every field, lacks {missing}"
            raise ValueError(msg)
        rejected = Tables(self._connection(path)).write(rows)
        if rejected:
            raise ValueError(f"{piece.measurement}: {rejected[0][1]}")

    def close(self) -> None:
        """See `Filler.close`."""
        for connection in self._open.values():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
        self._open.clear()


def _records(piece: Piece, chosen: list[int]) -> Iterator[tuple[object, ...]]:
    tags = [tuple(value for _, value in each) for each in piece.tags]
    for at in chosen:
        time_ms = piece.times_ms[at]
        for own, numbers in zip(tags, piece.values[at].tolist(), strict=True):
            yield (time_ms, *own, *numbers)  # SQLite stores NaN as NULL


class InfluxFiller:
    """Writes to an InfluxDB; what it refuses is counted, what it cannot take now is tried again.

    Args:
        spec: Which one.
    """

    def __init__(self, spec: InfluxSpec) -> None:
        self._loop = asyncio.new_event_loop()
        self._store = open_store(spec)
        self.refused = 0
        self.reason = ""
        self._loop.run_until_complete(self._store.start())

    def write(self, pieces: list[Piece]) -> int:
        """See `Filler.write`.

        Raises:
            StoreRefused: until a person changes something.
            StoreUnavailable: it stayed away for long.
        """
        rows = [row for piece in pieces for row in piece.rows()]
        written = 0
        for start in range(0, len(rows), _LINES):
            written += self._loop.run_until_complete(self._put(rows[start : start + _LINES]))
        return written

    async def _put(self, rows: list[Row]) -> int:
        backoff = Backoff(first=0.5, cap=10.0)
        left = _TRIES
        while True:
            try:
                result = await self._store.write(rows)
            except StoreUnavailable:
                left -= 1
                if not left:
                    raise
                await asyncio.sleep(backoff.next())
                continue
            self.refused += len(result.rejected)
            for _, reason in result.rejected[:1]:
                self.reason = reason
            return result.written

    def close(self) -> None:
        """See `Filler.close`."""
        self._loop.run_until_complete(self._store.aclose())
        self._loop.close()
