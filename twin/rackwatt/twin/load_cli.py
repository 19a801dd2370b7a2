# SPDX-License-Identifier: Apache-2.0
"""`rackwatt twin load`: plays the messages of the whole reference campus to a broker."""

import json
import multiprocessing
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from rackwatt.collector.helptext import more
from rackwatt.twin.load.campus import HALLS, players, site_file

LOAD_EPILOG = more(
    "rackwatt twin load --write-site campus.yaml",
    "rackwatt twin load --broker mqtt://127.0.0.1:1883 --seconds 600",
    "rackwatt twin load --broker mqtt://127.0.0.1:1883 --halls 1 --seconds 60",
)


@dataclass(frozen=True, slots=True)
class _Work:
    """What one process does."""

    host: str
    port: int
    halls: int
    number: int
    workers: int
    connections: int
    start_ms: int
    seconds: float


def load_command(
    broker: Annotated[
        str, typer.Option(metavar="URL", help="The broker to send to, without TLS.")
    ] = "mqtt://127.0.0.1:1883",
    halls: Annotated[
        int, typer.Option(min=1, max=HALLS, help="Tenths of the campus: 254 racks each.")
    ] = HALLS,
    seconds: Annotated[float, typer.Option(min=1, help="How long to send.")] = 60.0,
    linger: Annotated[
        float, typer.Option(min=0, help="Then answer replay requests for so many seconds.")
    ] = 60.0,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes.")] = 2,
    connections: Annotated[
        int, typer.Option(min=1, max=500, help="MQTT connections of each process.")
    ] = 4,
    write_site: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the campus' site file, and end.")
    ] = None,
) -> None:
    """Play the messages of the reference campus: 45,720 trays, 2,540 racks, 500 meters.

    Prints a line of JSON a second. Ctrl-C ends it.
    """
    if write_site is not None:
        write_site.write_text(site_file(halls), encoding="utf-8")
        typer.echo(f"{write_site}: {halls * 254:,} racks, {halls * 4572:,} trays")
        return
    url = urlsplit(broker)
    if url.scheme != "mqtt" or not url.hostname:
        typer.echo(f"--broker: expects mqtt://HOST:PORT, got {broker!r}", err=True)
        raise typer.Exit(2)
    context = multiprocessing.get_context("spawn")
    told: Queue[tuple[int, dict[str, Any]]] = context.Queue()
    ended: Event = context.Event()
    start_ms = time.time_ns() // 1_000_000 + 5_000
    crew = [
        context.Process(
            target=_work,
            args=(
                _Work(
                    url.hostname,
                    url.port or 1883,
                    halls,
                    number,
                    workers,
                    connections,
                    start_ms,
                    seconds,
                ),
                told,
                ended,
            ),
        )
        for number in range(workers)
    ]
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for worker in crew:
        worker.start()
    try:
        plan = {"halls": halls, "seconds": seconds, "start_ms": start_ms}
        _report(told, ended, linger, plan)
    except KeyboardInterrupt:
        ended.set()
    for worker in crew:
        worker.join(10)
    if any(worker.exitcode for worker in crew):
        typer.echo("a sending process failed: see above", err=True)
        raise typer.Exit(1)


def _work(work: _Work, told: "Queue[tuple[int, dict[str, Any]]]", ended: Event) -> None:
    from threading import Thread

    from rackwatt.twin.load.payloads import Payloads
    from rackwatt.twin.load.sending import Sender, connect, play

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lanes = work.workers * work.connections
    own = [work.number * work.connections + lane for lane in range(work.connections)]
    dealt: dict[int, list[Any]] = {lane: [] for lane in own}
    for number, player in enumerate(players(work.halls)):
        if number % lanes in dealt:
            dealt[number % lanes].append(player)
    threads: list[Thread] = []
    for lane in own:
        client = connect(work.host, work.port, f"rackwatt-load-{lane}")
        sender = Sender(dealt[lane], Payloads(work.start_ms, work.start_ms), client)

        def tell(shown: dict[str, Any], lane: int = lane) -> None:
            told.put((lane, shown))

        threads.append(
            Thread(target=play, args=(sender, work.start_ms, work.seconds, tell, ended.is_set))
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _report(
    told: "Queue[tuple[int, dict[str, Any]]]", ended: Event, linger: float, plan: dict[str, Any]
) -> None:
    """Print the sums of all connections, until the end."""
    newest: dict[int, dict[str, Any]] = {}
    due = time.monotonic()
    sent_at: float | None = None
    while not ended.is_set():
        try:
            lane, shown = told.get(timeout=0.5)
            newest[lane] = shown
        except Empty:
            pass
        if time.monotonic() >= due and newest:
            _print(newest, plan)
            due = time.monotonic() + 1.0
        if sent_at is None and newest and all(one["state"] == "sent" for one in newest.values()):
            sent_at = time.monotonic()
            _print(newest, plan)
        if sent_at is not None and time.monotonic() - sent_at >= linger:
            ended.set()


def _print(newest: dict[int, dict[str, Any]], plan: dict[str, Any]) -> None:
    shown = list(newest.values())
    states = {one["state"] for one in shown}
    total: dict[str, Any] = {"state": states.pop() if len(states) == 1 else "playing"}
    for name in ("messages", "statuses", "requests", "replayed"):
        total[name] = sum(one[name] for one in shown)
    total["late_seconds"] = max(one["late_seconds"] for one in shown)
    kinds = sorted({kind for one in shown for kind in one["by_kind"]})
    total["by_kind"] = {k: sum(one["by_kind"].get(k, 0) for one in shown) for k in kinds}
    total |= plan
    sys.stdout.write(json.dumps(total) + "\n")
    sys.stdout.flush()
