# SPDX-License-Identifier: Apache-2.0
"""Halls, rows, racks and devices: expansion of the patterns, and the rules on names."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from rackwatt.collector.site.models import HallModel, RowModel, SiteFile
from rackwatt.collector.site.patterns import substitute
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Hall,
    Meter,
    Placement,
    Places,
    Rack,
    Validity,
)
from rackwatt.wire.config import Key

PDU_CLASS = 1.0
"""Accuracy class of a PDU whose row says none: what makers of metered PDUs state."""


@dataclass(frozen=True, slots=True)
class _Stand:
    """Who said that a device stands somewhere."""

    what: str
    place: Placement
    validity: Validity
    key: Key


@dataclass(slots=True)
class Layout:
    """What the halls hold, while it is being gathered."""

    problems: Problems
    halls: list[Hall] = field(default_factory=list)
    racks: list[Rack] = field(default_factory=list)
    pdus: list[Meter] = field(default_factory=list)
    stands: dict[str, _Stand | list[_Stand]] = field(default_factory=dict)
    rack_rows: dict[str, list[tuple[Validity, Key]]] = field(default_factory=dict)
    reported: set[Key] = field(default_factory=set)

    def put(
        self, names: Sequence[str], what: str, place: Placement, validity: Validity, key: Key
    ) -> None:
        """Let devices stand at a place; one that stands elsewhere already is reported."""
        stand = _Stand(what, place, validity, key)
        clashes: list[tuple[str, _Stand]] = []
        for name in names:
            there = self.stands.get(name)
            if there is None:
                self.stands[name] = stand
                continue
            others = there if isinstance(there, list) else [there]
            clash = next((s for s in others if s.validity.overlaps(validity)), None)
            if clash is not None:
                clashes.append((name, clash))
            else:
                self.stands[name] = [*others, stand]
        if clashes and key not in self.reported:
            # A pattern without {rack} clashes in every rack of its row: said once.
            self.reported.add(key)
            self._report(clashes, stand)

    def _report(self, clashes: list[tuple[str, _Stand]], stand: _Stand) -> None:
        name, first = clashes[0]
        more = f" (and {len(clashes) - 1} more)" if len(clashes) > 1 else ""
        line = self.problems.line(first.key)
        if stand.what == first.what == "node":
            text = (
                f"node {name!r}{more} stands in two racks:"
                f" {first.place.rack} (line {line}) and {stand.place.rack}"
            )
        else:
            text = f"device {name!r}{more} stands twice: as {first.what} on line {line}"
        self.problems.add(stand.key, text)

    def places(self) -> Places:
        """The finished index."""
        fixed: dict[str, Placement] = {}
        dated: dict[str, tuple[tuple[Validity, Placement], ...]] = {}
        always = Validity()
        for name, there in self.stands.items():
            if isinstance(there, _Stand) and there.validity == always:
                fixed[name] = there.place
            else:
                stands = [there] if isinstance(there, _Stand) else there
                dated[name] = tuple((s.validity, s.place) for s in stands)
        return Places(MappingProxyType(fixed), MappingProxyType(dated))


def lay_out(problems: Problems, file: SiteFile) -> Layout:
    """Expand the halls and the site's own devices."""
    layout = Layout(problems)
    seen: dict[str, int] = {}
    for index, hall in enumerate(file.halls):
        key: Key = ("halls", index)
        if hall.id == SITE_HALL:
            problems.add(
                (*key, "id"), "'site' is the hall of what stands in no hall: choose another"
            )
        elif hall.id in seen:
            line = problems.line(("halls", seen[hall.id]))
            problems.add((*key, "id"), f"hall {hall.id!r} stands twice: see line {line}")
        problems.identifier((*key, "id"), hall.id, "hall")
        seen[hall.id] = index
        _hall(layout, hall, key)
    names = problems.expand(("devices",), file.devices)
    layout.put(names, "device", Placement(SITE_HALL), Validity(), ("devices",))
    return layout


def check_feeds(problems: Problems, file: SiteFile, meters: Collection[str]) -> None:
    """A row's `pdu_parent` is a meter."""
    for index, hall in enumerate(file.halls):
        for number, row in enumerate(hall.rows):
            if row.pdu_parent is not None and row.pdu_parent not in meters:
                key: Key = ("halls", index, "rows", number, "pdu_parent")
                problems.unknown(key, "meter", [row.pdu_parent], meters)


def _hall(layout: Layout, hall: HallModel, key: Key) -> None:
    rows: dict[str, list[Validity]] = {}
    for index, row in enumerate(hall.rows):
        at: Key = (*key, "rows", index)
        validity = layout.problems.validity(at, row)
        layout.problems.identifier((*at, "id"), row.id, "row")
        others = rows.setdefault(row.id, [])
        if any(other.overlaps(validity) for other in others):
            layout.problems.add((*at, "id"), f"row {row.id!r} stands twice in hall {hall.id!r}")
        others.append(validity)
        _row(layout, hall, row, validity, at)
    devices = layout.problems.expand((*key, "devices"), hall.devices)
    layout.put(devices, "device", Placement(hall.id), Validity(), (*key, "devices"))
    names = tuple(dict.fromkeys(row.id for row in hall.rows))
    name = hall.name or hall.id
    layout.halls.append(Hall(hall.id, name, names, tuple(devices), hall.bus or ""))


def _row(layout: Layout, hall: HallModel, row: RowModel, validity: Validity, key: Key) -> None:
    expand = layout.problems.expand
    inside = ("row", "rack")
    racks = substitute(expand((*key, "racks"), row.racks, ("row",)), {"row": row.id})
    nodes = expand((*key, "nodes"), row.nodes, inside)
    pdus = expand((*key, "pdus"), row.pdus, inside)
    devices = expand((*key, "devices"), row.devices, inside)
    sensors = _sensors(layout.problems, row, (*key, "sensors"))
    accuracy = PDU_CLASS if row.pdu_class is None else row.pdu_class
    for name in _free_racks(layout, racks, validity, (*key, "racks")):
        names = {"row": row.id, "rack": name}
        rack = Rack(
            id=name,
            row=row.id,
            hall=hall.id,
            nodes=tuple(substitute(nodes, names)),
            pdus=tuple(substitute(pdus, names)),
            sensors=MappingProxyType(
                dict(zip(sensors, substitute(sensors.values(), names), strict=True))
            ),
            devices=tuple(substitute(devices, names)),
            validity=validity,
            feed=row.pdu_parent or "",
        )
        layout.racks.append(rack)
        place = Placement(hall.id, row.id, name)
        layout.put(rack.nodes, "node", place, validity, (*key, "nodes"))
        layout.put(rack.pdus, "PDU", place, validity, (*key, "pdus"))
        layout.put(rack.devices, "device", place, validity, (*key, "devices"))
        layout.put(tuple(rack.sensors.values()), "sensor", place, validity, (*key, "sensors"))
        layout.pdus += [
            Meter(
                pdu,
                accuracy=accuracy,
                validity=validity,
                bus=hall.bus or "",
                parent=row.pdu_parent or "",
            )
            for pdu in rack.pdus
        ]


def _free_racks(layout: Layout, names: Sequence[str], validity: Validity, key: Key) -> list[str]:
    """The racks that stand nowhere else; those that do are reported, and not filled again."""
    free: list[str] = []
    clashes: list[tuple[str, Key]] = []
    for name in names:
        others = layout.rack_rows.setdefault(name, [])
        clash = next((at for span, at in others if span.overlaps(validity)), None)
        if clash is not None:
            clashes.append((name, clash))
            continue
        others.append((validity, key))
        free.append(name)
    if clashes:
        name, at = clashes[0]
        more = f" (and {len(clashes) - 1} more)" if len(clashes) > 1 else ""
        line = layout.problems.line(at)
        layout.problems.add(key, f"rack {name!r}{more} stands twice: see line {line}")
    return free


def _sensors(problems: Problems, row: RowModel, key: Key) -> dict[str, str]:
    result: dict[str, str] = {}
    for position in type(row.sensors).model_fields:
        pattern: str | None = getattr(row.sensors, position)
        if pattern is None:
            continue
        names = problems.expand((*key, position), (pattern,), ("row", "rack"))
        if len(names) > 1:
            problems.add((*key, position), "one position holds one sensor: this gives several")
        if names:
            result[position] = names[0]
    return result
