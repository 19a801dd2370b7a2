# SPDX-License-Identifier: Apache-2.0
"""What meters say now, all their fields: kept by the accountant, asked for by the command."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import net_counts
from rackwatt.wire.codec import ReceivedReading

PHASES: Final = (
    "power_l1_watts", "power_l2_watts", "power_l3_watts",
    "voltage_l1_volts", "voltage_l2_volts", "voltage_l3_volts",
)  # fmt: skip
"""Fields of meters that only their commissioning needs; currents are used elsewhere, too."""
_OLD_MS: Final = 60_000
"""A field that was not said for so long is forgotten."""


@dataclass(slots=True)
class _Kept:
    time_ms: int
    received_ms: int
    values: Mapping[str, float | None]
    since_ms: int
    """The time of the oldest reading whose fields are among the values."""


class MeterReadings:
    """The newest reading of each metering point.

    Characteristics: memory is bounded by the site's meters; a reading that is older than the one
    at hand changes nothing. A meter's fields may come in several readings.
    """

    def __init__(self, site: Site) -> None:
        metering = site.metering
        self._meters = frozenset(
            name
            for start in metering.starts
            for name, meter in metering.meters_at(start).items()
            if not meter.virtual
        )
        self._kept: dict[str, _Kept] = {}

    def observe(self, kind: str, reading: ReceivedReading, received_ms: int) -> None:
        """Take one reading, and when the collector received it."""
        if kind != "power" or reading.device not in self._meters:
            return
        kept = self._kept.get(reading.device)
        time_ms, values = reading.time_ms, reading.values
        if kept is None or kept.values.keys() <= values.keys():
            if kept is None or kept.time_ms <= time_ms:
                self._kept[reading.device] = _Kept(time_ms, received_ms, values, time_ms)
        elif kept.time_ms <= time_ms:
            whole = values if time_ms - kept.since_ms > _OLD_MS else {**kept.values, **values}
            since = time_ms if whole is values else kept.since_ms
            self._kept[reading.device] = _Kept(time_ms, received_ms, whole, since)

    def of(self, meters: Collection[str]) -> dict[str, dict[str, Any]]:
        """Time, receipt and values of those meters that said something."""
        return {
            name: {
                "time": kept.time_ms,
                "received": kept.received_ms,
                "values": dict(kept.values),
            }
            for name in meters
            if (kept := self._kept.get(name)) is not None
        }


def kin(site: Site, name: str, now_ms: int) -> dict[str, list[str]]:
    """The meters that one is compared with, by what they are to it: parent, siblings, children."""
    meters = site.meters_at(now_ms)
    parent = meters[name].parent
    found: dict[str, list[str]] = {"parent": [parent] if parent in meters else []}
    physical = [m for m in meters.values() if not m.virtual and m.state not in ("planned", "out")]
    found["siblings"] = [m.id for m in physical if parent and m.parent == parent and m.id != name]
    found["children"] = [m.id for m in physical if m.parent == name]
    return found


def watched(site: Site, name: str, now_ms: int) -> list[str]:
    """The physical meters whose readings are needed to check one."""
    meters = site.meters_at(now_ms)
    wanted = [name, *(one for part in kin(site, name, now_ms).values() for one in part)]
    return list(dict.fromkeys(one for own in wanted for one in net_counts(meters, own)))
