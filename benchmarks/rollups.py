# SPDX-License-Identifier: Apache-2.0
"""What rollups cost the drain: processor time per row with and without them; JSON on stdout.

Run: `python benchmarks/rollups.py [--nodes 40] [--minutes 10]`. Nodes of 8 GPUs of 12 values send
every 10 s; messages are decoded, placed, encoded (the `null` store encodes and forgets) or
stored (`embedded`), gathered by minute and hour, and these are written, as the drain does it.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.load import GPU_FIELDS, gpu_samples, site
from rackwatt.collector.store import EmbeddedStore, Row, WriteResult
from rackwatt.collector.store.lines import encode_points
from rackwatt.collector.store.marks import Marks
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.read import StoredRow
from rackwatt.collector.store.rolling import Rollups
from rackwatt.collector.store.series import SeriesBook
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import decode_envelope, decode_readings, encode, reading_of

GPUS: Final = 8
BATCH: Final = 1000
MINUTE: Final = 60_000
BEGIN: Final = 1_790_000_000_000 // 3_600_000 * 3_600_000


class EncodingStore:
    """Encodes rows as for InfluxDB and forgets them."""

    def __init__(self) -> None:
        self.rows = 0

    async def start(self) -> None:
        """Nothing to do."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Encode."""
        assert isinstance(rows, Points)
        b"\n".join(encode_points(rows)[0])
        self.rows += len(rows)
        return WriteResult(len(rows))

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """Nothing."""
        return iter(())

    async def aclose(self) -> None:
        """Nothing to do."""


def messages(nodes: int, minutes: int) -> list[tuple[str, int, bytes]]:
    """Node, time and payload, in order of time."""
    found = []
    samples = [gpu_samples(f"n{node}", GPUS) for node in range(nodes)]
    for step in range(minutes * 6):
        at = BEGIN + step * 10_000
        for node in range(nodes):
            readings = [reading_of(sample, at) for sample in samples[node]]
            found.append((f"n{node}", at, encode(1, step + 1, at, readings)))
    return found


async def drain(store: Any, load: list[tuple[str, int, bytes]], rollups: Rollups | None) -> float:
    """Processor seconds."""
    book = SeriesBook(site(4))
    clock = rollups._clock if rollups is not None else ManualClock(BEGIN)  # noqa: SLF001
    begun = time.process_time()
    for start in range(0, len(load), BATCH):
        part = load[start : start + BATCH]
        rows = Points([], [], [])
        for agent, _, payload in part:
            for reading in decode_readings("gpu", decode_envelope(payload)).readings:
                rows.series.append(book.find("gpu", agent, reading.device, reading.time_ms))
                rows.values.append(reading.values)
                rows.times.append(reading.time_ms)
        await store.write(rows)
        if rollups is not None:
            await rollups.take(rows)
            assert isinstance(clock, ManualClock)
            clock.time_ms = part[-1][1]
            await rollups.flush()
    if rollups is not None:
        clock.time_ms = load[-1][1] + 10 * MINUTE  # type: ignore[attr-defined]
        await rollups.flush()
    return time.process_time() - begun


async def run(nodes: int, minutes: int) -> dict[str, Any]:
    """All runs."""
    load = messages(nodes, minutes)
    count = len(load) * GPUS
    found: dict[str, Any] = {"rows": count, "fields": len(GPU_FIELDS)}
    for sink in ("null", "embedded"):
        costs: dict[str, float] = {}
        for with_rollups in (False, True, False, True):
            with tempfile.TemporaryDirectory() as name:
                clock = ManualClock(BEGIN)
                store: Any = EncodingStore()
                if sink == "embedded":
                    store = EmbeddedStore(Path(name) / "store", clock=clock)
                await store.start()
                rollups = None
                if with_rollups:
                    rollups = Rollups(store, Marks(Path(name) / "rollups.db"), clock)
                    await rollups.start()
                seconds = await drain(store, load, rollups)
                key = "with" if with_rollups else "without"
                costs[key] = min(seconds, costs.get(key, 1e9))
                if rollups is not None:
                    await rollups.aclose()
                await store.aclose()
        each = {f"{key}_microseconds_per_row": 1e6 * cost / count for key, cost in costs.items()}
        found[sink] = {**each, "more_ratio": costs["with"] / costs["without"] - 1}
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=40)
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(run(options.nodes, options.minutes)), indent=2) + "\n")


if __name__ == "__main__":
    main()
