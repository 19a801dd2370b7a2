# SPDX-License-Identifier: Apache-2.0
"""The accountant's part of power and cooling chains: looks at them, and answers what is asked."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from rackwatt.collector.live.chain import ChainState, LiveChains, Readings
from rackwatt.collector.live.chain_metrics import chain_families
from rackwatt.collector.live.chain_plan import LEAVES, Plans
from rackwatt.collector.live.chain_view import feed, overview, rack
from rackwatt.collector.live.page.live_page import serialise
from rackwatt.collector.site import Site
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks

_log = logging.getLogger(__name__)

SECONDS: Final = 2.0
SLOW_SECONDS: Final = 10.0
"""With thousands of edges a look takes a second of one core."""
MANY_FEEDS: Final = 2_000
"""Beyond so many, those of racks and PDUs are told in less detail and less often."""


class Chains:
    """Looks at a site's chains now and then.

    Args:
        site: the site.
        readings: what its devices said last.
        clock: where the time comes from.
        turn: held while readings are read: they are changed by another thread.
        maintenance: what is out of service on purpose now, by asset, with what is said of it.
    """

    def __init__(
        self,
        site: Site,
        readings: Readings,
        clock: Clock,
        turn: asyncio.Lock,
        maintenance: Callable[[], Mapping[str, Mapping[str, Any]]] = dict,
    ) -> None:
        self._site = site
        self._live = LiveChains(site, readings)
        self._clock = clock
        self._turn = turn
        self._maintenance = maintenance
        self._out: Mapping[str, Mapping[str, Any]] = {}
        power = site.chains.power
        self._plans = Plans.of_site(site)
        self._body: tuple[ChainState, bytes] | None = None
        self._sides = {edge.id: power.side(edge) for edge in power.edges}
        many = len(self._sides) > MANY_FEEDS
        self._detailed = {
            edge.id for edge in power.edges
            if not (many and power.assets[edge.target].kind in LEAVES)
        }  # fmt: skip
        self.state = ChainState()
        self.time_ms: int | None = None
        """When it was looked at."""

    @property
    def there(self) -> bool:
        """Whether the site file has chains at all."""
        return bool(self._site.chains.power) or bool(self._site.chains.cooling)

    async def run(self) -> None:
        """Look until cancelled; a turn that is missed is skipped. Ends at once without chains."""
        if not self.there:
            return
        seconds = SLOW_SECONDS if len(self._sides) > MANY_FEEDS else SECONDS
        async for _ in ticks(seconds, self._clock):
            now = self._clock.now_ms()
            async with self._turn:
                measured = await asyncio.to_thread(self._live.read, now)
            self._out = self._maintenance()
            self.state = await asyncio.to_thread(self._live.judge, measured, self._out.keys())
            self.time_ms = now

    def families(self) -> list[Metric]:
        """The chains' metrics."""
        if self.time_ms is None:
            return []
        return chain_families(self._site.id, self.state, self._sides, self._detailed)

    def routes(self) -> list[BaseRoute]:
        """``/api/chain`` and what is below it."""
        return [
            Route("/api/chain", self._overview),
            Route("/api/chain/feed/{asset}", self._feed),
            Route("/api/chain/rack/{rack}", self._rack),
        ]

    async def _overview(self, request: Request) -> Response:
        """Made once for each look, however many ask; one who has it already gets nothing."""
        tag = f'"{self.time_ms}"'
        headers = {"Cache-Control": "no-store", "ETag": tag}
        if self.time_ms is not None and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        state, time_ms = self.state, self.time_ms
        if self._body is None or self._body[0] is not state:
            made = await asyncio.to_thread(overview, self._site.chains, state, self._plans)
            out = list(self._out.values())
            self._body = state, serialise({"time": time_ms, **made, "maintenance": out})
        return Response(self._body[1], headers=headers, media_type="application/json")

    async def _feed(self, request: Request) -> Response:
        name = request.path_params["asset"]
        chains = self._site.chains
        chain = chains.power if name in chains.power.assets else chains.cooling
        return await self._answer(lambda: {"racks": feed(chain, self.state, name, chains.power)})

    async def _rack(self, request: Request) -> Response:
        name = request.path_params["rack"]
        return await self._answer(lambda: rack(self._site.chains, self.state, name))

    async def _answer(self, make: Callable[[], Mapping[str, Any]]) -> Response:
        try:
            found = await asyncio.to_thread(make)
        except KeyError as error:
            return PlainTextResponse(f"no asset {error} in the site's chains\n", 404)
        body = serialise({"time": self.time_ms, **found})
        headers = {"Cache-Control": "no-store"}
        return Response(body, headers=headers, media_type="application/json")
