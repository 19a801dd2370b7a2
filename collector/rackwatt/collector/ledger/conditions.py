# SPDX-License-Identifier: Apache-2.0
"""Conditions of a quarter hour: weather, air at the racks' inlets, and how busy GPUs were.

Under ``conditions`` in a row of attribution; absent where nothing of it was sampled, so that rows
of earlier releases stay as they are. Counts are of minutes, so that quarter hours add up.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.tenants import OPERATOR, Holding
from rackwatt.collector.accounting.thermal import AirClass, wet_bulb_celsius
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.meta import COMPACTED, Meta
from rackwatt.collector.ledger.places import Held, Holders
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.samples import (
    CELSIUS,
    HUMIDITY,
    UTILIZATION,
    Samples,
    has_samples,
)
from rackwatt.collector.site import Site

CONDITIONS: Final = "conditions"
_DIGITS: Final = 6
"""Of temperatures: the last bits of a wet bulb are not the same on every machine."""
_ROUNDING: Final = 1.0 + 1e-9
_Minutes = dict[int, float]


@dataclass(slots=True)
class _Gathered:
    """Samples of a quarter hour, by what they are of."""

    celsius: dict[str, _Minutes] = field(default_factory=dict)
    humidity: dict[str, _Minutes] = field(default_factory=dict)
    used: dict[str, list[float]] = field(default_factory=dict)
    """By tenant."""


def sampled_fields(site: Site) -> dict[str, tuple[str, ...]]:
    """Return the climate devices of which the books keep samples, and of which of their fields."""
    inlets = (rack.sensors["inlet"] for rack in site.racks if "inlet" in rack.sensors)
    return dict.fromkeys(inlets, (CELSIUS,)) | dict.fromkeys(site.outdoors, (CELSIUS, HUMIDITY))


class Conditions:
    """Forms the conditions of quarter hours of one site.

    Args:
        site: Which probe stands at which rack's inlet, what stands outdoors, who holds which GPU.
        samples: What was sampled.
    """

    def __init__(self, site: Site, samples: Samples) -> None:
        self._site = site
        self._samples = samples
        self._holders = Holders(site)

    def of(self, start_ms: int, end_ms: int) -> dict[str, Any] | None:
        """Return the conditions of a span within a quarter hour; ``None`` if nothing was sampled.

        Args:
            start_ms: Its start, a full minute.
            end_ms: Its end, likewise.
        """
        found = self._gathered(start_ms, end_ms)
        if found is None:
            return None
        minutes = (end_ms - start_ms) // INTERVAL_MS
        row: dict[str, Any] = {"minutes": minutes}
        parts = {
            "outdoor": _outdoor(found, self._site.outdoors),
            "inlets": self._inlets(found.celsius, start_ms, minutes),
            "gpus": {name: [len(v), fsum(v)] for name, v in sorted(found.used.items())},
        }
        return row | {name: part for name, part in parts.items() if part}

    def _gathered(self, start_ms: int, end_ms: int) -> _Gathered | None:
        held = self._holders.during(start_ms, end_ms)
        found, nothing = _Gathered(), True
        for device, name, minute, time_ms, value in self._samples.between(start_ms, end_ms):
            nothing = False
            if name == UTILIZATION:
                tenant = self._tenant(held, device, time_ms)
                if tenant:
                    found.used.setdefault(tenant, []).append(value)
            else:
                own = found.celsius if name == CELSIUS else found.humidity
                own.setdefault(device, {})[minute] = value
        return None if nothing else found

    def _tenant(self, held: Held, device: str, time_ms: int) -> str:
        """Who held a GPU then; empty for one that stands beside the site's racks."""
        node, _, uuid = device.partition("/")
        place = self._site.place(node, time_ms)
        if place is None or not place.rack:
            return ""
        given: list[Iterable[Holding]] = [
            held.racks.get(place.rack, ()),
            held.nodes.get(node, ()),
            held.gpus.get(node, {}).get(uuid, ()),
        ]
        for one in given:
            for holding in one:
                if holding.start_ms <= time_ms < holding.end_ms:
                    return holding.tenant
        return OPERATOR

    def _inlets(
        self, celsius: Mapping[str, _Minutes], start_ms: int, minutes: int
    ) -> dict[str, Any]:
        """The minutes of racks with a probe at their inlet, by hall; of the quarter's beginning."""
        halls: dict[str, list[float]] = {}
        racks: dict[str, int] = {}
        for rack in self._site.racks_at(start_ms):
            device = rack.sensors.get("inlet")
            if device is None:
                continue
            racks[rack.hall] = racks.get(rack.hall, 0) + 1
            halls.setdefault(rack.hall, []).extend(celsius.get(device, {}).values())
        if not racks:
            return {}
        air = self._site.air
        return {
            "air_class": air.name,
            "halls": {
                hall: _compliance(air, known, racks[hall] * minutes)
                for hall, known in sorted(halls.items())
            },
        }


def _compliance(air: AirClass, known: list[float], expected: int) -> dict[str, Any]:
    """Rack minutes: expected, known, and within the ranges of a class; with extremes and mean."""
    return {
        "expected": expected,
        "known": len(known),
        "recommended": sum(map(air.recommended, known)),
        "allowable": sum(map(air.allowable, known)),
        "min_celsius": min(known, default=None),
        "max_celsius": max(known, default=None),
        "mean_celsius": _mean(known),
    }


def _outdoor(found: _Gathered, outdoors: Iterable[str]) -> dict[str, Any]:
    """The mean of the devices that stand in no hall, minute by minute."""
    dry: dict[int, list[float]] = {}
    wet: dict[int, list[float]] = {}
    for device in sorted(outdoors):
        for minute, celsius in found.celsius.get(device, {}).items():
            dry.setdefault(minute, []).append(celsius)
            humidity = found.humidity.get(device, {}).get(minute)
            bulb = None if humidity is None else wet_bulb_celsius(celsius, humidity)
            if bulb is not None:
                wet.setdefault(minute, []).append(bulb)
    if not dry:
        return {}
    return {
        "temperature_celsius": _mean([fsum(v) / len(v) for v in dry.values()]),
        "temperature_minutes": len(dry),
        "wet_bulb_celsius": _mean([fsum(v) / len(v) for v in wet.values()]),
        "wet_bulb_minutes": len(wet),
    }


def _mean(values: list[float]) -> float | None:
    return round(fsum(values) / len(values), _DIGITS) if values else None


class ConditionsCheck:
    """Looks whether rows have the conditions that were sampled, where samples are kept.

    Args:
        connection: The ledger's.
        site: Its site; ``None``: only what a row says by itself is looked at.
    """

    def __init__(self, connection: sqlite3.Connection, site: Site | None) -> None:
        self._kept_ms = Meta(connection).get(COMPACTED) or 0
        self._again = None
        if site is not None and has_samples(connection):
            self._again = Conditions(site, Samples(connection))

    def wrong(self, row: Mapping[str, Any], intervals: Sequence[LedgerRow]) -> str | None:
        """Say what is wrong with a quarter hour's conditions, ``None`` if nothing is."""
        conditions = row.get(CONDITIONS)
        if conditions is not None and (said := _impossible(conditions)):
            return said
        if self._again is None or not intervals or intervals[0].start_ms < self._kept_ms:
            return None
        again = self._again.of(intervals[0].start_ms, intervals[-1].end_ms)
        if again == conditions:
            return None
        return "its conditions are not what was sampled; is this the site file of its time?"


def _impossible(conditions: Mapping[str, Any]) -> str | None:
    for hall, own in conditions.get("inlets", {}).get("halls", {}).items():
        if not 0 <= own["recommended"] <= own["allowable"] <= own["known"] <= own["expected"]:
            return f"the inlets' minutes of hall {hall} cannot be"
    for name, (count, used) in conditions.get("gpus", {}).items():
        if not 0.0 <= used <= count * _ROUNDING:
            return f"the GPUs of {name} cannot have been that busy"
    return None
