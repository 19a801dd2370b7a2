# SPDX-License-Identifier: Apache-2.0
"""How fast the ledger books a month from inputs, and restates it; JSON on stdout.

Run: `python benchmarks/ledger_recompute.py [--days 30] [--profile]`. Eight meters read once a
minute, power and register, a battery that cycles every day. Four things are measured: booking the
month for the first time; restating it from inputs, rows coming out as they were; the same after the
grid's factors have changed, so that each row is another one; restating it when only the battery's
state before it has changed, each row then being booked again from its own booking.
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from math import pi, sin
from pathlib import Path
from typing import Any, Final, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report
from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.ledger.verify import Verification, verify
from rackwatt.collector.site import Site, load_site

MINUTE: Final = 60_000
DAY: Final = 1_440 * MINUTE
BEGIN: Final = 1_790_000_000_000 // DAY * DAY
SITE: Final = """\
site: {id: bench, timezone: UTC, country: MA}
battery: {capacity_wh: 400000, charge_efficiency: 0.95, discharge_efficiency: 0.95,
  initial_wh: 300000}
meters:
  - {id: grid-1, role: grid, cadence: 60s}
  - {id: pv-1, role: pv, cadence: 60s}
  - {id: wind-1, role: wind, cadence: 60s}
  - {id: battery-1, role: battery, cadence: 60s}
  - {id: it-1, role: it, position: pdu_output, cadence: 60s}
  - {id: it-2, role: it, position: pdu_output, cadence: 60s}
  - {id: cooling-1, role: cooling, cadence: 60s}
  - {id: other-1, role: other, cadence: 60s}
"""
OTHER_FACTORS: Final = "carbon: {factors: {grid: {life_cycle: 700.0, direct: 650.0}}}\n"
T = TypeVar("T")


def readings(days: int) -> Iterator[list[InputRecord]]:
    """An hour of readings at a time."""
    counted: dict[tuple[str, str], float] = {}
    hour: list[InputRecord] = []
    for minute in range(-1, days * 1_440 + 1):
        sun = max(0.0, sin(2 * pi * (minute % 1_440) / 1_440)) * 90_000.0
        wind = 20_000.0 + 10_000.0 * sin(minute / 300)
        flow = sun + wind - 80_000.0
        charge, discharge = min(max(flow, 0.0), 30_000.0), min(max(-flow, 0.0), 8_000.0)
        watts = {
            ("grid-1", "import"): 100_000.0 - sun - wind + charge - discharge + 30_000.0,
            ("pv-1", "import"): sun,
            ("wind-1", "import"): wind,
            ("battery-1", "charge"): charge,
            ("battery-1", "discharge"): discharge,
            ("it-1", "import"): 60_000.0,
            ("it-2", "import"): 50_000.0,
            ("cooling-1", "import"): 15_000.0 + 100.0 * sin(minute / 60),
            ("other-1", "import"): 5_000.0 - 100.0 * sin(minute / 60),
        }
        values: dict[str, dict[str, float | None]] = {}
        for (device, way), power in watts.items():
            counted[device, way] = counted.get((device, way), 0.0) + power / 60
            own = values.setdefault(device, {})
            own["power_watts" if way == "import" else f"power_{way}_watts"] = power
            own[f"energy_{way}_watt_hours"] = counted[device, way]
        at = BEGIN + minute * MINUTE
        hour += [InputRecord(device, at, own, at + 500) for device, own in values.items()]
        if minute % 60 == 59:
            yield hour
            hour = []
    yield hour


def timed(work: Callable[[], T], *, profile: bool) -> tuple[float, float, T]:
    """Do something; say how long it and the processor took, and where if that is asked for."""
    profiler = cProfile.Profile()
    begin, busy = time.perf_counter(), time.process_time()
    if profile:
        profiler.enable()
    result = work()
    took, busy = time.perf_counter() - begin, time.process_time() - busy
    if profile:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(30)
    return took, busy, result


def figures(name: str, took: Sequence[float], rows: int) -> dict[str, float]:
    """What is told of one part, by its seconds and those of the processor."""
    seconds, processor = took
    return {
        f"{name}_seconds": round(seconds, 2),
        f"{name}_processor_seconds": round(processor, 2),
        f"{name}_microseconds_per_row": round(seconds / max(rows, 1) * 1e6, 1),
        f"{name}_processor_microseconds_per_row": round(processor / max(rows, 1) * 1e6, 1),
    }


def opened(folder: Path, text: str) -> tuple[Site, Ledger]:
    """Open the books of a site."""
    file = folder / "site.yaml"
    file.write_text(text, encoding="utf-8")
    site = load_site(file)
    factors, battery = site_factors(site), battery_parameters(site)
    return site, Ledger(folder / "ledger.db", site, factors, battery, initial_stock(site))


def measure(folder: Path, days: int, *, profile: bool) -> dict[str, Any]:
    """Book a month, restate it, change the battery before it, verify it."""
    site, book = opened(folder, SITE)
    path = folder / "ledger.db"
    now = BEGIN + days * DAY + MINUTE

    def take_in() -> int:
        count = 0
        for number, hour in enumerate(readings(days)):
            book.apply(hour, number)
            count += len(hour)
        return count

    taken, _, count = timed(take_in, profile=profile)
    *booked, done = timed(lambda: book.close_intervals(now), profile=profile)
    size = path.stat().st_size
    book.restate(BEGIN, now, "bench", "to measure it")
    *again, unchanged = timed(book.book_again, profile=profile)
    assert unchanged.restated == 0, unchanged
    book.close()
    site, book = opened(folder, OTHER_FACTORS + SITE)
    book.restate(BEGIN, now, "bench", "to measure it")
    *other, changed = timed(book.book_again, profile=profile)
    assert changed.restated > 0.9 * done.closed, changed
    at = BEGIN + 3 * 60 * MINUTE
    book.apply([InputRecord("pv-1", at, {"energy_import_watt_hours": 101_300.0}, at)], 0, "late")
    *carried, moved = timed(book.book_again, profile=profile)
    head = book.head_seq()
    book.close()
    stock, factors, battery = initial_stock(site), site_factors(site), battery_parameters(site)

    def prove() -> Verification:
        return verify(path, site=site, factors=factors, battery=battery, initial_watt_hours=stock)

    proved, _, proof = timed(prove, profile=profile)
    assert proof.sound, proof.findings[:3]
    rows = done.closed
    return {
        "days": days,
        "rows": rows,
        "apply_microseconds_per_reading": round(taken / count * 1e6, 1),
        **figures("book", booked, rows),
        **figures("restate_from_inputs", again, rows),
        "restate_with_other_factors_rows": changed.restated,
        **figures("restate_with_other_factors", other, changed.restated),
        "battery_only_rows": moved.restated,
        **figures("battery_only", carried, moved.restated),
        "verify_seconds": round(proved, 2),
        "entries": head,
        "file_bytes_per_day": round(size / days),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), options.days, profile=options.profile)
        report("ledger_recompute", result)


if __name__ == "__main__":
    main()
