# SPDX-License-Identifier: Apache-2.0
"""Meters that say the same for ever, and registers that went back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.site import Site
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.inventory import InventoryItem

TOLD_FROM_MS: Final = 60_000
_FRESH_MS: Final = 30_000
_POWERS: Final = (
    "power_watts", "power_export_watts", "power_charge_watts", "power_discharge_watts",
)  # fmt: skip
_NEAR_END, _NEAR_BEGIN = 0.9, 0.1
"""Parts of its modulus between which a register that went back rolled over."""


@dataclass(slots=True)
class _Kept:
    time_ms: int
    since_ms: int
    values: dict[str, float]


class Watched:
    """Judges the readings of a site's physical meters; memory is bounded by their number.

    Args:
        site: the site.
    """

    def __init__(self, site: Site) -> None:
        metering = site.metering
        self.names = frozenset(
            name
            for start in metering.starts
            for name, meter in metering.meters_at(start).items()
            if not meter.virtual
        )
        self._kept: dict[str, _Kept] = {}
        self._moduli: dict[tuple[str, str], float] = {}
        self.resets: dict[str, int] = {}
        """When a register of a meter last went back, in ms, by meter."""

    def inventories(self, items: Sequence[InventoryItem]) -> None:
        """Learn where registers roll over."""
        for item in items:
            if item.device in self.names:
                for field, register in item.registers.items():
                    if register.modulus_watt_hours:
                        self._moduli[item.device, field] = register.modulus_watt_hours

    def observe(self, reading: ReceivedReading) -> None:
        """Take a reading of kind power; one that is not newer than the last is passed over."""
        device, time_ms = reading.device, reading.time_ms
        if device not in self.names:
            return
        kept = self._kept.get(device)
        if kept is None:
            kept = self._kept[device] = _Kept(0, time_ms, {})
        if time_ms <= kept.time_ms:
            return
        if time_ms - kept.time_ms > _FRESH_MS:
            kept.since_ms = time_ms
        kept.time_ms = time_ms
        self._compare(device, kept, reading.values)

    def _compare(self, device: str, kept: _Kept, values: Mapping[str, float | None]) -> None:
        known = kept.values
        for name, value in values.items():
            if value is None:
                continue
            before = known.get(name)
            if value == before:
                continue
            known[name] = value
            kept.since_ms = kept.time_ms
            if before is not None and value < before and name.startswith("energy_"):
                modulus = self._moduli.get((device, name))
                if not (modulus and before > _NEAR_END * modulus and value < _NEAR_BEGIN * modulus):
                    self.resets[device] = kept.time_ms

    def unchanged(self, now_ms: int) -> dict[str, float]:
        """Seconds, by meter that is fresh, above 0 W, and has said the same for a minute."""
        return {
            device: (kept.time_ms - kept.since_ms) / 1000
            for device, kept in self._kept.items()
            if now_ms - kept.time_ms <= _FRESH_MS
            and kept.time_ms - kept.since_ms >= TOLD_FROM_MS
            and any(kept.values.get(name, 0.0) > 0.0 for name in _POWERS)
        }
