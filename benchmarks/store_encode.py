# SPDX-License-Identifier: Apache-2.0
"""How fast rows become line protocol, against the client library's `Point`; JSON on stdout.

Run: `python benchmarks/store_encode.py [--rows 20000] [--runs 5]`. One process, one core. Rows are
GPUs of the default fields (12 values); "rows" is readings to rows, "encode" rows to lines,
"points" the same of lists instead of rows, as the drain has them, "point" the client library's,
"embedded" rows into SQLite, made durable.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision

from rackwatt.collector.site import Site, site_of
from rackwatt.collector.store import EmbeddedStore, Row, rows_of
from rackwatt.collector.store.lines import LineEncoder, encode_points
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.series import SeriesBook
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.config import Document

FIELDS = (
    "power_watts",
    "power_min_watts",
    "power_max_watts",
    "energy_import_watt_hours",
    "temperature_celsius",
    "memory_temperature_celsius",
    "utilization_ratio",
    "memory_utilization_ratio",
    "memory_used_bytes",
    "sm_clock_hertz",
    "memory_clock_hertz",
    "clock_event_reasons_bitmask",
)


def site() -> Site:
    """A site of 100 racks with 18 nodes each."""
    return site_of(
        Document(
            "site.yaml",
            "site: {id: bench, timezone: UTC}\n"
            "halls: [{id: hall-a, rows: [{id: row-1, racks: 'r[001-100]',"
            " nodes: '{rack}-n[01-18]'}]}]\n",
        )
    )


def readings(count: int) -> list[ReceivedReading]:
    """One round of `count` GPUs, with numbers as meters send them."""
    random.seed(1)
    now = SYSTEM_CLOCK.now_ms()
    return [
        ReceivedReading(
            f"r{n // 72 % 100 + 1:03d}-n{n // 4 % 18 + 1:02d}/GPU-{n:08x}-1c2d-4e5f-8a9b-0c1d2e3f",
            now + n // 7200 * 1000,
            {name: round(random.uniform(0.0, 1000.0), 3) for name in FIELDS},  # noqa: S311
        )
        for n in range(count)
    ]


def seconds(work: Callable[[], object], runs: int) -> float:
    """The median of `runs`, after one that warms up."""
    work()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def point(row: Row) -> str:
    """The row as the client library encodes it."""
    return str(
        Point.from_dict(
            {
                "measurement": row.measurement,
                "tags": dict(row.tags),
                "fields": row.fields,
                "time": row.time_ms,
            },
            WritePrecision.MS,  # type: ignore[arg-type]  # its constants are str
        ).to_line_protocol()
    )


def lines_of(points: Points) -> None:
    """Points as the drain has them encoded, in batches of 5,000."""
    for start in range(0, len(points), 5_000):
        b"\n".join(encode_points(points[start : start + 5_000])[0])


async def embedded(rows: list[Row], runs: int) -> float:
    """The median time of one durable write of all rows, in batches of 5,000."""
    times = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as directory:
            store = EmbeddedStore(Path(directory))
            await store.start()
            begin = time.perf_counter()
            for start in range(0, len(rows), 5_000):
                await store.write(rows[start : start + 5_000])
            times.append(time.perf_counter() - begin)
            await store.aclose()
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    place, items = site(), readings(options.rows)
    rows = rows_of(place, "gpu", "bench", items)
    encoder = LineEncoder()
    book = SeriesBook(place)
    points = Points(
        [book.find("gpu", "bench", item.device, item.time_ms) for item in items],
        [item.values for item in items],
        [item.time_ms for item in items],
    )
    few = rows[: max(1, options.rows // 10)]
    per_row = {
        "rows": seconds(lambda: rows_of(place, "gpu", "bench", items), options.runs) / len(rows),
        "encode": seconds(lambda: encoder.encode(rows), options.runs) / len(rows),
        "points": seconds(lambda: lines_of(points), options.runs) / len(rows),
        "point": seconds(lambda: [point(row) for row in few], options.runs) / len(few),
        "embedded": asyncio.run(embedded(rows, options.runs)) / len(rows),
    }
    result = {
        "benchmark": "store_encode",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rows": len(rows),
        "values_per_row": len(FIELDS),
        "microseconds_per_row": {name: round(s * 1e6, 3) for name, s in per_row.items()},
        "values_per_second": {name: round(len(FIELDS) / s) for name, s in per_row.items()},
        "point_over_points": round(per_row["point"] / per_row["points"], 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
