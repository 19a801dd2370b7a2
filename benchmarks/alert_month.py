# SPDX-License-Identifier: Apache-2.0
"""Pages per shift in a simulated month of normal life; JSON on stdout.

Run: `python benchmarks/alert_month.py [--days 30] [--workers 3] [--seed 1]`. A month of metrics of
the demo site, with mishaps by `benchmarks/parts/month_of_metrics.py`, goes into a real Prometheus
by `promtool tsdb create-blocks-from openmetrics`. The rules, with the site's own threshold where it
needs one, are asked of it over the whole month every 20 s, `for` and `keep_firing_for` are applied
to the answers, then the shipped inhibition and grouping of Alertmanager. What is counted is how
often a telephone rings.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from benchmarks.parts.machine import report
from benchmarks.parts.month_of_metrics import DAY, Mishap, schedule, write
from servers.programs import require
from servers.prometheus import Prometheus

ROOT: Final = Path(__file__).resolve().parents[1]
BEGIN: Final = 1_790_000_000 // DAY * DAY
STEP: Final = 20
SHIFT: Final = 12 * 3600
BUDGET: Final = 2
DAYS_A_PIECE: Final = 2
SETTINGS: Final = "thresholds: {battery_ride_through_seconds: {warn: 0, bad: 0}}\n"
"""The demo's battery stores the sun; it is no reserve, and empty each morning."""


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fired."""

    labels: Mapping[str, str]
    start: int
    end: int


def make_blocks(begin: int, days: int, mishaps: list[Mishap], out: Path) -> int:
    """Write some days as blocks; return how many samples."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "metrics.txt"
        with text.open("w", encoding="utf-8") as file:
            count = write(file, begin, days, mishaps)
        subprocess.run(
            [require("promtool"), "tsdb", "create-blocks-from", "openmetrics", text, out],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return count


def build_rules(folder: Path) -> Path:
    """The rules with the thresholds of this site, as an operator would build them."""
    settings, out = folder / "settings.yaml", folder / "own-rules"
    settings.write_text(SETTINGS, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "rackwatt.collector.cli", "alerts", "build",
         "--settings", settings, "--out", out],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return out


def fired(rule: Mapping[str, Any], prometheus: Prometheus, days: int) -> Iterator[Firing]:
    """When a rule fired, by its labels."""
    active: dict[tuple[tuple[str, str], ...], set[int]] = defaultdict(set)
    for day in range(days):
        start = BEGIN + day * DAY
        answer = prometheus.get(
            "query_range", query=rule["expr"], start=str(start), end=str(start + DAY - STEP),
            step=str(STEP),
        )  # fmt: skip
        for series in answer["result"]:
            own = {n: v for n, v in series["metric"].items() if n != "__name__"}
            key = tuple(sorted({**own, **rule["labels"], "alertname": rule["alert"]}.items()))
            active[key].update(int(float(at)) for at, _ in series["values"])
    wait, keep = (_seconds(rule.get(name, "0s")) for name in ("for", "keep_firing_for"))
    for key, times in active.items():
        for start, end in _spans(sorted(times)):
            if end - start >= wait:
                yield Firing(dict(key), start + wait, end + STEP + keep)


def _seconds(text: str) -> int:
    return round(float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": DAY}[text[-1]])


def _spans(times: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = last = times[0]
    for at in times[1:]:
        if at - last > STEP:
            yield start, last
            start = at
        last = at
    yield start, last


def audible(found: Sequence[Firing], inhibitions: Sequence[Mapping[str, Any]]) -> list[Firing]:
    """What no other alert keeps quiet at its start, a group's wait granted."""
    quiet: set[int] = set()
    for rule in inhibitions:
        spans: dict[tuple[str | None, ...], list[Firing]] = defaultdict(list)
        for one in found:
            if _fits(rule["source_matchers"], one.labels):
                spans[tuple(one.labels.get(n) for n in rule["equal"])].append(one)
        for index, one in enumerate(found):
            if spans and _fits(rule["target_matchers"], one.labels):
                causes = spans.get(tuple(one.labels.get(n) for n in rule["equal"]), [])
                if any(c.start <= one.start + 5 < c.end for c in causes if c is not one):
                    quiet.add(index)
    return [one for index, one in enumerate(found) if index not in quiet]


def _fits(matchers: Sequence[str], labels: Mapping[str, str]) -> bool:
    for text in matchers:
        name, sign, value = re.fullmatch(r'(\w+)(=~|=)"(.*)"', text).groups()  # type: ignore[union-attr]
        own = labels.get(name, "")
        if not (re.fullmatch(value, own) if sign == "=~" else own == value):
            return False
    return True


def rings(found: Sequence[Firing]) -> list[tuple[int, str]]:
    """When a telephone rings, and for what: once for a group that opens or that gets more."""
    groups: dict[tuple[str, ...], list[Firing]] = defaultdict(list)
    for one in found:
        groups[tuple(one.labels.get(n, "") for n in ("alertname", "site", "hall"))].append(one)
    told: list[tuple[int, str]] = []
    for key, members in groups.items():
        last = None
        for one in sorted(members, key=lambda m: m.start):
            if last is None or one.start - last >= 60:
                told.append((one.start, key[0]))
                last = one.start
    return sorted(told)


def month(days: int, workers: int, seed: int, folder: Path) -> dict[str, Any]:
    """Simulate, evaluate, count."""
    mishaps, data = schedule(days, BEGIN, seed), folder / "data"
    begun = time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        pieces = [
            pool.submit(make_blocks, BEGIN + day * DAY, min(DAYS_A_PIECE, days - day),
                        mishaps, folder / f"piece-{day}")
            for day in range(0, days, DAYS_A_PIECE)
        ]  # fmt: skip
        samples = sum(piece.result() for piece in pieces)
    data.mkdir()
    for block in folder.glob("piece-*/*"):
        block.rename(data / block.name)
    made = time.monotonic() - begun
    result = judged(folder, days, workers)
    return {
        "days": days, "samples": samples, "mishaps": dict(Counter(one.kind for one in mishaps)),
        **result,
        "seconds_simulating": round(made, 1), "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def judged(folder: Path, days: int, workers: int) -> dict[str, Any]:
    """What the rules say of the blocks in a folder."""
    own = build_rules(folder)
    prometheus = Prometheus(folder, {}, [], rules=own)
    prometheus.command += ["--storage.tsdb.retention.time=10y"]
    rules = [
        rule
        for path in sorted(own.glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    asked = [rule for rule in rules if "absent" not in rule["expr"]]
    with prometheus, ThreadPoolExecutor(workers) as pool:
        answers = pool.map(lambda rule: list(fired(rule, prometheus, days)), asked)
        found = [one for answer in answers for one in answer]
    routing = yaml.safe_load((ROOT / "alerts" / "alertmanager.yaml").read_text(encoding="utf-8"))
    loud = audible(found, routing["inhibit_rules"])
    pages = rings([f for f in loud if f.labels["severity"] in {"page", "safety"}])
    tickets = rings([f for f in loud if f.labels["severity"] == "ticket"])
    shifts = Counter((at - BEGIN) // SHIFT for at, _ in pages)
    count = -(-days * DAY // SHIFT)
    return {
        "shift_hours": SHIFT // 3600, "rules": len(rules),
        "pages": len(pages), "pages_by_alert": dict(Counter(name for _, name in pages)),
        "pages_per_shift_mean": round(len(pages) / count, 3),
        "pages_per_shift_max": max(shifts.values(), default=0),
        "shifts_over_budget": sum(n > BUDGET for n in shifts.values()), "shifts": count,
        "tickets": len(tickets), "tickets_by_alert": dict(Counter(name for _, name in tickets)),
        "inhibited": len(found) - len(loud),
    }  # fmt: skip


def main() -> int:
    """The program: 1 where a shift has more than `BUDGET` pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = month(options.days, options.workers, options.seed, Path(folder))
    report("alert_month", result)
    return 1 if result["shifts_over_budget"] else 0


if __name__ == "__main__":
    sys.exit(main())
