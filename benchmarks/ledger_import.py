# SPDX-License-Identifier: Apache-2.0
"""How long `rackwatt ledger import` takes for a month and a year of minutes; JSON on stdout.

Run: `python benchmarks/ledger_import.py [--days 31 365]`. A made-up site with panels, wind, grid,
a battery that works all day, and meters with some error; the command as it is typed, start-up of
Python included. Wall time, processor time of both its processes, and the most memory it held.
"""

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report

MINUTES_PER_DAY: Final = 1440
HEADER: Final = (
    "time,interval_seconds,pv,wind,grid_import,genset,battery_discharge,battery_charge,"
    "grid_export,load_it,load_cooling,load_other"
)
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SITE: Final = Path(__file__).resolve().parents[1] / "docs" / "examples" / "import-site.yaml"


def lines(days: int) -> Iterator[str]:
    """Rows of a minute each."""
    dice = random.Random(days)  # noqa: S311 - no secret
    stock = 0.0
    for minute in range(days * MINUTES_PER_DAY):
        of_day = minute % MINUTES_PER_DAY
        pv = max(0.0, math.sin((of_day - 360) / 720 * math.pi)) * 9000 * dice.random()
        wind, it = dice.random() * 5000, 6000 + dice.random() * 800
        cooling, other = 900 + dice.random() * 99, 200 + dice.random() * 10
        over = pv + wind - it - cooling - other
        charge = min(max(over, 0.0), 3000.0)
        discharge = min(max(-over, 0.0), 0.99 * stock, 2500.0)
        stock += 0.9 * charge - discharge
        bought = max(-over - discharge, 0.0) * dice.gauss(1.0, 0.002)
        sold = max(over - charge, 0.0)
        values = (pv, wind, bought, 0.0, discharge, charge, sold, it, cooling, other)
        time_text = (_START + timedelta(minutes=minute)).isoformat()
        yield f"{time_text},60,{','.join(map(repr, values))}\n"


def measure(folder: Path, days: int) -> dict[str, Any]:
    """Import so many days."""
    flows, out = folder / f"flows-{days}.csv", folder / f"ledger-{days}.csv"
    with flows.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        file.writelines(lines(days))
    command = [sys.executable, "-m", "rackwatt.collector.cli", "ledger", "import", str(flows)]
    command += ["--site", str(_SITE), "--out", str(out), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = json.loads(done.stdout)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    errors = [line["relative_error"] for line in summary["closing"]]
    return {
        "days": days,
        "rows": summary["rows"],
        "wall_seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "microseconds_per_row": round(wall / summary["rows"] * 1e6, 1),
        "most_memory_bytes": after.ru_maxrss * 1024,
        "worst_closing_error": max(errors),
        "flows_bytes": flows.stat().st_size,
        "ledger_bytes": out.stat().st_size,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, nargs="+", default=[31, 365])
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory() as name:
        report("ledger_import", {"imports": [measure(Path(name), count) for count in days]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
