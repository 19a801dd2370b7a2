# SPDX-License-Identifier: Apache-2.0
"""Deletes old minutes of readings from InfluxDB; hours, and what the accountant wrote, stay.

Deleting by measurement: https://docs.influxdata.com/influxdb/v2/write-data/delete-data/
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from rackwatt.collector.store.http import InfluxHttp
from rackwatt.wire.readings import KINDS

LEAST_DAYS: Final = 35
"""An hour is made again from its minutes when late readings come: those of this long stay."""
_STEP: Final = timedelta(days=7)
"""One request each: what one deletes, it deletes before it answers."""


def minute_measurements() -> list[str]:
    """The measurements of minutes, of every kind that is rolled up."""
    return [f"{kind}_1m" for kind in KINDS if kind != "event"]


def thin(
    server: InfluxHttp, bucket: str, before: datetime, told: Callable[[str], None]
) -> datetime | None:
    """Delete the minutes before a time.

    Args:
        server: With a token that may write to the bucket.
        bucket: Of the rollups.
        before: Excluded; whole UTC days go.
        told: Is called with each measurement that had some.

    Returns:
        The day until which minutes are gone; ``None`` where there were none before.

    Raises:
        StoreUnavailable, StoreRefused: As the server says; what was deleted is.
    """
    end = before.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = False
    for measurement in minute_measurements():
        first = _first(server, bucket, measurement, end)
        if first is None:
            continue
        found = True
        at = first
        while at < end:
            until = min(at + _STEP, end)
            _delete(server, bucket, measurement, at, until)
            at = until
        told(f"{measurement}: from {first:%Y-%m-%d} until {end:%Y-%m-%d}")
    return end if found else None


def _first(server: InfluxHttp, bucket: str, measurement: str, end: datetime) -> datetime | None:
    """The UTC day of its oldest point before a time."""
    statement = (
        f'SELECT * FROM "{measurement}" WHERE time < {int(end.timestamp() * 1000)}ms'  # noqa: S608
        " ORDER BY time ASC LIMIT 1"
    )
    for series in server.query(bucket, statement):
        day = datetime.fromtimestamp(series["values"][0][0] / 1000, UTC)
        return day.replace(hour=0, minute=0, second=0, microsecond=0)
    return None


def _delete(
    server: InfluxHttp, bucket: str, measurement: str, start: datetime, end: datetime
) -> None:
    server.call(
        "POST",
        "/api/v2/delete",
        query={"org": server.org, "bucket": bucket},
        body={
            "start": start.isoformat(),
            "stop": (end - timedelta(milliseconds=1)).isoformat(),  # which it includes
            "predicate": f'_measurement="{measurement}"',
        },
    )
