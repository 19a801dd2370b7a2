# SPDX-License-Identifier: Apache-2.0
"""The accountant's part of meters: what they say now, how they stand, what is overdue."""

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from rackwatt.collector.ledger.reading import LedgerReader, OlderLedger
from rackwatt.collector.live.page.live_page import serialise
from rackwatt.collector.meters.metrics import meter_families
from rackwatt.collector.meters.readings import MeterReadings, kin, watched
from rackwatt.collector.meters.register import COMMISSIONED, Status, commissionings, statuses
from rackwatt.collector.site import Site
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks

_log = logging.getLogger(__name__)
SECONDS: Final = 10.0


class Meters:
    """Knows a site's meters.

    Args:
        site: the site.
        ledger: where commissionings are recorded.
        clock: where the time comes from.
        turn: held while readings are read: they are changed by another thread.
    """

    def __init__(self, site: Site, ledger: Path, clock: Clock, turn: asyncio.Lock) -> None:
        self._site = site
        self._ledger = ledger
        self._clock = clock
        self._turn = turn
        self._statuses: dict[str, Status] = {}
        self.readings = MeterReadings(site)

    async def run(self) -> None:
        """Look at the ledger now and then until cancelled."""
        async for _ in ticks(SECONDS, self._clock):
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read how the meters stand; what cannot be read is kept as it was."""
        try:
            with LedgerReader(self._ledger) as books:
                known = commissionings(books.acts(COMMISSIONED))
        except (OlderLedger, sqlite3.Error) as error:
            _log.warning("meters: %s cannot be read: %s", self._ledger, error)
            return
        self._statuses = statuses(self._site, known, self._clock.now_ms())

    def quality(self) -> dict[str, int | None]:
        """What the page tells of meters; ``None`` before the first look."""
        if not self._statuses:
            return {"meters_not_in_service": None, "calibrations_overdue": None}
        today = self._site.local(self._clock.now_ms()).date()
        known = self._statuses.values()
        waiting = sum(one.meter.state not in ("in_service", "planned") for one in known)
        overdue = sum(one.overdue(today) for one in known)
        return {"meters_not_in_service": waiting, "calibrations_overdue": overdue}

    def families(self) -> list[Metric]:
        """The metrics."""
        if not self._statuses:
            return []
        zone = self._site.timezone
        today = self._site.local(self._clock.now_ms()).date()
        return meter_families(self._site.id, self._statuses.values(), today, zone)

    def routes(self) -> list[BaseRoute]:
        """``/api/meters/METER``."""
        return [Route("/api/meters/{meter}", self._answer)]

    async def _answer(self, request: Request) -> Response:
        name, now = request.path_params["meter"], self._clock.now_ms()
        meter = self._site.meters_at(now).get(name)
        if meter is None or meter.virtual:
            return PlainTextResponse(f"no physical meter {name!r} in the site file\n", 404)
        async with self._turn:
            readings = self.readings.of(watched(self._site, name, now))
        found = {"time": now, "meter": name, **kin(self._site, name, now), "readings": readings}
        headers = {"Cache-Control": "no-store"}
        return Response(serialise(found), headers=headers, media_type="application/json")
