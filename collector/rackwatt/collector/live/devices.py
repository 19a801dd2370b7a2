# SPDX-License-Identifier: Apache-2.0
"""The newest reading of every device, and what the page shows of racks, GPUs and machines."""

import math
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final

from rackwatt.collector.live.fleet import Fleet, GpuReading, gpu_reading
from rackwatt.collector.live.states import RackState
from rackwatt.collector.site import Rack, Site
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import Kind
from rackwatt.wire.sample import Event

FRESH_MS: Final = 30_000
"""An older value is not shown as the present one."""
_EVENTS: Final = 20
_POSITIONS: Final = ("inlet", "outlet")
_FIELDS: Final[Mapping[Kind, Sequence[str]]] = {
    "power": ("power_watts", "state_of_charge_ratio"),
    "climate": ("temperature_celsius", "humidity_ratio", "dew_point_celsius"),
}
"""What is kept of kinds of which there are many devices."""
CURRENTS: Final = (
    "current_amperes", "current_l1_amperes", "current_l2_amperes", "current_l3_amperes",
)  # fmt: skip
"""Kept of the meters of the power chain besides."""
QUALITY: Final = (
    "voltage_volts", "voltage_l1_volts", "voltage_l2_volts", "voltage_l3_volts",
    "frequency_hertz", "on_battery_ratio", "runtime_seconds", "capacity_watt_hours",
)  # fmt: skip
"""Kept besides of what stands in no rack."""


@dataclass(slots=True)
class _Latest:
    """A device's newest reading, and each field's newest value with its own time.

    A field that is read less often than the others is not in every reading.
    """

    time_ms: int
    fields: dict[str, tuple[int, float | None]] = dataclass_field(default_factory=dict)

    def add(self, time_ms: int, values: Mapping[str, float | None]) -> None:
        self.time_ms = max(self.time_ms, time_ms)
        for name, value in values.items():
            known = self.fields.get(name)
            if known is None or known[0] <= time_ms:
                self.fields[name] = time_ms, value

    def fresh(self, now_ms: int) -> dict[str, float | None]:
        return {
            name: value
            for name, (time_ms, value) in self.fields.items()
            if now_ms - time_ms <= FRESH_MS
        }


class Devices:
    """What each device said last.

    Characteristics: a value that is older than the one at hand changes nothing, so replays do no
    harm; a clock that is ahead pins nothing, since no reading is newer than its receipt; memory
    is bounded by the number of devices.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._latest: dict[Kind, dict[str, _Latest]] = {}
        self.fleet = Fleet(
            lambda device, time_ms: site.place(device, time_ms) is not None,
            lambda device: (
                not site.places.dated.keys().isdisjoint((device, device.partition("/")[0]))
            ),
        )
        self.outdoors = site.outdoors
        """What stands in no hall; its climate is the weather."""
        self.probes = self.outdoors.union(
            rack.sensors[position]
            for rack in site.racks
            for position in _POSITIONS
            if position in rack.sensors
        )
        """Sensors that are used; of others nothing is kept."""
        self._in_racks = frozenset(pdu for rack in site.racks for pdu in rack.pdus)
        self._feeds = frozenset(edge.meter for edge in site.chains.power.edges if edge.meter)
        self._events: list[tuple[int, str, Event]] = []

    def observe(self, kind: Kind, reading: ReceivedReading, received_ms: int) -> None:
        """Take one reading, and when the collector received it."""
        if kind == "gpu":
            self.observe_gpus([gpu_reading(reading)], received_ms)
            return
        time_ms = min(reading.time_ms, received_ms)
        if reading.event is not None:
            insort(self._events, (time_ms, reading.device, reading.event), key=lambda e: e[0])
            del self._events[:-_EVENTS]
            return
        values: Mapping[str, float | None] = reading.values
        if kind == "climate" and reading.device not in self.probes:
            return
        names = _FIELDS.get(kind)
        if names is not None:
            if kind == "power" and reading.device in self._feeds:
                names = (*names, *CURRENTS)
            if kind == "power" and reading.device not in self._in_racks:
                names = (*names, *QUALITY)
            values = {name: values[name] for name in names if name in values}
        latest = self._latest.setdefault(kind, {})
        known = latest.get(reading.device)
        if known is None:
            known = latest[reading.device] = _Latest(time_ms)
        known.add(time_ms, values)

    def observe_gpus(self, readings: Iterable[GpuReading], received_ms: int) -> None:
        """Take the GPUs' readings of one message; their times are set."""
        self.fleet.add(readings, received_ms)

    def value(self, kind: Kind, device: str, field: str, now_ms: int) -> float | None:
        """A value that is fresh enough to be shown, else None."""
        if kind == "gpu":
            return self.fleet.value(device, field, now_ms - FRESH_MS)
        latest = self._latest.get(kind, {}).get(device)
        if latest is None:
            return None
        time_ms, value = latest.fields.get(field, (0, None))
        return value if now_ms - time_ms <= FRESH_MS else None

    def speaks(self, kind: Kind, device: str, now_ms: int, within_ms: int) -> bool:
        """Whether a device has said any number of late; nulls do not count."""
        latest = self._latest.get(kind, {}).get(device)
        return latest is not None and any(
            value is not None and now_ms - time_ms <= within_ms
            for time_ms, value in latest.fields.values()
        )

    def names(self, kind: Kind) -> list[str]:
        """Every device of a kind that has ever said something; of GPUs ask the fleet."""
        return list(self._latest.get(kind, {}))

    def _fresh(self, kind: Kind, now_ms: int) -> dict[str, Mapping[str, float | None]]:
        return {
            device: latest.fresh(now_ms)
            for device, latest in self._latest.get(kind, {}).items()
            if now_ms - latest.time_ms <= FRESH_MS
        }

    def racks(self, now_ms: int) -> list[dict[str, Any]]:
        """Power and temperatures of every rack; a rack with a silent PDU has no power."""
        racks = self._site.racks_at(now_ms)
        gpus, up = self.fleet.by_rack([rack.nodes for rack in racks], now_ms - FRESH_MS)
        return [self._rack(*rack, now_ms) for rack in zip(racks, gpus, up, strict=False)]

    def rack_states(self, now_ms: int) -> list[RackState]:
        """Every rack as it is, with all that its GPUs say."""
        racks = self._site.racks_at(now_ms)
        gpus = self.fleet.in_racks([rack.nodes for rack in racks], now_ms - FRESH_MS)
        return [
            RackState(
                rack,
                self._power(rack, now_ms),
                self._probe(rack, "inlet", now_ms),
                self._probe(rack, "outlet", now_ms),
                self._probe(rack, "inlet", now_ms, "dew_point_celsius"),
                each,
            )
            for rack, each in zip(racks, gpus, strict=True)
        ]

    def _power(self, rack: Rack, now_ms: int) -> float | None:
        return total([self.value("power", pdu, "power_watts", now_ms) for pdu in rack.pdus])

    def _rack(self, rack: Rack, gpus: int, up: int, now_ms: int) -> dict[str, Any]:
        return {
            "id": rack.id,
            "row": rack.row,
            "hall": rack.hall,
            "power_watts": self._power(rack, now_ms),
            "inlet_celsius": self._probe(rack, "inlet", now_ms),
            "outlet_celsius": self._probe(rack, "outlet", now_ms),
            "gpus": gpus,
            "gpus_up": up,
        }

    def _probe(
        self, rack: Rack, position: str, now_ms: int, field: str = "temperature_celsius"
    ) -> float | None:
        device = rack.sensors.get(position)
        if device is None:
            return None
        return self.value("climate", device, field, now_ms)

    def gpus(self, now_ms: int) -> dict[str, Any]:
        """The fleet: the GPUs that stand in the site's racks."""
        found = self.fleet.totals(now_ms, now_ms - FRESH_MS)
        return {
            "total": found.known,
            "reporting": found.reporting,
            "power_watts": found.power_watts,
            "utilization": found.utilization,
            "temperature_max_celsius": found.temperature_max_celsius,
            "simulated": found.known if self._site.simulated else 0,
        }

    def real_gpus(self, now_ms: int) -> list[dict[str, Any]]:
        """GPUs of machines beside the site: this one's, read for real."""
        return [
            {
                "device": device,
                "power_watts": values["power_watts"],
                "temperature_celsius": values["temperature_celsius"],
                "utilization": values["utilization_ratio"],
            }
            for device, values in self.fleet.beside(now_ms, now_ms - FRESH_MS)
        ]

    def hosts(self, now_ms: int) -> list[dict[str, Any]]:
        """Servers as their operating systems see them."""
        return [
            {
                "device": device,
                "cpu_ratio": values.get("cpu_utilization_ratio"),
                "memory_used_bytes": values.get("memory_used_bytes"),
                "memory_total_bytes": values.get("memory_total_bytes"),
                "temperature_celsius": values.get("temperature_celsius"),
                "power_watts": values.get("power_watts"),
            }
            for device, values in sorted(self._fresh("host", now_ms).items())
        ]

    def coolant(self, now_ms: int) -> list[dict[str, Any]]:
        """Coolant loops."""
        return [
            {
                "device": device,
                "supply_celsius": values.get("supply_temperature_celsius"),
                "return_celsius": values.get("return_temperature_celsius"),
                "flow_lps": values.get("flow_liters_per_second"),
                "heat_watts": values.get("heat_watts"),
            }
            for device, values in sorted(self._fresh("coolant", now_ms).items())
        ]

    def events(self) -> list[dict[str, Any]]:
        """The newest events, the newest first."""
        return [
            {
                "time": time_ms,
                "device": device,
                "code": event.code,
                "severity": event.severity,
                "text": event.text,
            }
            for time_ms, device, event in reversed(self._events)
        ]


def total(values: Iterable[float | None]) -> float | None:
    """The sum, or None when there is nothing or anything is unknown."""
    known = list(values)
    if not known or any(value is None for value in known):
        return None
    return math.fsum(value for value in known if value is not None)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is known, or None."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def largest(values: Iterable[float | None]) -> float | None:
    """The largest of what is known, or None."""
    return max((value for value in values if value is not None), default=None)
