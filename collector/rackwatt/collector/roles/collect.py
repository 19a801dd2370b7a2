# SPDX-License-Identifier: Apache-2.0
"""`rackwatt collect`: MQTT to spool to store, and the spool's door for the accountant."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rackwatt.collector.ingest import frames
from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.metrics import CollectorState, Known
from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE, Spool
from rackwatt.collector.service import authorised, serve_http
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Store
from rackwatt.collector.store.drain import Drain
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks
from rackwatt.wire.session import BrokerSettings

SPOOL_READ_MESSAGES: Final = 2000
_LONG_POLL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """What a collector needs to know."""

    broker: BrokerSettings
    data: Path
    host: str
    port: int
    token: str
    """What the accountant must show at `/internal/…`."""
    halls: tuple[str, ...] | None = None
    backfill_seconds: float | None = 0.0
    spool_max_bytes: int = 4 * 10**9
    with_accountant: bool = True


async def collect(site: Site, store: Store, options: CollectOptions, clock: Clock) -> None:
    """Run a collector until cancelled.

    Raises:
        sqlite3.Error: the spool cannot be opened.
        OSError: the port is taken.
    """
    consumers = (STORE, ACCOUNTANT) if options.with_accountant else (STORE,)
    spool = Spool(
        options.data / "spool.db",
        max_bytes=options.spool_max_bytes,
        clock=clock,
        consumers=consumers,
    )
    watches = await spool.start()
    ingest = Ingest(
        options.broker,
        site,
        spool,
        clock,
        halls=options.halls,
        backfill_seconds=options.backfill_seconds,
    )
    ingest.watch.restore(watches)
    drain = Drain(spool, store, site, clock)
    state = CollectorState(known_of(site), ingest, spool, drain, clock)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ingest.run(), name="ingest")
            tasks.create_task(drain.run(), name="drain")
            tasks.create_task(_measure(state, clock), name="measure")
            tasks.create_task(
                serve_http(app(state, spool, ingest, options.token), options.host, options.port),
                name="http",
            )
    finally:
        await spool.aclose()


def known_of(site: Site) -> Known:
    """Who should be there, by the site file."""
    agents: Mapping[str, str] = {agent.name: agent.hall for agent in site.agents}
    nodes = {node: rack.id for rack in site.racks for node in rack.nodes}
    return Known(site.id, agents, nodes)


async def _measure(state: CollectorState, clock: Clock) -> None:
    """Once a second; a turn that is missed is skipped."""
    async for _ in ticks(1.0, clock):
        await state.measure()


class _Families(Collector):
    def __init__(self, state: CollectorState) -> None:
        self._state = state

    def collect(self) -> list[Metric]:
        return self._state.families()


def app(state: CollectorState, spool: Spool, ingest: Ingest, token: str) -> Starlette:
    """The collector's HTTP side: metrics, health, and the spool for the accountant."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(state))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if ingest.session.connected.is_set():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not connected to the broker\n", status_code=503)

    async def identity(request: Request) -> Response:
        if not authorised(request, token):
            return PlainTextResponse("unauthorised: send the internal token\n", status_code=401)
        return JSONResponse({"spool": spool.identity})

    async def read_spool(request: Request) -> Response:
        if not authorised(request, token):
            return PlainTextResponse("unauthorised: send the internal token\n", status_code=401)
        try:
            after = int(request.query_params.get("after", ""))
            limit = min(SPOOL_READ_MESSAGES, int(request.query_params.get("limit", "2000")))
        except ValueError:
            return PlainTextResponse("after and limit must be integers\n", status_code=400)
        # The accountant has booked all up to `after`, durably: that is its cursor.
        spool.passed(ACCOUNTANT, min(after, spool.last_id))
        if spool.last_id <= after:
            await spool.wait(after, _LONG_POLL_SECONDS)
        records = await spool.read(after, limit)
        return Response(frames.pack(records), media_type=frames.MEDIA_TYPE)

    async def internal_state(request: Request) -> Response:
        if not authorised(request, token):
            return PlainTextResponse("unauthorised: send the internal token\n", status_code=401)
        return JSONResponse(state.summary())

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/internal/identity", identity),
            Route("/internal/spool", read_spool),
            Route("/internal/state", internal_state),
        ]
    )
