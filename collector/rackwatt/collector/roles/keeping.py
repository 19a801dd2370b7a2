# SPDX-License-Identifier: Apache-2.0
"""The ledger of an accountant, and the one thread that writes it."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.vocabulary import DAY_MS
from rackwatt.collector.ledger import (
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.ledger.anchors import FILE_NAME, BadAnchors, write_anchor
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.basis import origin_of
from rackwatt.collector.ledger.held import Held
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.months import Gap
from rackwatt.collector.live.frame import LedgerView
from rackwatt.collector.roles.sorting import Batch
from rackwatt.collector.site import Site
from rackwatt.collector.watchkeeping.log import ACK, ACK_MINUTES, acks_since
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.database import may_pass

_log = logging.getLogger(__name__)
T = TypeVar("T")

MONTHS_SECONDS: Final = 60.0
"""Between two looks at which months are final, and which old inputs may go."""
HOURS_AT_ONCE: Final = 12
"""So many hours of the ledger are booked in a second, that live figures need not wait for long."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What the ledger has closed."""

    battery: tuple[BatteryState, int] | None
    view: LedgerView
    held: Sequence[Held]


class Keeper:
    """Writes `ledger.db`.

    Characteristics: every call is carried out in one thread, in order; what was booked and the
    cursor are one transaction.

    Args:
        site: the site.
        path: `ledger.db`.
        clock: where the time comes from.
    """

    def __init__(self, site: Site, path: Path, clock: Clock) -> None:
        self._site = site
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._months_at = clock.monotonic()
        self._anchored = -1
        self._held_more = False
        self._ledger: Ledger
        self.factors = site_factors(site)
        self.parameters = battery_parameters(site)
        self.initial_watt_hours = initial_stock(site)

    async def call(self, work: Callable[[], T]) -> T:
        """Do something in the ledger's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _write(self, work: Callable[[], T]) -> T:
        """Do something that writes, again and again while the disk does not take it.

        Each transaction is all or nothing, and doing it twice books once: so the page and the
        figures need not go away with the disk's last byte.

        Raises:
            sqlite3.Error: the ledger is damaged, or something else that does not pass.
        """
        backoff = Backoff(first=0.5, cap=5.0)
        while True:
            try:
                return await self.call(work)
            except sqlite3.OperationalError as error:
                if not may_pass(error):
                    raise
                _log.error("ledger: %s; nothing is booked meanwhile", error)
            await asyncio.sleep(backoff.next())

    async def open(self) -> None:
        """Open the ledger.

        Raises:
            LedgerBusy: another process writes it.
            sqlite3.Error: it cannot be opened or written.
        """
        await self.call(self._open)

    def _open(self) -> None:
        self._ledger = Ledger(
            self._path,
            self._site,
            self.factors,
            self.parameters,
            self.initial_watt_hours,
            clock=self._clock,
            origin=origin_of(self._site),
        )
        ledger = self._ledger
        attributor = Attributor(
            self._site, ledger.metered, ledger.counters, ledger.closed_through_ms, ledger.samples
        )
        ledger.attribute(attributor)

    async def close(self) -> None:
        """Close the ledger, if it is open, and end the thread."""

        def work() -> None:
            if hasattr(self, "_ledger"):
                self._ledger.close()

        await self.call(work)
        self._thread.shutdown(wait=False)

    async def cursor(self, spool: str) -> int:
        """What was booked of a spool."""
        return await self.call(lambda: self._ledger.cursor(spool) or 0)

    async def save(self, name: str, number: int) -> None:
        """Keep another reader's cursor."""
        await self._write(lambda: self._ledger.apply((), number, name))

    async def rows(self, start_ms: int, end_ms: int) -> list[LedgerRow]:
        """The intervals of a half-open span."""
        return await self.call(lambda: list(self._ledger.rows(start_ms, end_ms)))

    async def book(self, batches: Sequence[Batch], cursor: int, spool: str) -> None:
        """Take pieces of a spool in, which end with the message `cursor`."""

        def work() -> None:
            for batch in batches:
                for time_ms, items in batch.inventories:
                    self._ledger.inventory(items, time_ms)
            inputs = [record for batch in batches for record in batch.inputs]
            counters = [record for batch in batches for record in batch.counters]
            samples = [record for batch in batches for record in batch.samples]
            self._ledger.apply(inputs, cursor, spool, counters, samples)
            self._held_more |= any(record.held for record in inputs)
            self._held_more |= not all(record.counts for record in counters)

        await self._write(work)

    async def settled(self) -> Settled:
        """What the ledger has closed."""
        return await self.call(self._settled)

    def _settled(self) -> Settled:
        ledger = self._ledger
        view = LedgerView(
            ledger.closed_through_ms(),
            ledger.restatements(),
            outages=[outage for outage in ledger.outages() if outage.end_ms is None],
            acks=acks_since(ledger.acts(ACK), self._clock.now_ms() - ACK_MINUTES * 60_000),
        )
        return Settled(ledger.battery_state(), view, ledger.held())

    async def work(self, horizon_ms: int, gaps: Sequence[Gap] | None) -> Settled | None:
        """What is done once a second: orders, intervals, and now and then months.

        Args:
            horizon_ms: up to when intervals may close.
            gaps: messages that are missing; None: not known, so that no month becomes final.

        Returns:
            What is closed, if that has changed.
        """
        now, seconds = self._clock.now_ms(), self._clock.monotonic()
        months = gaps is not None and seconds - self._months_at >= MONTHS_SECONDS
        if months:
            self._months_at = seconds

        def work() -> Settled | None:
            orders = self._ledger.carry_out_orders(now)
            for order in orders:
                _log.info(
                    "order %d of %s: %s, %s", order.number, order.author, order.name, order.state
                )
            closing = self._ledger.close_intervals(horizon_ms, HOURS_AT_ONCE)
            if months:
                self._ledger.settle_months(now, self._site.timezone, gaps or ())
                self._ledger.compact(now, self._site.timezone)
            self._anchor(now)
            news = orders or closing.closed or closing.restated or self._held_more
            self._held_more = False
            return self._settled() if news else None

        return await self._write(work)

    def _anchor(self, now_ms: int) -> None:
        """Once a UTC day, note where the chain ends, to be kept elsewhere."""
        day = now_ms // DAY_MS
        if day == self._anchored:
            return
        path = self._path.with_name(FILE_NAME)
        try:
            anchor = write_anchor(path, self._ledger, now_ms)
        except (OSError, BadAnchors) as error:
            _log.error("no anchor of the ledger was written: %s", error)
        else:
            if anchor is None and self._ledger.head_seq() == 0:
                return  # an empty book: try again when there is something in it
        self._anchored = day
