# SPDX-License-Identifier: Apache-2.0
"""What it costs to make messages durable, by size of the batch; JSON on stdout.

Run: `python benchmarks/spool.py [--runs 3] [--folder DIR]`. Appends p8 messages (8 GPUs of 12
values) with the gap watch's state of their agents in the same transaction, each agent's message
one; "file" is the same bytes written to a plain file with one fsync per batch: what the disk
itself takes. The folder decides which disk is measured; default: the system's temporary one.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.load import HALL, SITE, gpu_readings, node_name
from benchmarks.parts.machine import percentile, report, spread
from rackwatt.collector.ingest.spool import STORE, Batch, Spool
from rackwatt.collector.ingest.watch import AgentWatch
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import encode

MESSAGES: Final = {1: 400, 100: 10_000, 1000: 20_000}
"""Messages appended by size of the batch: each takes about a second."""
READ: Final = 2000
EPOCH: Final = 1_790_000_000_000 * 4096


def watch(name: str, through: int) -> AgentWatch:
    """What the gap watch knows of an agent that has sent so many messages."""
    agent = AgentWatch(name, HALL, introduced=True)
    for seq in range(1, through + 1):
        agent.receive(EPOCH, seq)
    return agent


async def spooled(folder: Path, size: int, payload: bytes) -> dict[str, Any]:
    """Append batches of `size` messages, then read all of them."""
    spool = Spool(
        folder / f"spool-{size}.db", max_bytes=10**10, clock=SYSTEM_CLOCK, consumers=(STORE,)
    )
    await spool.start()
    names = [node_name(number) for number in range(size)]
    messages = [(0, f"rackwatt/v1/{SITE}/{HALL}/{name}/gpu", payload) for name in names]
    watches = [watch(name, 1) for name in names]
    count = MESSAGES[size]
    times: list[float] = []
    before = _used()
    for seq in range(2, count // size + 2):
        for agent in watches:
            agent.receive(EPOCH, seq)
        begin = time.perf_counter()
        await spool.append(Batch(messages=messages, watches=watches))
        times.append(time.perf_counter() - begin)
    processor = _used() - before
    begin, after = time.perf_counter(), 0
    while records := await spool.read(after, READ):
        after = records[-1].id
    reading = time.perf_counter() - begin
    assert after == count, "a message is missing"
    await spool.aclose()
    return {
        "append_milliseconds": [percentile(times, 0.5) * 1000, percentile(times, 0.99) * 1000],
        "append_messages_per_second": count / sum(times),
        "processor_microseconds_per_message": processor / count * 1e6,
        "read_messages_per_second": count / reading,
    }


def filed(folder: Path, size: int, payload: bytes) -> float:
    """Messages per second into a plain file, made durable batch by batch."""
    count = MESSAGES[size]
    data = payload * size
    path = folder / f"file-{size}"
    begin = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(count // size):
            file.write(data)
            os.fsync(file.fileno())
    took = time.perf_counter() - begin
    path.unlink()
    return count / took


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    options = parser.parse_args()
    payload = encode(EPOCH, 12_345, 1_790_000_000_000, gpu_readings("r0001-n01"))
    found: dict[str, Any] = {}
    for size in MESSAGES:
        runs: list[dict[str, Any]] = []
        files: list[float] = []
        for _ in range(options.runs):
            with tempfile.TemporaryDirectory(dir=options.folder) as name:
                runs.append(asyncio.run(spooled(Path(name), size, payload)))
                files.append(filed(Path(name), size, payload))
        rate = [run["append_messages_per_second"] for run in runs]
        found[f"batch_{size}"] = {
            "append_milliseconds_median": spread([r["append_milliseconds"][0] for r in runs]),
            "append_milliseconds_p99": spread([r["append_milliseconds"][1] for r in runs]),
            "append_messages_per_second": spread(rate, digits=0),
            "append_megabytes_per_second": spread(rate, len(payload) / 1e6, 1),
            "processor_microseconds_per_message": spread(
                [run["processor_microseconds_per_message"] for run in runs], digits=1
            ),
            "read_messages_per_second": spread(
                [run["read_messages_per_second"] for run in runs], digits=0
            ),
            "file_messages_per_second": spread(files, digits=0),
            "file_over_spool": round(max(files) / max(rate), 1),
        }
    report("spool", {"runs": options.runs, "payload_bytes": len(payload), **found})


if __name__ == "__main__":
    main()
