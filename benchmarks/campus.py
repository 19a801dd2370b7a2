# SPDX-License-Identifier: Apache-2.0
"""The whole reference campus on one machine: a table on stderr, JSON on stdout.

Run: `python benchmarks/campus.py [--halls 10] [--seconds 60] [--store influx|embedded]
[--outage 0]`. Real Mosquitto, real InfluxDB, `rackwatt collect` and `rackwatt account` as processes
of their own, and `rackwatt twin load` as the campus: 5,326 messages and 4,876 statuses a second for
ten halls. Fails if anything is missing or wrong in the store. With `--outage`, InfluxDB is stopped
(SIGSTOP) for so many seconds once the load has run for 20 s. Loopback, no TLS.
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.campus_checks import (
    COUNTED,
    counts_of,
    readings_of,
    samples,
    within,
)
from benchmarks.parts.machine import memory_bytes, processor_seconds, report
from benchmarks.parts.scraping import Scraped, scrape
from servers.fixtures import InfluxDB, Mosquitto
from servers.programs import free_port

RAW: Final = "rackwatt_raw"
ROLLUPS: Final = "rackwatt_rollups"
CATCH_UP_SECONDS: Final = 900.0
OUTAGE_AFTER: Final = 20.0
PROGRAMS: Final = ("collector", "accountant", "broker", "influx", "load")


@dataclass
class Campus:
    """Everything that runs."""

    pids: dict[str, int]
    collector: str
    accountant: str
    load: "subprocess.Popen[str]"
    influx: InfluxDB | None
    sent: dict[str, Any] = field(default_factory=dict)


@dataclass
class Course:
    """What was seen, each second or each ten."""

    memory: dict[str, list[int]] = field(default_factory=dict)
    scrapes: list[Mapping[str, float]] = field(default_factory=list)
    figures_late: list[float] = field(default_factory=list)
    scrape_seconds: dict[str, list[float]] = field(default_factory=dict)
    series: dict[str, int] = field(default_factory=dict)


def rackwatt(*arguments: str) -> list[str]:
    """A command line of ours."""
    return [sys.executable, "-m", "rackwatt.collector.cli", *arguments]


@contextlib.contextmanager
def running(options: argparse.Namespace, folder: Path) -> Iterator[Campus]:
    """Start everything but the load's first message, and end it all."""
    site = folder / "campus.yaml"
    count = ["--halls", str(options.halls)]
    subprocess.run(rackwatt("twin", "load", *count, "--write-site", str(site)), check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    token = folder / "token"
    environment = os.environ | {"RACKWATT_INTERNAL_TOKEN": secrets.token_urlsafe(24)}
    ports = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(
            Mosquitto(folder / "broker", autosave_seconds=1800, max_queued_bytes=4 * 10**9)
        )
        influx, to_store = None, list[str]()
        if options.store == "influx":
            influx = stack.enter_context(InfluxDB(folder / "influx"))
            influx.create_bucket(RAW)
            influx.create_bucket(ROLLUPS)
            token.write_text(influx.token, encoding="utf-8")
            to_store = ["--influx", influx.url, "--influx-token-file", str(token)]
        collect = rackwatt("collect", "--site", str(site), "--broker", broker.url, "--data",
                           str(folder / "collector"), "--port", str(ports[0]),
                           *to_store)  # fmt: skip
        account = rackwatt("account", "--site", str(site), "--data", str(folder / "accountant"),
                           "--collector", f"http://127.0.0.1:{ports[0]}", "--port", str(ports[1]),
                           *to_store)  # fmt: skip
        collector = stack.enter_context(_child(collect, environment, folder / "collector.log"))
        accountant = stack.enter_context(_child(account, environment, folder / "accountant.log"))
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            _answers(f"{url}/healthz")
        play = rackwatt("twin", "load", *count, "--broker", broker.url, "--seconds",
                        str(options.seconds), "--linger", str(CATCH_UP_SECONDS + 60))  # fmt: skip
        load = subprocess.Popen(play, stdout=subprocess.PIPE, text=True)
        pids = {"collector": collector.pid, "accountant": accountant.pid, "broker": broker.pid}
        if influx is not None:
            pids["influx"] = influx.pid
        try:
            yield Campus(pids, urls[0], urls[1], load, influx)
        finally:
            load.terminate()
            load.wait(30)


@contextlib.contextmanager
def _child(
    command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as out:
        child = subprocess.Popen(command, env=dict(environment), stdout=out, stderr=out)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
            sys.stderr.write("".join(log.read_text().splitlines(keepends=True)[-3:]))


def _answers(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            scrape(url)
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


# -- the course of it -------------------------------------------------------------------------


def watch(campus: Campus, course: Course, options: argparse.Namespace) -> dict[str, Any]:
    """Look on until all was sent and stored; returns what became of an outage."""
    assert campus.load.stdout is not None
    outage: dict[str, Any] = {}
    lines = _lines(campus)
    begin = next_scrape = 0.0
    stopped_at: float | None = None
    spent: dict[str, float] = {}
    for shown in lines:
        campus.sent = shown
        now = time.monotonic()
        if not begin and shown["messages"]:
            begin = next_scrape = now
            campus.pids["load"] = campus.load.pid
            spent = {name: _used(campus, name) for name in campus.pids}
        if not begin:
            continue
        for name in campus.pids:
            held = memory_bytes(campus.pids[name])["resident_bytes"]
            course.memory.setdefault(name, []).append(held)
        if options.outage and campus.influx is not None:
            if stopped_at is None and not outage and now - begin >= OUTAGE_AFTER:
                os.kill(campus.influx.pid, signal.SIGSTOP)
                stopped_at = now
            elif stopped_at is not None and now - stopped_at >= options.outage:
                os.kill(campus.influx.pid, signal.SIGCONT)
                outage = {"seconds": now - stopped_at, "ended": now}
                stopped_at = None
        if now >= next_scrape:
            _look(campus, course)
            next_scrape += 10.0
            if "ended" in outage and "caught_up_seconds" not in outage:
                oldest = course.scrapes[-1].get('spool_oldest_seconds{cursor="store"}', 0.0)
                if oldest < 5.0:
                    outage["caught_up_seconds"] = now - outage["ended"]
        if shown["state"] == "sent":
            lasted = time.monotonic() - begin
            cores = {n: (_used(campus, n) - spent[n]) / lasted for n in campus.pids}
            return {"seconds": lasted, "cores": cores, "outage": outage}
    raise SystemExit("the load ended early")


def _lines(campus: Campus) -> Iterator[dict[str, Any]]:
    assert campus.load.stdout is not None
    for line in campus.load.stdout:
        yield json.loads(line)


def _used(campus: Campus, name: str) -> float:
    pids = [campus.pids[name]]
    if name == "load":
        children = Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text(encoding="ascii")
        pids += [int(pid) for pid in children.split()]
    return sum(processor_seconds(pid) for pid in pids)


def _look(campus: Campus, course: Course) -> None:
    """Scrape both, as Prometheus would."""
    for name, url in (("collector", campus.collector), ("accountant", campus.accountant)):
        found: Scraped = scrape(f"{url}/metrics")
        course.scrape_seconds.setdefault(name, []).append(found.seconds)
        course.series[name] = found.series
        if name == "collector":
            course.scrapes.append(found.values)
            shown = {k: round(v, 2) for k, v in found.values.items() if "within" not in k}
            sys.stderr.write(f"{campus.sent.get('messages', 0):>10,} sent, {shown}\n")
        elif (instant := found.values.get("figures_timestamp_seconds")) is not None:
            course.figures_late.append(time.time() - instant)


def settled(campus: Campus) -> dict[str, Any]:
    """Wait until the collector has stored what was sent, or gives up getting nearer."""
    begin = time.monotonic()
    wanted = readings_of(campus.sent["by_kind"])
    while time.monotonic() - begin < CATCH_UP_SECONDS:
        found = scrape(f"{campus.collector}/metrics").values
        if found.get("store_points_total", 0.0) >= wanted and not found.get("missing", 0.0):
            break
        time.sleep(0.5)
    return {"seconds_until_stored": time.monotonic() - begin, "readings": wanted} | {
        name: found.get(name, 0.0)
        for name in ("messages_total", "messages_duplicate_total", "messages_lost_total",
                     "messages_recovered_total", "messages_rejected_total", "store_points_total")
    }  # fmt: skip


def compared(campus: Campus) -> dict[str, Any]:
    """What InfluxDB holds against what was sent: all counts, and some series value by value."""
    if campus.influx is None:
        return {}
    counted = {kind: campus.influx.count(kind, name, bucket=RAW) for kind, name in COUNTED.items()}
    wrong = sum(
        campus.influx.query_influxql(statement, bucket=RAW) != rows
        for statement, rows in samples(campus.sent)
    )
    wrong += sum(counted[k] != n for k, n in counts_of(campus.sent["by_kind"]).items())
    return {"counted": counted, "series_compared": 20, "wrong": wrong}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--halls", type=int, default=10, help="tenths of the campus")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--store", choices=("influx", "embedded"), default="influx")
    parser.add_argument("--outage", type=float, default=0.0, help="seconds without a store")
    options = parser.parse_args()
    course = Course()
    with tempfile.TemporaryDirectory() as name, running(options, Path(name)) as campus:
        what = watch(campus, course, options)
        end = settled(campus)
        _look(campus, course)
        found = compared(campus)
        spool = (Path(name) / "collector" / "spool.db").stat().st_size
    memory = {
        n: {"first_mb": _mb(v[len(v) // 4]), "last_mb": _mb(v[-1]), "most_mb": _mb(max(v))}
        for n, v in course.memory.items()
    }
    result = {
        "halls": options.halls,
        "store": options.store,
        "sent": campus.sent,
        "messages_per_second": campus.sent["messages"] / what["seconds"],
        **what,
        "store_lag": within(course.scrapes[-1]),
        "figures_late_seconds": _spread(course.figures_late),
        "scrape_seconds": {n: _spread(v) for n, v in course.scrape_seconds.items()},
        "series": course.series,
        "memory": memory,
        "spool_bytes_most": max(s.get('spool_bytes{cursor="store"}', 0.0) for s in course.scrapes),
        "spool_file_bytes": spool,
        "end": end,
        "compared": found,
    }
    report("campus", result)
    missing = end["store_points_total"] < end["readings"] or end["messages_lost_total"]
    return int(bool(missing or found.get("wrong")))


def _mb(size: int) -> int:
    return round(size / 1e6)


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {"median": round(ordered[len(ordered) // 2], 3), "most": round(ordered[-1], 3)}


if __name__ == "__main__":
    sys.exit(main())
