# SPDX-License-Identifier: Apache-2.0
"""What a scrape of a campus' collector and accountant costs; JSON on stdout.

Run: `python benchmarks/scrape.py [--scrapes 20]`. The collector's `/metrics` behind the real HTTP
server, a process of its own that knows 2,540 racks, 45,720 GPU nodes and 3,040 field agents, all
seen; and the accountant's, which serves its own figures and the collector's text. Scraped once
every 0.2 s. `stall`: the longest time in which the server's event loop did nothing else.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.parts.campus import HALL, ROLES, START_MS, Size, campus
from benchmarks.parts.machine import percentile, processor_seconds, report
from rackwatt.collector.accounting.battery import initial
from rackwatt.collector.exposition import exposition
from rackwatt.collector.ingest.garbage import settle
from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.metrics import CollectorState
from rackwatt.collector.ingest.spool import Spool
from rackwatt.collector.ingest.watch import EpochWatch
from rackwatt.collector.ledger.sites import battery_parameters, site_factors
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.collector.live.frame import LedgerView
from rackwatt.collector.live.metrics import families
from rackwatt.collector.roles.collect import known_of
from rackwatt.collector.service import serve_http
from rackwatt.collector.site import Site
from rackwatt.collector.store.drain import Drain
from rackwatt.collector.store.embedded import EmbeddedStore
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.ranges import Ranges
from rackwatt.wire.session import BrokerSettings
from servers.fixtures import free_port

STALL_POLL_SECONDS: Final = 0.002
PAUSE_SECONDS: Final = 0.2
LIMIT_SERIES: Final = 50_000


def fill(ingest: Ingest, site: Site, size: Size) -> None:
    """Let all agents have been seen."""
    now = SYSTEM_CLOCK.now_ms()
    meters = [f"edge-{role}-{n:03d}" for role, count in ROLES.items() for n in range(count)]
    racks = [f"edge-r{n + 1:04d}" for n in range(size.racks)]
    for name, hall in (
        *((node, HALL) for node in site.node_racks),
        *((name, HALL) for name in racks),
        *((name, "site") for name in meters),
    ):
        agent = ingest.watch.agent(name, hall)
        agent.online, agent.last_seen_ms, agent.clock_offset_seconds = True, now, 0.01
        agent.epochs[7331] = EpochWatch(
            received=Ranges([(1, 900)]), sent_through=900, due_through=900
        )


async def state_of(folder: Path, site: Site, size: Size) -> CollectorState:
    """A collector's state in which everybody is there."""
    spool = Spool(folder / "spool.db", max_bytes=10**9, clock=SYSTEM_CLOCK)
    await spool.start()
    broker = BrokerSettings(url="mqtt://127.0.0.1:1")
    ingest = Ingest(broker, site, spool, SYSTEM_CLOCK)
    fill(ingest, site, size)
    drain = Drain(spool, EmbeddedStore(folder / "store", clock=SYSTEM_CLOCK), site, SYSTEM_CLOCK)
    state = CollectorState(known_of(site), ingest, spool, drain, SYSTEM_CLOCK)
    await state.measure()
    return state


async def serve(port: int, size: Size) -> None:
    """Be both, until killed."""
    stall = 0.0
    site = campus(size)
    with tempfile.TemporaryDirectory() as name:
        state = await state_of(Path(name), site, size)
        factors = site_factors(site)
        stock = initial(0.0, factors.at(START_MS).initial)
        live = LiveFigures(site, factors, battery_parameters(site), stock, now_ms=START_MS)
        figures = live.figures(START_MS)
        text = bytes((await exposition(state.families())).body)
        settle()

        def own() -> list[Metric]:
            return families(site.id, figures, LedgerView(), START_MS)

        async def collector(_: Request) -> Response:
            return await exposition(state.families())

        async def accountant(_: Request) -> Response:
            return await exposition(own(), text)

        async def measured(_: Request) -> JSONResponse:
            nonlocal stall
            found, stall = stall, 0.0
            return JSONResponse({"stall_seconds": found})

        async def watch() -> None:
            nonlocal stall
            while True:
                before = time.monotonic()
                await asyncio.sleep(STALL_POLL_SECONDS)
                stall = max(stall, time.monotonic() - before - STALL_POLL_SECONDS)

        app = Starlette(
            routes=[
                Route("/collector", collector),
                Route("/accountant", accountant),
                Route("/measured", measured),
            ]
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_http(app, "127.0.0.1", port))
            tasks.create_task(watch())


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        body: bytes = answer.read()
    return body


@contextlib.contextmanager
def server(tenth: bool) -> Iterator[tuple[int, int]]:
    """The server's process and its port."""
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(port), *(["--tenth"] if tenth else [])]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                _get(port, "/measured")
                break
            assert process.poll() is None
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def scraped(pid: int, port: int, path: str, scrapes: int) -> dict[str, Any]:
    """Scrape an endpoint some times."""
    seconds: list[float] = []
    body = _get(port, path)
    series = sum(1 for line in body.splitlines() if not line.startswith(b"#"))
    assert series < LIMIT_SERIES, series
    _get(port, "/measured")
    spent = processor_seconds(pid)
    for _ in range(scrapes):
        begin = time.monotonic()
        _get(port, path)
        seconds.append(time.monotonic() - begin)
        time.sleep(PAUSE_SECONDS)
    spent = processor_seconds(pid) - spent
    stall = json.loads(_get(port, "/measured"))["stall_seconds"]
    return {
        "series": series,
        "bytes": len(body),
        "milliseconds_median": round(percentile(seconds, 0.5) * 1000, 1),
        "milliseconds_most": round(max(seconds) * 1000, 1),
        "processor_milliseconds": round(spent / scrapes * 1000, 1),
        "stall_milliseconds": round(stall * 1000, 1),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scrapes", type=int, default=20)
    parser.add_argument("--tenth", action="store_true", help="of the racks and trays")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        size = Size(254, 4572) if options.tenth else Size()
        asyncio.run(serve(options.serve, size))
        return 0
    with server(options.tenth) as (pid, port):
        found = {
            name: scraped(pid, port, f"/{name}", options.scrapes)
            for name in ("collector", "accountant")
        }
    report("scrape", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
