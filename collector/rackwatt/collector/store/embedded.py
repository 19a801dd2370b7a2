# SPDX-License-Identifier: Apache-2.0
"""The embedded store: SQLite files in a directory, for sites up to the default size."""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from rackwatt.collector.store.base import Row, StoreRefused, StoreUnavailable, WriteResult
from rackwatt.collector.store.files import DAY_MS, MAX_TIME_MS, StoreFile, file_for, files_in
from rackwatt.collector.store.read import StoredRow, read
from rackwatt.collector.store.tables import TIME, Tables, quoted, tables_of
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.database import connect
from rackwatt.wire.readings import KINDS

T = TypeVar("T")

KEEP_SECONDS: Final = 48 * 3600.0
MAX_BYTES: Final = 2_000_000_000
_OPEN_FILES: Final = 4
"""Files held open: today's, and those that a replay is filling."""
_RETENTION_SECONDS: Final = 60.0
_FULL: Final = 0.9
"""How full the last file may stay when it alone is too large, against `max_bytes`."""
_TRIM: Final = 0.1
"""Share of its time that goes in one step."""

_log = logging.getLogger(__name__)


class EmbeddedStore:
    """Keeps rows in files of its directory, written by one thread.

    Characteristics: a write is on the disk when it returns; whole days go when they are older
    than `keep_seconds` or when the raw files together exceed `max_bytes`, oldest first; rollups
    (measurements that are no kind of reading) stay.

    Args:
        directory: where the files are; made when missing.
        keep_seconds: how long raw rows are kept at least.
        max_bytes: how large the raw files may grow together, in bytes.
        clock: tells what is old.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep_seconds: float = KEEP_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.directory = directory
        self._keep_ms = round(keep_seconds * 1000)
        self._max_bytes = max_bytes
        self._clock = clock
        self._executor: ThreadPoolExecutor | None = None
        self._open: dict[Path, Tables] = {}
        self._retained: float | None = None

    def identity(self) -> str:
        """A name that was given to the directory once; a new directory has another.

        Raises:
            StoreUnavailable: it cannot be read or written.
        """
        path = self.directory / "identity"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(f"{uuid.uuid4().hex}\n", encoding="utf-8")
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StoreUnavailable(f"store in {self.directory}: {error}") from error

    async def start(self) -> None:
        """Make the directory and delete what is too old.

        Raises:
            StoreRefused: the directory cannot be used.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        await self._run(self._begin)

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Write rows, one transaction per file; see `Store.write`."""
        return await self._run(lambda: self._write(rows))

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """Each device with its rows of a half-open span, in order of time.

        Reads the files by connections of its own: for a thread beside the event loop.

        Args:
            measurement: one whose rows have a device.
            start_ms: from this time on, ms since 1970 UTC.
            end_ms: up to this time, excluded.
            devices: only these; none: all.

        Raises:
            StoreUnavailable: a file cannot be read.
        """
        only = next(iter(devices)) if len(devices) == 1 else None
        found: dict[str, list[StoredRow]] = {}
        try:
            for row in read(self.directory, measurement, only, start_ms, end_ms):
                device = row.tags.get("device", "")
                if not devices or device in devices:
                    found.setdefault(device, []).append(row)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"store in {self.directory}: {error}") from error
        yield from found.items()

    async def aclose(self) -> None:
        """Finish what was asked for and close the files."""
        if self._executor is not None:
            await self._run(self._close)
            self._executor.shutdown(wait=False)
            self._executor = None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._executor is None:
            raise StoreUnavailable("the store is not started")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (sqlite3.OperationalError, OSError) as error:
            # Locked, full, out of handles: it may pass.
            raise StoreUnavailable(f"store in {self.directory}: {error}") from error
        except sqlite3.Error as error:
            raise StoreRefused(f"store in {self.directory}: {error}") from error

    # What follows runs in the writer thread.

    def _begin(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._retain()

    def _write(self, rows: Sequence[Row]) -> WriteResult:
        rejected: list[tuple[Row, str]] = []
        oldest = self._clock.now_ms() - self._keep_ms
        files: dict[tuple[bool, int], tuple[StoreFile, list[Row]]] = {}
        for row in rows:
            if not 0 <= row.time_ms < MAX_TIME_MS:
                rejected.append((row, f"time {row.time_ms} ms lies before 1970 or after 2100"))
                continue
            key = (row.measurement in KINDS, row.time_ms // DAY_MS)
            if key not in files:
                files[key] = (file_for(self.directory, row.measurement, row.time_ms), [])
            files[key][1].append(row)
        for file, part in files.values():
            if file.raw and file.end_ms <= oldest:
                rejected += [(row, "older than the store keeps") for row in part]
            else:
                rejected += self._tables(file).write(part)
        if self._retained is None or self._clock.monotonic() >= self._retained + _RETENTION_SECONDS:
            self._retain()
        return WriteResult(len(rows) - len(rejected), tuple(rejected))

    def _tables(self, file: StoreFile) -> Tables:
        found = self._open.pop(file.path, None)
        if found is None:
            while len(self._open) >= _OPEN_FILES:
                self._shut(next(iter(self._open)))
            found = Tables(connect(file.path))
        self._open[file.path] = found  # last used, last in order
        return found

    def _shut(self, path: Path) -> None:
        tables = self._open.pop(path, None)
        if tables is not None:
            tables.connection.close()

    def _close(self) -> None:
        for path in list(self._open):
            self._shut(path)

    def _retain(self) -> None:
        """Delete days that are too old, then the oldest until the rest is small enough."""
        self._retained = self._clock.monotonic()
        oldest = self._clock.now_ms() - self._keep_ms
        files = list(files_in(self.directory, raw=True))
        while files and files[0].end_ms <= oldest:
            self._delete(files.pop(0), "its age")
        sizes = {file.path: file.size() for file in files}
        while len(files) > 1 and sum(sizes[file.path] for file in files) > self._max_bytes:
            self._delete(files.pop(0), "the size of all")
        if files and sizes[files[0].path] > self._max_bytes:
            self._trim(files[0])

    def _delete(self, file: StoreFile, why: str) -> None:
        self._shut(file.path)
        file.delete()
        _log.info("store: %s deleted for %s", file.path.name, why)

    def _trim(self, file: StoreFile) -> None:
        """Delete the oldest rows of the only file; SQLite fills their pages again."""
        connection = self._tables(file).connection
        while _used_bytes(connection) > self._max_bytes * _FULL:
            if not _delete_oldest(connection):
                break
            _log.warning("store: oldest rows of %s deleted: it alone is too large", file.path.name)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something."""
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int((pages - free) * size)


def _delete_oldest(connection: sqlite3.Connection) -> bool:
    """Delete a share of the time that a file covers; False when it holds nothing."""
    names = [quoted(name) for name in tables_of(connection)]
    spans = [
        connection.execute(f"SELECT min({TIME}), max({TIME}) FROM {name}").fetchone()  # noqa: S608
        for name in names
    ]
    known = [span for span in spans if span[0] is not None]
    if not known:
        return False
    first, last = min(span[0] for span in known), max(span[1] for span in known)
    cut = first + max(1, round((last - first) * _TRIM))
    for name in names:
        connection.execute(f"DELETE FROM {name} WHERE {TIME} < ?", (cut,))  # noqa: S608
    return True
