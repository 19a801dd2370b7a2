# SPDX-License-Identifier: Apache-2.0
"""Inlets, humidity, coolant units and the weather, as the newest readings tell them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from rackwatt.collector.accounting.thermal import wet_bulb_celsius
from rackwatt.collector.live.devices import Devices, mean, total
from rackwatt.collector.site import Rack, Site

BLIND_AFTER_MS: Final = 15_000
"""A coolant unit that has said no number for so long is silent."""
Statistic = Literal["min", "max"]


class Cooling:
    """Looks at air and coolant.

    Args:
        site: the site; coolant units are the `cdu`s of its cooling chain, and whatever else stands
            in a hall and has reported coolant.
        devices: what its devices said last.
    """

    def __init__(self, site: Site, devices: Devices) -> None:
        self._site = site
        self._devices = devices
        assets = site.chains.cooling.assets.values()
        self._units = {asset.id for asset in assets if asset.kind == "cdu"}

    def units(self, now_ms: int) -> list[tuple[str, str]]:
        """Hall and name of each coolant unit."""
        names = self._units.union(self._devices.names("coolant"))
        placed = ((self._site.place(name, now_ms), name) for name in sorted(names))
        return [(place.hall, name) for place, name in placed if place is not None]

    def silent(
        self, units: Sequence[tuple[str, str]], now_ms: int
    ) -> Iterator[tuple[str, str, int]]:
        """Hall, `fresh` or `silent`, and how many units."""
        found: Counter[tuple[str, str]] = Counter()
        for hall, name in units:
            fresh = self._devices.speaks("coolant", name, now_ms, BLIND_AFTER_MS)
            found[hall, "fresh" if fresh else "silent"] += 1
        for hall in dict.fromkeys(hall for hall, _ in units):
            for state in ("fresh", "silent"):
                yield hall, state, found[hall, state]

    def coolant(
        self, units: Sequence[tuple[str, str]], field: str, now_ms: int
    ) -> Iterator[tuple[str, str, float]]:
        """Hall, unit and value of a field of each that says it."""
        for hall, name in units:
            value = self._devices.value("coolant", name, field, now_ms)
            if value is not None:
                yield hall, name, value

    def inlet(self, rack: Rack, field: str, now_ms: int) -> float | None:
        """What the sensor at a rack's inlet says."""
        device = rack.sensors.get("inlet")
        return None if device is None else self._devices.value("climate", device, field, now_ms)

    def power(self, rack: Rack, now_ms: int) -> float | None:
        """What all PDUs of a rack draw, W."""
        return total(self._devices.value("power", pdu, "power_watts", now_ms) for pdu in rack.pdus)

    def humidity(
        self, racks: Sequence[Rack], now_ms: int
    ) -> Iterator[tuple[str, str, Statistic, float]]:
        """Hall, row, `min` or `max`, and relative humidity of each row that measures it."""
        rows: dict[tuple[str, str], list[float]] = {}
        for rack in racks:
            value = self.inlet(rack, "humidity_ratio", now_ms)
            if value is not None:
                rows.setdefault((rack.hall, rack.row), []).append(value)
        for (hall, row), values in rows.items():
            yield hall, row, "min", min(values)
            yield hall, row, "max", max(values)

    def wet_bulb(self, now_ms: int) -> float | None:
        """Of the weather: the mean of the devices that stand in no hall, degrees Celsius."""
        found: list[float | None] = []
        for device in sorted(self._devices.outdoors):
            celsius = self._devices.value("climate", device, "temperature_celsius", now_ms)
            humidity = self._devices.value("climate", device, "humidity_ratio", now_ms)
            if celsius is not None and humidity is not None:
                found.append(wet_bulb_celsius(celsius, humidity))
        return mean(found)
