# SPDX-License-Identifier: Apache-2.0
"""Voltage, frequency, UPSs and batteries: what the supply is like, and how long it would last."""

from collections.abc import Iterator
from math import sqrt
from typing import Final

from rackwatt.collector.live.devices import Devices
from rackwatt.collector.site import Site

LOW_VOLTAGES: Final = (230.0, 400.0, 690.0)
"""Nominal voltages of IEC 60038 up to 690 V, for meters of which no feed states one."""
_NEAR: Final = 0.2
_FIELDS: Final = (
    ("L1", "voltage_l1_volts"), ("L2", "voltage_l2_volts"), ("L3", "voltage_l3_volts"),
    ("all", "voltage_volts"),
)  # fmt: skip


class Supply:
    """Looks at what the meters outside racks say of the supply.

    Args:
        site: the site.
        devices: what its devices said last.
    """

    def __init__(self, site: Site, devices: Devices) -> None:
        self._devices = devices
        racked = {pdu for rack in site.racks for pdu in rack.pdus}
        power = site.chains.power
        self._volts = {e.meter: e.volts for e in power.edges if e.meter and e.volts}
        self._racked = racked
        self._battery = site.battery
        self._site = site

    def _upper(self) -> Iterator[str]:
        """Power devices outside racks that have ever said something."""
        for device in self._devices.names("power"):
            if device not in self._racked:
                yield device

    def voltages(self, now_ms: int) -> Iterator[tuple[str, str, float]]:
        """Device, phase and voltage over nominal."""
        for device in self._upper():
            for phase, field in _FIELDS:
                volts = self._devices.value("power", device, field, now_ms)
                ratio = None if volts is None else nominal_ratio(volts, self._volts.get(device))
                if ratio is not None:
                    yield device, phase, ratio

    def values(self, field: str, now_ms: int) -> Iterator[tuple[str, float]]:
        """A field of all devices outside racks that say it."""
        for device in self._upper():
            value = self._devices.value("power", device, field, now_ms)
            if value is not None:
                yield device, value

    def battery_watt_hours(self, now_ms: int) -> float | None:
        """What the stationary batteries hold, as measured; None: unknown, or there are none.

        Of several each must state its capacity; of a single one the site file's will do.
        """
        terms = self._site.terms_at(now_ms).roles.get("battery", ())
        meters = list(dict.fromkeys(term.meter_id for term in terms))
        found: list[float] = []
        for meter in meters:
            charge = self._devices.value("power", meter, "state_of_charge_ratio", now_ms)
            capacity = self._devices.value("power", meter, "capacity_watt_hours", now_ms)
            if capacity is None and len(meters) == 1 and self._battery is not None:
                capacity = self._battery.capacity_wh
            if charge is None or capacity is None:
                return None
            found.append(charge * capacity)
        return sum(found) if found else None

    def battery_seconds(self, now_ms: int, load_watts: float | None) -> float | None:
        """How long that carries a load, W, discharge losses counted; None: unknown."""
        energy = self.battery_watt_hours(now_ms)
        if energy is None or self._battery is None or not load_watts or load_watts < 0.0:
            return None
        return energy * self._battery.discharge_efficiency * 3600.0 / load_watts


def nominal_ratio(volts: float, stated: float | None) -> float | None:
    """A voltage over its nominal one; None: which that is, nobody knows.

    Whether a meter tells the voltage between lines or to neutral is told by which is nearer.

    Args:
        volts: as measured.
        stated: what the site file says of the feed, between lines with three phases.
    """
    candidates = LOW_VOLTAGES if stated is None else (stated, stated / sqrt(3.0))
    nearest = min(candidates, key=lambda one: abs(volts / one - 1.0))
    if stated is None and abs(volts / nearest - 1.0) > _NEAR:
        return None
    return volts / nearest
