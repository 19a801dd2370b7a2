# SPDX-License-Identifier: Apache-2.0
"""Meters: expansion, and the rules that keep a watt-hour from being counted twice or never."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.meter_states import states_of
from rackwatt.collector.site.models import MeterModel, Role
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Meter,
    Metering,
    Placement,
    Validity,
    net_counts,
)
from rackwatt.wire.config import Key

SOURCES: Final[tuple[Role, ...]] = ("pv", "wind", "hydro", "grid", "genset")
"""Roles that bring energy in; a battery only moves it."""
DEFAULT_CLASS: Final = 1.0
DEFAULT_CADENCE: Final = 1.0


@dataclass(slots=True)
class MeterTable:
    """All meters of the file, and the key at which each stands."""

    meters: list[Meter] = field(default_factory=list)
    keys: dict[str, Key] = field(default_factory=dict)
    spans: dict[str, list[tuple[Validity, Key]]] = field(default_factory=dict)
    defaulted: list[str] = field(default_factory=list)
    """Physical meters with a role and no class of their own."""


def meter_table(
    problems: Problems, models: Sequence[MeterModel], layout: Layout, halls: Collection[str]
) -> MeterTable:
    """Expand the meters of the file and add the rows' PDUs."""
    table = MeterTable()
    for index, model in enumerate(models):
        _declare(problems, table, model, ("meters", index), layout, halls)
    table.meters += [pdu for pdu in layout.pdus if pdu.id not in table.keys]
    _check_members(problems, table)
    return table


def _declare(
    problems: Problems,
    table: MeterTable,
    model: MeterModel,
    key: Key,
    layout: Layout,
    halls: Collection[str],
) -> None:
    virtual = bool(model.sum or model.minus)
    names = problems.expand((*key, "id"), (model.id,))
    validity = problems.validity(key, model)
    _check_keys(problems, model, key, virtual=virtual, several=len(names) > 1)
    members = problems.expand((*key, "sum"), model.sum)
    minus = problems.expand((*key, "minus"), model.minus)
    place = Placement(model.hall or SITE_HALL)
    if model.hall is not None and model.hall not in halls:
        problems.unknown((*key, "hall"), "hall", [model.hall], halls)
    states = states_of(problems, model, key, validity)
    for name in names:
        _claim_name(problems, table, name, validity, key)
        standing = name in layout.stands
        if virtual and standing:
            problems.add((*key, "id"), f"virtual meter {name!r} has the name of a device")
        elif standing and model.hall is not None and name not in table.keys:
            problems.add((*key, "hall"), f"device {name!r} already has its place in the halls")
        elif not standing and not virtual:
            layout.put([name], "meter", place, Validity(), (*key, "id"))
        if model.accuracy is None and model.role is not None and not virtual:
            table.defaulted.append(name)
        table.keys.setdefault(name, key)
        table.meters += [
            Meter(
                id=name,
                role=model.role,
                accuracy=DEFAULT_CLASS if model.accuracy is None else model.accuracy,
                transformer_class=model.transformer_class or 0.0,
                calibration_group=model.calibration_group,
                cadence_seconds=DEFAULT_CADENCE if model.cadence is None else model.cadence,
                position=model.position,
                sum=tuple(members),
                minus=tuple(minus),
                validity=span,
                bus=_bus(model, place, layout),
                parent=model.parent or "",
                state=state,
                calibrated=model.calibrated,
                calibration_due=model.calibration_due,
            )
            for span, state in states
        ]


def _bus(model: MeterModel, place: Placement, layout: Layout) -> str:
    """A meter's own bus, else its hall's. A role's virtual meter leaves it to its members."""
    if model.bus is not None or model.sum or model.minus:
        return model.bus or ""
    return next((hall.bus for hall in layout.halls if hall.id == place.hall), "")


def _check_keys(
    problems: Problems, model: MeterModel, key: Key, *, virtual: bool, several: bool
) -> None:
    if virtual and several:
        problems.add((*key, "id"), "a virtual meter has one name, not a pattern")
    if virtual and (model.accuracy is not None or model.transformer_class is not None):
        problems.add((*key, "class"), "a virtual meter has its members' classes, not its own")
    if model.position is not None and model.role != "it":
        problems.add((*key, "position"), "belongs to meters of role 'it' only")
    if virtual and not model.sum:
        problems.add((*key, "minus"), "needs a sum to be taken from")


def _claim_name(
    problems: Problems, table: MeterTable, name: str, validity: Validity, key: Key
) -> None:
    spans = table.spans.setdefault(name, [])
    clash = next((at for span, at in spans if span.overlaps(validity)), None)
    if clash is not None:
        problems.add(
            (*key, "id"),
            f"meter {name!r} stands twice at the same time: see line {problems.line(clash)}",
        )
    spans.append((validity, key))


def _check_members(problems: Problems, table: MeterTable) -> None:
    known = {meter.id for meter in table.meters}
    checked: set[Key] = set()
    for meter in table.meters:
        if not meter.virtual:
            if meter.parent and meter.parent not in known and meter.id in table.keys:
                key = table.keys[meter.id]
                problems.unknown((*key, "parent"), "meter", [meter.parent], known)
            continue
        key = next(at for span, at in table.spans[meter.id] if span == meter.validity)
        if key in checked:
            continue
        checked.add(key)
        for part, members in (("sum", meter.sum), ("minus", meter.minus)):
            unknown = [name for name in members if name not in known]
            if unknown:
                problems.unknown((*key, part), "meter", unknown, known)
        summed = set(meter.sum)
        both = [name for name in meter.minus if name in summed]
        if both:
            problems.add((*key, "minus"), f"meter {both[0]!r} stands in sum too")


def check_meters(problems: Problems, table: MeterTable, metering: Metering) -> bool:
    """The rules on meters together: no cycles, the roles that a site needs, nothing twice.

    Returns:
        Whether the members can be walked.
    """
    if not table.keys:
        return True
    if _check_cycles(problems, table):
        return False
    roles = {meter.role for meter in table.meters}
    if "it" not in roles:
        problems.add(("meters",), "no meter has the role 'it'")
    if not roles & set(SOURCES):
        problems.add(
            ("meters",), f"no meter has a source's role: one of {', '.join(SOURCES)} is needed"
        )
    reported: set[tuple[str, str]] = set()
    for start in metering.starts:
        _check_twice(problems, table, metering.meters_at(start), reported)
    return True


def _check_cycles(problems: Problems, table: MeterTable) -> bool:
    members: dict[str, set[str]] = {}
    for meter in table.meters:
        if meter.virtual:
            members.setdefault(meter.id, set()).update(meter.sum, meter.minus)
    done: set[str] = set()
    found = False
    for first in members:
        path: list[str] = []
        if _walk(first, members, done, path):
            found = True
            problems.add(table.keys[path[0]], "made of itself: " + " -> ".join(path))
    return found


def _walk(
    name: str, members: Mapping[str, Collection[str]], done: set[str], path: list[str]
) -> bool:
    """Whether a cycle is reachable from `name`; `path` then holds it, first name last too."""
    if name in path:
        del path[: path.index(name)]
        path.append(name)
        return True
    if name in done or name not in members:
        return False
    path.append(name)
    for member in sorted(members[name]):
        if _walk(member, members, done, path):
            done.update(path)
            return True
    path.pop()
    done.add(name)
    return False


def _check_twice(
    problems: Problems,
    table: MeterTable,
    meters: Mapping[str, Meter],
    reported: set[tuple[str, str]],
) -> None:
    """Report physical meters that count more than once, over all roles, at one time."""
    owners: dict[str, str] = {}
    clashes: dict[tuple[str, str], list[str]] = {}
    for meter in meters.values():
        if meter.role is None:
            continue
        for name, count in net_counts(meters, meter.id).items():
            if abs(count) > 1:
                clashes.setdefault((meter.id, meter.id), []).append(name)
            if count > 0:
                other = owners.setdefault(name, meter.id)
                if other != meter.id:
                    clashes.setdefault((other, meter.id), []).append(name)
    for (first, second), names in clashes.items():
        if (first, second) in reported:
            continue
        reported.add((first, second))
        _report_twice(problems, table, first, second, names)


def _report_twice(
    problems: Problems, table: MeterTable, first: str, second: str, names: Sequence[str]
) -> None:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    if first == second:
        text = f"meter {names[0]!r}{more} is counted twice in {first!r}"
        hint = ""
    else:
        line = problems.line(table.keys[first])
        text = (
            f"meter {names[0]!r}{more} is counted twice: in {first!r} (line {line})"
            f" and in {second!r}"
        )
        hint = "take it off one of them under 'minus'"
    problems.add(table.keys[second], text, hint)
