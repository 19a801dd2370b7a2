# SPDX-License-Identifier: Apache-2.0
"""GPUs in trouble: which ones, where they stand, and how many of each hall."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.live.devices import FRESH_MS
from rackwatt.collector.live.fleet import Fleet
from rackwatt.collector.live.gpu_health import POWER_BRAKE, THERMAL_SLOWDOWN
from rackwatt.collector.signals.metrics import MOST_TROUBLES
from rackwatt.collector.site import Rack
from rackwatt.wire.sample import Event

Trouble = Literal[
    "lost", "xid_fatal", "ecc_uncorrected", "row_remap", "thermal_slowdown", "power_brake"
]
TROUBLES: Final[Sequence[Trouble]] = get_args(Trouble)
HOUR_MS: Final = 3_600_000
"""An error of a GPU counts for so long."""


class RackGpus(NamedTuple):
    """What the GPUs of a rack say together."""

    rack: Rack
    reporting: int
    silent: int
    memory_celsius: float | None


class GpuTroubles:
    """Finds GPUs in trouble.

    A GPU is lost when it has said no power for 30 s while its node says that of others; a node that
    is silent as a whole is no lost GPU. An XID is fatal if its event is critical.
    """

    def __init__(self) -> None:
        self._xids: dict[str, int] = {}

    def event(self, device: str, event: Event, time_ms: int) -> None:
        """Take an event of any device."""
        if event.code.startswith("xid_") and event.severity == "critical":
            self._xids[device] = max(time_ms, self._xids.get(device, 0))

    def racks(self, fleet: Fleet, racks: Sequence[Rack], now_ms: int) -> Iterator[RackGpus]:
        """What the GPUs of each rack say that has any."""
        since = now_ms - FRESH_MS
        where = fleet.rack_numbers([rack.nodes for rack in racks])
        if not len(where):
            return
        count = len(racks) + 1
        known = np.bincount(where, minlength=count)
        up = np.bincount(where[fleet.reporting(since)], minlength=count)
        celsius = fleet.health.memory_celsius(since)
        hottest = np.full(count, -np.inf)
        there = ~np.isnan(celsius)
        np.maximum.at(hottest, where[there], celsius[there])
        for number, rack in enumerate(racks):
            if known[number]:
                top = float(hottest[number])
                memory = top if np.isfinite(top) else None
                silent = int(known[number] - up[number])
                yield RackGpus(rack, int(up[number]), silent, memory)

    def found(
        self, fleet: Fleet, racks: Sequence[Rack], now_ms: int
    ) -> tuple[list[tuple[Rack, str, Trouble]], Counter[tuple[str, Trouble]]]:
        """GPUs in trouble, `MOST_TROUBLES` at most; and how many there are, by hall and trouble."""
        named: list[tuple[Rack, str, Trouble]] = []
        counts: Counter[tuple[str, Trouble]] = Counter()
        where = fleet.rack_numbers([rack.nodes for rack in racks])
        halls = np.array([rack.hall for rack in racks])
        for trouble, mask in self._masks(fleet, now_ms):
            indices = np.flatnonzero(mask & (where < len(racks)))
            for hall, number in zip(
                *np.unique(halls[where[indices]], return_counts=True), strict=True
            ):
                counts[str(hall), trouble] += int(number)
            named.extend(
                (racks[where[index]], fleet.name(int(index)), trouble)
                for index in indices[: max(0, MOST_TROUBLES - len(named))]
            )
        return named, counts

    def _masks(self, fleet: Fleet, now_ms: int) -> Iterator[tuple[Trouble, NDArray[np.bool_]]]:
        since, hour = now_ms - FRESH_MS, now_ms - HOUR_MS
        reporting, health = fleet.reporting(since), fleet.health
        if not len(reporting):
            return
        xids = np.zeros(len(reporting), bool)
        self._xids = {name: at for name, at in self._xids.items() if at >= hour}
        for name in self._xids:
            index = fleet.index(name)
            if index is not None:
                xids[index] = True
        yield "xid_fatal", xids
        yield "ecc_uncorrected", health.ecc_since(hour)
        yield "row_remap", health.remapped_since(hour)
        yield "power_brake", health.throttled(POWER_BRAKE, since)
        yield "thermal_slowdown", health.throttled(THERMAL_SLOWDOWN, since)
        yield "lost", ~reporting & fleet.nodes_reporting(since)
