# SPDX-License-Identifier: Apache-2.0
"""One file of the embedded store: a table per measurement, a column per tag and field.

A tag is a TEXT column that is never NULL, a number a REAL one, a text a TEXT one; so a table says
by itself what its columns are. The primary key is the time and what identifies the row: the
device (and an event's code), or all tags where there is no device. Where a device stands is no
part of it: a corrected placement overwrites.
"""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rackwatt.collector.store.base import Row

TIME: Final = "time_ms"
PLACE_TAGS: Final = frozenset({"site", "hall", "row", "rack"})
_Shape = tuple[str, tuple[str, ...], tuple[tuple[str, bool], ...]]
"""Measurement, names of the tags, and of the fields with whether each is a text."""


@dataclass(slots=True)
class Columns:
    """The columns of one table."""

    key: tuple[str, ...]
    """Tags in the primary key, behind the time."""
    tags: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    """Field to REAL or TEXT."""


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(connection: sqlite3.Connection, table: str) -> Columns | None:
    """What a table holds; None when there is none."""
    rows = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    if not rows:
        return None
    key = sorted((pk, name) for _, name, _, _, _, pk in rows if pk and name != TIME)
    columns = Columns(tuple(name for _, name in key))
    for _, name, kind, not_null, _, _ in rows:
        if name == TIME:
            continue
        if not_null:
            columns.tags.append(name)
        else:
            columns.fields[name] = kind
    return columns


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """The measurements in a file."""
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1"
    )
    return [name for (name,) in found]


class Tables:
    """Writes rows into one open file. Belongs to the writer thread.

    Args:
        connection: open for writing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._columns: dict[str, Columns] = {}
        self._statements: dict[_Shape, str] = {}

    def write(self, rows: Iterable[Row]) -> list[tuple[Row, str]]:
        """Write rows in one transaction; those that cannot be written come back with the reason.

        Raises:
            sqlite3.Error: nothing was written.
        """
        rejected: list[tuple[Row, str]] = []
        groups: dict[_Shape, list[tuple[object, ...]]] = {}
        shape_at: dict[tuple[object, ...], _Shape] = {}
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                reason = self._sort_in(row, groups, shape_at)
                if reason:
                    rejected.append((row, reason))
            self._flush(groups)
            self.connection.execute("COMMIT")
        except BaseException:
            self._columns.clear()  # what was added is undone
            self._statements.clear()
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return rejected

    def _flush(self, groups: dict[_Shape, list[tuple[object, ...]]]) -> None:
        for shape, values in groups.items():
            self.connection.executemany(self._statements[shape], values)
        groups.clear()

    def _sort_in(
        self,
        row: Row,
        groups: dict[_Shape, list[tuple[object, ...]]],
        shape_at: dict[tuple[object, ...], _Shape],
    ) -> str:
        """Put a row to its like; returns why it cannot be written, or "" when it can.

        Of two rows of one device and time the later one counts, so where they are not alike the
        earlier one is written before.
        """
        fields = row.fields
        bad = [n for n, v in fields.items() if not isinstance(v, str) and not math.isfinite(v)]
        if bad:
            fields = {name: value for name, value in fields.items() if name not in bad}
        if not fields:
            return "no finite value"
        shape: _Shape = (
            row.measurement,
            tuple([name for name, _ in row.tags]),
            tuple([(name, type(value) is str) for name, value in fields.items()]),
        )
        place = (row.measurement, row.time_ms, *_device(row))
        if shape_at.setdefault(place, shape) != shape:
            self._flush(groups)
            shape_at.clear()
            shape_at[place] = shape
        group = groups.get(shape)
        if group is None:
            if shape not in self._statements:
                reason = self._prepare(shape)
                if reason:
                    return reason
            group = groups[shape] = []
        group.append((row.time_ms, *[value for _, value in row.tags], *fields.values()))
        return ""

    def _prepare(self, shape: _Shape) -> str:
        """Make the table and columns that a shape needs, and its statement."""
        table, tags, fields = shape
        names = [TIME, *tags, *(name for name, _ in fields)]
        if len({name.lower() for name in names}) != len(names) or table.startswith("sqlite"):
            return "a name is reserved, or stands twice"
        columns = self._columns.get(table) or columns_of(self.connection, table)
        if columns is None:
            columns = self._create(table, tags)
        self._columns[table] = columns
        if "device" in columns.key and "device" not in tags:
            return f"{table} rows need the tag 'device'"
        for name in tags:
            if name in columns.fields:
                return f"{name!r} is a field of {table}, not a tag"
            if name not in columns.tags:
                self._add(table, name, "TEXT NOT NULL DEFAULT ''")
                columns.tags.append(name)
        for name, is_text in fields:
            kind = "TEXT" if is_text else "REAL"
            if name in columns.tags or columns.fields.get(name, kind) != kind:
                return f"field {name!r} of {table} is no {'text' if is_text else 'number'}"
            if name not in columns.fields:
                self._add(table, name, kind)
                columns.fields[name] = kind
        self._statements[shape] = _upsert(table, columns.key, names)
        return ""

    def _create(self, table: str, tags: Sequence[str]) -> Columns:
        key = (
            tuple(tag for tag in tags if tag not in PLACE_TAGS) if "device" in tags else tuple(tags)
        )
        listed = "".join(f", {quoted(tag)} TEXT NOT NULL DEFAULT ''" for tag in tags)
        primary = ", ".join(quoted(name) for name in (TIME, *key))
        self.connection.execute(
            f"CREATE TABLE {quoted(table)} ({TIME} INTEGER NOT NULL{listed},"
            f" PRIMARY KEY ({primary})) WITHOUT ROWID"
        )
        return Columns(key, list(tags))

    def _add(self, table: str, name: str, kind: str) -> None:
        self.connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")


def _device(row: Row) -> tuple[object, ...]:
    """What names a row's series, wherever it stands: its device, else all its tags."""
    for name, value in row.tags:
        if name == "device":
            return (value,)
    return row.tags


def _upsert(table: str, key: Sequence[str], names: Sequence[str]) -> str:
    """Insert, or overwrite what the row brings and keep what it does not."""
    listed = ", ".join(quoted(name) for name in names)
    marks = ", ".join("?" * len(names))
    target = ", ".join(quoted(name) for name in (TIME, *key))
    others = [name for name in names if name != TIME and name not in key]
    updates = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
    return (
        f"INSERT INTO {quoted(table)} ({listed}) VALUES ({marks})"  # noqa: S608 - names are quoted
        f" ON CONFLICT ({target}) DO UPDATE SET {updates}"
    )
