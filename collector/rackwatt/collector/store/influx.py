# SPDX-License-Identifier: Apache-2.0
"""InfluxDB as the store: our lines and batches over the client library's asynchronous API.

Works with 2.x, and, as far as writing goes, with 3.x and 1.8. The library's own batching mode is
not used: it loses data without an exception when its retries end.
"""

import asyncio
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import aiohttp
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.domain.write_precision import WritePrecision

from rackwatt.collector.store.base import (
    Row,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    WriteResult,
)
from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.influxql import devices_in, rows_of_span
from rackwatt.collector.store.lines import LineEncoder, encode_points
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.read import StoredRow
from rackwatt.wire.readings import KINDS

BATCH_LINES: Final = 5_000
"""Lines in one request: 10,000 gained nothing (docs/performance.md)."""
CONNECTIONS: Final = 4
_AT_ONCE: Final = 1_250
"""Lines that are made before others on the event loop have their turn."""
_DROPPED: Final = re.compile(r"dropped=(\d+)")
_ADVICE: Final[Mapping[int, str]] = {
    401: "the token is not valid: write a new one with `rackwatt store setup`",
    403: "the token may not write to this bucket: make one with `rackwatt store setup`",
    404: "the organization or the bucket does not exist: make them with `rackwatt store setup`",
}


class _Rejected(Exception):  # noqa: N818
    """The server found fault with the lines of a request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        match = _DROPPED.search(reason)
        self.dropped = int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class _Batch:
    bucket: str
    lines: Sequence[bytes]
    rows: Sequence[Row]

    def part(self, start: int, end: int) -> "_Batch":
        return _Batch(self.bucket, self.lines[start:end], self.rows[start:end])


class InfluxStore:
    """Writes rows to an InfluxDB.

    Characteristics: at most 4 requests at a time, at most 5,000 lines each; nothing is kept
    between calls, so the caller's own queue is the only one.

    Args:
        url: the server's address.
        org: its organization (anything for 1.8).
        bucket: where readings go.
        token: a token that may write there (`user:password` for 1.8).
        rollups_bucket: where everything else goes; None: into `bucket` too.
        timeout_seconds: of one request, connecting included.
        ca_file: certificates to trust instead of the system's.
        gzip: compress requests: 3.8 times fewer bytes, of use on a slow line only.
    """

    def __init__(
        self,
        *,
        url: str,
        org: str,
        bucket: str,
        token: str,
        rollups_bucket: str | None = None,
        timeout_seconds: float = 10.0,
        ca_file: str | None = None,
        gzip: bool = False,
    ) -> None:
        self._url = url.rstrip("/")
        self._org = org
        self._bucket = bucket
        self._rollups = rollups_bucket or bucket
        self._token = token
        self._ca_file = ca_file
        self._options: dict[str, Any] = {
            "url": self._url,
            "token": token,
            "org": org,
            "timeout": round(timeout_seconds * 1000),
            "enable_gzip": gzip,
            "connection_pool_maxsize": CONNECTIONS,
            "ssl_ca_cert": ca_file,
            # A redirected POST would arrive as a GET and count as written.
            "allow_redirects": False,
        }
        self._client: InfluxDBClientAsync | None = None
        self._encoder = LineEncoder()

    def identity(self) -> str:
        """Server, organization and bucket of what is no reading."""
        return f"{self._url} {self._org} {self._rollups}"

    async def start(self) -> None:
        """Connect and ask whether the server is there.

        Raises:
            StoreUnavailable: it does not answer; start may be called again.
            StoreRefused: it answers, but not as an InfluxDB.
        """
        if self._client is None:
            self._client = InfluxDBClientAsync(**self._options)
        try:
            await self._client.ping()
        except (InfluxDBError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._translate(error) from error

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """Each device with its rows of a half-open span, in order of time.

        By InfluxQL over a connection of its own: for a thread beside the event loop. The token
        must be allowed to read.

        Args:
            measurement: one whose rows have a device.
            start_ms: from this time on, ms since 1970 UTC.
            end_ms: up to this time, excluded.
            devices: only these; none: all.

        Raises:
            StoreUnavailable: no answer.
            StoreRefused: the token may not read, or the query is refused.
        """
        bucket = self._bucket if measurement in KINDS else self._rollups
        condition = devices_in(devices)
        with InfluxHttp(self._url, self._org, self._token, self._ca_file) as server:
            rows = rows_of_span(server, bucket, measurement, (start_ms, end_ms), condition)
            for device, group in groupby(rows, key=lambda row: row.tags.get("device", "")):
                yield device, sorted(group, key=lambda row: row.time_ms)

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Write rows in batches; see `Store.write`."""
        rejected: list[tuple[Row, str]] = []
        batches = self._batches(rows, rejected)
        failure: list[StoreError] = []

        async def worker() -> None:
            for batch in batches:
                if batch is None:
                    await asyncio.sleep(0)
                    continue
                try:
                    rejected.extend(await self._write_batch(batch))
                except StoreError as error:
                    failure.append(error)
                if failure:
                    return

        async with asyncio.TaskGroup() as group:
            for number in range(min(CONNECTIONS, -(-len(rows) // BATCH_LINES))):
                group.create_task(worker(), name=f"influx-write-{number}")
        if failure:
            raise failure[0]
        return WriteResult(len(rows) - len(rejected), tuple(rejected))

    def _batches(
        self, rows: Sequence[Row], rejected: list[tuple[Row, str]]
    ) -> Iterator[_Batch | None]:
        """Encode batch by batch, so that encoding one goes on while others are on their way.

        None: let others on the event loop have their turn.
        """
        if isinstance(rows, Points):
            yield from self._batches_of(rows, rejected)
            return
        raw = [row for row in rows if row.measurement in KINDS or self._rollups == self._bucket]
        other = (
            [row for row in rows if row.measurement not in KINDS] if len(raw) < len(rows) else []
        )
        for bucket, listed in ((self._bucket, raw), (self._rollups, other)):
            for start in range(0, len(listed), BATCH_LINES):
                encoded = self._encoder.encode(listed[start : start + BATCH_LINES])
                rejected.extend(encoded.rejected)
                if encoded.lines:
                    yield _Batch(bucket, [line.encode() for line in encoded.lines], encoded.rows)

    def _batches_of(
        self, points: Points, rejected: list[tuple[Row, str]]
    ) -> Iterator[_Batch | None]:
        bucket = self._rollups if points.suffix else self._bucket
        for start in range(0, len(points), BATCH_LINES):
            stop = min(start + BATCH_LINES, len(points))
            lines: list[bytes] = []
            kept: Points | None = None
            for begin in range(start, stop, _AT_ONCE):
                made, part, refused = encode_points(points[begin : min(begin + _AT_ONCE, stop)])
                lines += made
                kept = part if kept is None else kept.plus(part)
                rejected.extend(refused)
                yield None
            if lines and kept is not None:
                yield _Batch(bucket, lines, kept)

    async def _write_batch(self, batch: _Batch) -> list[tuple[Row, str]]:
        """Write a batch; halve it around what the server finds fault with."""
        try:
            await self._post(batch)
        except _Rejected as error:
            size = len(batch.rows)
            # All dropped for one reason (too old for the bucket, say): no need to ask again.
            if size == 1 or error.dropped == size:
                return [(row, error.reason) for row in batch.rows]
            middle = size // 2
            return [
                *await self._write_batch(batch.part(0, middle)),
                *await self._write_batch(batch.part(middle, size)),
            ]
        return []

    async def _post(self, batch: _Batch) -> None:
        if self._client is None:
            raise StoreUnavailable("the store is not started")
        body = b"\n".join(batch.lines)
        try:
            accepted = await self._client.write_api().write(
                bucket=batch.bucket,
                org=self._org,
                record=body,
                write_precision=WritePrecision.MS,  # type: ignore[arg-type]  # its constants are str
            )
        except (InfluxDBError, aiohttp.ClientError, TimeoutError, OSError) as error:
            translated = self._translate(error)
            raise translated from error
        if not accepted:
            raise StoreRefused(f"{self._url} does not answer writes as InfluxDB does")

    def _translate(self, error: Exception) -> StoreError | _Rejected:
        status = getattr(error, "status", None)
        if not isinstance(error, InfluxDBError) or not status:
            text = str(error) or type(error).__name__
            return StoreUnavailable(f"InfluxDB at {self._url} cannot be reached: {text}")
        reason = _reason(error)
        if status in {400, 413, 422}:
            return _Rejected(reason)
        if status == 429 or status >= 500:
            return StoreUnavailable(
                f"InfluxDB at {self._url} answers {status}: {reason}", _retry_after(error)
            )
        advice = _ADVICE.get(status, "is this the address of an InfluxDB?")
        return StoreRefused(
            f"InfluxDB at {self._url} refuses (org {self._org!r}, bucket {self._bucket!r}):"
            f" {status} {reason}; {advice}"
        )


def _reason(error: InfluxDBError) -> str:
    """The server's own words, cut to a bearable length."""
    body = getattr(error, "body", None)
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        text = str(data.get("message") or data.get("error") or text)
        # 3.x tells each faulty line beside a general sentence.
        details = data.get("data")
        if isinstance(details, list) and details and isinstance(details[0], dict):
            text = f"{text}: {details[0].get('error_message', '')}"
    return " ".join(text.split())[:500] or str(getattr(error, "reason", "") or "no reason given")


def _retry_after(error: InfluxDBError) -> float | None:
    headers = getattr(error, "headers", None) or {}
    value = headers.get("Retry-After")
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None  # a date: the caller's own back-off will do
