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
_LOSSLESS: Final = frozenset({"board", "busway", "sts"})
"""Assets of the power chain of which what goes in comes out."""
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
    """The meters that one is compared with, by what they are to it: parent, siblings, children.

    By `parent` of the site file's meters; where it names none, by the power chain.
    """
    meters = site.meters_at(now_ms)
    physical = [m for m in meters.values() if not m.virtual and m.state not in ("planned", "out")]
    there = {meter.id for meter in physical}
    parent = meters[name].parent
    above = [parent] if parent in meters else []
    siblings = [m.id for m in physical if parent and m.parent == parent and m.id != name]
    children = [m.id for m in physical if m.parent == name]
    for edge in site.chains.power.edges:
        if edge.meter != name:
            continue
        if not above:
            found = _behind(site, edge.source, there)
            if found is not None:
                above, siblings = [found[0]], [one for one in found[1] if one != name]
        if not children:
            found = _behind(site, edge.target, there)
            children = found[1] if found is not None and found[0] == name else []
    return {"parent": above, "siblings": siblings, "children": children}


def _behind(site: Site, asset: str, there: set[str]) -> tuple[str, list[str]] | None:
    """The one meter into an asset that loses nothing, and all out of it; else ``None``."""
    chain = site.chains.power
    if chain.assets[asset].kind not in _LOSSLESS:
        return None
    above = [edge.meter for edge in chain.into(asset)]
    below = [edge.meter for edge in chain.out_of(asset)]
    if len(above) != 1 or not below or not there >= {*above, *below}:
        return None
    return above[0], list(dict.fromkeys(below))


def watched(site: Site, name: str, now_ms: int) -> list[str]:
    """The physical meters whose readings are needed to check one."""
    meters = site.meters_at(now_ms)
    wanted = [name, *(one for part in kin(site, name, now_ms).values() for one in part)]
    return list(dict.fromkeys(one for own in wanted for one in net_counts(meters, own)))
