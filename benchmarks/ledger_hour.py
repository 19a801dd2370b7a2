# SPDX-License-Identifier: Apache-2.0
"""What the end of an hour costs the ledger of the reference campus; JSON on stdout.

Run: `python benchmarks/ledger_hour.py [--racks 2540] [--meters 500]`. Two PDUs for each rack are
read every 10 s and the site's meters every second, power and register: at 2,540 racks 7 million
values an hour. Each minute is closed as it comes; at the hour's end all of it is metered once more,
since only then does a coarse register give the hour its sum. GPUs' counters are not among them.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report
from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.site import load_site

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
BEGIN: Final = 1_790_000_000_000 // HOUR * HOUR
SETTLED: Final = 31_000
"""An interval closes 30 s after its end."""


def site_text(racks: int, meters: int) -> str:
    """The site file: half of the meters feed in, half are other loads."""
    lines = ["site: {id: bench, timezone: UTC, country: MA}", "meters:"]
    for at in range(meters):
        role = "grid" if at % 2 == 0 else "other"
        lines.append(f"  - {{id: m-{at}, role: {role}, cadence: 1s}}")
    lines += [
        f"  - {{id: p-{at}, role: it, position: pdu_output, cadence: 10s}}"
        for at in range(2 * racks)
    ]
    return "\n".join(lines) + "\n"


def minute(number: int, racks: int, meters: int) -> Iterator[InputRecord]:
    """The readings of one minute, those at its end among them."""
    for second in range(1, 61):
        passed = number * 60 + second
        at = BEGIN + passed * 1000
        names = [f"m-{n}" for n in range(meters)]
        if second % 10 == 0:
            names += [f"p-{n}" for n in range(2 * racks)]
        for name in names:
            values: dict[str, float | None] = {
                "power_watts": 30_000.0,
                "energy_import_watt_hours": 30_000.0 * passed / 3600,
            }
            yield InputRecord(name, at, values, at + 500)


def measure(folder: Path, racks: int, meters: int) -> dict[str, Any]:
    """Book an hour minute by minute, and then the hour."""
    file = folder / "site.yaml"
    file.write_text(site_text(racks, meters), encoding="utf-8")
    site = load_site(file)
    factors, battery = site_factors(site), battery_parameters(site)
    book = Ledger(folder / "ledger.db", site, factors, battery, initial_stock(site))
    taken: list[float] = []
    closed: list[tuple[float, float]] = []
    count = 0
    for number in range(-1, 60):
        records = list(minute(number, racks, meters))
        begin = time.perf_counter()
        book.apply(records, number + 2)
        taken.append(time.perf_counter() - begin)
        count += len(records)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin, busy = time.perf_counter(), time.process_time()
        book.close_intervals(BEGIN + (number + 1) * MINUTE + SETTLED)
        closed.append((time.perf_counter() - begin, time.process_time() - busy))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    book.close()
    (hour, processor), minutes = closed[-1], [took for took, _ in closed[1:-1]]
    return {
        "racks": racks,
        "terms": 2 * racks + meters,
        "readings_an_hour": count * 60 // 61,
        "take_in_microseconds_per_reading": round(sum(taken) / count * 1e6, 1),
        "close_a_minute_seconds": round(median(minutes), 2),
        "close_the_hour_seconds": round(hour, 2),
        "close_the_hour_processor_seconds": round(processor, 2),
        "memory_grown_at_the_hour_bytes": grown * 1024,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--racks", type=int, default=2540)
    parser.add_argument("--meters", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report("ledger_hour", measure(Path(name), options.racks, options.meters))


if __name__ == "__main__":
    main()
