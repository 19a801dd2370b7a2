# SPDX-License-Identifier: Apache-2.0
"""What a value takes on InfluxDB's disk when it has been compacted; JSON on stdout.

Run: `python benchmarks/store_size.py [--hours 24]`. Made-up hours of 20 GPUs of 12 fields every 10
s, 80 temperature probes every 10 s and 4 meters of 7 fields every second, each a slow random walk
with the resolution that such a device has (a mean of ten samples where agents send means); `random`
has all digits of GPUs' values at random, which nothing can compress: the worst case. Each lies in a
bucket of its own, in a real InfluxDB that is told to compact at once; its data files, without the
index of series, are measured when they grow and shrink no more and its log is empty. Also the
embedded store, with the same rows.
"""

import argparse
import asyncio
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report
from rackwatt.collector.store import EmbeddedStore, Row
from rackwatt.collector.store.lines import LineEncoder
from rackwatt.wire.clock import SYSTEM_CLOCK
from servers.influxdb import InfluxBucket, InfluxDB

BATCH: Final = 5_000
CALM_SECONDS: Final = 20
LONGEST_SECONDS: Final = 300
AT_ONCE: Final = (
    "--storage-cache-snapshot-write-cold-duration=2s",
    "--storage-compact-full-write-cold-duration=5s",
)

Next = Callable[[], float]


def walk(start: float, step: float, low: float, high: float, unit: float, mean: int = 1) -> Next:
    """A slow random walk between bounds, rounded to the device's unit, a mean of samples."""
    at = start

    def sample() -> float:
        nonlocal at
        at = min(max(at + random.gauss(0.0, step), low), high)
        return round(at / unit) * unit

    return lambda: math.fsum(sample() for _ in range(mean)) / mean


def counter(power: float, seconds: float, unit: float) -> Next:
    """A register of energy, Wh."""
    total = random.uniform(1e6, 1e7)  # noqa: S311

    def read() -> float:
        nonlocal total
        total += power * random.uniform(0.9, 1.1) * seconds / 3600  # noqa: S311
        return round(total / unit) * unit

    return read


def gpu() -> dict[str, Next]:
    return {
        "power_watts": walk(900, 20, 100, 1200, 0.001, 10),
        "power_min_watts": walk(850, 20, 100, 1200, 0.001),
        "power_max_watts": walk(950, 20, 100, 1200, 0.001),
        "energy_import_watt_hours": counter(900, 10, 1 / 3_600_000),
        "temperature_celsius": walk(60, 0.5, 30, 85, 1.0, 10),
        "memory_temperature_celsius": walk(70, 0.5, 30, 95, 1.0, 10),
        "utilization_ratio": walk(0.9, 0.05, 0, 1, 0.01, 10),
        "memory_utilization_ratio": walk(0.5, 0.05, 0, 1, 0.01, 10),
        "memory_used_bytes": walk(1.5e11, 1e5, 0, 2e11, 2**21),
        "sm_clock_hertz": walk(1.9e9, 3e6, 3e8, 2.1e9, 1.5e7, 10),
        "memory_clock_hertz": lambda: 3.9e9,
        "clock_event_reasons_bitmask": walk(4, 0.2, 0, 8, 4.0),
    }


def rough() -> dict[str, Next]:
    return {name: lambda: random.uniform(0.0, 1e6) for name in gpu()}  # noqa: S311


def probe() -> dict[str, Next]:
    return {"temperature_celsius": walk(24, 0.05, 18, 32, 0.1, 10)}


def meter() -> dict[str, Next]:
    return {
        "power_watts": walk(1e5, 500, 5e4, 2e5, 1.0),
        "reactive_power_vars": walk(2e4, 100, 0, 5e4, 1.0),
        "current_amperes": walk(150, 1, 50, 300, 0.01),
        "voltage_volts": walk(400, 0.3, 380, 420, 0.1),
        "power_factor_ratio": walk(0.97, 0.001, 0.8, 1, 0.001),
        "frequency_hertz": walk(50, 0.005, 49.5, 50.5, 0.01),
        "energy_import_watt_hours": counter(1e5, 1, 100),
    }


MIXES: Final[dict[str, tuple[str, int, int, Callable[[], dict[str, Next]]]]] = {
    "gpu": ("gpu", 20, 10, gpu),
    "random": ("gpu", 4, 10, rough),
    "probe": ("climate", 80, 10, probe),
    "meter": ("power", 4, 1, meter),
}
"""Measurement, devices, seconds between rows, what a device says."""


def rows(name: str, hours: float) -> Iterator[Row]:
    """A mix's rows until now, in the order in which they come."""
    begin = SYSTEM_CLOCK.now_ms() // 1000 * 1000 - int(hours * 3_600_000)
    measurement, count, seconds, fields = MIXES[name]
    devices = [fields() for _ in range(count)]
    tags = [
        (("device", f"{name}-{n}"), ("hall", "a"), ("rack", f"r{n % 8}"), ("row", "1"))
        for n in range(count)
    ]
    for turn in range(int(hours * 3600 / seconds)):
        for tag, device in zip(tags, devices, strict=True):
            at = begin + turn * seconds * 1000
            yield Row(measurement, tag, {key: read() for key, read in device.items()}, at)


def calm(bucket: Path, wal: Path) -> int:
    """Bytes of a bucket's data, without its index, once nothing changes any more.

    Raises:
        SystemExit: It does not come to rest.
    """
    last, since, begin = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - begin < LONGEST_SECONDS:
        size = sum(path.stat().st_size for path in bucket.rglob("*.tsm"))
        waiting = sum(path.stat().st_size for path in wal.rglob("*") if path.is_file())
        if size != last or waiting:
            last, since = size, time.monotonic()
        elif time.monotonic() - since > CALM_SECONDS:
            return size
        time.sleep(0.5)
    raise SystemExit(f"{bucket}: not at rest after {LONGEST_SECONDS} s")


def fill(bucket: InfluxBucket, name: str, hours: float) -> tuple[int, list[Row]]:
    """Write a mix; return its number of values, and its rows."""
    encoder, made = LineEncoder(), list(rows(name, hours))
    for start in range(0, len(made), BATCH):
        bucket.write(encoder.encode(made[start : start + BATCH]).lines)
    return sum(len(row.fields) for row in made), made


async def embedded(made: list[Row], folder: Path) -> int:
    """Bytes of the embedded store with these rows."""
    store = EmbeddedStore(folder)
    await store.start()
    for start in range(0, len(made), BATCH):
        await store.write(made[start : start + BATCH])
    await store.aclose()
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    hours = parser.parse_args().hours
    random.seed(1)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = InfluxDB(Path(folder) / "influx")
        server.command += AT_ONCE
        with server:
            for name in MIXES:
                bucket = server.create_bucket(name)
                values, made = fill(bucket, name, hours)
                engine = Path(folder) / "influx" / "engine"
                size = calm(engine / "data" / bucket.identifier, engine / "wal" / bucket.identifier)
                own = asyncio.run(embedded(made, Path(folder) / f"own-{name}"))
                found[name] = {
                    "values": values,
                    "influxdb_bytes_per_value": round(size / values, 2),
                    "embedded_bytes_per_value": round(own / values, 2),
                }
    report("store_size", {"hours": hours, "mixes": found})


if __name__ == "__main__":
    main()
