# SPDX-License-Identifier: Apache-2.0
"""The history of racks and halls: what they were, minute by minute, in the store."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from rackwatt.collector.copies.state_rows import state_rows
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.states import HallState, RackState, hall_states
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Row
from rackwatt.wire.clock import Clock
from rackwatt.wire.periodic import ticks

SECONDS: Final = 60.0


class StateHistory:
    """Looks at racks and halls once a minute, and hands them to the store.

    A minute that is missed is skipped. What was seen last stays at hand for metrics.

    Args:
        site: the site.
        devices: what each device said last.
        add: takes rows that are to be written.
        clock: where the time comes from.
        turn: held while devices are read: they are changed by another thread.
    """

    def __init__(
        self,
        site: Site,
        devices: Devices,
        add: Callable[[Sequence[Row]], None],
        clock: Clock,
        turn: asyncio.Lock,
    ) -> None:
        self._site = site
        self._devices = devices
        self._add = add
        self._clock = clock
        self._turn = turn
        self.racks: Sequence[RackState] = ()
        self.halls: Sequence[HallState] = ()

    async def run(self) -> None:
        """Until cancelled; ends at once without racks."""
        if not self._site.racks:
            return
        async for tick in ticks(SECONDS, self._clock):
            await self._keep(tick.due_ms)

    async def _keep(self, due_ms: int) -> None:
        async with self._turn:
            racks = await asyncio.to_thread(self._devices.rack_states, due_ms)
        self.racks, self.halls = racks, hall_states(racks, self._site.air)
        rows = await asyncio.to_thread(state_rows, self._site.id, racks, self.halls, due_ms)
        self._add(rows)
