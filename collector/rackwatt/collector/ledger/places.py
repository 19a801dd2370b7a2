# SPDX-License-Identifier: Apache-2.0
"""Which meter stands above which racks, and who holds what: the tree that energy goes down."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rackwatt.collector.accounting.channels import FORWARD, Tap, TermsLike
from rackwatt.collector.accounting.metering import Energy
from rackwatt.collector.accounting.tenants import Holding
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import SITE_HALL, Rack

IT: Final = "it"


class MeterBooks(Protocol):
    """What the ledger has measured."""

    def taps(self, terms: TermsLike) -> tuple[Tap, ...]:
        """The physical terms of all flows."""

    def energies(self, tap: Tap, boundaries: Sequence[int]) -> Sequence[Energy]:
        """The energy of each interval between boundaries."""

    def knows(self, device: str) -> bool:
        """Whether a device has ever said what it draws."""


@dataclass(frozen=True, slots=True)
class RackPlace:
    """A rack and its meters: its IT terms, or else its PDUs."""

    rack: Rack
    taps: tuple[Tap, ...] = ()

    @property
    def id(self) -> str:
        """Its name."""
        return self.rack.id


@dataclass(frozen=True, slots=True)
class Group:
    """Racks behind common meters; without meters, racks that stand for themselves.

    A group with meters and without racks is equipment outside racks.
    """

    taps: tuple[Tap, ...]
    racks: tuple[RackPlace, ...]


@dataclass(frozen=True, slots=True)
class HallPlace:
    """A hall: what is measured in it, and what is taken off (a coolant unit, for one)."""

    id: str
    bus: str
    groups: tuple[Group, ...]
    less: tuple[Tap, ...] = ()

    @property
    def racks(self) -> tuple[RackPlace, ...]:
        """The racks of all groups."""
        return tuple(rack for group in self.groups for rack in group.racks)


def places(site: Site, meters: MeterBooks, time_ms: int) -> tuple[HallPlace, ...]:
    """Return the halls of a site at a time, with what is metered where.

    An IT term belongs to the rack that it stands in, to the racks whose row it feeds
    (``pdu_parent``), or to the racks of its hall that have no other. IT terms in no hall are a
    place of their own, ``site``, where every hall has terms too.
    """
    terms = [tap for tap in meters.taps(site.terms_at(time_ms)) if tap.flow == IT]
    racks = site.racks_at(time_ms)
    feeds = {rack.feed for rack in racks if rack.feed}
    by_rack: dict[str, list[Tap]] = {}
    by_feed: dict[str, list[Tap]] = {}
    by_hall: dict[str, list[Tap]] = {}
    for tap in terms:
        place = site.place(tap.device, time_ms)
        if place is not None and place.rack:
            by_rack.setdefault(place.rack, []).append(tap)
        elif tap.device in feeds:
            by_feed.setdefault(tap.device, []).append(tap)
        else:
            by_hall.setdefault(SITE_HALL if place is None else place.hall, []).append(tap)
    found = [
        _hall(
            (hall.id, hall.bus),
            [_rack(rack, by_rack, meters) for rack in racks if rack.hall == hall.id],
            by_feed,
            by_hall.get(hall.id, ()),
        )
        for hall in site.halls
    ]
    outside = by_hall.get(SITE_HALL, [])
    if outside and all(_has_terms(hall, by_rack) for hall in found):
        for bus in sorted({tap.bus for tap in outside}):
            own = tuple(tap for tap in outside if tap.bus == bus)
            found.append(HallPlace(SITE_HALL, bus, (Group(own, ()),)))
    return tuple(found)


def _rack(rack: Rack, terms: Mapping[str, Sequence[Tap]], meters: MeterBooks) -> RackPlace:
    own = terms.get(rack.id, ())
    if any(tap.sign > 0 for tap in own):
        return RackPlace(rack, tuple(own))
    if not any(meters.knows(pdu) for pdu in rack.pdus):
        return RackPlace(rack)
    return RackPlace(rack, tuple(Tap(IT, pdu, FORWARD) for pdu in rack.pdus))


def _hall(
    name: tuple[str, str],
    racks: Sequence[RackPlace],
    by_feed: Mapping[str, Sequence[Tap]],
    terms: Sequence[Tap],
) -> HallPlace:
    added = tuple(tap for tap in terms if tap.sign > 0)
    fed: dict[str, list[RackPlace]] = {}
    alone: list[RackPlace] = []
    for place in racks:
        if place.rack.feed in by_feed:
            fed.setdefault(place.rack.feed, []).append(place)
        else:
            alone.append(place)
    groups = [Group(tuple(by_feed[feed]), tuple(members)) for feed, members in fed.items()]
    uncovered = [place for place in alone if not place.taps]
    if added:
        groups.append(Group(added, tuple(uncovered)))
        alone = [place for place in alone if place.taps]
    groups += [Group((), (place,)) for place in alone]
    return HallPlace(*name, tuple(groups), tuple(tap for tap in terms if tap.sign < 0))


def _has_terms(hall: HallPlace, by_rack: Mapping[str, object]) -> bool:
    return any(group.taps for group in hall.groups) or any(p.id in by_rack for p in hall.racks)


# --- who holds what -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What tenants hold in a span, and for how long."""

    racks: Mapping[str, Sequence[Holding]] = field(default_factory=dict)
    nodes: Mapping[str, Sequence[Holding]] = field(default_factory=dict)
    gpus: Mapping[str, Mapping[str, Sequence[Holding]]] = field(default_factory=dict)
    """Node, then UUID."""

    def below(self, rack: Rack) -> bool:
        """Whether parts of a rack are held by themselves."""
        return any(node in self.nodes or node in self.gpus for node in rack.nodes)


class Holders:
    """Who holds what, by time: between two changes it is gathered once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        spans = [a.validity for tenant in site.tenants for a in tenant.assignments]
        self._edges = sorted({edge for span in spans for edge in (span.start_ms, span.end_ms)})
        self._known: tuple[tuple[int, int], Held] | None = None

    def during(self, start_ms: int, end_ms: int) -> Held:
        """What is held in a half-open span."""
        key = bisect_right(self._edges, start_ms), bisect_right(self._edges, end_ms - 1)
        if self._known is not None and self._known[0] == key and key[0] == key[1]:
            return self._known[1]
        racks: dict[str, list[Holding]] = {}
        nodes: dict[str, list[Holding]] = {}
        gpus: dict[str, dict[str, list[Holding]]] = {}
        for tenant in self._site.tenants:
            for item in tenant.assignments:
                low, high = item.validity.start_ms, item.validity.end_ms
                if low >= end_ms or start_ms >= high:
                    continue
                holding = Holding(tenant.id, low, high)
                _hold(racks, item.racks, holding)
                _hold(nodes, item.nodes, holding)
                for name in item.gpus:
                    node, _, uuid = name.partition("/")
                    _hold(gpus.setdefault(node, {}), (uuid,), holding)
        held = Held(racks, nodes, gpus)
        self._known = key, held
        return held


def _hold(index: dict[str, list[Holding]], names: Iterable[str], holding: Holding) -> None:
    for name in names:
        index.setdefault(name, []).append(holding)
