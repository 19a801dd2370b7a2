# SPDX-License-Identifier: Apache-2.0
"""The newest values of every GPU, in columns: a campus has hundreds of thousands of them."""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.live.fleet_racks import RackGpus, racks_of
from rackwatt.collector.live.gpu_health import Gauge, GpuHealth
from rackwatt.wire.codec import ReceivedReading

UNSET: Final = msgspec.UNSET
Known = float | None | msgspec.UnsetType
"""A value; None: it could not be read; unset: the reading does not say."""
SHOWN: Final = ("power_watts", "temperature_celsius", "utilization_ratio")


class GpuReading(msgspec.Struct, gc=False):
    """What the accountant uses of one GPU's reading; `time` in ms, 0 where it is the message's."""

    device: str
    time: int = 0
    power_watts: Known = UNSET
    temperature_celsius: Known = UNSET
    utilization_ratio: Known = UNSET
    energy_import_watt_hours: Known = UNSET
    memory_temperature_celsius: Known = UNSET
    clock_event_reasons_bitmask: Known = UNSET
    ecc_uncorrected_errors_total: Known = UNSET
    remapped_rows_total: Known = UNSET


_NAMES: Final = GpuReading.__struct_fields__[2:]


def gpu_reading(reading: ReceivedReading) -> GpuReading:
    """The same of a reading that was decoded in full."""
    values = reading.values
    known: dict[str, Any] = {name: values[name] for name in _NAMES if name in values}
    return GpuReading(reading.device, reading.time_ms, **known)


class Totals(NamedTuple):
    """What GPUs say together; None = nobody knows."""

    known: int
    reporting: int
    power_watts: float | None
    utilization: float | None
    temperature_max_celsius: float | None


class Fleet:
    """All GPUs that have ever reported.

    Characteristics: a reading that is older than the one at hand changes nothing, field by field;
    some 400 bytes a GPU.

    Args:
        placed: whether a device stands in one of the site's racks, at a time.
        moves: whether that can change with time.
    """

    def __init__(self, placed: Callable[[str, int], bool], moves: Callable[[str], bool]) -> None:
        self._placed = placed
        self._moves = moves
        self._index: dict[str, int] = {}
        self._names: list[str] = []
        self._nodes: dict[str, int] = {}
        self._node_of = array("q")
        self._beside = array("b")
        """1: it stands beside the site."""
        self._moving: list[int] = []
        self._columns = {name: Gauge() for name in SHOWN}
        self._each = tuple(self._columns.values())
        self.health = GpuHealth()
        self._racks: tuple[tuple[object, ...], int, NDArray[np.int64]] = ((), -1, np.empty(0, int))

    def add(self, readings: Iterable[GpuReading], received_ms: int) -> None:
        """Take readings in; none of them is newer than its receipt."""
        power, celsius, load = self._each
        health = self.health
        for item in readings:
            time_ms = min(item.time, received_ms)
            index = self._index.get(item.device)
            if index is None:
                index = self._enter(item.device, time_ms)
            power.put(index, time_ms, item.power_watts)
            celsius.put(index, time_ms, item.temperature_celsius)
            load.put(index, time_ms, item.utilization_ratio)
            health.put(index, time_ms, item)

    def _enter(self, device: str, time_ms: int) -> int:
        node = device.partition("/")[0]
        index = self._index[device] = len(self._names)
        self._names.append(device)
        self._node_of.append(self._nodes.setdefault(node, len(self._nodes)))
        self._beside.append(not self._placed(device, time_ms))
        if self._moves(device):
            self._moving.append(index)
        for column in self._each:
            column.grow()
        self.health.grow()
        return index

    def value(self, device: str, field: str, since_ms: int) -> float | None:
        """A value that is not older, else None."""
        index, column = self._index.get(device), self._columns.get(field)
        if index is None or column is None or column.times[index] < since_ms:
            return None
        value = column.values[index]
        return None if math.isnan(value) else value

    def totals(self, now_ms: int, since_ms: int) -> Totals:
        """What the GPUs say together that stand in the site's racks."""
        inside = self._beside_at(now_ms) == 0
        power, celsius, load = (column.fresh(since_ms)[inside] for column in self._each)
        power, celsius, load = (own[~np.isnan(own)] for own in (power, celsius, load))
        return Totals(
            int(inside.sum()),
            len(power),
            float(power.sum()) if len(power) else None,
            float(load.mean()) if len(load) else None,
            float(celsius.max()) if len(celsius) else None,
        )

    def by_rack(
        self, racks: Sequence[tuple[str, ...]], since_ms: int
    ) -> tuple[Sequence[int], Sequence[int]]:
        """GPUs ever seen and GPUs with a known power, by rack.

        Args:
            racks: the nodes of each.
            since_ms: how old the power may be.
        """
        where = self.rack_numbers(racks)
        known = np.bincount(where, minlength=len(racks))
        up = self.reporting(since_ms)
        return known.tolist(), np.bincount(where[up], minlength=len(racks)).tolist()

    def in_racks(self, racks: Sequence[tuple[str, ...]], since_ms: int) -> list[RackGpus]:
        """What the GPUs of each rack say together.

        Args:
            racks: the nodes of each.
            since_ms: how old a value may be.
        """
        columns = {name: column.fresh(since_ms) for name, column in self._columns.items()}
        return racks_of(columns | self.health.columns(since_ms), self.rack_numbers(racks),
                        len(racks))  # fmt: skip

    def reporting(self, since_ms: int) -> NDArray[np.bool_]:
        """Of each GPU whether its power is known of late."""
        found: NDArray[np.bool_] = ~np.isnan(self._columns["power_watts"].fresh(since_ms))
        return found

    def nodes_reporting(self, since_ms: int) -> NDArray[np.bool_]:
        """Of each GPU whether any GPU of its node says something."""
        node = np.frombuffer(self._node_of, np.int64)
        alive = np.bincount(node[self.reporting(since_ms)], minlength=len(self._nodes)) > 0
        found: NDArray[np.bool_] = alive[node]
        return found

    def name(self, index: int) -> str:
        """The device that an index stands for."""
        return self._names[index]

    def index(self, device: str) -> int | None:
        """The index of a GPU; None: it has never reported."""
        return self._index.get(device)

    def rack_numbers(self, racks: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
        """Of each GPU the number of its rack; that of no rack of these is their count.

        Args:
            racks: the nodes of each.
        """
        key = tuple(racks)
        if self._racks[1] != len(self._names) or self._racks[0] != key:
            rack_of = {node: number for number, nodes in enumerate(racks) for node in nodes}
            of_node = np.array([rack_of.get(node, len(racks)) for node in self._nodes], int)
            self._racks = key, len(self._names), of_node[np.frombuffer(self._node_of, np.int64)]
        return self._racks[2]

    def beside(
        self, now_ms: int, since_ms: int
    ) -> Iterator[tuple[str, Mapping[str, float | None]]]:
        """Each GPU that stands beside the site and has said something lately, by name."""
        found = [self._names[index] for index in np.flatnonzero(self._beside_at(now_ms))]
        for device in sorted(found):
            index = self._index[device]
            if any(column.times[index] >= since_ms for column in self._each):
                yield device, {name: self.value(device, name, since_ms) for name in SHOWN}

    def _beside_at(self, now_ms: int) -> NDArray[np.int8]:
        for index in self._moving:
            self._beside[index] = not self._placed(self._names[index], now_ms)
        return np.frombuffer(self._beside, np.int8)
