# SPDX-License-Identifier: Apache-2.0
"""`rackwatt account`: spools to ledger, to live figures, to metrics and page, to the store."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rackwatt.collector.access import Access
from rackwatt.collector.accounting.battery import initial
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.commitments.service import Commitments
from rackwatt.collector.copies.copier import Copier
from rackwatt.collector.exposition import exposition
from rackwatt.collector.ingest import garbage
from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.ledger.conditions import sampled_fields
from rackwatt.collector.ledger.held import Held
from rackwatt.collector.ledger.warm import recent_inputs, register_specs
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures, LiveFigures, kept_for
from rackwatt.collector.live.frame import CollectorView, LedgerView, make_frame
from rackwatt.collector.live.history import History, Point, past
from rackwatt.collector.live.metrics import families
from rackwatt.collector.live.page import LivePage, routes
from rackwatt.collector.meters.service import Meters
from rackwatt.collector.refusals import Refusals, without_refusals
from rackwatt.collector.roles.chain_history import ChainHistory
from rackwatt.collector.roles.chains import Chains
from rackwatt.collector.roles.following import Following
from rackwatt.collector.roles.keeping import Keeper, Settled
from rackwatt.collector.roles.metrics import book_families, standing_families
from rackwatt.collector.roles.sorting import Batch, Wanted, sort
from rackwatt.collector.roles.standing import SECONDS as STANDING_SECONDS
from rackwatt.collector.roles.standing import Standings
from rackwatt.collector.roles.state_history import StateHistory
from rackwatt.collector.service import serve_http
from rackwatt.collector.signals.service import Signals
from rackwatt.collector.signing.keys import SigningKey
from rackwatt.collector.site import Site
from rackwatt.collector.store.open import AnyStore
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks

_WARM_UP_MS: Final = 20 * 60_000


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """What an accountant needs to know."""

    collectors: Sequence[str]
    data: Path
    host: str
    port: int
    token: str = field(repr=False)
    with_collector_metrics: bool = False
    """Only with one collector: two have series of the same names."""
    collector_ca_file: Path | None = None
    """Who signed the collectors' certificates; None: an authority that the system knows."""
    access: Access = field(default_factory=Access)
    """Who may read page and metrics."""
    sign_key: SigningKey | None = None
    """Signs what is published; None: it says that it is unsigned."""


class Accountant:
    """Books what the collectors received, and knows the figures of now.

    Characteristics: the ledger is written by one thread; messages are read and figures formed in
    others, one at a time, so that the event loop stays free; a collector or a store that is away
    holds up nobody.

    Args:
        site: the site.
        store: where the ledger is copied to, not started.
        options: where the collectors are.
        clock: where the time comes from.
    """

    def __init__(self, site: Site, store: AnyStore, options: AccountOptions, clock: Clock) -> None:
        self._site = site
        self._options = options
        self._clock = clock
        path = options.data / "ledger.db"
        self._keeper = Keeper(site, path, clock)
        self._following = Following(
            options.collectors,
            options.token,
            clock,
            with_metrics=options.with_collector_metrics,
            ca_file=options.collector_ca_file,
        )
        self._copier = Copier(site, path, store, self._keeper.save, clock)
        self._devices = Devices(site)
        utilities = frozenset((meter.kind, meter.id) for meter in site.utilities)
        self._wanted = Wanted(utilities, self._devices.probes, sampled_fields(site))
        self._standings = Standings(site, path)
        self._commitments = Commitments(site, path, self._standings, options.sign_key)
        self._history = History()
        self._ledger_view = LedgerView()
        self._held: Sequence[Held] = ()
        self._figures: Figures | None = None
        self._page = LivePage(history=self._history.as_dict)
        self._refusals = Refusals()
        self._live: LiveFigures
        self._turn = asyncio.Lock()
        """Figures and devices are changed and read by one thread at a time, beside the loop."""
        self._chains = Chains(site, self._devices, clock, self._turn, self._maintenance)
        self._chain_history = ChainHistory(site, self._chains, self._copier.add, clock)
        self._states = StateHistory(site, self._devices, self._copier.add, clock, self._turn)
        self._meters = Meters(site, path, clock, self._turn)
        self._signals = Signals(
            site, self._devices, clock, self._turn, options.data,
            chains=lambda: self._chains.state, figures=lambda: self._figures,
        )  # fmt: skip

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            LedgerBusy: another accountant writes the ledger.
            sqlite3.Error: the ledger cannot be opened or written.
            OSError: the port is taken.
        """
        try:
            await self._open()
            garbage.settle()
            async with asyncio.TaskGroup() as tasks:
                following = self._following.run(self._read, self._keeper.book, self._keeper.cursor)
                tasks.create_task(following, name="follow")
                tasks.create_task(self._close_intervals(), name="close")
                tasks.create_task(self._publish(), name="publish")
                tasks.create_task(self._stand(), name="standing")
                tasks.create_task(self._chains.run(), name="chains")
                tasks.create_task(self._chain_history.run(), name="chain-history")
                tasks.create_task(self._states.run(), name="state-history")
                tasks.create_task(self._meters.run(), name="meters")
                tasks.create_task(self._signals.run(), name="signals")
                tasks.create_task(self._copier.run(), name="copy")
                tasks.create_task(self._serve(), name="http")
        finally:
            await self._keeper.close()

    async def _open(self) -> None:
        """Open the ledger and warm the live figures up with its newest inputs."""
        keeper = self._keeper
        await keeper.open()
        now = self._clock.now_ms()
        stock = initial(keeper.initial_watt_hours, keeper.factors.at(now).initial)
        self._live = LiveFigures(self._site, keeper.factors, keeper.parameters, stock, now_ms=now)
        path = self._options.data / "ledger.db"
        since = now - max(_WARM_UP_MS, kept_for(self._site.settlement))

        def warm_up() -> None:
            for device, registers in register_specs(path).items():
                self._live.registers(device, registers)
            for reading in recent_inputs(path, since):  # a large site has millions in an hour
                self._live.observe(*reading)

        await keeper.call(warm_up)
        for point in past(await keeper.rows(now - HOUR_MS, now)):
            self._history.add(point)
        self._settle(await keeper.settled())

    def _settle(self, settled: Settled) -> None:
        """Go on from what the ledger has closed."""
        if settled.battery is not None:
            self._live.seed(*settled.battery)
        held = sum(item.readings for item in settled.held)
        self._ledger_view = replace(settled.view, held_readings=held)
        self._held = settled.held

    async def _read(self, records: Sequence[Record]) -> Batch:
        """Read a piece of a spool, and show it."""
        following = self._following
        clocks = following.offsets, following.doubts
        batch = await asyncio.to_thread(sort, records, clocks[0], self._wanted, clocks[1])
        async with self._turn:
            await asyncio.to_thread(self._show, batch)
        return batch

    def _show(self, batch: Batch) -> None:
        """Let figures and page know what came."""
        for _, items in batch.inventories:
            for item in items:
                self._live.registers(item.device, item.registers)
        for kind, reading, received_ms in batch.readings:
            self._devices.observe(kind, reading, received_ms)
            self._meters.readings.observe(kind, reading, received_ms)
        self._signals.observe(batch)
        for gpus, received_ms in batch.gpus:
            self._devices.observe_gpus(gpus, received_ms)
        for record in batch.inputs:
            if not record.held:
                self._live.observe(record.device, record.time_ms, record.values)

    async def _close_intervals(self) -> None:
        """Once a second; a turn that is missed is skipped, the next one closes the more."""
        async for _ in ticks(1.0, self._clock):
            horizon = self._following.horizon(self._clock.now_ms())
            if horizon is None:
                continue
            settled = await self._keeper.work(horizon, self._following.gaps())
            if settled is not None:
                async with self._turn:
                    self._settle(settled)

    async def _publish(self) -> None:
        """Figures and page, once a second; a turn that is missed is skipped."""
        async for _ in ticks(1.0, self._clock):
            now = self._clock.now_ms()
            views = list(self._following.views.values())
            async with self._turn:
                figures, frame = await asyncio.to_thread(self._frame, now, views)
            self._figures = figures
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

    def _frame(
        self, now: int, views: Sequence[Mapping[str, Any]]
    ) -> tuple[Figures, dict[str, Any]]:
        figures = self._live.figures(now)
        view = CollectorView.merge(views)
        frame = make_frame(self._site, figures, self._devices, view, self._ledger_view, now)
        frame["quality"] |= self._meters.quality()
        frame["commitments"] = self._commitments.measure(frame, now)
        return figures, frame

    async def _stand(self) -> None:
        """Where year and month stand: once a minute, at first each second until all is read."""
        due = 0.0
        async for _ in ticks(1.0, self._clock):
            complete = self._standings.complete and self._commitments.complete
            if self._clock.monotonic() >= due or not complete:
                await asyncio.to_thread(self._standings.turn)
                await asyncio.to_thread(self._commitments.turn)
                due = self._clock.monotonic() + STANDING_SECONDS

    def _maintenance(self) -> Mapping[str, Mapping[str, Any]]:
        """What is out on purpose now, by asset."""
        return self._ledger_view.maintenance(self._clock.now_ms())

    def families(self) -> list[Metric]:
        """The metrics of this process."""
        if self._figures is None:
            return []
        own = families(self._site.id, self._figures, self._ledger_view, self._clock.now_ms())
        own += standing_families(self._site.id, self._standings.now)
        own += [*self._chains.families(), *self._meters.families(), *self._signals.families()]
        return [*own, *book_families(self._held, self._copier)]

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                *routes(self._page),
                *self._chains.routes(),
                *self._commitments.routes(),
                *self._meters.routes(),
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ],
        )

    async def _serve(self) -> None:
        options = self._options
        await serve_http(
            self.app(), options.host, options.port, self._page.close, options.access, self._refusals
        )

    async def _metrics(self, _: Request) -> Response:
        more, refused = without_refusals(b"".join(self._following.metrics.values()))
        return await exposition([*self.families(), self._refusals.family(refused)], more)

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        figures = self._figures
        if figures is None or figures.instant_ms is None:
            return PlainTextResponse("no figures yet\n", status_code=503)
        return PlainTextResponse("ok\n")


async def account(site: Site, store: AnyStore, options: AccountOptions, clock: Clock) -> None:
    """Run an accountant until cancelled.

    Raises:
        LedgerBusy: another accountant writes the ledger.
        sqlite3.Error: the ledger cannot be opened or written.
        OSError: the port is taken.
    """
    await Accountant(site, store, options, clock).run()
