# SPDX-License-Identifier: Apache-2.0
"""What the meters show: the truth with each meter's own error, through its registers.

A meter is wrong by a constant part of its class, the same for power and energy, drawn once from
the seed and its name. It never uses its whole class: see `CLASS_PART`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.site import Site
from rackwatt.twin.devices import default_meters, starts
from rackwatt.twin.simulate.displays import Scale, scales
from rackwatt.twin.simulate.wiring import Channel, Columns, Wiring, wire
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world.noise import uniform
from rackwatt.twin.world.racks import Floor
from rackwatt.wire.inventory import InventoryItem

Array = NDArray[np.float64]

CLASS_PART: Final = 0.1
"""Largest error as a part of a meter's class. A class is a limit over all loads and temperatures;
meters in good order stay far within it. With whole classes, constant errors alone would make a
tenth of a point of the consumption unknown, and move shares by as much as 0.25 points."""
SOC: Final = "state_of_charge_ratio"
_MAPS: Final[Mapping[str, str]] = {
    "grid": "schneider-pm5xxx", "pv": "schneider-pm5xxx", "wind": "schneider-pm5xxx",
    "battery": "sunspec-storage", "pdu": "raritan-px",
}  # fmt: skip
_OTHER_MAP: Final = "schneider-pm5xxx"
_STREAM: Final = 980


@dataclass(frozen=True, slots=True)
class Reading:
    """What one device shows, a row for each minute.

    Attributes:
        device: Its name.
        names: Its fields.
        values: Minutes x fields.
        least: Smallest power in each minute, W, for the main power.
        greatest: Largest power.
    """

    device: str
    names: tuple[str, ...]
    values: Array
    least: Array
    greatest: Array


@dataclass(slots=True)
class _Epoch:
    wiring: Wiring
    by_device: dict[str, list[int]]
    factors: Array


class Instruments:
    """All meters of a site.

    Args:
        site: What its file says.
        spec: The world.
        columns: Its quantities.
        floor: Its racks.
    """

    def __init__(self, site: Site, spec: TwinSpec, columns: Columns, floor: Floor) -> None:
        self._site = site
        self._spec = spec
        self._columns = columns
        self._floor = floor
        self._peak = floor.largest_power
        self._maps = _maps(site, spec)
        self._scales: dict[str, Mapping[str, Scale]] = {}
        self._counted: dict[tuple[str, str], float] = {}
        """What each register has gained, Wh."""
        self._epochs: dict[int, _Epoch] = {}
        self._starts: dict[tuple[str, str], float] = {}

    def notes(self, time_ms: int) -> list[str]:
        """What of the site cannot be seen."""
        return list(self._epoch(time_ms).wiring.notes)

    def devices(self, time_ms: int) -> list[str]:
        """All that can be read at a time, sorted."""
        return list(self._epoch(time_ms).by_device)

    def error(self, device: str, time_ms: int) -> float:
        """A meter's relative error."""
        meter = self._site.meters_at(time_ms).get(device)
        accuracy = 0.5 if meter is None else meter.accuracy + meter.transformer_class
        drawn = 2.0 * uniform(self._spec.seed, _STREAM, _number(device)) - 1.0
        return accuracy / 100.0 * CLASS_PART * drawn

    def inventory(self, start_ms: int, end_ms: int) -> list[InventoryItem]:
        """How the registers count of all that is read in a span, as agents say it."""
        changes = [at for at in self._site.metering.starts if start_ms < at < end_ms]
        items: dict[str, InventoryItem] = {}
        for at in (start_ms, *changes):
            for item in self._items(self._epoch(at)):
                items.setdefault(item.device, item)
        return list(items.values())

    def _items(self, epoch: _Epoch) -> Iterator[InventoryItem]:
        for device, rows in epoch.by_device.items():
            shown = self._scale(device)
            fields = [epoch.wiring.channels[row].energy for row in rows]
            registers = {name: shown[name].register for name in fields if name in shown}
            yield InventoryItem(
                device=device,
                model=self._maps.get(device, _OTHER_MAP),
                serial=str(_number(device) % 900_000_000 + 100_000_000),
                registers={name: one for name, one in registers.items() if one is not None},
            )

    def first(self, time_ms: int, stock: float) -> list[Reading]:
        """What the meters show before anything has moved: registers and the battery."""
        epoch = self._epoch(time_ms)
        nothing = np.zeros((1, len(epoch.wiring.channels)))
        still = np.zeros((1, 1, len(epoch.wiring.channels)))
        return [
            self._shown(epoch, device, nothing, still, np.array([stock]), powers=False)
            for device in epoch.by_device
        ]

    def read(self, time_ms: int, energies: Array, steps: Array, stock: Array) -> list[Reading]:
        """What the meters show at the end of each minute.

        Args:
            time_ms: Where the first minute begins; the meters are wired as the file says then.
            energies: True energies, minutes x columns, Wh.
            steps: True powers, minutes x steps x columns, W.
            stock: In the battery, Wh.
        """
        epoch = self._epoch(time_ms)
        weights = epoch.wiring.weights.T * epoch.factors
        gained, powers = energies @ weights, steps @ weights
        return [
            self._shown(epoch, device, gained, powers, stock, powers=True)
            for device in epoch.by_device
        ]

    def _shown(
        self,
        epoch: _Epoch,
        device: str,
        gained: Array,
        steps: Array,
        stock: Array,
        *,
        powers: bool,
    ) -> Reading:
        scale = self._scale(device)
        found: dict[str, Array] = {}
        rows = epoch.by_device[device]
        for row in rows:
            channel, energy = epoch.wiring.channels[row], gained[:, row]
            if powers and channel.power in scale:
                found[channel.power] = scale[channel.power].shown(energy * 60.0)
            if channel.energy in scale:
                found[channel.energy] = scale[channel.energy].shown(self._register(channel, energy))
        if "power_charge_watts" in {epoch.wiring.channels[row].power for row in rows}:
            capacity = self._spec.battery.capacity_wh
            if capacity and SOC in scale:
                found[SOC] = np.clip(scale[SOC].shown(stock / capacity), 0.0, 1.0)
        main = steps[:, :, rows[0]]
        names = tuple(found)
        values = np.stack([found[name] for name in names], axis=1)
        return Reading(device, names, values, main.min(axis=1), main.max(axis=1))

    def _register(self, channel: Channel, energy: Array) -> Array:
        """A register at the end of each minute; it goes on from where it stood."""
        key = channel.device, channel.energy
        before = self._counted.get(key, 0.0)
        counted = before + np.cumsum(energy)
        self._counted[key] = float(counted[-1])
        return np.asarray(self._start(key) + counted)

    def _start(self, key: tuple[str, str]) -> float:
        found = self._starts.get(key)
        if found is None:
            device, name = key
            meter = next((m for m in self._spec.meters if m.id == device), None)
            found = starts(self._spec.seed, _number(device)).get(name, 0.0)
            if meter is not None and meter.start_watt_hours is not None and "export" not in name:
                found = meter.start_watt_hours
            self._starts[key] = found
        return found

    def _scale(self, device: str) -> Mapping[str, Scale]:
        name = self._maps.get(device, _OTHER_MAP)
        found = self._scales.get(name)
        if found is None:
            highest = self._peak * 2.0 + self._spec.pv.peak_watts + self._spec.wind.rated_watts
            fields = (
                "power_watts", "power_export_watts", "power_charge_watts", "power_discharge_watts"
            )  # fmt: skip
            found = self._scales[name] = scales(name, dict.fromkeys(fields, highest))
        return found

    def _epoch(self, time_ms: int) -> _Epoch:
        starts_ms = [start for start in self._site.metering.starts if start <= time_ms]
        key = starts_ms[-1] if starts_ms else 0
        found = self._epochs.get(key)
        if found is None:
            wiring = wire(self._site, time_ms, self._columns, self._floor)
            by_device: dict[str, list[int]] = {}
            for row, channel in enumerate(wiring.channels):
                by_device.setdefault(channel.device, []).append(row)
            factors = np.array([1.0 + self.error(c.device, time_ms) for c in wiring.channels])
            found = self._epochs[key] = _Epoch(wiring, dict(sorted(by_device.items())), factors)
        return found


def _number(device: str) -> int:
    """A number that stands for a name, the same at every start."""
    return int.from_bytes(hashlib.sha256(device.encode()).digest()[:6], "big")


def _maps(site: Site, spec: TwinSpec) -> dict[str, str]:
    """The register or OID map of each device."""
    found: dict[str, str] = {}
    for meter in site.metering.meters_at(site.metering.starts[-1]).values():
        if meter.role is not None and not meter.virtual:
            found[meter.id] = _MAPS.get(meter.role, _OTHER_MAP)
    pdus = {rack: row.pdu for row in spec.rows for rack in row.rack_ids}
    derived = type(spec) is not TwinSpec  # from a site file, which names no register maps
    for rack in site.racks:
        for pdu in rack.pdus:
            found[pdu] = _MAPS["pdu"] if derived else pdus.get(rack.id, _MAPS["pdu"])
    if not derived:
        found |= {meter.id: meter.map for meter in spec.meters or default_meters(spec)}
    return found
