# SPDX-License-Identifier: Apache-2.0
"""MQTT to spool to store, over a real broker, acknowledged after fsync; JSON on stdout.

Run: `python benchmarks/ingest.py [--messages 20000] [--shape p8] [--sinks spool,null,embedded,
influx]`. The broker, the collector and this program, which publishes, are a process each. Shapes:
`p8` 8 GPUs of 12 values, `tray` 4 of 20, `rack` 40 sensors of 1, `campus` a mix of trays, racks and
meters, with a status behind each message (its cost counts for the message). Sinks: `spool` only, a
`null` store, the `embedded` store, a real `influx`; as fast as it goes, then at a steady rate
(`--rate`, 0: not). Nothing may be missing, else it fails. Loopback, no TLS.
"""

import argparse
import asyncio
import contextlib
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.load import HALL, SHAPES, Load, make_load, publish, site
from benchmarks.parts.machine import processor_seconds, report, spread
from rackwatt.collector.ingest import garbage
from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.spool import STORE, Spool
from rackwatt.collector.store import EmbeddedStore, InfluxStore, Row, Store, WriteResult
from rackwatt.collector.store.drain import Drain
from rackwatt.collector.store.marks import Marks
from rackwatt.collector.store.read import read
from rackwatt.collector.store.rolling import Rollups
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.session import BrokerSettings
from servers.fixtures import InfluxDB, Mosquitto, find

COUNTED: Final = (
    ("gpu", "power_watts"),
    ("climate", "temperature_celsius"),
    ("power", "power_watts"),
)
"""A field that each reading has."""
LIMIT_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 4.0
STEADY_SINKS: Final = ("embedded", "influx")


class NullStore:
    """Takes rows and forgets them: what is left is our own work."""

    def __init__(self) -> None:
        self.rows = 0

    async def start(self) -> None:
        """Nothing to do."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Count."""
        self.rows += len(rows)
        return WriteResult(len(rows))

    async def aclose(self) -> None:
        """Nothing to do."""


# -- the collector's process ------------------------------------------------------------------


def used() -> float:
    """Processor seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def store_of(options: dict[str, Any]) -> Store | None:
    """The sink of a run; None: messages stay in the spool."""
    match options["sink"]:
        case "null":
            return NullStore()
        case "embedded":
            return EmbeddedStore(Path(options["folder"]) / "store")
        case "influx":
            return InfluxStore(**options["influx"])
        case _:
            return None


async def until(true: Callable[[], bool]) -> float:
    """Wait until it is true; returns when, in monotonic seconds."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not true():  # noqa: ASYNC110 - what is looked at has no event of its own
            await asyncio.sleep(0.02)
    return time.monotonic()


async def collect(options: dict[str, Any]) -> dict[str, Any]:
    """Take what is published, with the real parts; say "ready" when subscribed."""
    agents, each = options["agents"], options["each"]
    place = site(agents)
    spool = Spool(
        Path(options["folder"]) / "spool.db",
        max_bytes=4 * 10**9,
        clock=SYSTEM_CLOCK,
        consumers=(STORE,),
    )
    await spool.start()
    broker = BrokerSettings(url=options["url"])
    ingest = Ingest(broker, place, spool, SYSTEM_CLOCK, backfill_seconds=None)
    store = store_of(options)
    rollups = None
    if isinstance(store, EmbeddedStore | InfluxStore):
        rollups = Rollups(store, Marks(Path(options["folder"]) / "rollups.db"), SYSTEM_CLOCK)
    drain = None if store is None else Drain(spool, store, place, SYSTEM_CLOCK, rollups)

    def complete() -> bool:
        """The gap watch knows what each agent has sent, and has it all."""
        watches = [epoch for agent in ingest.watch for epoch in agent.epochs.values()]
        return len(watches) == agents and all(
            epoch.sent_through == each and not epoch.open_ranges(each) for epoch in watches
        )

    garbage.settle()
    workers = [asyncio.ensure_future(ingest.run())]
    if drain is not None:
        workers.append(asyncio.ensure_future(drain.run()))
    await ingest.session.connected.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await spool.wait(0, LIMIT_SECONDS)
    before = used()
    # Cheap to look at 50 times a second, unlike `complete`.
    await until(lambda: spool.last_id >= agents * each)
    taken, taken_seconds = time.monotonic(), used() - before
    if drain is not None:
        await until(lambda: spool.cursor(STORE) >= spool.last_id)
    stored, stored_seconds = time.monotonic(), used() - before
    await until(complete)
    found = {
        "taken_at": taken,
        "taken_processor_seconds": taken_seconds,
        "stored_at": stored,
        "stored_processor_seconds": stored_seconds,
        "messages": ingest.counts.messages.total(),
        "duplicates": ingest.counts.duplicates,
        "rejected": ingest.counts.rejected.total(),
        "missing": sum(
            high - low + 1
            for agent in ingest.watch
            for epoch in agent.epochs.values()
            for low, high in epoch.open_ranges(each)
        ),
        "rows": None if drain is None else drain.points,
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    await spool.aclose()
    return found


# -- the publisher's process ------------------------------------------------------------------


def run(
    sink: str, load: Load, shape: tuple[int, int], rate: float, influx: InfluxDB | None
) -> dict[str, Any]:
    """One run with fresh state; checks that nothing is missing."""
    agents, each = shape
    expected = agents * each
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name) / "broker") as broker:
        options: dict[str, Any] = {
            "sink": sink,
            "folder": name,
            "url": broker.url,
            "agents": agents,
            "each": each,
        }
        bucket = None
        if sink == "influx" and influx is not None:
            bucket = influx.create_bucket(f"bench-{time.monotonic_ns()}")
            options["influx"] = {
                "url": influx.url,
                "org": influx.org,
                "bucket": bucket.bucket,
                "token": influx.token,
            }
        child = subprocess.Popen(
            [sys.executable, __file__, "--collector", json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n", "the collector did not start"
            servers = {"broker": broker.pid}
            if influx is not None and bucket is not None:
                servers["influx"] = influx.pid
            before = {what: processor_seconds(pid) for what, pid in servers.items()}
            mine = used()
            begin = asyncio.run(publish(broker.port, load, rate))
            published = time.monotonic() - begin
            mine = used() - mine
            line = child.stdout.readline()
            assert line, "the collector failed"
            found: dict[str, Any] = json.loads(line)
            spent = {what: processor_seconds(pid) - before[what] for what, pid in servers.items()}
        except BaseException:
            child.kill()
            raise
        finally:
            child.wait(20)
        rows = found["rows"]
        if sink == "embedded":
            rows = sum(
                1 for kind in ("gpu", "climate", "power") for _ in read(Path(name) / "store", kind)
            )
        elif bucket is not None:
            rows = sum(bucket.count(kind, field) for kind, field in COUNTED)
            bucket.delete()
    assert found["messages"] == expected, found
    assert found["rejected"] == found["missing"] == 0, found
    assert rows is None or rows == load.readings, (rows, found)
    taken, stored = found["taken_at"] - begin, found["stored_at"] - begin
    return {
        "taken_messages_per_second": expected / taken,
        "stored_messages_per_second": None if rows is None else expected / stored,
        "processor_microseconds_per_message": found["stored_processor_seconds"] / expected * 1e6,
        "collector_core_ratio": found["stored_processor_seconds"] / stored,
        "broker_core_ratio": spent["broker"] / stored,
        "influx_core_ratio": spent["influx"] / stored if "influx" in spent else None,
        "publisher_core_ratio": mine / published,
        "peak_resident_bytes": found["peak_resident_bytes"],
        "duplicates": found["duplicates"],
        "missing": found["missing"],
    }


def merged(runs: Sequence[dict[str, Any]], values_each: float) -> dict[str, Any]:
    """Medians of repeated runs, with their spread where it matters."""
    found: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs if run[name] is not None]
        if values:
            found[name] = spread(values, digits=1 if "per_" in name else 2)
    values = [run["stored_messages_per_second"] or run["taken_messages_per_second"] for run in runs]
    found["field_values_per_second"] = spread(values, values_each, 0)
    values = [1e6 / run["processor_microseconds_per_message"] for run in runs]
    found["field_values_per_core_second"] = spread(values, values_each, 0)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--agents", type=int, default=500, help="GPU nodes that speak")
    parser.add_argument("--connections", type=int, default=8, help="that carry them")
    parser.add_argument("--sinks", default="spool,null,embedded,influx")
    parser.add_argument("--shape", choices=(*SHAPES, "campus"), default="p8")
    parser.add_argument("--rate", type=float, default=2000.0, help="of the steady run, messages/s")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--collector", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collector is not None:
        print(json.dumps(asyncio.run(collect(json.loads(options.collector)))))
        return 0
    if find("mosquitto") is None:
        print("mosquitto is not installed: run scripts/install-servers", file=sys.stderr)
        return 1
    shape = (options.agents, max(1, options.messages // options.agents))
    sinks = [sink for sink in options.sinks.split(",") if sink]
    result: dict[str, Any] = {
        "hall": HALL,
        "agents": options.agents,
        "connections": options.connections,
        "messages": shape[0] * shape[1],
        "shape": options.shape,
        "steady_messages_per_second": options.rate,
        "runs": options.runs,
    }
    rounds = max(1, round(options.rate * STEADY_SECONDS / options.agents))
    steady_shape = (options.agents, rounds)
    now = SYSTEM_CLOCK.now_ms()
    loads = {"": (make_load(*shape, options.connections, now, options.shape), shape, math.inf)}
    if options.rate:
        steady = make_load(*steady_shape, options.connections, now, options.shape)
        loads["steady_"] = (steady, steady_shape, options.rate)
    values_each = loads[""][0].values / result["messages"]
    result["payload_bytes"] = round(loads[""][0].payload_bytes)
    result["values_per_message"] = round(values_each, 2)
    with contextlib.ExitStack() as stack:
        influx = None
        if "influx" in sinks and find("influxd") is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            influx = stack.enter_context(InfluxDB(Path(folder)))
        for prefix, (load, load_shape, rate) in loads.items():
            for sink in sinks:
                if prefix and sink not in STEADY_SINKS:
                    continue
                if sink == "influx" and influx is None:
                    result[prefix + sink] = "not measured: influxd is not installed"
                    continue
                runs = [run(sink, load, load_shape, rate, influx) for _ in range(options.runs)]
                result[prefix + sink] = merged(runs, values_each)
    report("ingest", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
