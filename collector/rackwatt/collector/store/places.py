# SPDX-License-Identifier: Apache-2.0
"""Corrects where rows say that a device stands: for devices that were moved.

A device's own rows, and those of what is part of it (a node's GPUs), in all measurements.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from rackwatt.collector.site.topology import Placement
from rackwatt.collector.store.base import Row
from rackwatt.collector.store.files import StoreFile, files_in
from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.influx import InfluxStore
from rackwatt.collector.store.influxql import names_in, rows_of_span, text
from rackwatt.collector.store.read import StoredRow
from rackwatt.collector.store.tables import TIME, columns_of, quoted, tables_of
from rackwatt.wire.database import connect

_PLACE: Final = ("hall", "rack", "row")
_BATCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class Relocation:
    """Which rows are to say what.

    Attributes:
        device: The device; rows of ``device/part`` too.
        since_ms: From this time on, ms since 1970 UTC.
        place: Where it stands.
    """

    device: str
    since_ms: int
    place: Placement

    def tags(self) -> dict[str, str]:
        """The tags of the place."""
        return {"hall": self.place.hall, "rack": self.place.rack, "row": self.place.row}


@dataclass(slots=True)
class Corrected:
    """What was corrected, or would be.

    Attributes:
        rows: How many rows.
        measurements: In which measurements.
        left: What stays as it is, one sentence each.
    """

    rows: int = 0
    measurements: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)

    def add(self, measurement: str, rows: int) -> None:
        """Count rows of a measurement."""
        if rows:
            self.rows += rows
            self.measurements.add(measurement)


def relocate_embedded(
    directories: Iterable[Path], wanted: Relocation, *, dry_run: bool
) -> Corrected:
    """Correct the embedded store, a file at a time, also while it is being written.

    Raises:
        sqlite3.Error: a file cannot be read or written; files before it are corrected.
    """
    done = Corrected()
    for directory in directories:
        for file in files_in(directory):
            if file.end_ms > wanted.since_ms:
                _correct_file(file, wanted, done, dry_run=dry_run)
    return done


def _correct_file(file: StoreFile, wanted: Relocation, done: Corrected, *, dry_run: bool) -> None:
    with closing(connect(file.path, read_only=dry_run)) as connection:
        connection.execute("BEGIN" if dry_run else "BEGIN IMMEDIATE")
        try:
            for table in tables_of(connection):
                done.add(table, _correct_table(connection, table, wanted, dry_run=dry_run))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _correct_table(
    connection: sqlite3.Connection, table: str, wanted: Relocation, *, dry_run: bool
) -> int:
    columns = columns_of(connection, table)
    if columns is None or "device" not in columns.tags or "hall" not in columns.tags:
        return 0
    tags = wanted.tags()
    known = [name for name in _PLACE if name in columns.tags]
    different = " OR ".join(f"{quoted(name)} <> ?" for name in known)
    if len(known) < len(_PLACE):
        different = "1"  # the table has never heard of racks
    part = f"{wanted.device}/"
    where = (
        f'{TIME} >= ? AND ("device" = ? OR substr("device", 1, {len(part)}) = ?) AND ({different})'
    )
    values: list[object] = [wanted.since_ms, wanted.device, part]
    if different != "1":
        values += [tags[name] for name in known]
    name = quoted(table)
    found = connection.execute(f"SELECT count(*) FROM {name} WHERE {where}", values).fetchone()[0]  # noqa: S608
    if found and not dry_run:
        for missing in sorted(set(_PLACE) - set(known)):
            connection.execute(
                f"ALTER TABLE {name} ADD COLUMN {quoted(missing)} TEXT NOT NULL DEFAULT ''"
            )
        sets = ", ".join(f"{quoted(tag)} = ?" for tag in _PLACE)
        connection.execute(
            f"UPDATE {name} SET {sets} WHERE {where}",  # noqa: S608 - names are quoted
            [*(tags[tag] for tag in _PLACE), *values],
        )
    return int(found)


def relocate_influx(
    server: InfluxHttp,
    store: InfluxStore,
    buckets: Sequence[str],
    wanted: Relocation,
    *,
    dry_run: bool,
) -> Corrected:
    """Correct an InfluxDB: write each row under its new tags, then delete the old one.

    A tag is part of what identifies a row there. Only what was read is deleted: rows that a
    collector writes meanwhile stay.

    Args:
        server: for reading and deleting; its token must be allowed to do both.
        store: for writing.
        buckets: for readings and for rollups.
        wanted: what is to be corrected.
        dry_run: only count.

    Raises:
        StoreUnavailable: no answer; what was written and not deleted yet stands twice until this
            is called again.
        StoreRefused: the token may not, or a query is refused.
    """
    mender = _Mender(server, store, wanted, dry_run=dry_run)
    for bucket in dict.fromkeys(buckets):
        for measurement in names_in(server, bucket, "SHOW MEASUREMENTS"):
            for tags, rows in _series(server, bucket, measurement, wanted):
                mender.correct(bucket, measurement, tags, rows)
    return mender.done


def _series(
    server: InfluxHttp, bucket: str, measurement: str, wanted: Relocation
) -> Iterator[tuple[dict[str, str], list[StoredRow]]]:
    """The series of a device and its parts that say another place."""
    escaped = "".join(letter if letter.isalnum() else f"\\{letter}" for letter in wanted.device)
    condition = f'("device" = {text(wanted.device)} OR "device" =~ /^{escaped}\\//)'
    rows = rows_of_span(server, bucket, measurement, (wanted.since_ms, None), condition)
    for tags, members in groupby(rows, key=lambda row: dict(row.tags)):
        new = {**tags, **wanted.tags()}
        if {name: value for name, value in new.items() if value} != tags:
            yield tags, list(members)


class _Mender:
    """Corrects an InfluxDB series by series."""

    def __init__(
        self, server: InfluxHttp, store: InfluxStore, wanted: Relocation, *, dry_run: bool
    ) -> None:
        self._server = server
        self._store = store
        self._wanted = wanted
        self._dry_run = dry_run
        self.done = Corrected()

    def correct(
        self, bucket: str, measurement: str, tags: dict[str, str], members: Sequence[StoredRow]
    ) -> None:
        """Write the rows of a series under their new tags, then delete them."""
        what = f"{len(members)} rows of {tags['device']} in {measurement}"
        if not tags.get("rack") and tags.get("hall") == self._wanted.place.hall:
            # A deletion names tags that are there; it cannot name one that is not.
            self.done.left.append(
                f"{what}: they name no rack, and InfluxDB cannot delete them apart from the "
                "corrected ones"
            )
            return
        if self._dry_run:
            self.done.add(measurement, len(members))
            return
        new = tuple(sorted((n, v) for n, v in {**tags, **self._wanted.tags()}.items() if v))
        rows = [Row(measurement, new, row.fields, row.time_ms) for row in members]
        if asyncio.run(_written(self._store, rows)):
            self.done.left.append(f"{what}: InfluxDB refuses some of them")
            return
        self.done.add(measurement, len(members))
        named = [("_measurement", measurement), *tags.items()]
        self._server.call(
            "POST",
            "/api/v2/delete",
            query={"org": self._server.org, "bucket": bucket},
            body={
                "start": _iso(self._wanted.since_ms),
                "stop": _iso(max(row.time_ms for row in members) + 1),
                "predicate": " AND ".join(f"{name}={_quoted(value)}" for name, value in named),
            },
        )


async def _written(store: InfluxStore, rows: Sequence[Row]) -> int:
    """Write rows; return how many were rejected."""
    rejected = 0
    await store.start()
    try:
        for start in range(0, len(rows), _BATCH):
            rejected += len((await store.write(rows[start : start + _BATCH])).rejected)
    finally:
        await store.aclose()
    return rejected


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _iso(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
