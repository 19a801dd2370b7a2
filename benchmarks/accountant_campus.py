# SPDX-License-Identifier: Apache-2.0
"""What the accountant spends on the whole reference campus; JSON on stdout.

Run: `python benchmarks/accountant_campus.py [--seconds 120] [--tenth] [--profile]`. Each second of
the campus' messages (see `parts/campus.py`) goes the way that it goes in `rackwatt account`: from
bytes to records, sorted, booked (durably), shown; then the figures and the page's frame are made
anew and intervals close. Without HTTP, which `benchmarks/ingest.py` has. Processor time counts:
the feed is made beside it, before each second, and left out.
"""

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.campus import START_MS, Feed, Size, campus
from benchmarks.parts.machine import memory_bytes, percentile, report
from rackwatt.collector.accounting.battery import initial
from rackwatt.collector.ingest import frames
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.collector.live.frame import CollectorView, LedgerView, make_frame
from rackwatt.collector.roles.keeping import Keeper
from rackwatt.collector.roles.sorting import Wanted, sort
from rackwatt.wire.clock import SYSTEM_CLOCK

WARM: Final = 30
STEPS: Final = ("unpack", "sort", "book", "devices", "observe", "figures", "frame", "close")


class Stopwatch:
    """Processor and wall seconds of named steps."""

    def __init__(self) -> None:
        self.processor: dict[str, list[float]] = {name: [] for name in STEPS}
        self.wall: dict[str, list[float]] = {name: [] for name in STEPS}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is inside."""
        used, begin = _used(), time.perf_counter()
        yield
        self.processor[name].append(_used() - used)
        self.wall[name].append(time.perf_counter() - begin)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def live(
    folder: Path, size: Size, seconds: int, profiler: cProfile.Profile
) -> dict[str, Any]:
    """Live through some seconds as fast as it goes."""
    begin = time.perf_counter()
    site = campus(size)
    loaded = time.perf_counter() - begin
    keeper = Keeper(site, folder / "ledger.db", SYSTEM_CLOCK)
    await keeper.open()
    stock = initial(keeper.initial_watt_hours, keeper.factors.at(START_MS).initial)
    figures = LiveFigures(site, keeper.factors, keeper.parameters, stock, now_ms=START_MS)
    devices, feed = Devices(site), Feed(size)
    wanted = Wanted(probes=devices.probes)
    watch, memory = Stopwatch(), []
    messages = size_bytes = 0
    for second in range(WARM + seconds):
        records = feed.second(second)
        data = frames.pack(records)
        del records
        if second == WARM:
            watch = Stopwatch()
            messages = size_bytes = 0
            profiler.enable()
        now = START_MS + second * 1000 + 300
        with watch.step("unpack"):
            found = list(frames.unpack(data))
        messages, size_bytes = messages + len(found), size_bytes + len(data)
        with watch.step("sort"):
            batch = sort(found, {}, wanted)
        with watch.step("book"):
            await keeper.book([batch], found[-1].id, "spool")
        with watch.step("devices"):
            for kind, reading, received in batch.readings:
                devices.observe(kind, reading, received)
            for gpus, received in batch.gpus:
                devices.observe_gpus(gpus, received)
        with watch.step("observe"):
            for record in batch.inputs:
                figures.observe(record.device, record.time_ms, record.values)
        with watch.step("figures"):
            shown = figures.figures(now)
        with watch.step("frame"):
            frame = make_frame(site, shown, devices, CollectorView(), LedgerView(), now)
        with watch.step("close"):
            await keeper.work(now, ())
        if second % 10 == 0:
            memory.append(memory_bytes(os.getpid())["resident_bytes"])
    profiler.disable()
    assert not shown.missing, shown.missing[:3]
    assert frame["gpus"]["reporting"] == size.trays * 4, frame["gpus"]
    await keeper.close()
    processor = {name: sum(own) / seconds for name, own in watch.processor.items()}
    return {
        "site_seconds": round(loaded, 2),
        "messages_per_second": messages // seconds,
        "bytes_per_second": size_bytes // seconds,
        "core_ratio": round(sum(processor.values()), 3),
        "core_ratio_by_step": {name: round(own, 4) for name, own in processor.items()},
        "wall_milliseconds": {
            name: {
                "median": round(percentile(own, 0.5) * 1000, 1),
                "most": round(max(own) * 1000, 1),
            }
            for name, own in watch.wall.items()
        },
        "microseconds_per_message": round(sum(processor.values()) * seconds / messages * 1e6, 1),
        "resident_bytes": {
            "first": memory[0],
            "middle": memory[len(memory) // 2],
            "last": memory[-1],
        },
        "ledger_bytes": sum(file.stat().st_size for file in folder.glob("ledger.db*")),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="of the campus' time, counted")
    parser.add_argument("--tenth", action="store_true", help="of the trays and racks")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    size = Size(254, 4572) if options.tenth else Size(2540, 45_720)
    profiler = cProfile.Profile() if options.profile else _Never()
    gc.freeze()
    with tempfile.TemporaryDirectory() as name:
        result = asyncio.run(live(Path(name), size, options.seconds, profiler))
    if options.profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)
    report("accountant_campus", result)


class _Never(cProfile.Profile):
    """Profiles nothing."""

    def enable(self, *_: Any) -> None:
        """Do nothing."""

    def disable(self) -> None:
        """Do nothing."""


if __name__ == "__main__":
    main()
