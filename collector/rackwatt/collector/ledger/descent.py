# SPDX-License-Identifier: Apache-2.0
"""From the site's IT energy down to halls, racks, nodes and GPUs, for one quarter hour."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.attribution import Amount, Course, Part, divide, measured
from rackwatt.collector.accounting.burdens import Burdens, BusMix, Interval, burdens
from rackwatt.collector.accounting.channels import FORWARD, Tap
from rackwatt.collector.accounting.metering import Energy
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.by_meter import TOPOLOGY, Meters, meter_row
from rackwatt.collector.ledger.counters import Counted, Counters
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.places import (
    IT,
    Group,
    HallPlace,
    Held,
    Holders,
    MeterBooks,
    RackPlace,
    places,
)
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import SITE_HALL, Rack

COUNTER_RESET: Final = "counter_reset"
COUNTER_GAP: Final = "counter_gap"
_MARKS: Final = ("estimated", "shape_estimated", "provisional")

_NO_BUS: Final[Mapping[str, Any]] = {"sinks": {}}

Closed = Callable[[], int | None]
"""The end of the last closed interval."""

Inside = list[tuple[RackPlace | None, Amount | None]]
"""Racks with what they drew; ``None`` is equipment in no rack."""


@dataclass(frozen=True, slots=True)
class NodePlace:
    """A node, what it drew, and its GPUs."""

    id: str
    amount: Amount | None
    gpus: tuple[tuple[str, Amount | None], ...]


@dataclass(slots=True)
class Quarter:
    """One quarter hour while it is being attributed.

    Attributes:
        start_ms: Its start.
        boundaries: Of its intervals.
        metered: Boundaries to meter by: the whole hour, once it is closed.
        carried: What comes with IT energy.
        held: What tenants hold.
        flags: What is odd.
        counted: What GPU counters say, by node, as far as somebody asked.
    """

    start_ms: int
    boundaries: Sequence[int]
    metered: Sequence[int]
    carried: Burdens
    held: Held
    flags: set[str] = field(default_factory=set)
    counted: dict[str, list[Counted]] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """End of its last interval."""
        return self.boundaries[-1]


class Descent:
    """Divides quarter hours of one site.

    Args:
        site: The site.
        meters: What was measured.
        counters: The GPUs' counters.
        closed: Up to where intervals are closed: hours before it are metered as a whole.
    """

    def __init__(self, site: Site, meters: MeterBooks, counters: Counters, closed: Closed) -> None:
        self._site = site
        self._meters = meters
        self._counters = counters
        self._closed = closed
        self._holders = Holders(site)
        edges = {e for rack in site.racks for e in (rack.validity.start_ms, rack.validity.end_ms)}
        self._edges = sorted(edges | set(site.metering.starts))

    def quarter(self, start_ms: int, rows: Sequence[LedgerRow]) -> Quarter:
        """Begin with a quarter hour."""
        boundaries = [row.start_ms for row in rows] + [rows[-1].end_ms]
        hour = start_ms // HOUR_MS * HOUR_MS
        closed = self._closed() or 0
        whole = range(hour, hour + HOUR_MS + 1, INTERVAL_MS) if closed >= hour + HOUR_MS else None
        end_ms = boundaries[-1]
        quarter = Quarter(
            start_ms,
            boundaries,
            boundaries if whole is None else whole,
            burdens([_interval(row.data) for row in rows]),
            self._holders.during(boundaries[0], end_ms),
        )
        if any(boundaries[0] < edge < end_ms for edge in self._edges):
            quarter.flags.add(TOPOLOGY)
        return quarter

    def halls(
        self, quarter: Quarter, rows: Sequence[LedgerRow]
    ) -> list[tuple[HallPlace, Amount | None, Inside]]:
        """Halls with what they and their racks drew."""
        found = places(self._site, self._meters, quarter.boundaries[0])
        buses = {hall.bus for hall in found} | {bus for row in rows for bus in row.data["buses"]}
        result: list[tuple[HallPlace, Amount | None, Inside]] = []
        for bus in sorted(buses):
            # An empty hall draws nothing, and must not take what others leave.
            halls = [hall for hall in found if hall.bus == bus and hall.groups]
            whole = it_of(rows, bus)
            if not halls and (whole is None or any(whole.course)):
                result.append((HallPlace(SITE_HALL, bus, ()), whole, [(None, whole)]))
                continue
            inner = [self._groups(quarter, hall) for hall in halls]
            parts = [part for part, _, _ in inner]
            amounts = self._divide(quarter, whole, parts)
            for hall, amount, (_, groups, members) in zip(halls, amounts, inner, strict=True):
                result.append((hall, amount, self._racks(quarter, hall, amount, groups, members)))
        return result

    def _groups(
        self, quarter: Quarter, hall: HallPlace
    ) -> tuple[Part, list[Part], list[list[Part]]]:
        """A hall as a part of the site, its groups as parts of it, their racks as parts of them."""
        members = [[self._rack_part(quarter, rack) for rack in g.racks] for g in hall.groups]
        groups = [
            self._group_part(quarter, group, parts)
            for group, parts in zip(hall.groups, members, strict=True)
        ]
        course = measured(groups)
        if hall.less and course is not None:
            less = self._metered(quarter, hall.less)
            course = None if less is None else tuple(map(sum, zip(course, less, strict=True)))
        everything = [part for parts in members for part in parts]
        return (
            _above(everything, course, has_meter=any(p.has_meter for p in groups)),
            groups,
            members,
        )

    def _group_part(self, quarter: Quarter, group: Group, racks: Sequence[Part]) -> Part:
        if group.taps:
            return _above(racks, self._metered(quarter, group.taps), has_meter=True)
        (only,) = racks
        return only

    def _racks(
        self,
        quarter: Quarter,
        hall: HallPlace,
        amount: Amount | None,
        groups: Sequence[Part],
        members: Sequence[Sequence[Part]],
    ) -> Inside:
        result: Inside = []
        # What is taken off somewhere in the hall is no odd excess of its racks.
        amounts = self._divide(quarter, amount, groups, quiet=bool(hall.less))
        for group, own, parts in zip(hall.groups, amounts, members, strict=True):
            if not group.racks:
                result.append((None, own))
            elif not group.taps:
                result.append((group.racks[0], own))
            else:
                divided = self._divide(quarter, own, parts)
                result += zip(group.racks, divided, strict=True)
        return result

    def _rack_part(self, quarter: Quarter, place: RackPlace) -> Part:
        course = self._metered(quarter, place.taps) if place.taps else None
        gpus = self._gpu_count(quarter, place.rack)
        if course is not None:
            return Part(course, gpus=gpus, has_meter=True)
        counted = self._count(quarter, place.rack.nodes)
        energy = fsum(gpu.watt_hours for own in counted.values() for gpu in own)
        return Part(None, energy, gpus, has_meter=bool(place.taps))

    def meters(self, quarter: Quarter) -> Meters:
        """The energies of the physical meters behind all flows."""
        taps = self._meters.taps(self._site.terms_at(quarter.boundaries[0]))
        return meter_row(taps, lambda tap: self._energies(quarter, tap))

    def _energies(self, quarter: Quarter, tap: Tap) -> Sequence[Energy]:
        """What a meter says of a quarter hour's intervals."""
        first = (quarter.boundaries[0] - quarter.metered[0]) // INTERVAL_MS
        found = self._meters.energies(tap, quarter.metered)
        return found[first : first + len(quarter.boundaries) - 1]

    def _metered(self, quarter: Quarter, taps: Sequence[Tap]) -> Course | None:
        """The sum of meters by interval, ``None`` if an interval of one is unknown."""
        columns: list[list[float]] = []
        for tap in taps:
            own = self._energies(quarter, tap)
            quarter.flags.update(m for m in _MARKS for energy in own if getattr(energy, m))
            column = [tap.sign * e.watt_hours for e in own if e.watt_hours is not None]
            if len(column) < len(own):
                return None
            columns.append(column)
        return tuple(fsum(values) for values in zip(*columns, strict=True))

    def _divide(
        self,
        quarter: Quarter,
        whole: Amount | None,
        parts: Sequence[Part],
        *,
        by_gpus: bool = False,
        quiet: bool = False,
    ) -> tuple[Amount | None, ...]:
        found = divide(whole, parts, by_gpus=by_gpus)
        if not quiet:
            quarter.flags |= found.flags
        return found.amounts

    # --- nodes and GPUs ---------------------------------------------------------------------------

    def nodes(self, quarter: Quarter, rack: Rack, amount: Amount | None) -> list[NodePlace]:
        """Return the nodes of a rack and their GPUs."""
        counted = self._count(quarter, rack.nodes)
        parts = []
        for node in rack.nodes:
            metered = None
            if known := self._meters.knows(node):
                metered = self._metered(quarter, (Tap(IT, node, FORWARD),))
            energy = fsum(gpu.watt_hours for gpu in counted[node])
            parts.append(Part(metered, energy, len(counted[node]) or None, has_meter=known))
        amounts = self._divide(quarter, amount, parts, by_gpus=True)
        return [
            NodePlace(node, own, self._gpus(quarter, counted[node], own))
            for node, own in zip(rack.nodes, amounts, strict=True)
        ]

    def _gpus(
        self, quarter: Quarter, counted: Sequence[Counted], amount: Amount | None
    ) -> tuple[tuple[str, Amount | None], ...]:
        if any(gpu.reset for gpu in counted):
            quarter.flags.add(COUNTER_RESET)
        if any(not gpu.complete and not gpu.reset for gpu in counted):
            quarter.flags.add(COUNTER_GAP)
        parts = [Part(None, gpu.watt_hours, 1.0) for gpu in counted]
        amounts = self._divide(quarter, amount, parts, by_gpus=True)
        return tuple((gpu.uuid, own) for gpu, own in zip(counted, amounts, strict=True))

    def _count(self, quarter: Quarter, nodes: Sequence[str]) -> dict[str, list[Counted]]:
        """What the counters of nodes say."""
        missing = [node for node in nodes if node not in quarter.counted]
        if missing:
            for node, found in self._counters.quarter(quarter.start_ms, missing).items():
                seen = {gpu.uuid for gpu in found}
                assigned = (u for u in quarter.held.gpus.get(node, ()) if u not in seen)
                quarter.counted[node] = found + [Counted(uuid) for uuid in sorted(assigned)]
        return {node: quarter.counted[node] for node in nodes}

    def _gpu_count(self, quarter: Quarter, rack: Rack) -> float | None:
        """How many GPUs a rack holds; a node of which nobody knows counts as the others."""
        found = [len(self.uuids(quarter, node)) for node in rack.nodes]
        known = [count for count in found if count]
        return fsum(known) * len(found) / len(known) if known else None

    def uuids(self, quarter: Quarter, node: str) -> set[str]:
        """The GPUs of a node, those that are assigned though never seen included."""
        known = set(self._counters.gpus(node, quarter.start_ms))
        return known | set(quarter.held.gpus.get(node, ()))


def _interval(data: Mapping[str, Any]) -> Interval:
    return Interval(
        data["it"],
        data["load"],
        data["carbon"],
        data["origins"],
        data.get("carbon_free"),
        {
            name: BusMix(bus["sinks"].get(IT, 0.0), bus["shares"], bus["intensity"])
            for name, bus in data.get("buses", {}).items()
        },
    )


def it_of(rows: Sequence[LedgerRow], bus: str = "") -> Amount | None:
    """Return the IT energy of the site or of one bus, ``None`` if an interval is unknown."""
    found = [
        row.data["buses"].get(bus, _NO_BUS)["sinks"].get(IT, 0.0) if bus else row.data["it"]
        for row in rows
    ]
    course = tuple(value for value in found if value is not None)
    return Amount(course) if len(course) == len(found) else None


def _above(parts: Sequence[Part], course: Course | None, *, has_meter: bool) -> Part:
    """A place as far as it is known from its own meters and from what stands in it."""
    counts = [part.gpus for part in parts if part.gpus is not None]
    gpus = fsum(counts) * len(parts) / len(counts) if counts else None
    below = fsum(part.counted if p is None else fsum(p) for part in parts for p in (part.metered,))
    return Part(course, below, gpus, has_meter=has_meter)
