# SPDX-License-Identifier: Apache-2.0
"""How fast a backlog of the campus leaves the spool; JSON on stdout.

Run: `python benchmarks/drain.py [--seconds 20] [--part 1.0] [--influx]`. The spool is filled with
so many seconds of the reference campus (or a part of it), as after an outage of the store; then the
drain takes them: read, decode, place, encode as for InfluxDB, gather rollups. The store encodes and
forgets, so that what is left is our own work; with `--influx` it is a real one.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.campus import Feed, Size, campus
from benchmarks.parts.machine import processor_seconds, report
from rackwatt.collector.ingest import garbage
from rackwatt.collector.ingest.spool import STORE, Batch, Spool
from rackwatt.collector.store import InfluxStore, Row, WriteResult
from rackwatt.collector.store.drain import Drain
from rackwatt.collector.store.influx import _AT_ONCE
from rackwatt.collector.store.lines import encode_points
from rackwatt.collector.store.marks import Marks
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.read import StoredRow
from rackwatt.collector.store.rolling import Rollups
from rackwatt.wire.clock import SYSTEM_CLOCK
from servers.fixtures import InfluxDB


class EncodingStore:
    """Encodes rows as for InfluxDB and forgets them."""

    async def start(self) -> None:
        """Nothing to do."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Encode."""
        assert isinstance(rows, Points)
        for start in range(0, len(rows), _AT_ONCE):
            lines, _, _ = encode_points(rows[start : start + _AT_ONCE])
            b"\n".join(lines)
            await asyncio.sleep(0)
        return WriteResult(len(rows))

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """Nothing."""
        return iter(())

    async def aclose(self) -> None:
        """Nothing to do."""


def resident_bytes() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def longest_stretch(found: list[float]) -> None:
    """The longest time in s that nothing else could run on the event loop."""
    before = time.monotonic()
    while True:
        await asyncio.sleep(0.001)
        now = time.monotonic()
        found[0] = max(found[0], now - before - 0.001)
        before = now


async def fill(spool: Spool, feed: Feed, seconds: int) -> int:
    """So many seconds of messages, received as they were taken."""
    count = 0
    for second in range(seconds):
        records = feed.second(second)
        messages = [(record.received_ms, record.topic, record.payload) for record in records]
        await spool.append(Batch(messages=messages))
        count += len(records)
    return count


async def run(folder: Path, part: float, seconds: int, influx: InfluxDB | None) -> dict[str, Any]:
    """Fill and drain."""
    racks = max(10, round(2540 * part))
    size = Size(racks, racks * 18)
    place, feed = campus(size), Feed(size)
    spool = Spool(folder / "spool.db", max_bytes=10**11, clock=SYSTEM_CLOCK, consumers=(STORE,))
    await spool.start()
    count = await fill(spool, feed, seconds)
    store: Any = EncodingStore()
    if influx is not None:
        bucket = influx.create_bucket("bench-drain")
        store = InfluxStore(
            url=influx.url, org=influx.org, bucket=bucket.bucket, token=influx.token
        )
    rollups = Rollups(store, Marks(folder / "rollups.db"), SYSTEM_CLOCK)
    drain = Drain(spool, store, place, SYSTEM_CLOCK, rollups)
    garbage.settle()
    stretch = [0.0]
    server = 0.0 if influx is None else processor_seconds(influx.pid)
    before, wall, begun = resident_bytes(), time.monotonic(), time.process_time()
    tasks = [asyncio.create_task(drain.run()), asyncio.create_task(longest_stretch(stretch))]
    while spool.cursor(STORE) < spool.last_id:  # noqa: ASYNC110 - it has no event of its own
        await asyncio.sleep(0.01)
    wall, own = time.monotonic() - wall, time.process_time() - begun
    found = {
        "messages": count,
        "rows": drain.points,
        "messages_per_second": round(count / wall),
        "processor_microseconds_per_message": round(own / count * 1e6, 1),
        "core_ratio": round(own / wall, 2),
        "influx_core_ratio": None
        if influx is None
        else round((processor_seconds(influx.pid) - server) / wall, 2),
        "longest_stretch_seconds": round(stretch[0], 3),
        "memory_grown_bytes": resident_bytes() - before,
    }
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await spool.aclose()
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--influx", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        influx = stack.enter_context(InfluxDB(folder / "influx")) if options.influx else None
        found = asyncio.run(run(folder, options.part, options.seconds, influx))
    report("drain", {"part": options.part, "seconds": options.seconds, **found})


if __name__ == "__main__":
    main()
