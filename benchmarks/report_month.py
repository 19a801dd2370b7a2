# SPDX-License-Identifier: Apache-2.0
"""The report of a month, made and proved, by the size of the site; JSON on stdout.

Run: `python benchmarks/report_month.py [--racks 16 2500] [--cache DIR]`. For each size: halls of at
most 254 racks with 18 nodes and two metered PDUs each, 40 tenants. One quarter hour is booked and
attributed by the ledger itself, from readings of all meters; the month's other minutes and quarter
hours are copies of it, chained as ever, since a campus takes hours to book. Then, each in a process
of its own, `rackwatt report --month 2026-10` with its PDF and statements, the same where the books
hold the month before and the one of last year too, and `rackwatt report verify`. With `--cache` the
ledgers are kept there, and taken from there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report
from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.chain import ATTRIBUTION, INTERVAL, canonical_row
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.ledger.counters import QUARTER_MS, CounterRecord
from rackwatt.collector.ledger.journal import Journal, New
from rackwatt.collector.ledger.meta import CLOSED, FIRST, Meta
from rackwatt.collector.site import Site, load_site
from rackwatt.wire.database import connect

MINUTE: Final = 60_000
STEP: Final = 300_000
HALL: Final = 254
TENANTS: Final = 40
MONTHS: Final = ("2025-10", "2026-09", "2026-10")


def site_file(path: Path, racks: int) -> Site:
    """Write a site of so many racks."""
    names = [f"r[{low:04d}-{min(low + HALL - 1, racks):04d}]" for low in range(1, racks + 1, HALL)]
    halls = "\n".join(
        f"  - {{id: hall-{n}, rows: [{{id: row-{n}, racks: '{one}', nodes: '{{rack}}-n[01-18]',"
        " pdus: '{rack}-pdu-[a-b]'}]}"
        for n, one in enumerate(names, 1)
    )
    share = max(racks // TENANTS, 1)
    tenants = "\n".join(
        f"  - {{id: t{n:03d}, kind: company, country: MA, assignments: [{{racks:"
        f" 'r[{low:04d}-{low + share - 1:04d}]'}}]}}"
        for n, low in enumerate(range(1, racks - share + 2, share), 1)
    )
    path.write_text(
        "site: {id: bench, name: Benchmark, timezone: UTC, country: MA}\n"
        "meters:\n  - {id: grid-1, role: grid}\n  - {id: pv-1, role: pv}\n"
        "  - {id: cooling-1, role: cooling}\n"
        f"  - {{id: it, role: it, position: pdu_output, sum: ['r[0001-{racks:04d}]-pdu-[a-b]']}}\n"
        f"halls:\n{halls}\ntenants:\n{tenants}\n",
        encoding="utf-8",
    )
    return load_site(path)


def begin_of(month: str) -> int:
    return int(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp()) * 1000


def end_of(month: str) -> int:
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12}-{number % 12 + 1:02d}"
    return begin_of(following)


def booked(folder: Path, site: Site, start: int) -> tuple[str, str]:
    """Book a quarter hour from readings; return the text of a minute and of the quarter."""
    watts = {pdu: 9_000.0 for rack in site.racks for pdu in rack.pdus}
    total = sum(watts.values())
    watts |= {"grid-1": 0.7 * total, "pv-1": 0.5 * total, "cooling-1": 0.15 * total}
    times = range(start - STEP, start + QUARTER_MS + 2 * STEP, STEP)
    readings = [
        InputRecord(name, at, {"energy_import_watt_hours": own * (at - start + STEP) / 3.6e6}, at)
        for at in times
        for name, own in watts.items()
    ]
    counters = [
        CounterRecord(f"{node}/GPU-{gpu}", at, 900.0 * (at - start + STEP) / 3.6e6, at)
        for at in times
        for rack in site.racks
        for node in rack.nodes
        for gpu in range(4)
    ]
    with closing(open_ledger(folder / "ledger.db", site)) as book:
        book.apply(readings, 1, counters=counters)
        book.close_intervals(start + QUARTER_MS + 31_000)
        attributor = Attributor(site, book.metered, book.counters, book.closed_through_ms)
        rows = list(book.rows(start, start + QUARTER_MS))
        quarter = attributor.row(start, rows)
        if quarter is None or len(rows) != QUARTER_MS // MINUTE:
            raise SystemExit("the quarter hour was not booked")
        return rows[-1].text, canonical_row(quarter)


def filled(folder: Path, racks: int, months: Sequence[str]) -> Path:
    """A ledger that holds these months."""
    folder.mkdir(parents=True, exist_ok=True)
    site = site_file(folder / "site.yaml", racks)
    first = begin_of(months[0])
    minute, quarter = booked(folder, site, first)
    with closing(connect(folder / "ledger.db")) as db:
        journal, meta = Journal(db), Meta(db)
        db.execute("BEGIN")
        done = meta.get(CLOSED) or first
        quarters = {
            at
            for (at,) in db.execute("SELECT start_ms FROM journal WHERE kind = ?", (ATTRIBUTION,))
        }
        for month in months:
            low, high = max(begin_of(month), done), end_of(month)
            journal.extend(
                INTERVAL,
                (New(at, 1, "closed", "rackwatt", minute) for at in range(low, high, MINUTE)),
            )
            journal.extend(
                ATTRIBUTION,
                (
                    New(at, 1, "closed", "rackwatt", quarter)
                    for at in range(begin_of(month), high, QUARTER_MS)
                    if at not in quarters
                ),
            )
            meta.set(CLOSED, high)
        meta.set(FIRST, first)
        db.execute("COMMIT")
    return folder


def timed(*arguments: str) -> tuple[float, float]:
    """Run `rackwatt …` to its end; seconds, and seconds of processor time."""
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rackwatt.collector.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    after = os.times()
    spent = after.children_user + after.children_system
    return time.perf_counter() - begin, spent - before.children_user - before.children_system


def measure(folder: Path, racks: int) -> dict[str, Any]:
    """What a size takes."""
    found: dict[str, Any] = {"racks": racks, "tenants": min(TENANTS, racks)}
    for name, months in (("alone", MONTHS[-1:]), ("compared", MONTHS)):
        data = folder / f"{racks}-{name}"
        if not (data / "ledger.db").exists():
            filled(data, racks, months)
        out = data / "out"
        seconds, spent = timed(
            "report", "--month", MONTHS[-1], "--data", str(data), "--out", str(out)
        )
        found[name] = {"seconds": round(seconds, 2), "processor_seconds": round(spent, 2)}
        found[name]["ledger_bytes"] = (data / "ledger.db").stat().st_size
    file = folder / f"{racks}-alone" / "out" / f"rackwatt-bench-{MONTHS[-1]}-en.json"
    seconds, _ = timed("report", "verify", str(file), "--data", str(folder / f"{racks}-alone"))
    found["verify_seconds"] = round(seconds, 2)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--racks", type=int, nargs="+", default=[16, 2500])
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.cache or Path(name)
        report("report_month", {"sizes": [measure(folder, racks) for racks in options.racks]})


if __name__ == "__main__":
    main()
