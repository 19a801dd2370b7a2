# SPDX-License-Identifier: Apache-2.0
"""What the site file of a campus costs to check and to load; JSON on stdout.

Run: `python benchmarks/site_file.py [--racks 2540]`. The same site in three forms: `patterns`, a
line a row; `lists`, racks and metered PDUs by name; `explicit`, every rack with all of its nodes,
PDUs and sensors by name, one name a line, which is the longest that anybody could write. `check` is
`rackwatt site check` as a process, `load` the call alone, both in processes of their own; `parsed`
is what libyaml takes of `load`; `place` a look-up of a GPU.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import memory_bytes, report

RACKS_PER_ROW: Final = 20
NODES: Final = 18
SENSORS: Final = 38
FORMS: Final = ("patterns", "lists", "explicit")
LOOKUPS: Final = 200_000
AT_MS: Final = 1_790_000_000_000
_HEAD: Final = "site: {id: campus, timezone: Africa/Casablanca, country: MA}\n"


def racks_of(racks: int) -> Iterator[tuple[str, list[str]]]:
    """Rows with the names of their racks."""
    for first in range(0, racks, RACKS_PER_ROW):
        row = f"{first // RACKS_PER_ROW + 1:03d}"
        count = min(RACKS_PER_ROW, racks - first)
        yield row, [f"r{row}-{number:02d}" for number in range(1, count + 1)]


def document(form: str, racks: int) -> str:
    """The site file in a form."""
    rows = list(racks_of(racks))
    pdus = [f"{rack}-pdu-{side}" for _, names in rows for rack in names for side in "ab"]
    if form == "patterns":
        pdus = [f'"r{row}-[01-{len(names):02d}]-pdu-[a-b]"' for row, names in rows]
    lines = [
        "- {id: grid-1, role: grid}",
        f"- {{id: it, role: it, position: pdu_output, sum: [{', '.join(pdus)}]}}",
        "halls:\n- id: hall-a\n  rows:",
        *(_row(form, row, names) for row, names in rows),
    ]
    return _HEAD + "meters:\n" + "\n".join(lines) + "\n"


def _row(form: str, row: str, racks: list[str]) -> str:
    if form == "explicit":
        return "\n".join(_rack(row, rack) for rack in racks)
    names = f"'r{row}-[01-{len(racks):02d}]'" if form == "patterns" else f"[{', '.join(racks)}]"
    return (
        f"  - id: row-{row}\n    racks: {names}\n    nodes: '{{rack}}-n[01-{NODES}]'\n"
        "    pdus: '{rack}-pdu-[a-b]'\n"
        "    sensors: {inlet: '{rack}-air-00', outlet: '{rack}-air-01'}\n"
        f"    devices: '{{rack}}-air-[02-{SENSORS - 1}]'"
    )


def _rack(row: str, rack: str) -> str:
    """A rack as a row of its own: only so can each node be named under its rack."""
    lists = {
        "nodes": [f"{rack}-n{number:02d}" for number in range(1, NODES + 1)],
        "pdus": [f"{rack}-pdu-{side}" for side in "ab"],
        "devices": [f"{rack}-air-{number:02d}" for number in range(2, SENSORS)],
    }
    body = "\n".join(
        f"    {key}:\n" + "\n".join(f"    - {name}" for name in names)
        for key, names in lists.items()
    )
    return (
        f"  - id: row-{row}-{rack}\n    racks: {rack}\n{body}\n"
        f"    sensors:\n      inlet: {rack}-air-00\n      outlet: {rack}-air-01"
    )


def loaded(path: Path) -> dict[str, Any]:
    """Load it once, in this process."""
    import yaml

    from rackwatt.collector.site import load_site
    from rackwatt.wire.cycles import no_search

    before = memory_bytes(os.getpid())["resident_bytes"]
    begin, spent = time.perf_counter(), time.process_time()
    site = load_site(path)
    found = {
        "load_seconds": time.perf_counter() - begin,
        "load_processor_seconds": time.process_time() - spent,
        "resident_bytes": memory_bytes(os.getpid())["resident_bytes"] - before,
    }
    begin = time.perf_counter()
    with no_search():
        yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    found["parsed_seconds"] = time.perf_counter() - begin
    rack = site.racks[len(site.racks) // 2]
    names = [f"{node}/GPU-{gpu}" for node in rack.nodes for gpu in range(4)]
    begin = time.perf_counter()
    for _ in range(LOOKUPS // len(names)):
        for name in names:
            site.place(name, AT_MS)
    calls = LOOKUPS // len(names) * len(names)
    found["place_microseconds"] = (time.perf_counter() - begin) / calls * 1e6
    found |= {"racks": len(site.racks), "nodes": sum(len(rack.nodes) for rack in site.racks)}
    return found


def checked(path: Path) -> float:
    """Seconds of `rackwatt site check`."""
    command = [sys.executable, "-m", "rackwatt.collector.cli", "site", "check", str(path)]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def measure(folder: Path, racks: int, repeats: int) -> dict[str, Any]:
    """Each form, each time in new processes; medians, and of the check the least and the most."""
    found: dict[str, Any] = {}
    for form in FORMS:
        path = folder / f"{form}.yaml"
        path.write_text(document(form, racks), encoding="utf-8")
        again = [sys.executable, __file__, "--load", str(path)]
        runs = [
            json.loads(subprocess.run(again, check=True, capture_output=True).stdout)
            for _ in range(repeats)
        ]
        checks = sorted(checked(path) for _ in range(repeats))
        found[form] = {
            "file_bytes": path.stat().st_size,
            "check_seconds": round(statistics.median(checks), 3),
            "check_seconds_range": [round(checks[0], 3), round(checks[-1], 3)],
            **{name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]},
        }
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--racks", type=int, default=2540)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load is not None:
        print(json.dumps(loaded(options.load)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        report("site_file", measure(Path(name), options.racks, options.repeats))
    return 0


if __name__ == "__main__":
    sys.exit(main())
