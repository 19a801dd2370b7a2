# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store dump`: a measurement as CSV or JSON lines, from either store."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

from rackwatt.collector.store.influxql import devices_in, identifier, names_in, rows_of_span
from rackwatt.collector.store.read import Directories, StoredRow, measurements, read

if TYPE_CHECKING:
    from rackwatt.collector.store.http import InfluxHttp

Format = Literal["csv", "jsonl"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows."""

    measurement: str
    device: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Dump:
    """The rows, and the columns that they may have."""

    tags: Sequence[str]
    fields: Sequence[str]
    rows: Iterable[StoredRow]


def dump_embedded(directory: Directories, selection: Selection) -> Dump | None:
    """From the embedded store; None when the measurement is unknown there."""
    columns = measurements(directory).get(selection.measurement)
    if columns is None:
        return None
    rows = read(
        directory, selection.measurement, selection.device, selection.start_ms, selection.end_ms
    )
    return Dump(sorted(columns[0]), sorted(columns[1]), rows)


def dump_influx(server: "InfluxHttp", bucket: str, selection: Selection) -> Dump | None:
    """From InfluxDB by InfluxQL, series by series; None when the measurement is unknown there.

    Raises:
        StoreUnavailable: no answer.
        StoreRefused: the query is refused.
    """
    source = identifier(selection.measurement)
    tags = names_in(server, bucket, f"SHOW TAG KEYS FROM {source}")
    fields = names_in(server, bucket, f"SHOW FIELD KEYS FROM {source}")
    if not fields:
        return None
    span = selection.start_ms, selection.end_ms
    condition = devices_in([] if selection.device is None else [selection.device])
    rows = rows_of_span(server, bucket, selection.measurement, span, condition)
    return Dump(tags, fields, rows)


def write_dump(dump: Dump, out: TextIO, form: Format) -> int:
    """Write the rows to `out`; returns how many. An empty cell or a missing key is "unknown"."""
    count = 0
    if form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["time", *dump.tags, *dump.fields])
        for row in dump.rows:
            tags = [row.tags.get(name, "") for name in dump.tags]
            fields = [row.fields.get(name, "") for name in dump.fields]
            writer.writerow([iso(row.time_ms), *tags, *fields])
            count += 1
        return count
    for row in dump.rows:
        line = {"time": iso(row.time_ms), **row.tags, **row.fields}
        out.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        count += 1
    return count


def iso(time_ms: int) -> str:
    """A time as text, UTC, in milliseconds."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
