# SPDX-License-Identifier: Apache-2.0
"""The chains' history: what they carried, minute by minute, in the store."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from rackwatt.collector.copies.chain_rows import chain_rows
from rackwatt.collector.roles.chains import MANY_FEEDS, Chains
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Row
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks

SECONDS: Final = 60.0
RACKS_EVERY: Final = 10
"""Minutes between rows of what feeds racks, on a site of many feeds."""


class ChainHistory:
    """Hands the chains to the store once a minute; a minute that is missed is skipped.

    Args:
        site: the site.
        chains: that are looked at.
        add: takes rows that are to be written.
        clock: where the time comes from.
    """

    def __init__(
        self, site: Site, chains: Chains, add: Callable[[Sequence[Row]], None], clock: Clock
    ) -> None:
        self._site = site
        self._chains = chains
        self._add = add
        self._clock = clock
        self._last_ms: int | None = None

    async def run(self) -> None:
        """Until cancelled; ends at once without chains."""
        if not self._chains.there:
            return
        many = len(self._site.chains.power.edges) > MANY_FEEDS
        async for tick in ticks(SECONDS, self._clock):
            minute = tick.due_ms // round(SECONDS * 1000)
            await self._keep(racks=not many or minute % RACKS_EVERY == 0)

    async def _keep(self, *, racks: bool) -> None:
        state, time_ms = self._chains.state, self._chains.time_ms
        if time_ms is None or time_ms == self._last_ms:
            return
        self._last_ms = time_ms
        site = self._site
        make = (site.id, site.chains, state, time_ms)
        self._add(await asyncio.to_thread(chain_rows, *make, racks=racks))
