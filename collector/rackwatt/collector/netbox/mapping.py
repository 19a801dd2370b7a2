# SPDX-License-Identifier: Apache-2.0
"""From NetBox' objects to what a site file says: no I/O, and nothing is guessed without a word.

docs/netbox.md has the rules as a table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from rackwatt.collector.netbox.reading import Inventory, Object
from rackwatt.collector.site.models import TenantKind
from rackwatt.wire.topics import check_name

OWN_ID: Final = "rackwatt_id"
"""The custom field with a name for Rackwatt, where NetBox' own does not do."""
KIND: Final = "rackwatt_kind"
COUNTRY: Final = "rackwatt_country"
_RACKS: Final = frozenset({"active"})
_DEVICES: Final = frozenset({"active", "failed", "offline"})
_FEEDS: Final = frozenset({"active", "failed"})
_SIDES: Final = {"primary": "A", "redundant": "B"}


@dataclass(frozen=True, slots=True)
class Roles:
    """Which device roles (slugs) are nodes and PDUs; the others are devices."""

    nodes: frozenset[str] = frozenset({"node", "gpu-node", "compute-tray", "server"})
    pdus: frozenset[str] = frozenset({"pdu", "rack-pdu"})


@dataclass(slots=True)
class RackPlan:
    """A rack and what stands in it, by name."""

    name: str
    row: str
    nodes: list[str] = field(default_factory=list)
    pdus: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class HallPlan:
    """A hall, its racks, and devices in none."""

    id: str
    name: str
    racks: list[RackPlan] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """A power feed: an edge of the power chain. ``volts`` between lines, where there are three."""

    source: str
    target: str
    amperes: float
    volts: float
    phases: int
    derating: float
    side: str


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """A tenant and the machines that are its."""

    id: str
    name: str
    kind: str
    country: str
    racks: tuple[str, ...]
    nodes: tuple[str, ...]


@dataclass(slots=True)
class Plan:
    """What NetBox says of a site.

    Attributes:
        problems: What must be mended in NetBox first, each with the object's address.
        notes: What was left out or assumed.
    """

    halls: list[HallPlan] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    panels: list[str] = field(default_factory=list)
    feeds: list[FeedPlan] = field(default_factory=list)
    tenants: list[TenantPlan] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_of(inventory: Inventory, roles: Roles) -> Plan:
    """Return what a site file should say."""
    return _Planner(inventory, roles).plan()


class _Planner:
    def __init__(self, inventory: Inventory, roles: Roles) -> None:
        self._in = inventory
        self._roles = roles
        self._plan = Plan()
        self._locations = {one["id"]: one for one in inventory.locations}
        self._halls: dict[int, HallPlan] = {}
        self._racks: dict[int, RackPlan] = {}
        self._pdus: dict[int, str] = {}
        self._seen: dict[str, str] = {}
        self._skipped: Counter[str] = Counter()
        self._held: dict[int, tuple[list[str], list[str]]] = {}

    def plan(self) -> Plan:
        for location in self._in.locations:
            if location.get("parent") is None:
                name = self._name(location, "hall", key="slug")
                if name is not None:
                    self._halls[location["id"]] = HallPlan(name, str(location.get("name", "")))
        for rack in self._in.racks:
            self._rack(rack)
        for device in self._in.devices:
            self._device(device)
        self._power()
        self._tenants()
        plan = self._plan
        plan.halls = [hall for hall in self._halls.values() if hall.racks or hall.devices]
        plan.notes += [f"left out: {count} {what}" for what, count in sorted(self._skipped.items())]
        return plan

    def _rack(self, rack: Object) -> None:
        if not self._takes(rack, _RACKS, "racks"):
            return
        if rack.get("location") is None:
            self._wrong(rack, "rack", "is in no location: give it one, which is its row or hall")
            return
        place = self._locations.get(rack["location"]["id"])
        hall = None if place is None else self._hall_of(place)
        name = self._name(rack, "rack")
        if place is None or hall is None or name is None:
            return
        inner = place.get("parent") is not None
        row = self._name(place, "row", key="slug", unique=False) if inner else f"{hall.id}-row"
        made = RackPlan(name, row or "")
        self._racks[rack["id"]] = made
        hall.racks.append(made)
        self._hold(rack, 0, name)

    def _device(self, device: Object) -> None:
        if not self._takes(device, _DEVICES, "devices"):
            return
        if device.get("parent_device") is not None:
            self._skipped["devices in a bay of another one"] += 1
            return
        name = self._name(device, "device")
        if name is None:
            return
        role = (device.get("role") or {}).get("slug", "")
        rack = device.get("rack")
        if rack is None:
            self._loose(device, name, role)
            return
        place = self._racks.get(int(rack["id"]))
        if place is None:
            self._wrong(device, "device", "is in a rack that is not active, or was refused")
        elif role in self._roles.nodes:
            place.nodes.append(name)
            self._hold(device, 1, name)
        elif role in self._roles.pdus:
            place.pdus.append(name)
            self._pdus[device["id"]] = name
        else:
            place.devices.append(name)

    def _loose(self, device: Object, name: str, role: str) -> None:
        """A device in no rack."""
        if role in self._roles.nodes | self._roles.pdus:
            self._wrong(device, "device", f"has the role {role!r} and is in no rack: give it one")
            return
        inside = device.get("location")
        place = None if inside is None else self._locations.get(inside["id"])
        hall = None if place is None else self._hall_of(place)
        (self._plan.devices if hall is None else hall.devices).append(name)

    def _power(self) -> None:
        panels: dict[int, str] = {}
        for panel in self._in.panels:
            name = self._name(panel, "power panel")
            if name is not None:
                panels[panel["id"]] = name
        for feed in self._in.feeds:
            if self._takes(feed, _FEEDS, "power feeds"):
                self._feed(feed, panels)
        used = {feed.source for feed in self._plan.feeds}
        self._plan.panels = [name for name in panels.values() if name in used]

    def _feed(self, feed: Object, panels: Mapping[int, str]) -> None:
        panel = panels.get(feed["power_panel"]["id"])
        ends = feed.get("connected_endpoints") or ()
        targets = [
            name
            for end in ends
            if (name := self._pdus.get((end.get("device") or {"id": 0})["id"])) is not None
        ]
        if panel is None or not targets:
            self._skipped["power feeds that no cable joins to a PDU in a rack"] += 1
            return
        volts, amperes = _number(feed.get("voltage")), _number(feed.get("amperage"))
        share = _number(feed.get("max_utilization"))
        if not volts or not amperes or not share:
            self._wrong(feed, "power feed", "needs voltage, amperage and max_utilization above 0")
            return
        phases = 3 if (feed.get("phase") or {}).get("value") == "three-phase" else 1
        side = _SIDES[(feed.get("type") or {}).get("value", "primary")]
        for target in targets:
            self._plan.feeds.append(
                FeedPlan(panel, target, amperes, abs(volts), phases, share / 100.0, side)
            )

    def _tenants(self) -> None:
        kinds = get_args(TenantKind)
        for tenant in self._in.tenants:
            racks, nodes = self._held.get(tenant["id"], ([], []))
            if not racks and not nodes:
                continue
            name = self._name(tenant, "tenant", key="slug")
            if name is None:
                continue
            own = tenant.get("custom_fields") or {}
            kind = own.get(KIND) or (tenant.get("group") or {}).get("slug") or ""
            if kind not in kinds:
                note = (
                    f"tenant {name}: kind {kind!r} is none of {', '.join(kinds)}: 'company' taken"
                )
                self._plan.notes.append(note)
                kind = "company"
            title, country = str(tenant.get("name", "")), str(own.get(COUNTRY) or "")
            self._plan.tenants.append(
                TenantPlan(name, title, kind, country, tuple(racks), tuple(nodes))
            )

    def _hold(self, thing: Object, unit: int, name: str) -> None:
        tenant = thing.get("tenant")
        if tenant is not None:
            self._held.setdefault(tenant["id"], ([], []))[unit].append(name)

    def _hall_of(self, place: Object) -> HallPlan | None:
        """The outermost location around a place."""
        seen: set[int] = set()
        while place.get("parent") is not None and place["id"] not in seen:
            seen.add(place["id"])
            above = self._locations.get(place["parent"]["id"])
            if above is None:
                self._wrong(place, "location", "has a parent that is not of this site")
                return None
            place = above
        return self._halls.get(place["id"])

    def _takes(self, thing: Object, good: frozenset[str], what: str) -> bool:
        status = str((thing.get("status") or {}).get("value", "active"))
        if status not in good:
            self._skipped[f"{what} that are {status}"] += 1
        return status in good

    def _name(
        self, thing: Object, what: str, *, key: str = "name", unique: bool = True
    ) -> str | None:
        """The name for Rackwatt; ``None`` where there is none that does."""
        own = (thing.get("custom_fields") or {}).get(OWN_ID)
        name = own or thing.get(key)
        if not name:
            self._wrong(thing, what, f"has no {key}: name it")
            return None
        try:
            found = check_name(str(name), "name")
        except ValueError:
            self._wrong(
                thing, what, f"{name!r} is no name for Rackwatt (letters, digits, '.', '_', '-'):"
                f" rename it, or set its custom field {OWN_ID}"
            )  # fmt: skip
            return None
        space = "hall" if what == "hall" else "tenant" if what == "tenant" else "thing"
        first = self._seen.setdefault(f"{space}/{found}", _address(thing)) if unique else ""
        if unique and first != _address(thing):
            self._wrong(thing, what, f"{found!r} is also the name of {first}: names are unique")
            return None
        return found

    def _wrong(self, thing: Object, what: str, text: str) -> None:
        label = thing.get("name") or thing.get("display") or thing.get("id")
        self._plan.problems.append(f"{what} {label}: {text}: {_address(thing)}")


def _address(thing: Object) -> str:
    """Where people see an object; its API address where NetBox is older than 4.1."""
    return str(thing.get("display_url") or str(thing.get("url", "")).replace("/api/", "/", 1))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def settle(plan: Plan, first: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Leave what has moved where it stood first: a move is dated, and an act of its own.

    Args:
        plan: What NetBox says; changed.
        first: The rack in which each thing of the file stood first, by name.
        now: The rack in which it stands by the file and its moves.

    Returns:
        For each thing that NetBox has elsewhere than the file: what to do.
    """
    racks = {rack.name: rack for hall in plan.halls for rack in hall.racks}
    wanted: list[str] = []
    for hall in plan.halls:
        for rack in hall.racks:
            for names, kind in (
                (rack.nodes, "nodes"),
                (rack.pdus, "pdus"),
                (rack.devices, "devices"),
            ):
                for name in [one for one in names if first.get(one, rack.name) != rack.name]:
                    if now.get(name) != rack.name:
                        wanted.append(
                            f"{name} stands in {now[name]} by the site file and in {rack.name} by"
                            f" NetBox: rackwatt site move {name} --to"
                            f" {hall.id}/{rack.row}/{rack.name} --since TIME --author NAME"
                            " --reason TEXT"
                        )
                    elif first[name] in racks:
                        names.remove(name)
                        getattr(racks[first[name]], kind).append(name)
    return wanted


def shape_of(rack: RackPlan) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """What stands in a rack with ``{rack}`` for its name: racks of one shape share a line."""

    def shaped(names: Sequence[str]) -> tuple[str, ...]:
        start = rack.name + "-"
        return tuple(
            "{rack}" + name[len(rack.name) :] if name.startswith(start) else name
            for name in sorted(names)
        )

    return shaped(rack.nodes), shaped(rack.pdus), shaped(rack.devices)
