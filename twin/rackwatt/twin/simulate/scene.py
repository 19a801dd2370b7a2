# SPDX-License-Identifier: Apache-2.0
"""An hour of the simulated site, as the ledger and the store get to see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.site import Site
from rackwatt.collector.store import rows_of
from rackwatt.twin.gpufile import gpu_uuid
from rackwatt.twin.gpumodels import GPUS
from rackwatt.twin.simulate.air import climate_fields, coolant_fields, electrical
from rackwatt.twin.simulate.instruments import Instruments, Reading
from rackwatt.twin.simulate.messages import Booking, Filling
from rackwatt.twin.simulate.motion import Minutes, Motion
from rackwatt.twin.simulate.pieces import (
    Array,
    Field,
    Piece,
    Tags,
    hour_piece,
    minute_piece,
    raw_piece,
)
from rackwatt.twin.simulate.sampling import sampled
from rackwatt.twin.simulate.span import HOUR_MS, MINUTE_MS, SimulatedSpan
from rackwatt.twin.simulate.wiring import Columns
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world.noise import uniform
from rackwatt.twin.world.racks import Floor
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import Kind

QUARTER_MS: Final = 900_000
RAW_MS: Final = 48 * HOUR_MS
"""Readings themselves are written for so long before the end: what the embedded store keeps. One a
minute, where real agents send every second or ten: enough to look at, a thirtieth of the size."""
WHOLE_MINUTES_GPUS: Final = 512
"""Up to so many GPUs their minutes are kept whole: 44,640 rows of 0.2 kB in a month for each, so
1.2 GB for the default site's 128, which takes half a minute. Above it they are kept like readings,
and only the hours whole: 1,440 GPUs alone would be 13 GB."""
_MILLIJOULES: Final = 3_600_000.0
_SYNTHETIC: Final = "simulated"


@dataclass(frozen=True, slots=True)
class _Gpu:
    device: str
    index: int
    limit: float
    memory: float
    clock: float
    offset: float


@dataclass(frozen=True, slots=True)
class Hour:
    """What came of one piece of simulated time."""

    minutes: Minutes
    booking: Booking
    filling: Filling


class Scene:
    """World, meters and GPUs of a site in simulated time.

    Args:
        site: The simulated site's file.
        spec: Its world.
        span: The days.
        campus_ratio: The part of the other loads that is no data center.
        raw: Whether readings are wanted beside rollups.

    Raises:
        SimulationProblem: the site cannot be simulated.
    """

    def __init__(
        self, site: Site, spec: TwinSpec, span: SimulatedSpan, campus_ratio: float, *, raw: bool
    ) -> None:
        self.site, self.spec, self.span = site, spec, span
        contracts = tuple(contract.id for contract in spec.contracts)
        floor = Floor(spec)
        self.columns = Columns(contracts, len(floor.racks))
        self.gpus = _gpus(site, spec, floor)
        self.motion = Motion(
            spec, span.start_ms, self.columns, [gpu.index for gpu in self.gpus], campus_ratio
        )
        self.instruments = Instruments(site, spec, self.columns, floor)
        self._index = {rack.id: rack.index for rack in floor.racks}
        self._pdus = frozenset(pdu for rack in site.racks for pdu in rack.pdus)
        self._raw_from = span.end_ms - RAW_MS if raw else span.end_ms
        self._whole = len(self.gpus) <= WHOLE_MINUTES_GPUS
        self._limits = np.array([gpu.limit for gpu in self.gpus])
        self._memory = np.array([gpu.memory for gpu in self.gpus])
        self._clocks = np.array([gpu.clock for gpu in self.gpus])
        self._offsets = np.array([gpu.offset for gpu in self.gpus])

    def notes(self) -> list[str]:
        """What of the site cannot be seen, or is not kept."""
        notes = self.instruments.notes(self.span.start_ms)
        if not self._whole:
            notes.append(
                f"{len(self.gpus)} GPUs: minutes are kept for the last 48 h only, hours whole"
            )
        return notes

    def opening(self) -> Booking:
        """What the registers show before anything has moved."""
        start = self.span.start_ms
        readings = self.instruments.first(start, self.spec.battery.initial_wh)
        return self._booking([start], readings, self._counters(self._offsets[None]), start)

    def hour(self, start_ms: int, end_ms: int) -> Hour:
        """Let time go on from `start_ms` to `end_ms`, in one UTC hour."""
        minutes = self.motion.through(end_ms)
        readings = self.instruments.read(start_ms, minutes.energies, minutes.steps, minutes.stock)
        counters = self._counters(minutes.gpus.energy + self._offsets)
        booking = self._booking(minutes.ends_ms, readings, counters, end_ms)
        devices = [gpu.device for gpu in self.gpus]
        booking = replace(booking, samples=sampled(self.site, minutes, self._index, devices))
        return Hour(minutes, booking, Filling(self._pieces(minutes, readings, counters)))

    def _counters(self, watt_hours: Array) -> Array:
        return np.asarray(np.floor(watt_hours * _MILLIJOULES) / _MILLIJOULES)

    def _booking(
        self, ends_ms: Sequence[int], readings: Sequence[Reading], counters: Array, now_ms: int
    ) -> Booking:
        """The ledger keeps of a counter what it showed at the ends of quarter hours."""
        chosen = [at for at, time_ms in enumerate(ends_ms) if time_ms % QUARTER_MS == 0]
        if ends_ms[0] == self.span.start_ms and not chosen:
            chosen = [0]
        return Booking(
            ends_ms,
            readings,
            [ends_ms[at] for at in chosen],
            [gpu.device for gpu in self.gpus],
            counters[chosen],
            now_ms,
        )

    # --- for the store -------------------------------------------------------------------------

    def _pieces(
        self, minutes: Minutes, readings: Sequence[Reading], counters: Array
    ) -> list[Piece]:
        starts = [end - MINUTE_MS for end in minutes.ends_ms]
        pieces: list[Piece] = []
        groups = self._power(minutes, readings)
        pieces += self._made("power", starts, groups, whole=True)
        if self.gpus:
            devices = [gpu.device for gpu in self.gpus]
            fields = self._gpu_fields(minutes, counters)
            grouped = self._grouped("gpu", devices, fields, starts[0])
            pieces += self._made("gpu", starts, grouped, whole=self._whole)
        air = self._air(minutes)
        pieces += self._made("climate", starts, air, whole=True)
        loops = coolant_fields(minutes, self.motion.world)
        grouped = self._grouped("coolant", list(loops.devices), loops.fields, starts[0])
        return pieces + self._made("coolant", starts, grouped, whole=True)

    def _made(
        self,
        kind: Kind,
        starts: Sequence[int],
        groups: Sequence[tuple[Sequence[Tags], Mapping[str, Field]]],
        *,
        whole: bool,
    ) -> list[Piece]:
        """Minutes, hours and readings of some devices."""
        late = starts[-1] >= self._raw_from
        pieces: list[Piece] = []
        for tags, fields in groups:
            minutes = minute_piece(kind, starts, tags, fields)
            if whole or starts[-1] >= self.span.end_ms - RAW_MS:
                pieces.append(minutes)
            pieces.append(hour_piece(kind, starts[0] // HOUR_MS * HOUR_MS, minutes))
            if late:
                ends = [start + MINUTE_MS for start in starts]
                pieces.append(raw_piece(kind, ends, tags, fields))
        return pieces

    def _grouped(
        self, kind: Kind, devices: Sequence[str], fields: Mapping[str, Field], time_ms: int
    ) -> list[tuple[Sequence[Tags], Mapping[str, Field]]]:
        """Devices by the names of their tags; sorted, as the store keeps them."""
        tags = self._tags(kind, devices, time_ms)
        shapes: dict[tuple[str, ...], list[int]] = {}
        for at in sorted(range(len(devices)), key=devices.__getitem__):
            shapes.setdefault(tuple(name for name, _ in tags[at]), []).append(at)
        return [
            ([tags[at] for at in chosen], {n: _part(f, chosen) for n, f in fields.items()})
            for chosen in shapes.values()
        ]

    def _tags(self, kind: Kind, devices: Sequence[str], time_ms: int) -> list[Tags]:
        field = "power_watts" if kind in {"power", "gpu"} else "temperature_celsius"
        readings = [ReceivedReading(device, time_ms, {field: 0.0}) for device in devices]
        return [row.tags for row in rows_of(self.site, kind, _SYNTHETIC, readings)]

    def _power(
        self, minutes: Minutes, readings: Sequence[Reading]
    ) -> list[tuple[Sequence[Tags], Mapping[str, Field]]]:
        shapes: dict[tuple[tuple[str, ...], bool], list[Reading]] = {}
        for reading in readings:
            key = reading.names, reading.device in self._pdus
            shapes.setdefault(key, []).append(reading)
        found: list[tuple[Sequence[Tags], Mapping[str, Field]]] = []
        for (names, in_rack), some in shapes.items():
            values = np.stack([reading.values for reading in some], axis=1)
            fields = {name: Field(values[:, :, at]) for at, name in enumerate(names)}
            if "power_watts" in fields:
                least = np.stack([reading.least for reading in some], axis=1)
                greatest = np.stack([reading.greatest for reading in some], axis=1)
                fields["power_min_watts"], fields["power_max_watts"] = Field(least), Field(greatest)
                more = electrical(self.spec, minutes, fields["power_watts"].mean)
                fields |= {n: f for n, f in more.items() if not in_rack or "current" in n}
            devices = [reading.device for reading in some]
            found += self._grouped("power", devices, fields, minutes.start_ms)
        return found

    def _gpu_fields(self, minutes: Minutes, counters: Array) -> dict[str, Field]:
        gpus = minutes.gpus
        busy = gpus.busy
        slowed = np.where(gpus.power / self._limits > 0.97, 0.93, 1.0)
        clock = np.where(busy > 0.02, self._clocks * slowed, 345.0) * 1e6
        memory = np.round(self._memory * np.where(busy > 0.2, 0.78, 0.02))
        return {
            "power_watts": Field(np.round(gpus.power, 3)),
            "power_min_watts": Field(np.round(gpus.least, 3)),
            "power_max_watts": Field(np.round(gpus.greatest, 3)),
            "energy_import_watt_hours": Field(counters),
            "temperature_celsius": Field(
                np.round(gpus.temperature, 1), np.round(gpus.coolest), np.round(gpus.hottest)
            ),
            "utilization_ratio": Field(
                np.round(busy, 4), np.round(gpus.idlest, 2), np.round(gpus.busiest, 2)
            ),
            "memory_used_bytes": Field(memory),
            "sm_clock_hertz": Field(np.round(clock)),
        }

    def _air(self, minutes: Minutes) -> list[tuple[Sequence[Tags], Mapping[str, Field]]]:
        sensors: dict[str, tuple[int, str]] = {}
        for rack in self.site.racks_at(minutes.start_ms):
            index = self._index.get(rack.id)
            if index is not None:
                sensors |= {name: (index, place) for place, name in rack.sensors.items()}
        if not sensors:
            return []
        fields = climate_fields(minutes, list(sensors.values()))
        return self._grouped("climate", list(sensors), fields, minutes.start_ms)


def _part(field: Field, chosen: Sequence[int]) -> Field:
    def of(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        return None if values is None else np.asarray(values[:, chosen])

    return Field(np.asarray(field.mean[:, chosen]), of(field.least), of(field.greatest))


def _gpus(site: Site, spec: TwinSpec, floor: Floor) -> list[_Gpu]:
    """The GPUs of the nodes that the site file names, by their agents' names."""
    named = {rack.id: rack.nodes for rack in site.racks}
    numbers: dict[str, int] = {}
    models = {row.id: GPUS[row.gpu] for row in spec.rows}
    found: list[_Gpu] = []
    for node in floor.nodes:
        number = numbers[node.rack] = numbers.get(node.rack, -1) + 1
        names = named.get(node.rack, ())
        if number >= len(names):
            continue
        model = models[node.row]
        for at in range(node.count):
            name = f"{names[number]}/{gpu_uuid(spec.site.id, names[number], at)}"
            drawn = uniform(spec.seed, 970, node.first + at)
            found.append(
                _Gpu(
                    name,
                    node.first + at,
                    model.limit_watts,
                    float(model.memory_bytes),
                    float(model.clock_megahertz),
                    float(round(5_000.0 + 395_000.0 * drawn)),
                )
            )
    return found
