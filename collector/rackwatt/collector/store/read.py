# SPDX-License-Identifier: Apache-2.0
"""Reading the embedded store beside its writers: read-only, in pages, holding nothing open long.

The collector and the accountant write a folder each; whoever reads names both.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from heapq import merge
from pathlib import Path
from typing import Final, NamedTuple

from rackwatt.collector.store.files import MAX_TIME_MS, StoreFile, files_in
from rackwatt.collector.store.tables import TIME, Columns, columns_of, quoted, tables_of
from rackwatt.wire.database import connect

BOOKS: Final = "books"
"""The accountant's folder within its data."""
READINGS: Final = "store"
"""The collector's folder within its data."""
_PAGE: Final = 5_000


class StoredRow(NamedTuple):
    """One row as it stands in the store; fields without a value are left out."""

    time_ms: int
    tags: Mapping[str, str]
    fields: Mapping[str, float | str]


Directories = Path | Sequence[Path]


def store_directories(data: Path) -> list[Path]:
    """The folders of the embedded store below a data folder, whoever's it is.

    `DATA` of `rackwatt up`, of a collector or of an accountant; a folder of files itself, too.
    """
    names = (
        Path("collector", READINGS),
        Path("accountant", BOOKS),
        Path(READINGS),
        Path(BOOKS),
    )
    found = [data / name for name in names if (data / name).is_dir()]
    return found or ([data] if data.is_dir() else [])


def read(
    directory: Directories,
    measurement: str,
    device: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Iterator[StoredRow]:
    """Rows of a measurement, in order of time and key.

    Args:
        directory: the store's directory, or several that are read as one.
        measurement: which one.
        device: only this device's.
        start_ms: from this time on, ms since 1970 UTC.
        end_ms: up to this time, excluded.

    Raises:
        sqlite3.Error: a file cannot be read.
    """
    start = 0 if start_ms is None else start_ms
    end = MAX_TIME_MS if end_ms is None else end_ms
    parts = [_read(each, measurement, device, start, end) for each in _each(directory)]
    yield from parts[0] if len(parts) == 1 else merge(*parts, key=lambda row: row.time_ms)


def _each(directory: Directories) -> Sequence[Path]:
    return [directory] if isinstance(directory, Path) else directory


def _read(
    directory: Path, measurement: str, device: str | None, start: int, end: int
) -> Iterator[StoredRow]:
    for file in files_in(directory):
        if file.end_ms > start and file.start_ms < end:
            yield from _read_file(file, measurement, device, start, end)


def measurements(directory: Directories) -> dict[str, tuple[list[str], list[str]]]:
    """Each measurement with the names of its tags and of its fields, over all files."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for file in (file for each in _each(directory) for file in files_in(each)):
        connection = _open(file)
        if connection is None:
            continue
        with closing(connection):
            for table in tables_of(connection):
                columns = columns_of(connection, table)
                if columns is None:
                    continue
                tags, fields = found.setdefault(table, ([], []))
                tags += [name for name in columns.tags if name not in tags]
                fields += [name for name in columns.fields if name not in fields]
    return found


def _open(file: StoreFile) -> sqlite3.Connection | None:
    try:
        return connect(file.path, read_only=True)
    except sqlite3.OperationalError:
        if file.path.exists():
            raise
        return None  # it went by its age since it was listed


def _read_file(
    file: StoreFile, measurement: str, device: str | None, start: int, end: int
) -> Iterator[StoredRow]:
    connection = _open(file)
    if connection is None:
        return
    with closing(connection):
        columns = columns_of(connection, measurement)
        if columns is None or (device is not None and "device" not in columns.tags):
            return
        names = [TIME, *columns.tags, *columns.fields]
        after: Sequence[object] | None = None
        while True:
            page = _page(connection, measurement, columns, device, (start, end), after)
            for values in page:
                yield _row(columns, values)
            if len(page) < _PAGE:
                return
            last = dict(zip(names, page[-1], strict=True))
            after = [last[name] for name in (TIME, *columns.key)]


def _page(
    connection: sqlite3.Connection,
    table: str,
    columns: Columns,
    device: str | None,
    span: tuple[int, int],
    after: Sequence[object] | None,
) -> list[tuple[object, ...]]:
    key = ", ".join(quoted(name) for name in (TIME, *columns.key))
    wanted = ", ".join(quoted(name) for name in (TIME, *columns.tags, *columns.fields))
    where = [f"{TIME} >= ?", f"{TIME} < ?"]
    values: list[object] = list(span)
    if device is not None:
        where.append('"device" = ?')
        values.append(device)
    if after is not None:
        where.append(f"({key}) > ({', '.join('?' * len(after))})")
        values += after
    return connection.execute(
        f"SELECT {wanted} FROM {quoted(table)} WHERE {' AND '.join(where)}"  # noqa: S608
        f" ORDER BY {key} LIMIT {_PAGE}",
        values,
    ).fetchall()


def _row(columns: Columns, values: Sequence[object]) -> StoredRow:
    middle = 1 + len(columns.tags)
    tags = zip(columns.tags, values[1:middle], strict=True)
    fields = zip(columns.fields, values[middle:], strict=True)
    return StoredRow(
        int(str(values[0])),
        {name: str(value) for name, value in tags if value},
        {name: v for name, v in fields if isinstance(v, float | str)},
    )
