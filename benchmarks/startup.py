# SPDX-License-Identifier: Apache-2.0
"""How long `rackwatt up` takes to a page, to its first figures and to its first PUE; JSON.

Run: `python benchmarks/startup.py`. `cold`: an empty data folder (the operating system has the
files in memory: not after a reboot). `warm`: the same folder again, after a stop of a second.
Seconds count from the start of the command, looked at 5 to 10 times each. `use`: what each process
of the default site uses once all figures are there.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from e2e.whole import Whole

from benchmarks.parts.machine import memory_bytes, processor_seconds, report

POLL_SECONDS: Final = 0.1
LIMIT_SECONDS: Final = 60.0
USE_SECONDS: Final = 5.0
COMPLETE: Final = "rackwatt_completeness_ratio"
FIRST: Final = {
    "figures": "rackwatt_load_power_watts",
    "every_term_read": COMPLETE,
    "pue": "rackwatt_pue_ratio",
}
"""Metrics that appear one after the other; completeness counts once it is 1."""


def start(system: Whole) -> dict[str, float]:
    """Start it; returns the seconds to each of the first times."""
    begin = time.monotonic()
    system.start()
    found = {"page": time.monotonic() - begin}
    while len(found) <= len(FIRST):
        metrics = system.metrics()
        now = time.monotonic() - begin
        for what, name in FIRST.items():
            values = metrics.get(name, {}).values()
            if what not in found and values and (name != COMPLETE or min(values) == 1.0):
                found[what] = now
        if now > LIMIT_SECONDS:
            raise TimeoutError(f"after {now:.0f} s there is only {', '.join(found)}")
        time.sleep(POLL_SECONDS)
    return {f"{what}_seconds": round(seconds, 1) for what, seconds in found.items()}


def use(system: Whole) -> dict[str, Any]:
    """What each child of the supervisor uses, in cores and bytes."""
    assert system.process is not None
    pids = {"supervisor": system.process.pid}
    task = Path(f"/proc/{system.process.pid}/task/{system.process.pid}/children")
    for child in task.read_text(encoding="ascii").split():
        line = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        pids[_name(line)] = int(child)
    before = {name: processor_seconds(pid) for name, pid in pids.items()}
    begin = time.monotonic()
    time.sleep(USE_SECONDS)
    took = time.monotonic() - begin
    return {
        name: {
            "core_ratio": round((processor_seconds(pid) - before[name]) / took, 3),
            **memory_bytes(pid),
        }
        for name, pid in pids.items()
    }


def _name(command: list[str]) -> str:
    """What a child is, by its command line."""
    for part, name in (
        ("rackwatt.collector.roles.broker", "broker"),
        ("twin", "twin"),
        ("collect", "collector"),
        ("account", "accountant"),
    ):
        if part in command:
            return name
    files = [Path(part).stem for part in command if part.endswith(".yaml")]
    return "agents-gpu" if len(files) > 5 else f"agents {' '.join(files)}"


def main() -> int:
    """Measure and print."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        system = Whole(Path(name) / "data")
        try:
            found: dict[str, Any] = {"cold": start(system)}
            found["use"] = use(system)
            begin = time.monotonic()
            assert system.stop() == 0, system.output.read_text(encoding="utf-8")
            found["stop_seconds"] = round(time.monotonic() - begin, 1)
            found["warm"] = start(system)
            system.stop()
            assert system.nothing_left(), "a process was left"
        finally:
            system.close()
    report("startup", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
