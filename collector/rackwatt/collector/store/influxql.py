# SPDX-License-Identifier: Apache-2.0
"""InfluxQL as we ask it: a measurement's rows in a span of time, series by series."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from rackwatt.collector.store.read import StoredRow

if TYPE_CHECKING:
    from rackwatt.collector.store.http import InfluxHttp


def rows_of_span(
    server: "InfluxHttp",
    bucket: str,
    measurement: str,
    span: tuple[int | None, int | None],
    condition: str = "",
) -> Iterator[StoredRow]:
    """Rows of a measurement, one series after the other, in order of tags, then time.

    Args:
        server: where.
        bucket: which one, mapped as a database of its name.
        measurement: which one.
        span: from and up to, ms since 1970 UTC, the end excluded; None: unbounded.
        condition: a further one, as `devices_in` makes it; empty: none.

    Raises:
        StoreUnavailable: no answer.
        StoreRefused: the query is refused.
    """
    start, end = span
    where = [condition] if condition else []
    if start is not None:
        where.append(f"time >= {start}ms")
    if end is not None:
        where.append(f"time < {end}ms")
    filters = f" WHERE {' AND '.join(where)}" if where else ""
    source = identifier(measurement)
    statement = f"SELECT *::field FROM {source}{filters} GROUP BY *"  # noqa: S608 - quoted
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


def names_in(server: "InfluxHttp", bucket: str, statement: str) -> list[str]:
    """The first column of a SHOW statement, sorted."""
    return sorted(
        {str(row[0]) for series in server.query(bucket, statement) for row in series["values"]}
    )


def devices_in(devices: Collection[str]) -> str:
    """The condition that a row is of one of these devices; empty: of any."""
    either = " OR ".join(f'"device" = {text(device)}' for device in sorted(devices))
    return f"({either})" if len(devices) > 1 else either


def identifier(name: str) -> str:
    """A name, quoted."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def text(value: str) -> str:
    """A text, quoted."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
