# SPDX-License-Identifier: Apache-2.0
"""Several buses: the lines between them, and where each metering point sits."""

from collections.abc import Mapping

from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.metering import MeterTable
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Metering,
    Placement,
    Tie,
    Validity,
    net_counts,
)
from rackwatt.wire.config import Key


def buses_of(problems: Problems, file: SiteFile) -> tuple[str, ...]:
    """The buses, each named once; empty on a site with one."""
    seen: dict[str, int] = {}
    for index, model in enumerate(file.buses):
        key: Key = ("buses", index, "id")
        problems.identifier(key, model.id, "bus")
        if model.id in seen:
            line = problems.line(("buses", seen[model.id]))
            problems.add(key, f"bus {model.id!r} stands twice: see line {line}")
        seen.setdefault(model.id, index)
    if len(seen) == 1:
        problems.add(("buses",), "one bus needs no name: leave 'buses' out, or name the others")
    _check_names(problems, file, seen)
    return tuple(seen)


def _check_names(problems: Problems, file: SiteFile, known: Mapping[str, int]) -> None:
    """Halls and meters name buses that exist; with several buses every hall names its own."""
    for index, hall in enumerate(file.halls):
        if hall.bus is not None and hall.bus not in known:
            problems.unknown(("halls", index, "bus"), "bus", [hall.bus], known)
        elif hall.bus is None and known:
            problems.add(("halls", index), f"hall {hall.id!r} does not say which bus feeds it")
    for index, meter in enumerate(file.meters):
        if meter.bus is not None and meter.bus not in known:
            problems.unknown(("meters", index, "bus"), "bus", [meter.bus], known)


def ties_of(
    problems: Problems, file: SiteFile, buses: tuple[str, ...], layout: Layout, table: MeterTable
) -> tuple[Tie, ...]:
    """The lines between buses; a tie's meter has no role: it brings nothing in."""
    result: list[Tie] = []
    roles = {meter.id: meter.role for meter in table.meters if meter.role is not None}
    for index, model in enumerate(file.ties):
        key: Key = ("ties", index)
        validity = problems.validity(key, model)
        problems.identifier((*key, "id"), model.id, "tie")
        if any(tie.id == model.id and tie.validity.overlaps(validity) for tie in result):
            problems.add((*key, "id"), f"tie {model.id!r} stands twice at the same time")
        for name, bus in (("from", model.source), ("to", model.target)):
            if bus not in buses:
                problems.unknown((*key, name), "bus", [bus], buses)
        if model.source == model.target:
            problems.add((*key, "to"), "a tie leads to another bus, not back to its own")
        if model.meter in roles:
            role = roles[model.meter]
            problems.add(
                (*key, "meter"), f"meter {model.meter!r} has the role {role!r}: a tie's has none"
            )
        if any(t.meter_id == model.meter and t.validity.overlaps(validity) for t in result):
            problems.add((*key, "meter"), f"meter {model.meter!r} measures two ties")
        known = problems.identifier((*key, "meter"), model.meter, "device")
        if known and model.meter not in layout.stands:
            layout.put([model.meter], "tie", Placement(SITE_HALL), Validity(), (*key, "meter"))
        result.append(Tie(model.id, model.source, model.target, model.meter, validity))
    return tuple(result)


def check_buses(
    problems: Problems, table: MeterTable, metering: Metering, buses: tuple[str, ...]
) -> None:
    """With several buses, each metering point with a role sits on one of them."""
    if not buses:
        return
    reported: set[str] = set()
    for start in metering.starts:
        meters = metering.meters_at(start)
        for meter in meters.values():
            if meter.role is None or meter.bus or meter.id in reported:
                continue
            if all(meters[name].bus for name in net_counts(meters, meter.id)):
                continue
            reported.add(meter.id)
            problems.add(
                table.keys[meter.id],
                f"meter {meter.id!r} does not say on which bus it sits",
                f"add 'bus:' with one of: {', '.join(buses)}",
            )
