# SPDX-License-Identifier: Apache-2.0
"""`rackwatt collect`: MQTT to spool to store, and the spool's door for the accountant."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rackwatt.collector.access import Access
from rackwatt.collector.exposition import exposition
from rackwatt.collector.ingest import frames, garbage
from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.metrics import CollectorState, Known
from rackwatt.collector.ingest.orders import LetterOrders
from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE, Spool
from rackwatt.collector.ingest.state import SPOOL_FILE, SpoolLock
from rackwatt.collector.ingest.watch import AgentWatch
from rackwatt.collector.refusals import Refusals, note_refusal
from rackwatt.collector.service import authorised, serve_http
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Store
from rackwatt.collector.store.drain import Drain
from rackwatt.collector.store.marks import Marks
from rackwatt.collector.store.rolling import Rollups, RollupStore
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks
from rackwatt.wire.session import BrokerSettings

_log = logging.getLogger(__name__)

SPOOL_READ_MESSAGES: Final = 8000
SPOOL_READ_BYTES: Final = 8_000_000
"""Of payload: so much of a spool is given out at once."""
_LONG_POLL_SECONDS: Final = 10.0
_CATCH_UP_SECONDS: Final = 2.0
_FINISH_SECONDS: Final = 3.0
"""At its end: together far below what a supervisor waits before it kills."""
_MAX_ID: Final = 2**63 - 1

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """What a collector needs to know."""

    broker: BrokerSettings
    data: Path
    host: str
    port: int
    token: str = field(repr=False)
    """What the accountant must show at `/internal/…`."""
    halls: tuple[str, ...] | None = None
    backfill_seconds: float | None = 0.0
    spool_max_bytes: int = 4 * 10**9
    with_accountant: bool = True
    retire: bool = False
    """Take nothing more, hand on what is in the spool, leave the broker, end."""
    access: Access = field(default_factory=Access)
    """Who may read metrics; the accountant's token always opens."""


class CollectStore(Store, RollupStore, Protocol):
    """A store of readings and of their rollups."""


async def collect(site: Site, store: CollectStore, options: CollectOptions, clock: Clock) -> None:
    """Run a collector until cancelled.

    Raises:
        SpoolBusy: another collector writes this spool.
        sqlite3.Error: the spool or the marks of rollups cannot be opened.
        OSError: the port is taken.
    """
    lock = SpoolLock(options.data / SPOOL_FILE)
    try:
        await _collect(site, store, options, clock)
    finally:
        lock.release()


async def _collect(site: Site, store: CollectStore, options: CollectOptions, clock: Clock) -> None:
    consumers = (STORE, ACCOUNTANT) if options.with_accountant else (STORE,)
    spool = Spool(
        options.data / SPOOL_FILE,
        max_bytes=options.spool_max_bytes,
        clock=clock,
        consumers=consumers,
    )
    watches = await spool.start()
    watches = _ours(spool, watches, options)
    ingest = Ingest(
        options.broker,
        site,
        spool,
        clock,
        halls=options.halls,
        backfill_seconds=options.backfill_seconds,
    )
    ingest.watch.restore(watches)
    rollups = Rollups(store, Marks(options.data / "rollups.db"), clock)
    drain = Drain(spool, store, site, clock, rollups)
    state = CollectorState(known_of(site, options.halls), ingest, spool, drain, clock)
    door = Door(state, spool, ingest, options.token)
    orders = LetterOrders(spool, ingest, store, clock, ready=lambda: drain.up)
    access = options.access
    if access.tokens:
        access = replace(access, tokens=(*access.tokens, options.token))
    garbage.settle()
    try:
        async with asyncio.TaskGroup() as tasks:
            work = ingest.retire() if options.retire else ingest.run()
            taking = tasks.create_task(work, name="ingest")
            serving = serve_http(
                door.app(), options.host, options.port, door.close, access, door.refusals
            )
            beside = [
                tasks.create_task(drain.run(), name="drain"),
                tasks.create_task(orders.run(), name="letters"),
                tasks.create_task(_measure(state, clock), name="measure"),
                tasks.create_task(serving, name="http"),
            ]
            try:
                await (_handed_on(spool, consumers, taking) if options.retire else _for_ever())
            finally:
                # In this order, so that what was sent is stored: sources were stopped before.
                await ingest.catch_up(_CATCH_UP_SECONDS)
                taking.cancel()
                await asyncio.wait((taking,))
                await drain.finish(_FINISH_SECONDS)
            for task in beside:
                task.cancel()
    finally:
        await spool.aclose()


def _ours(spool: Spool, watches: Sequence[AgentWatch], options: CollectOptions) -> list[AgentWatch]:
    """Agents of our halls: of those that are another's by now nothing is said any more.

    What the file knows of the others stays in it, should their hall come back.
    """
    if options.retire:
        return []  # but clocks stay: who books the rest must know which were wrong
    halls = options.halls
    if halls is None:
        return list(watches)
    gone = {one.name for one in watches if one.hall not in halls}
    known = spool.remembered
    spool.remembered = replace(
        known,
        owners=[(device, agent) for device, agent in known.owners if agent not in gone],
        clocks=[(agent, clock) for agent, clock in known.clocks if agent not in gone],
    )
    return [one for one in watches if one.name not in gone]


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def _handed_on(spool: Spool, consumers: Sequence[str], leaving: asyncio.Task[None]) -> None:
    """Until the broker holds nothing for us, and all readers have passed all messages."""
    await asyncio.wait((leaving,))
    for name in consumers:
        while spool.cursor(name) < spool.last_id:
            _log.info(
                "%s: %d messages to hand on", name, spool.last_id - max(spool.cursor(name), 0)
            )
            await asyncio.sleep(1.0)
    _log.info("all is handed on: this spool is not needed any more")


def known_of(site: Site, halls: tuple[str, ...] | None = None) -> Known:
    """Who should be there, by the site file.

    Args:
        site: the site.
        halls: those of this collector; None: all. What others take in is theirs to tell of.
    """
    agents: Mapping[str, str] = {
        agent.name: agent.hall for agent in site.agents if halls is None or agent.hall in halls
    }
    nodes = {
        node: rack.id
        for node, rack in site.node_racks.items()
        if halls is None or rack.hall in halls
    }
    return Known(site.id, agents, nodes)


async def _measure(state: CollectorState, clock: Clock) -> None:
    """Once a second; a turn that is missed is skipped."""
    async for _ in ticks(1.0, clock):
        await state.measure()


class Door:
    """The collector's HTTP side: metrics, health, and the spool for the accountant.

    Args:
        state: metrics and state.
        spool: the log.
        ingest: tells whether the broker is there.
        token: what the accountant must show.
    """

    def __init__(self, state: CollectorState, spool: Spool, ingest: Ingest, token: str) -> None:
        self._state = state
        self._spool = spool
        self._ingest = ingest
        self._token = token
        self._stopping = asyncio.Event()
        self.refusals = Refusals()
        """What the listener does not serve."""

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/internal/identity", self._guarded(self._identity)),
                Route("/internal/spool", self._guarded(self._read_spool)),
                Route("/internal/state", self._guarded(self._internal_state)),
            ]
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not authorised(request, self._token):
                note_refusal(request.scope, "token", "401: send the internal token")
                text = "unauthorised: send the internal token\n"
                return PlainTextResponse(text, status_code=401)
            return await handler(request)

        return guarded

    async def _metrics(self, _: Request) -> Response:
        return await exposition([*self._state.families(), self.refusals.family()])

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        if self._ingest.session.connected.is_set():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not connected to the broker\n", status_code=503)

    async def _identity(self, _: Request) -> Response:
        return JSONResponse({"spool": self._spool.identity, "generation": self._spool.generation})

    async def _read_spool(self, request: Request) -> Response:
        try:
            after = int(request.query_params.get("after", ""))
            booked = int(request.query_params.get("booked", after))
            limit = int(request.query_params.get("limit", str(SPOOL_READ_MESSAGES)))
        except ValueError:
            text = "after, booked and limit must be integers\n"
            return PlainTextResponse(text, status_code=400)
        if not 0 <= booked <= after <= _MAX_ID or limit < 1:
            return PlainTextResponse("after, booked or limit is out of range\n", status_code=400)
        if request.query_params.get("spool", self._spool.identity) != self._spool.identity:
            # `after` belongs to another log: it must not pass for a cursor of this one.
            return PlainTextResponse("this is another spool\n", status_code=409)
        if not await self._spool.belongs(after):
            return PlainTextResponse("the spool was put back from a copy\n", status_code=409)
        # The accountant has booked all up to `booked`, durably: that is its cursor.
        self._spool.passed(ACCOUNTANT, min(booked, self._spool.last_id))
        if self._spool.last_id <= after:
            await self._wait(after)
        limit = min(limit, SPOOL_READ_MESSAGES)
        records = await self._spool.read(after, limit, SPOOL_READ_BYTES)
        if records:
            self._spool.gave(records[-1].id)
        # Whose clock was off when these came must be known before they are booked.
        headers = {frames.CLOCKS: self._state.clocks}
        return Response(frames.pack(records), media_type=frames.MEDIA_TYPE, headers=headers)

    async def _wait(self, after: int) -> None:
        """Wait for a message, for the end of the long poll, or for the end of the process."""
        waiting = [
            asyncio.create_task(self._spool.wait(after, _LONG_POLL_SECONDS), name="spool-wait"),
            asyncio.create_task(self._stopping.wait(), name="spool-stop"),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)

    def close(self) -> None:
        """Let long polls answer with what there is, so that the server can stop."""
        self._stopping.set()

    async def _internal_state(self, _: Request) -> Response:
        # Tens of thousands of clocks: the usual encoder would hold up messages for 50 ms.
        return Response(msgspec.json.encode(self._state.summary()), media_type="application/json")
