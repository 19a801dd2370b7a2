# SPDX-License-Identifier: Apache-2.0
"""The twin's side of the GPU file: facts once, values every tick."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.faults import Faults
from rackwatt.twin.gpufile import (
    COLUMN,
    COLUMNS,
    HEADER,
    MAGIC,
    GpuFacts,
    Layout,
    NodeFacts,
    Values,
    gpu_uuid,
)
from rackwatt.twin.gpumodels import GPUS
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world import World
from rackwatt.twin.world.noise import uniform
from rackwatt.twin.world.racks import Floor

Array = NDArray[np.float64]
_MILLIJOULES: Final = 3_600_000.0
_GPU_IDLE: Final = 0x1
_SW_POWER_CAP: Final = 0x4
# nvml.h: nvmlClocksEventReasonGpuIdle, nvmlClocksEventReasonSwPowerCap


def make_layout(spec: TwinSpec, floor: Floor) -> Layout:
    """The GPUs of the rows that are served, in the order of the floor."""
    nodes: dict[str, NodeFacts] = {}
    gpus: list[GpuFacts] = []
    for node in floor.nodes:
        if node.row not in spec.served_rows:
            continue
        nodes[node.id] = NodeFacts(len(gpus), node.count)
        gpus.extend(
            GpuFacts(
                uuid=gpu_uuid(spec.site.id, node.id, index),
                name=node.model.name,
                serial=str(1_650_000_000_000 + node.first + index),
                memory_bytes=node.model.memory_bytes,
                limit_milliwatts=int(node.model.limit_watts * 1000),
            )
            for index in range(node.count)
        )
    return Layout(nodes, gpus)


def targets(layout: Layout) -> dict[str, int]:
    """What a fault may name a GPU by, `{node}/{index}` or `{node}/{uuid}`, to its row."""
    found: dict[str, int] = {}
    for name, node in layout.nodes.items():
        for index in range(node.count):
            row = node.first + index
            found[f"{name}/{index}"] = row
            found[f"{name}/{layout.gpus[row].uuid}"] = row
    return found


class GpuWriter:
    """Writes the GPUs' values for the agents to read.

    Args:
        spec: the site.
        world: the truth.
        layout: what stands where.
        file: `gpus.json`; its values must have been laid out.
        faults: that are on.
    """

    def __init__(
        self, spec: TwinSpec, world: World, layout: Layout, file: Path, faults: Faults
    ) -> None:
        self._world = world
        self._faults = faults
        self._rows = targets(layout)
        self._values = Values(layout, file, writable=True)
        self._table: Array = np.asarray(self._values.numbers)
        self._grid = self._table[HEADER:].reshape(-1, len(COLUMNS))
        served = [node for node in world.floor.nodes if node.row in spec.served_rows]
        indices = [range(node.first, node.first + node.count) for node in served]
        self._indices = np.array([i for part in indices for i in part], dtype=np.int64)
        models = [GPUS[row.gpu] for row in spec.rows for _ in row.rack_ids
                  for _ in range(row.nodes_per_rack * row.gpus_per_node)]  # fmt: skip
        chosen = [models[i] for i in self._indices]
        self._limit = np.array([model.limit_watts for model in chosen])
        self._memory = np.array([model.memory_bytes for model in chosen], dtype=np.float64)
        self._clock = np.array([model.clock_megahertz for model in chosen], dtype=np.float64)
        self._memory_clock = np.array([m.memory_clock_megahertz for m in chosen], dtype=np.float64)
        self.offsets: Array = np.array(
            [round(5_000.0 + 395_000.0 * uniform(spec.seed, 970, int(i))) for i in self._indices],
            dtype=np.float64,
        )
        """Counter minus truth, Wh: the driver was loaded before the twin's first start."""
        self._xids = self._grid[:, COLUMN["xid_count"]].copy()
        self._codes = self._grid[:, COLUMN["xid_code"]].copy()

    def write(self) -> None:
        """Show the world's present state."""
        floor = self._world.floor
        power = floor.gpu_power[self._indices]
        busy = floor.gpu_busy[self._indices]
        load = power / self._limit
        grid = self._grid

        def put(column: str, values: Any) -> None:
            grid[:, COLUMN[column]] = values

        put("power_milliwatts", np.round(power * 1000.0))
        put("instant_milliwatts", np.round(floor.gpu_instant[self._indices] * 1000.0))
        energy = np.maximum(floor.gpu_energy[self._indices] + self.offsets, 0.0)
        put("energy_millijoules", np.floor(energy * _MILLIJOULES))
        temperature = np.round(floor.gpu_temperature[self._indices])
        put("temperature", temperature)
        put("memory_temperature", temperature + np.round(4.0 + 8.0 * load))
        put("utilization", np.round(100.0 * np.clip(busy, 0.0, 1.0)))
        put("memory_utilization", np.round(100.0 * np.clip(busy * load * 0.6, 0.0, 1.0)))
        used = np.where(busy > 0.2, 0.78, 0.02)
        put("memory_used", np.round(self._memory * used))
        capped = load > 0.97
        slowed = np.where(capped, 0.93, 1.0)
        put("sm_megahertz", np.round(np.where(busy > 0.02, self._clock * slowed, 345.0)))
        put("memory_megahertz", self._memory_clock)
        put("reasons", np.where(capped, _SW_POWER_CAP, np.where(busy > 0.02, 0, _GPU_IDLE)))
        put("performance_state", np.where(busy > 0.02, 0.0, 8.0))
        put("xid_count", self._xids)
        put("xid_code", self._codes)
        lost = np.zeros(len(grid))
        for fault in self._faults.active:
            if fault.name == "gpu_lost":
                lost[self._rows[fault.target]] = 1.0
        put("lost", lost)
        self._table[1] += 1.0
        self._table[2] = float(round(self._world.time * 1000.0))
        self._table[0] = MAGIC

    def xid(self, target: str, code: int) -> None:
        """The driver reports an XID of a GPU."""
        row = self._rows[target]
        self._codes[row] = float(code)
        self._xids[row] += 1.0

    def reset(self, target: str) -> None:
        """The energy counter starts again at 0, as after a reload of the driver."""
        row = self._rows[target]
        self.offsets[row] = -self._world.floor.gpu_energy[self._indices[row]]

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {"gpu_offsets": self.offsets}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the counters where `snapshot` left them."""
        saved = state.get("gpu_offsets")
        if saved is not None and len(saved) == len(self.offsets):
            self.offsets = np.array(saved, dtype=np.float64)

    def close(self) -> None:
        """Let go of the file."""
        del self._grid, self._table
        self._values.close()
