# SPDX-License-Identifier: Apache-2.0
"""Looks at a running system every five seconds: metrics, processor time, memory."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.parts.campus_system import System
from benchmarks.parts.machine import memory_bytes, percentile

EVERY_SECONDS: Final = 5.0
BUCKETS: Final = "rackwatt_store_rows_within_total"
Metrics = Mapping[str, float]
"""Series as they stand in the text, and their values."""


def scraped(text: str) -> dict[str, float]:
    """The series of an exposition."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def summed(metrics: Metrics, name: str) -> float:
    """All series of a metric together."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)


def together(parts: Sequence[Metrics]) -> dict[str, float]:
    """The metrics of all collectors: sums, and of ages the oldest."""
    found: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            before = found.get(name, 0.0)
            found[name] = max(before, value) if "_oldest_" in name else before + value
    return found


@dataclass(slots=True)
class Look:
    """One look."""

    at: float
    """Seconds since 1970 UTC."""
    used: dict[str, float]
    resident: dict[str, int]
    collector: dict[str, float]
    scrape_seconds: dict[str, float] = field(default_factory=dict)
    series: dict[str, int] = field(default_factory=dict)
    figures_lag: float | None = None


class Watcher:
    """Looks in a thread of its own until stopped.

    Args:
        system: what to look at.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.looks: list[Look] = []
        self.failures: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                self.looks.append(self.look())
            except OSError as error:
                self.failures.append(f"{time.time():.1f}: {error}")
            due = max(due + EVERY_SECONDS, time.monotonic())
            self._stop.wait(due - time.monotonic())

    def look(self) -> Look:
        """Look once.

        Raises:
            OSError: somebody does not answer.
        """
        system = self._system
        seconds: dict[str, float] = {}
        found: dict[str, dict[str, float]] = {}
        for name, address in (*system.collectors.items(), ("accountant", system.accountant)):
            begin = time.perf_counter()
            text = system.get(address, "/metrics")
            seconds[name], now = time.perf_counter() - begin, time.time()
            found[name] = scraped(text)
        stamps = [
            value
            for name, value in found["accountant"].items()
            if name.startswith("rackwatt_figures_timestamp_seconds")
        ]
        return Look(
            at=time.time(),
            used=system.used(),
            resident={
                name: memory_bytes(pid)["resident_bytes"] for name, pid in system.pids.items()
            },
            collector=together([found[name] for name in system.collectors]),
            scrape_seconds=seconds,
            series={name: len(metrics) for name, metrics in found.items()},
            figures_lag=now - stamps[0] if stamps else None,
        )


def spread_of(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, p95 and most."""
    if not values:
        return {}
    return {
        "p50": round(percentile(values, 0.5), digits),
        "p95": round(percentile(values, 0.95), digits),
        "max": round(max(values), digits),
    }


def delays(before: Metrics, after: Metrics) -> dict[str, Any]:
    """How old rows were when they were stored between two looks, from the counts by bound."""
    counts = sorted(
        (float(key.split('"')[1].replace("+Inf", "inf")), after[key] - before.get(key, 0.0))
        for key in after
        if key.startswith(BUCKETS)
    )
    total = counts[-1][1] if counts else 0.0
    if not total:
        return {}
    found: dict[str, Any] = {"rows": int(total)}
    for name, ratio in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        found[f"{name}_seconds"] = _quantile(counts, ratio * total)
    for bound, count in counts:
        if count >= total:
            found["all_within_seconds"] = bound if bound < float("inf") else None
            break
    return found


def _quantile(counts: Sequence[tuple[float, float]], wanted: float) -> float | None:
    """By a straight line within its bucket; None: beyond the last bound."""
    low = under = 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return None
            return round(low + (bound - low) * (wanted - under) / max(count - under, 1.0), 2)
        low, under = bound, count
    return None
