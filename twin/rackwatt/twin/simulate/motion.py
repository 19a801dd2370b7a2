# SPDX-License-Identifier: Apache-2.0
"""The world in simulated time: stepped finely, kept as one set of numbers for each minute."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.simulate.span import MINUTE_MS
from rackwatt.twin.simulate.wiring import Columns
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world import Climate, World
from rackwatt.twin.world.origin import ORIGINS

Array = NDArray[np.float64]

_FINE_SECONDS: Final = 10
"""A step: what training, clouds and gusts do within a minute shows in its extremes."""
_COARSE_SECONDS: Final = 60
_FINE_RACKS: Final = 200
"""Above so many racks a step costs milliseconds, and one a minute has to do."""
TOTALS: Final = (
    "pv", "wind", "genset", "grid_import", "discharge",
    "it", "losses", "cooling", "other", "charge", "grid_export",
)  # fmt: skip


@dataclass(slots=True)
class GpuMinutes:
    """The GPUs that answer; a row for each minute."""

    power: Array
    least: Array
    greatest: Array
    energy: Array
    """Wh since the start of the simulation, at the end of each minute."""
    temperature: Array
    coolest: Array
    hottest: Array
    busy: Array
    idlest: Array
    busiest: Array


@dataclass(slots=True)
class Minutes:
    """Consecutive minutes of the world.

    Attributes:
        start_ms: Where the first one begins.
        steps: Powers of each step, W: minutes x steps x columns.
        energies: Energy of each minute, Wh: minutes x columns.
        totals: Energy of each minute by source and sink, Wh; contracts follow.
        origins: The data center's consumption in each minute by origin, Wh.
        stock: In the battery at each minute's end, Wh.
        stock_origins: The same by origin.
        gpus: Those that answer.
        climate: At each minute's end.
        times: UTC seconds of each minute's end.
    """

    start_ms: int
    steps: Array
    energies: Array
    totals: Array
    origins: Array
    stock: Array
    stock_origins: Array
    gpus: GpuMinutes
    climate: list[Climate]
    times: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many."""
        return len(self.stock)

    @property
    def ends_ms(self) -> list[int]:
        """The end of each minute."""
        return [self.start_ms + MINUTE_MS * (i + 1) for i in range(self.count)]


class Motion:
    """Moves a world through minutes.

    Args:
        spec: The world.
        start_ms: Where it begins.
        columns: What to keep of it.
        gpus: Which GPUs answer, by their place in the world's vectors.
        campus_ratio: The part of the other loads that is no data center.
    """

    def __init__(
        self,
        spec: TwinSpec,
        start_ms: int,
        columns: Columns,
        gpus: Sequence[int],
        campus_ratio: float = 0.0,
    ) -> None:
        self.world = World(spec, start_ms / 1000.0)
        self._columns = columns
        self._campus = campus_ratio
        self._seconds = _FINE_SECONDS if columns.racks <= _FINE_RACKS else _COARSE_SECONDS
        self._gpus = np.array(gpus, dtype=np.int64)
        self._totals = (*TOTALS, *columns.contracts)
        self._now_ms = start_ms

    @property
    def totals(self) -> tuple[str, ...]:
        """Names of the columns of `Minutes.totals`."""
        return self._totals

    def through(self, end_ms: int) -> Minutes:
        """Go on to `end_ms`, whole minutes away."""
        count = (end_ms - self._now_ms) // MINUTE_MS
        per = 60 // self._seconds
        width, gpus = self._columns.width, len(self._gpus)
        empty = [np.empty((count, gpus)) for _ in range(10)]
        minutes = Minutes(
            self._now_ms,
            np.empty((count, per, width)),
            np.empty((count, width)),
            np.empty((count, len(self._totals))),
            np.empty((count, len(ORIGINS))),
            np.empty(count),
            np.empty((count, len(ORIGINS))),
            GpuMinutes(*empty),
            [],
        )
        for index in range(count):
            self._minute(minutes, index, per)
        hours = self._seconds / 3600.0
        minutes.energies = minutes.steps.sum(axis=1) * hours
        self._now_ms = end_ms
        return minutes

    def _minute(self, minutes: Minutes, index: int, per: int) -> None:
        world, columns = self.world, self._columns
        first = len(columns.names)
        before = [world.tracer.load[name] for name in ORIGINS]
        totals = np.zeros(len(self._totals))
        gpu = _GpuMinute(world, self._gpus)
        for step in range(per):
            world.step(float(self._seconds))
            powers = world.powers
            row = minutes.steps[index, step]
            row[:first] = self._values(powers)
            row[first:] = world.floor.rack_power
            totals += [powers[name] for name in self._totals]
            gpu.add()
        minutes.totals[index] = totals * (self._seconds / 3600.0)
        load = world.tracer.load
        minutes.origins[index] = [load[n] - was for n, was in zip(ORIGINS, before, strict=True)]
        minutes.stock[index] = world.stock
        minutes.stock_origins[index] = [world.tracer.stock[name] for name in ORIGINS]
        minutes.climate.append(world.climate)
        minutes.times.append(world.time)
        gpu.put(minutes.gpus, index, per)

    def _values(self, powers: dict[str, float]) -> list[float]:
        other = powers["other"]
        shown = {**powers, "other": other * (1.0 - self._campus), "campus": other * self._campus}
        return [shown[name] for name in self._columns.names]


class _GpuMinute:
    """Gathers one minute of the GPUs."""

    def __init__(self, world: World, chosen: NDArray[np.int64]) -> None:
        self._floor = world.floor
        self._all = len(chosen) == len(world.floor.gpu_power)
        self._chosen = chosen
        self._power = np.zeros(len(chosen))
        self._busy = np.zeros(len(chosen))
        self._heat = np.zeros(len(chosen))
        self._low = [np.full(len(chosen), np.inf) for _ in range(3)]
        self._high = [np.full(len(chosen), -np.inf) for _ in range(3)]

    def add(self) -> None:
        """One step more."""
        if not len(self._chosen):
            return
        floor = self._floor
        power, instant = self._of(floor.gpu_power), self._of(floor.gpu_instant)
        heat, busy = self._of(floor.gpu_temperature), self._of(floor.gpu_busy)
        self._power += power
        self._busy += busy
        self._heat += heat
        for at, (one, other) in enumerate(((power, instant), (heat, heat), (busy, busy))):
            np.minimum(self._low[at], np.minimum(one, other), out=self._low[at])
            np.maximum(self._high[at], np.maximum(one, other), out=self._high[at])

    def _of(self, values: Array) -> Array:
        return values if self._all else np.asarray(values[self._chosen])

    def put(self, into: GpuMinutes, index: int, steps: int) -> None:
        """Leave the minute in its row."""
        into.power[index] = self._power / steps
        into.busy[index] = self._busy / steps
        into.temperature[index] = self._heat / steps
        into.energy[index] = self._of(self._floor.gpu_energy)
        into.least[index], into.coolest[index], into.idlest[index] = self._low
        into.greatest[index], into.hottest[index], into.busiest[index] = self._high
