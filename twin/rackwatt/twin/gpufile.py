# SPDX-License-Identifier: Apache-2.0
"""The file through which the twin's GPUs reach the agents: a layout as JSON, values as an mmap.

`gpus.json` says which GPU stands in which row and what it is; `gpus.bin` holds a header of
`HEADER` numbers and one row of `COLUMNS` per GPU, all native 64-bit floats. The twin writes in
place, once a tick; a reader takes one number at a time, and an aligned 64-bit number is read
whole on every machine that Python runs on. No numpy here: agents import this.
"""

import json
import mmap
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

MAGIC: Final = 7_236_001.0
HEADER: Final = 8
"""Magic, generation (0: never written), time in ms since 1970 UTC, then reserved."""
COLUMNS: Final = (
    "power_milliwatts",
    "instant_milliwatts",
    "energy_millijoules",
    "temperature",
    "memory_temperature",
    "utilization",
    "memory_utilization",
    "memory_used",
    "sm_megahertz",
    "memory_megahertz",
    "reasons",
    "performance_state",
    "lost",
    "xid_count",
    "xid_code",
)
COLUMN: Final[Mapping[str, int]] = {name: i for i, name in enumerate(COLUMNS)}


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What a GPU is; it does not change."""

    uuid: str
    name: str
    serial: str
    memory_bytes: int
    limit_milliwatts: int


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The GPUs of a node stand in rows `first` to `first + count`."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where in `gpus.bin`."""

    nodes: Mapping[str, NodeFacts]
    gpus: Sequence[GpuFacts]

    @property
    def size(self) -> int:
        """Of `gpus.bin`, in bytes."""
        return 8 * (HEADER + len(self.gpus) * len(COLUMNS))


def gpu_uuid(site: str, node: str, index: int) -> str:
    """The UUID of a simulated GPU: the same at every start."""
    return f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, f'rackwatt-twin/{site}/{node}/{index}')}"


def values_file(layout_file: Path) -> Path:
    """The values that belong to a layout."""
    return layout_file.with_suffix(".bin")


def write_layout(layout: Layout, file: Path) -> None:
    """Leave a layout and make room for its values; values of the same size stay."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "columns": COLUMNS,
        "nodes": {name: asdict(facts) for name, facts in layout.nodes.items()},
        "gpus": [asdict(gpu) for gpu in layout.gpus],
    }
    text = json.dumps(content, indent=1)
    values = values_file(file)
    same = file.exists() and file.read_text(encoding="utf-8") == text
    if not same or not values.exists() or values.stat().st_size != layout.size:
        partial = values.with_suffix(".partial")
        partial.write_bytes(bytes(layout.size))
        partial.replace(values)  # a reader of the old values keeps its old file
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def read_layout(file: Path) -> Layout:
    """Read what `write_layout` left.

    Raises:
        OSError: it is not there.
        ValueError: it is of another version.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    if tuple(content["columns"]) != COLUMNS:
        raise ValueError(f"{file} was written by another version of the twin")
    return Layout(
        {name: NodeFacts(**facts) for name, facts in content["nodes"].items()},
        [GpuFacts(**facts) for facts in content["gpus"]],
    )


class Values:
    """The numbers of a layout, mapped into memory.

    Raises:
        OSError: the file is not there.
        ValueError: it has another size.
    """

    def __init__(self, layout: Layout, file: Path, *, writable: bool = False) -> None:
        flags = os.O_RDWR if writable else os.O_RDONLY
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        descriptor = os.open(values_file(file), flags)
        try:
            size = os.fstat(descriptor).st_size
            if size != layout.size:
                raise ValueError(f"{values_file(file)} has {size} bytes, expected {layout.size}")
            self._map = mmap.mmap(descriptor, layout.size, access=access)
        finally:
            os.close(descriptor)
        self.numbers = memoryview(self._map).cast("d")

    def get(self, row: int, column: str) -> float:
        """One number."""
        return float(self.numbers[HEADER + row * len(COLUMNS) + COLUMN[column]])

    @property
    def generation(self) -> int:
        """How often the twin has written; 0: never."""
        return int(self.numbers[1]) if self.numbers[0] == MAGIC else 0

    @property
    def time_ms(self) -> int:
        """When the twin wrote last, in ms since 1970 UTC."""
        return int(self.numbers[2])

    def close(self) -> None:
        """Let go of the mapping; may be called more than once."""
        self.numbers.release()
        self._map.close()
