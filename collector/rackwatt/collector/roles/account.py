# SPDX-License-Identifier: Apache-2.0
"""`rackwatt account`: spools to ledger, to live figures, to metrics and page."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rackwatt.collector.accounting.battery import BatteryState, initial
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.exposition import exposition
from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.ledger.warm import recent_inputs, register_specs
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures, LiveFigures
from rackwatt.collector.live.frame import CollectorView, LedgerView, make_frame
from rackwatt.collector.live.history import History, Point, past
from rackwatt.collector.live.metrics import families
from rackwatt.collector.live.page import LivePage, SecurityHeaders, routes
from rackwatt.collector.live.spoolclient import CollectorClient, CollectorUnavailable
from rackwatt.collector.roles.collect import SPOOL_READ_MESSAGES
from rackwatt.collector.service import serve_http
from rackwatt.collector.site import Site
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import ReceivedReading, decode_envelope, decode_readings
from rackwatt.wire.inventory import Inventory, InventoryItem
from rackwatt.wire.periodic import ticks
from rackwatt.wire.readings import KINDS, Kind
from rackwatt.wire.topics import INVENTORY, Topic

_log = logging.getLogger(__name__)
T = TypeVar("T")

CLOCK_LIMIT_SECONDS: Final = 60.0
"""Readings of an agent whose clock is off by more are kept, but not booked until released."""
FIRST_READ_SECONDS: Final = 30.0
"""So long after the start, intervals close whether every collector was read or not."""
VIEW_SECONDS: Final = 5.0
"""A collector that does not answer for so long is shown as away."""
_WARM_UP_MS: Final = 20 * 60_000
_POLL_PAUSE_SECONDS: Final = 0.2
"""Between two readings of a spool: makes batches, costs a tenth of the allowed delay."""


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """What an accountant needs to know."""

    collectors: Sequence[str]
    data: Path
    host: str
    port: int
    token: str
    with_collector_metrics: bool = False
    """Only with one collector: two have series of the same names."""


@dataclass(slots=True)
class _Batch:
    """What a piece of a spool holds for the accountant."""

    inputs: list[InputRecord] = field(default_factory=list)
    inventories: list[tuple[int, Sequence[InventoryItem]]] = field(default_factory=list)
    readings: list[tuple[Kind, ReceivedReading, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Settled:
    """What the ledger has closed."""

    battery: tuple[BatteryState, int] | None
    view: LedgerView


class Accountant:
    """Books what the collectors received, and knows the figures of now.

    Characteristics: the ledger is written by one thread, everything else lives on the event loop;
    a collector that is away holds up nobody; what was booked and the cursor are one transaction.

    Args:
        site: the site.
        options: where the collectors are.
        clock: where the time comes from.
    """

    def __init__(self, site: Site, options: AccountOptions, clock: Clock) -> None:
        self._site = site
        self._options = options
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._factors = site_factors(site)
        self._devices = Devices(site)
        self._history = History()
        self._offsets: dict[str, float] = {}
        self._views: dict[str, dict[str, Any]] = {}
        self._collector_metrics: dict[str, bytes] = {}
        self._ledger_view = LedgerView()
        self._read: dict[str, int | None] = {}
        self._started = clock.monotonic()
        self._figures: Figures | None = None
        self._page = LivePage(history=self._history.as_dict)
        self._ledger: Ledger
        self._live: LiveFigures

    async def _on_ledger(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            sqlite3.Error: the ledger cannot be opened or written.
            OSError: the port is taken.
        """
        await self._on_ledger(self._open)
        try:
            async with httpx.AsyncClient(trust_env=False) as http, asyncio.TaskGroup() as tasks:
                for url in self._options.collectors:
                    client = CollectorClient(url, self._options.token, http)
                    tasks.create_task(self._follow(client), name=f"follow {url}")
                    tasks.create_task(self._look(client), name=f"look {url}")
                tasks.create_task(self._close_intervals(), name="close")
                tasks.create_task(self._publish(), name="publish")
                tasks.create_task(self._serve(), name="http")
        finally:
            await self._on_ledger(self._close)
            self._thread.shutdown(wait=False)

    def _open(self) -> None:
        """Open the ledger and warm the live figures up with its newest inputs."""
        parameters = battery_parameters(self._site)
        path = self._options.data / "ledger.db"
        self._ledger = Ledger(
            path,
            self._site,
            self._factors,
            parameters,
            initial_stock(self._site),
        )
        now = self._clock.now_ms()
        stock = initial(initial_stock(self._site), self._factors.at(now).initial)
        self._live = LiveFigures(self._site, self._factors, parameters, stock, now_ms=now)
        for device, registers in register_specs(path).items():
            self._live.registers(device, registers)
        for device, time_ms, values in recent_inputs(path, now - _WARM_UP_MS):
            self._live.observe(device, time_ms, values)
        for point in past(self._ledger.rows(now - HOUR_MS, now)):
            self._history.add(point)
        self._settle(self._settled())

    def _close(self) -> None:
        self._ledger.close()

    def _cursor(self, spool: str) -> int:
        return self._ledger.cursor(spool) or 0

    def _settled(self) -> _Settled:
        """What the ledger has closed; on the ledger's thread."""
        return _Settled(
            self._ledger.battery_state(),
            LedgerView(self._ledger.closed_through_ms(), self._ledger.restatements()),
        )

    def _settle(self, settled: _Settled) -> None:
        """Go on from what the ledger has closed; on the event loop."""
        if settled.battery is not None:
            self._live.seed(*settled.battery)
        self._ledger_view = settled.view

    # -- taking in -----------------------------------------------------------------------------

    async def _follow(self, client: CollectorClient) -> None:
        backoff = Backoff(first=0.5, cap=15.0)
        while True:
            try:
                name = await client.identity()
                # Whose clock is off must be known before anything is booked.
                self._see(client.url, await client.state())
                after = await self._on_ledger(partial(self._cursor, name))
                while True:
                    records = await client.spool(name, after)
                    behind = len(records) >= SPOOL_READ_MESSAGES
                    self._read[client.url] = records[-1].received_ms if behind else None
                    backoff.reset()
                    if records:
                        after = records[-1].id
                        await self._take(records, name)
                    await asyncio.sleep(_POLL_PAUSE_SECONDS)
            except CollectorUnavailable as error:
                self._read[client.url] = None
                wait = backoff.next()
                _log.warning("%s; trying again in %.1f s", error, wait)
                await asyncio.sleep(wait)

    async def _take(self, records: Sequence[Record], spool: str) -> None:
        """Book a piece of a spool, then show it."""
        batch = self._sort(records)
        cursor = records[-1].id

        def book() -> None:
            for time_ms, items in batch.inventories:
                self._ledger.inventory(items, time_ms)
            self._ledger.apply(batch.inputs, cursor, spool)

        await self._on_ledger(book)
        for _, items in batch.inventories:
            for item in items:
                self._live.registers(item.device, item.registers)
        for kind, reading, received_ms in batch.readings:
            self._devices.observe(kind, reading, received_ms)
        for record in batch.inputs:
            if not record.held:
                self._live.observe(record.device, record.time_ms, record.values)

    def _sort(self, records: Sequence[Record]) -> _Batch:
        batch = _Batch()
        for record in records:
            topic = Topic.parse(record.topic)
            if topic.last == INVENTORY:
                inventory = Inventory.model_validate_json(record.payload)
                batch.inventories.append((inventory.time, inventory.devices))
            elif topic.last in KINDS:
                self._sort_readings(batch, record, topic.agent, topic.last)
        return batch

    def _sort_readings(self, batch: _Batch, record: Record, agent: str, kind: Kind) -> None:
        trusted = abs(self._offsets.get(agent, 0.0)) <= CLOCK_LIMIT_SECONDS
        for reading in decode_readings(kind, decode_envelope(record.payload)).readings:
            batch.readings.append((kind, reading, record.received_ms))
            if kind == "power":
                batch.inputs.append(
                    InputRecord(
                        reading.device,
                        reading.time_ms,
                        reading.values,
                        record.received_ms,
                        trusted,
                        agent,
                    )
                )

    async def _look(self, client: CollectorClient) -> None:
        """A collector's state, once a second; a turn that is missed is skipped."""
        seen = self._clock.monotonic()
        async for _ in ticks(1.0, self._clock):
            try:
                view = await client.state()
                if self._options.with_collector_metrics and len(self._options.collectors) == 1:
                    self._collector_metrics[client.url] = await client.metrics()
            except CollectorUnavailable:
                if self._clock.monotonic() - seen > VIEW_SECONDS:
                    self._views.pop(client.url, None)
                    self._collector_metrics.pop(client.url, None)
                continue
            seen = self._clock.monotonic()
            self._see(client.url, view)

    def _see(self, url: str, view: dict[str, Any]) -> None:
        self._views[url] = view
        self._offsets |= view["clock_offsets"]

    # -- giving out ----------------------------------------------------------------------------

    async def _close_intervals(self) -> None:
        """Once a second; a turn that is missed is skipped, the next one closes the more."""
        async for _ in ticks(1.0, self._clock):
            now = self._clock.now_ms()
            horizon = self._horizon(now)
            if horizon is None:
                continue
            closing = await self._on_ledger(partial(self._ledger.close_intervals, horizon))
            if closing.closed or closing.restated:
                self._settle(await self._on_ledger(self._settled))

    def _horizon(self, now: int) -> int | None:
        """Up to when intervals may close: now, or what has been read of a spool's backlog.

        Closing by the clock while a backlog is read would book incomplete intervals, only to
        restate them a moment later. A collector that is away holds up nothing.
        """
        if len(self._read) < len(self._options.collectors):
            started = self._clock.monotonic() - self._started
            return None if started < FIRST_READ_SECONDS else now
        return min([now, *(at for at in self._read.values() if at is not None)])

    async def _publish(self) -> None:
        """Figures and page, once a second; a turn that is missed is skipped."""
        async for _ in ticks(1.0, self._clock):
            now = self._clock.now_ms()
            figures = self._live.figures(now)
            self._figures = figures
            view = CollectorView.merge(list(self._views.values()))
            frame = make_frame(self._site, figures, self._devices, view, self._ledger_view, now)
            self._history.add(
                Point(
                    figures.instant_ms or now,
                    {item["id"]: item["power_watts"] for item in frame["sources"]},
                    frame["load_watts"],
                    frame["pue"]["value"],
                    frame["shares"]["renewable"],
                )
            )
            self._page.publish(frame)

    def families(self) -> list[Metric]:
        """The metrics of this process."""
        if self._figures is None:
            return []
        return families(self._site.id, self._figures, self._ledger_view)

    async def _serve(self) -> None:
        app = Starlette(
            routes=[
                *routes(self._page),
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ],
            middleware=[Middleware(SecurityHeaders)],
        )
        await serve_http(app, self._options.host, self._options.port, self._page.close)

    async def _metrics(self, _: Request) -> Response:
        return await exposition(self.families(), b"".join(self._collector_metrics.values()))

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        figures = self._figures
        if figures is None or figures.instant_ms is None:
            return PlainTextResponse("no figures yet\n", status_code=503)
        return PlainTextResponse("ok\n")


async def account(site: Site, options: AccountOptions, clock: Clock) -> None:
    """Run an accountant until cancelled.

    Raises:
        sqlite3.Error: the ledger cannot be opened or written.
        OSError: the port is taken.
    """
    await Accountant(site, options, clock).run()
