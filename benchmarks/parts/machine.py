# SPDX-License-Identifier: Apache-2.0
"""What a benchmark says of the machine, of a process on it, and of numbers that were repeated."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PACKAGES: Final = ("aiomqtt", "paho-mqtt", "pydantic", "influxdb-client", "uvicorn", "starlette")


def describe() -> dict[str, Any]:
    """Where and when: goes into every result."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * _PAGE,
        "load_average_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def report(name: str, result: Mapping[str, Any]) -> None:
    """Print a result as JSON."""
    print(json.dumps({"benchmark": name, "machine": describe(), **result}, indent=2))


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that a process has used so far, all its threads."""
    # The name in parentheses may hold spaces: count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_bytes(pid: int) -> dict[str, int]:
    """What a process holds: resident, and its share of what it shares with others."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name in {"Rss", "Pss"}:
            found[f"{'resident' if name == 'Rss' else 'proportional'}_bytes"] = (
                int(rest.split()[0]) * 1024
            )
    return found


def seconds_each(work: Callable[[], object], calls: int, runs: int) -> list[float]:
    """Seconds per call, for each of `runs` times `calls` calls, after one run that warms up."""
    found: list[float] = []
    for run in range(runs + 1):
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        if run:
            found.append((time.perf_counter() - begin) / calls)
    return found


def spread(
    values: Sequence[float], scale: float = 1.0, digits: int = 3
) -> float | dict[str, float]:
    """Median, least and most of repeated numbers; the number itself when there is one."""
    if len(values) == 1:
        return round(values[0] * scale, digits)
    return {
        "median": round(statistics.median(values) * scale, digits),
        "min": round(min(values) * scale, digits),
        "max": round(max(values) * scale, digits),
    }


def percentile(values: Sequence[float], ratio: float) -> float:
    """The value below which `ratio` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(ratio * len(values)))]
