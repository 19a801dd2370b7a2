# SPDX-License-Identifier: Apache-2.0
"""What open pages cost the accountant: event streams at a frame a second; JSON on stdout.

Run: `python benchmarks/page.py [--seconds 15]`. The page's routes behind the real HTTP server, a
process of its own, with frames of the default site (16 racks, 10 agents) and of the campus (2,540
racks, 2,640 agents; in each second a tenth of them have something new), and 0, 200 and 1,000 open
streams. A core ratio counts making the text, sending and the kernel's part, not the figures.
`lag`: from the instant at which the frame is handed over to the last stream's last byte; `stall`:
the longest time in which the server's event loop did nothing else.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.parts.machine import percentile, processor_seconds, report
from rackwatt.collector.live.page import LivePage, routes
from rackwatt.collector.live.page.demo import demo_frame
from rackwatt.collector.service import serve_http
from servers.fixtures import free_port

SIZES: Final = {"default": (16, 10), "campus": (2540, 2640)}
"""Racks and field agents."""
STREAMS: Final = (0, 200, 1000)
TURN: Final = 10
STALL_POLL_SECONDS: Final = 0.002


class Frames:
    """Frames of a site; a tenth of its racks and agents changes from one to the next."""

    def __init__(self, racks: int, agents: int) -> None:
        self._second = 0
        self._racks = [self._rack(number) for number in range(racks)]
        self._agents = [self._agent(number) for number in range(agents)]

    def _rack(self, number: int) -> dict[str, Any]:
        at = self._second + number
        return {
            "id": f"r{number + 1:04d}",
            "row": f"row-{number // 20 + 1:03d}",
            "hall": f"hall-{number // 320 + 1}",
            "power_watts": 57_600.0 + at % 997 * 1.37,
            "inlet_celsius": 22.0 + at % 31 / 10,
            "outlet_celsius": 34.0 + at % 41 / 10,
            "gpus": 72,
            "gpus_up": 72,
        }

    def _agent(self, number: int) -> dict[str, Any]:
        return {
            "name": f"edge-r{number + 1:04d}",
            "hall": f"hall-{number // 320 + 1}",
            "state": "online",
            "last_seen": 1_790_000_000_000 + self._second * 1000 + number % 1000,
            "missing": 0,
            "lost": 0,
            "clock_offset_seconds": 0.002 + (self._second + number) % 89 / 1000,
        }

    def next(self) -> dict[str, Any]:
        """The frame of the next second."""
        self._second += 1
        for number in range(self._second % TURN, len(self._racks), TURN):
            self._racks[number] = self._rack(number)
        for number in range(self._second % TURN, len(self._agents), TURN):
            self._agents[number] = self._agent(number)
        now = 1_790_000_000_000 + self._second * 1000
        # Others than the last one: the accountant makes every list anew.
        racks, agents = map(dict, self._racks), map(dict, self._agents)
        return {**demo_frame(now), "racks": list(racks), "agents": list(agents)}


async def serve(port: int, size: str) -> None:
    """Be the accountant's page until killed."""
    page, frames = LivePage(dict), Frames(*SIZES[size])
    stall = 0.0
    published: list[tuple[float, float]] = []

    async def publish() -> None:
        due = asyncio.get_running_loop().time()
        while True:
            frame = frames.next()
            begin = time.process_time()
            page.publish(frame)
            published.append((time.monotonic(), time.process_time() - begin))
            due += 1.0
            await asyncio.sleep(due - asyncio.get_running_loop().time())

    async def watch() -> None:
        nonlocal stall
        while True:
            before = time.monotonic()
            await asyncio.sleep(STALL_POLL_SECONDS)
            stall = max(stall, time.monotonic() - before - STALL_POLL_SECONDS)

    async def measured(_: Request) -> JSONResponse:
        nonlocal stall
        found = {"stall_seconds": stall, "published": list(published)}
        stall = 0.0
        published.clear()
        return JSONResponse(found)

    app = Starlette(routes=[*routes(page), Route("/measured", measured)])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_http(app, "127.0.0.1", port))
        tasks.create_task(publish())
        tasks.create_task(watch())


class Stream(asyncio.Protocol):
    """A client of `/events` that counts."""

    def __init__(self) -> None:
        self.bytes = 0
        self.events = 0
        self.last = 0.0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"GET /events?changes HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self.events += data.count(b"\ndata: ") + data.startswith(b"data: ")
        self.last = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read()


@contextlib.contextmanager
def server(size: str) -> Iterator[tuple[int, int]]:
    """The server's process and its port."""
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(port), "--size", size]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
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


async def listen(pid: int, port: int, streams: int, seconds: float) -> dict[str, Any]:
    """Open streams, let them settle, and look at what the server uses."""
    loop = asyncio.get_running_loop()
    clients: list[Stream] = []
    for _ in range(streams):
        _, client = await loop.create_connection(Stream, "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(3.0)
    await asyncio.to_thread(_get, port, "/measured")
    before = sum(client.bytes for client in clients)
    spent, begin = processor_seconds(pid), time.monotonic()
    await asyncio.sleep(seconds)
    spent, took = processor_seconds(pid) - spent, time.monotonic() - begin
    measured = json.loads(await asyncio.to_thread(_get, port, "/measured"))
    newest, _ = measured["published"][-1]
    lags = sorted(client.last - newest for client in clients)
    assert not any(client.lost for client in clients), "a stream ended"
    costs = [cost for _, cost in measured["published"]]
    received = sum(client.bytes for client in clients) - before
    return {
        "core_ratio": round(spent / took, 4),
        "publish_milliseconds": round(percentile(costs, 0.5) * 1000, 2),
        "stall_milliseconds": round(measured["stall_seconds"] * 1000, 1),
        "bytes_per_stream_and_second": round(received / streams / took) if streams else 0,
        "lag_milliseconds": round(lags[-1] * 1000, 1) if lags else None,
    }


def measure(seconds: float) -> dict[str, Any]:
    """All sizes and numbers of streams."""
    found: dict[str, Any] = {}
    for size in SIZES:
        found[size] = {}
        for streams in STREAMS:
            with server(size) as (pid, port):
                found[size][str(streams)] = asyncio.run(listen(pid, port, streams, seconds))
                if streams == 0:
                    found[size]["frame_bytes"] = len(_get(port, "/api/frame"))
                    begin = time.monotonic()
                    found[size]["html_bytes"] = len(_get(port, "/"))
                    found[size]["html_seconds"] = round(time.monotonic() - begin, 3)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", default="default", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
    os.environ.pop("RACKWATT_INTERNAL_TOKEN", None)
    if options.serve is not None:
        asyncio.run(serve(options.serve, options.size))
        return 0
    report("page", {"seconds": options.seconds, **measure(options.seconds)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
