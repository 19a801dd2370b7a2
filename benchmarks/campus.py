# SPDX-License-Identifier: Apache-2.0
"""The whole reference campus through broker, collector, accountant and store; JSON on stdout.

Run: `python benchmarks/campus.py [--seconds 60] [--scale 1.0] [--store influx|embedded|null]
[--collectors 2] [--outage 600]`. 45,800 trays of 4 GPUs and 2,540 racks of 40 sensors every 10 s,
500 meters every second, as `rackwatt twin load` sends them: 5,334 messages and 4,884 statuses a
second, evenly spread, over 16 connections. Each is a process of its own; all are on this machine,
without TLS. The first 10 s of messages count for completeness only. With `--outage` the store is
away for so many seconds (a stopped InfluxDB, or a null store that refuses) while the load goes on,
then the benchmark waits until it has caught up. Fails when anything is missing or differs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.campus_check import VALUES, counted, in_store, total
from benchmarks.parts.campus_system import System
from benchmarks.parts.campus_watch import Look, Watcher, delays, spread_of, summed
from benchmarks.parts.machine import report
from servers.fixtures import find

SETTLE_SECONDS: Final = 10.0
"""Of messages, before processor time and delays count."""
CAUGHT_UP_SECONDS: Final = 5.0
"""The oldest message that waits for the store is at most so old."""
DRAIN_SECONDS: Final = 300.0
CATCH_UP: Final = 3.0
"""Given up after so many times the outage, and a minute."""
STORE_BYTES: Final = 'rackwatt_spool_bytes{cursor="store"}'
STORE_OLDEST: Final = 'rackwatt_spool_oldest_seconds{cursor="store"}'


def say(text: str) -> None:
    """Tell a person."""
    print(text, file=sys.stderr, flush=True)


def sleep_until(at: float, system: System) -> None:
    """Sleep until then, seconds since 1970 UTC, while all processes live."""
    while (left := at - time.time()) > 0:
        system.alive()
        time.sleep(min(left, 1.0))


def until(true: Callable[[], bool], seconds: float, system: System) -> float | None:
    """Seconds until it is true; None: it was not in time."""
    begin = time.monotonic()
    while not true():
        system.alive()
        if time.monotonic() - begin > seconds:
            return None
        time.sleep(0.5)
    return time.monotonic() - begin


def steady(looks: Sequence[Look], begin: float, end: float) -> dict[str, Any]:
    """What the looks between two times tell."""
    seen = [look for look in looks if begin <= look.at <= end]
    if len(seen) < 2:
        return {"note": "too short to tell"}
    first, last = seen[0], seen[-1]
    span = last.at - first.at
    cores = {
        name: round((last.used[name] - first.used[name]) / span, 3)
        for name in last.used
        if name in first.used
    }
    lags = [look.figures_lag for look in seen if look.figures_lag is not None]
    return {
        "seconds": round(span, 1),
        "cores": cores,
        "collector_and_accountant_cores": round(
            sum(
                spent for name, spent in cores.items() if name.startswith(("collector", "account"))
            ),
            3,
        ),
        "messages_per_second": round(rate(first, last, "rackwatt_messages_total"), 1),
        "rows_per_second": round(rate(first, last, "rackwatt_store_points_total"), 1),
        "store_delay": delays(first.collector, last.collector),
        "figures_lag_seconds": spread_of(lags),
        "resident_megabytes": {
            name: {
                "first": round(first.resident[name] / 1e6),
                "middle": round(seen[len(seen) // 2].resident[name] / 1e6),
                "last": round(last.resident[name] / 1e6),
                "max": round(max(look.resident[name] for look in seen) / 1e6),
            }
            for name in first.resident
        },
        "scrape_seconds": {
            name: spread_of([look.scrape_seconds[name] for look in seen], 3)
            for name in last.scrape_seconds
        },
        "series": last.series,
        "spool_megabytes_max": round(
            max(look.collector.get(STORE_BYTES, 0) for look in seen) / 1e6
        ),
    }


def rate(first: Look, last: Look, name: str) -> float:
    """Of a counter, per second."""
    return (summed(last.collector, name) - summed(first.collector, name)) / (last.at - first.at)


def outage(system: System, watcher: Watcher, seconds: float) -> dict[str, Any]:
    """Take the store away for a while; what happened then and thereafter."""
    say(f"the store is away for {seconds:g} s")
    begin = time.time()
    with system.outage():
        sleep_until(begin + seconds, system)
    back = time.time()
    say("the store is back")

    def caught_up() -> bool:
        look = watcher.looks[-1]
        return look.at > back + 2 and look.collector.get(STORE_OLDEST, 0.0) < CAUGHT_UP_SECONDS

    took = until(caught_up, CATCH_UP * seconds + 60, system)
    end = time.time()
    during = [look for look in watcher.looks if begin <= look.at <= end]
    return {
        "outage_seconds": seconds,
        "caught_up_after_seconds": None if took is None else round(took, 1),
        "spool_megabytes_max": round(
            max(look.collector.get(STORE_BYTES, 0) for look in during) / 1e6
        ),
        "during": steady(watcher.looks, begin, back),
        "catching_up": steady(watcher.looks, back, end),
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run."""
    longest = options.seconds + options.outage * (1 + CATCH_UP) + 60 * (options.outage > 0)
    found: dict[str, Any] = {"scale": options.scale, "store": options.store}
    with System(folder, options.scale, options.store, options.collectors) as system:
        watcher = Watcher(system)
        extra = ["--together"] if options.together else []
        begin = system.play(longest, *extra) / 1000
        say(f"agents are born until {begin:.0f}, then {options.seconds:g} s of messages")
        watcher.start()
        try:
            sleep_until(begin + options.seconds, system)
            end = time.time()
            if options.outage:
                found["outage"] = outage(system, watcher, options.outage)
            found |= finish(system, watcher, options)
        finally:
            watcher.stop()
        found["steady"] = steady(watcher.looks, begin + SETTLE_SECONDS, end)
        found["failed_looks"] = watcher.failures
        if options.keep_looks:
            looks = [
                {name: getattr(look, name) for name in Look.__slots__} for look in watcher.looks
            ]
            options.keep_looks.write_text(json.dumps(looks), encoding="utf-8")
    return found


def finish(system: System, watcher: Watcher, options: argparse.Namespace) -> dict[str, Any]:
    """Let all that was sent arrive, and compare."""
    del options
    before = len(watcher.looks)
    generator = system.pids.pop("generator")
    del generator
    record = system.played()
    sent = record["messages"]

    def all_there() -> bool:
        if len(watcher.looks) <= before:
            return False
        metrics = watcher.looks[-1].collector
        waits = metrics.get(STORE_BYTES, 0.0)
        return summed(metrics, "rackwatt_messages_total") >= total(sent) and waits == 0

    took = until(all_there, DRAIN_SECONDS, system)
    last = watcher.look().collector
    return {
        "generator": {k: v for k, v in record.items() if k not in {"sent", "samples"}},
        "values_per_second": round(
            total(sent, VALUES) / ((record["ended_ms"] - record["first_ms"]) / 1000)
        ),
        "all_there_after_seconds": None if took is None else round(took, 1),
        "messages": counted(sent, last, system.states()),
        "in_store": in_store(system, record),
    }


def table(found: dict[str, Any]) -> str:
    """For a person."""
    steadily, messages = found["steady"], found["messages"]
    rows = [
        ("messages sent / received", f"{messages['sent']} / {messages['received']}"),
        ("missing, lost", f"{messages['missing']}, {messages['lost']}"),
        ("duplicates, rejected", f"{messages['duplicates']}, {messages['rejected']}"),
        ("rows sent / stored", f"{messages['rows_sent']} / {messages['rows_stored']}"),
        ("in the store", json.dumps(found["in_store"])),
        ("field values per second", str(found["values_per_second"])),
        *(
            (name.replace("_", " "), json.dumps(steadily[name]))
            for name in (
                "messages_per_second", "rows_per_second", "store_delay", "figures_lag_seconds",
                "cores", "resident_megabytes", "scrape_seconds", "series",
            )
            if name in steadily
        ),
    ]  # fmt: skip
    if "outage" in found:
        rows += [(f"outage: {k}", json.dumps(v)) for k, v in found["outage"].items()]
    return "\n".join(f"{name:<28} {value}" for name, value in rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of messages")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the campus")
    parser.add_argument("--store", choices=("influx", "embedded", "null"), default="influx")
    parser.add_argument("--collectors", type=int, default=1, help="that share the halls")
    parser.add_argument("--outage", type=float, default=0.0, help="seconds without the store")
    parser.add_argument("--together", action="store_true", help="all agents send at one instant")
    parser.add_argument("--folder", type=Path, help="keep data and logs here")
    parser.add_argument("--keep-looks", type=Path, help="write each look to this file")
    options = parser.parse_args()
    if options.outage and options.store == "embedded":
        parser.error("--outage: the embedded store cannot be away")
    needed = ["mosquitto", *(["influxd"] if options.store == "influx" else [])]
    if missing := [name for name in needed if find(name) is None]:
        say(f"{', '.join(missing)}: not installed: run scripts/install-servers")
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(options, folder)
    say(table(found))
    report("campus", found)
    held = found["in_store"]
    good = found["messages"]["missing"] == 0 and not any(held.get("missing_rows", {}).values())
    return 0 if good and not held.get("values_different") else 1


if __name__ == "__main__":
    sys.exit(main())
