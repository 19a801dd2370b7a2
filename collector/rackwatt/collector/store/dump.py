# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store dump`: a measurement as CSV or JSON lines, from either store."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.read import StoredRow, measurements, read

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


def dump_embedded(directory: Path, selection: Selection) -> Dump | None:
    """From the embedded store; None when the measurement is unknown there."""
    columns = measurements(directory).get(selection.measurement)
    if columns is None:
        return None
    rows = read(
        directory, selection.measurement, selection.device, selection.start_ms, selection.end_ms
    )
    return Dump(sorted(columns[0]), sorted(columns[1]), rows)


def dump_influx(server: InfluxHttp, bucket: str, selection: Selection) -> Dump | None:
    """From InfluxDB by InfluxQL, series by series; None when the measurement is unknown there.

    Raises:
        StoreUnavailable: no answer.
        StoreRefused: the query is refused.
    """
    source = _identifier(selection.measurement)
    tags = _names(server, bucket, f"SHOW TAG KEYS FROM {source}")
    fields = _names(server, bucket, f"SHOW FIELD KEYS FROM {source}")
    if not fields:
        return None
    where: list[str] = []
    if selection.start_ms is not None:
        where.append(f"time >= {selection.start_ms}ms")
    if selection.end_ms is not None:
        where.append(f"time < {selection.end_ms}ms")
    if selection.device is not None:
        where.append(f'"device" = {_text(selection.device)}')
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    statement = f"SELECT *::field FROM {source}{condition} GROUP BY *"  # noqa: S608 - quoted
    return Dump(tags, fields, _influx_rows(server, bucket, statement))


def _influx_rows(server: InfluxHttp, bucket: str, statement: str) -> Iterator[StoredRow]:
    for series in server.query(bucket, statement):
        tags = {name: str(value) for name, value in series.get("tags", {}).items() if value}
        names = series["columns"][1:]
        for time_ms, *values in series["values"]:
            present = zip(names, values, strict=True)
            fields = {
                name: value if isinstance(value, str) else float(value)
                for name, value in present
                if value is not None
            }
            yield StoredRow(int(time_ms), tags, fields)


def _names(server: InfluxHttp, bucket: str, statement: str) -> list[str]:
    return sorted(
        {str(row[0]) for series in server.query(bucket, statement) for row in series["values"]}
    )


def _identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


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
