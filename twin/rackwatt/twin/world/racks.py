# SPDX-License-Identifier: Apache-2.0
"""GPUs, nodes and racks as vectors: one step costs the same Python for 16 racks and for 2,540."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.gpumodels import GPUS, Gpu
from rackwatt.twin.spec import RowSpec, TwinSpec
from rackwatt.twin.world.jobs import Jobs

Array = NDArray[np.float64]
_OfRow = Callable[[RowSpec], float]
DISPLAY_SECONDS: Final = 2.0
_LONG_RUN: Final = 600.0
_NOISE: Final = 4096
_GPU_SECONDS: Final = 14.0
"""Time constant of a GPU's temperature."""


@dataclass(frozen=True, slots=True)
class Node:
    """A server: its GPUs stand at `first` to `first + count` in the GPU vectors."""

    id: str
    rack: str
    row: str
    first: int
    count: int
    model: Gpu


@dataclass(frozen=True, slots=True)
class Rack:
    """A rack: `index` in the rack vectors."""

    id: str
    row: str
    hall: str
    index: int


def layout(spec: TwinSpec) -> tuple[tuple[Rack, ...], tuple[Node, ...]]:
    """The racks and nodes in the order of the vectors."""
    racks: list[Rack] = []
    nodes: list[Node] = []
    first = 0
    for hall in spec.halls:
        for row in hall.rows:
            for rack in row.rack_ids:
                racks.append(Rack(rack, row.id, hall.id, len(racks)))
                for number in range(1, row.nodes_per_rack + 1):
                    model = GPUS[row.gpu]
                    count = row.gpus_per_node
                    nodes.append(Node(f"{rack}-n{number}", rack, row.id, first, count, model))
                    first += count
    return tuple(racks), tuple(nodes)


class Floor:
    """Every GPU and rack of the site.

    Vectors named `gpu_*` have one value per GPU, `rack_*` one per rack. Powers are means over the
    last step, energies in Wh since the first start.
    """

    def __init__(self, spec: TwinSpec) -> None:
        self.racks, self.nodes = layout(spec)
        per_rack = [(row, row.nodes_per_rack * row.gpus_per_node)
                    for row in spec.rows for _ in row.rack_ids]  # fmt: skip
        counts = np.array([count for _, count in per_rack])
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._rack_of = np.repeat(np.arange(len(counts)), counts)
        self._jobs = Jobs(spec, tuple(rack.id for rack in self.racks))
        rng = np.random.default_rng(spec.seed)
        total = int(counts.sum())
        self._noise = rng.normal(0.0, 0.012, _NOISE)
        self._phase = rng.integers(0, _NOISE, total)
        self._gain = np.clip(rng.normal(1.0, 0.018, total), 0.94, 1.05)
        self._warmth = rng.normal(0.0, 1.6, total)
        self.rack_share = 0.5 + np.clip(rng.normal(0.0, 0.012, len(counts)), -0.03, 0.03)
        """The part of the rack's power that its first PDU carries."""
        self.rack_phases = self._phase_shares(spec, rng)
        """What of each rack's load lies on L1, L2 and L3: rows of three that add up to 1."""
        self._idle = self._per_gpu(spec, lambda row: GPUS[row.gpu].idle_watts)
        self._limit = self._per_gpu(spec, lambda row: GPUS[row.gpu].limit_watts)
        self._node_watts = self._per_rack(
            spec, lambda row: row.nodes_per_rack * row.node_watts + row.rack_watts
        )
        self._node_ratio = self._per_rack(spec, lambda row: row.node_ratio)
        self._efficiency = self._per_rack(spec, lambda row: row.supply_efficiency)
        self.gpu_energy = np.zeros(total)
        self.rack_energy = np.zeros(len(counts))
        self.gpu_power = self._idle.copy()
        self.gpu_instant = self._idle.copy()
        self.gpu_busy = np.zeros(total)
        self.gpu_temperature = 34.0 + self._warmth
        self.rack_power = self._rack_power(self.gpu_power)
        self._past: deque[tuple[float, Array]] = deque(maxlen=3)

    @property
    def rack_shown(self) -> Array:
        """What a rack PDU displays: the mean over its refresh of `DISPLAY_SECONDS`."""
        if len(self._past) < 2:
            return self.rack_power
        (before, then), (now, energy) = self._past[0], self._past[-1]
        if now - before > DISPLAY_SECONDS + 0.5:
            (before, then) = self._past[-2]
        return np.asarray((energy - then) / ((now - before) / 3600.0))

    def _per_rack(self, spec: TwinSpec, value: _OfRow) -> Array:
        values = [value(row) for row in spec.rows for _ in row.rack_ids]
        return np.array(values, dtype=np.float64)

    @staticmethod
    def _phase_shares(spec: TwinSpec, rng: np.random.Generator) -> Array:
        shares = np.array([row.feeds.phase_shares for row in spec.rows for _ in row.rack_ids])
        uneven = shares * (1.0 + np.clip(rng.normal(0.0, 0.015, shares.shape), -0.04, 0.04))
        return np.asarray(uneven / uneven.sum(axis=1, keepdims=True))

    def _per_gpu(self, spec: TwinSpec, value: _OfRow) -> Array:
        return np.asarray(self._per_rack(spec, value)[self._rack_of])

    @property
    def largest_power(self) -> float:
        """What all racks draw at their GPUs' limits, W."""
        return float(self._rack_power(self._limit).sum())

    @property
    def largest_rack_power(self) -> Array:
        """What each rack draws at its GPUs' limits, W."""
        return self._rack_power(self._limit)

    def _rack_power(self, gpu_power: Array) -> Array:
        gpus = np.add.reduceat(gpu_power, self._starts)
        total = gpus * (1.0 + self._node_ratio) + self._node_watts
        return np.asarray(total / self._efficiency)

    def step(self, time: float, sim_time: float, seconds: float) -> None:
        """Advance to `time` (UTC seconds), the end of a step of `seconds`.

        Raises:
            ValueError: `seconds` is not positive.
        """
        if seconds <= 0:
            raise ValueError(f"a step must take time, got {seconds} s")
        mean, instant, busy = self._jobs.loads(time, sim_time, seconds)
        tick = int(time) % _NOISE
        noise = self._noise[(self._phase + tick) % _NOISE]
        span = (self._limit - self._idle) * self._gain
        noisy = 1.0 + noise
        top = self._limit
        self.gpu_power = np.minimum((self._idle + span * mean[self._rack_of]) * noisy, top)
        self.gpu_instant = np.minimum((self._idle + span * instant[self._rack_of]) * noisy, top)
        self.gpu_busy = busy[self._rack_of]
        hours = seconds / 3600.0
        self.gpu_energy = self.gpu_energy + self.gpu_power * hours
        part = 1.0 - float(np.exp(-seconds / _GPU_SECONDS))
        gap = self._final_temperature(self.gpu_power) - self.gpu_temperature
        self.gpu_temperature = self.gpu_temperature + gap * part
        self.rack_power = self._rack_power(self.gpu_power)
        self.rack_energy = self.rack_energy + self.rack_power * hours
        self._past.append((time, self.rack_energy))

    def settle(self, time: float, sim_time: float) -> Array:
        """Let the temperatures be where the present work takes them in the long run.

        Returns:
            The racks' mean power, W.
        """
        mean, _, _ = self._jobs.loads(time, sim_time, _LONG_RUN)
        power = self._idle + (self._limit - self._idle) * self._gain * mean[self._rack_of]
        self.gpu_temperature = self._final_temperature(power)
        return self._rack_power(power)

    def _final_temperature(self, power: Array) -> Array:
        return np.asarray(31.0 + 34.0 * power / self._limit + self._warmth)
