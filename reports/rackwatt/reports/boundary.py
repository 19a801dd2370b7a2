# SPDX-License-Identifier: Apache-2.0
"""The boundary of a report: which meters make it up, and how far they can be believed."""

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import pairwise
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.site import Site
from rackwatt.reports.parts import MeterLine, TermLine

_ALIKE: Final = 12
"""From so many meters of a role on, those that are alike share a line."""
_FLOWS: Final = {"battery": "charge"}
_SHOWN: Final = " … "


def times_of(site: Site, span: Span) -> list[int]:
    """When something of the metering begins in a span, its own begin first."""
    return [span.start_ms, *(at for at in site.metering.starts if span.start_ms < at < span.end_ms)]


def terms_of(site: Site, span: Span) -> list[TermLine]:
    """What makes up the flows at a span's end."""
    terms = site.terms_at(span.end_ms - 1)
    return [
        TermLine(role=str(role), meter=part.meter_id, sign=1 if part.sign > 0 else -1)
        for role, parts in terms.roles.items()
        for part in parts
    ]


def not_in_service(site: Site, span: Span) -> list[str]:
    """Meters of the boundary that were not in service in the whole span, in order of name."""
    found: set[str] = set()
    for at in times_of(site, span):
        meters = site.meters_at(at)
        for parts in site.terms_at(at).roles.values():
            for part in parts:
                meter = meters.get(part.meter_id)
                if meter is not None and not meter.virtual and meter.state != "in_service":
                    found.add(part.meter_id)
    return sorted(found)


def holes_of(site: Site, span: Span) -> list[tuple[str, int, int]]:
    """Where no meter stands for a role between two times at which some do: role, begin, end.

    What flowed then is in no figure of the role, and looks like 0. A role that begins or ends
    within the span has none: a plant that is new, or gone.
    """
    edges = [*times_of(site, span), span.end_ms]
    there = [(start, end, set(site.terms_at(start).roles)) for start, end in pairwise(edges)]
    found: list[tuple[str, int, int]] = []
    for role in sorted({str(one) for _, _, roles in there for one in roles}):
        having = [index for index, (_, _, roles) in enumerate(there) if role in roles]
        missing = [at for at in range(having[0], having[-1]) if at not in set(having)]
        found += [(role, there[at][0], there[at][1]) for at in missing]
    return found


def meter_lines(
    site: Site, span: Span, energies: Mapping[str, Mapping[str, float]], last_day: date
) -> list[MeterLine]:
    """The boundary's meters, many alike in one line.

    Args:
        site: The site.
        span: The period.
        energies: Wh by flow and meter.
        last_day: The period's last day: a calibration that is due before is overdue.
    """
    meters = site.meters_at(span.end_ms - 1)
    absent = set(not_in_service(site, span))
    positions = {m.role: m.position for m in meters.values() if m.role and m.position}
    found: list[MeterLine] = []
    for role, parts in site.terms_at(span.end_ms - 1).roles.items():
        flow = energies.get(_FLOWS.get(str(role), str(role)), {})
        signs: dict[int, list[MeterLine]] = {}
        for part in parts:
            meter = meters.get(part.meter_id)
            if meter is None:
                continue
            due = meter.calibration_due
            signs.setdefault(part.sign, []).append(
                MeterLine(
                    id=meter.id,
                    role=str(role),
                    position=meter.position or positions.get(meter.role or role),
                    accuracy_class=meter.accuracy,
                    transformer_class=meter.transformer_class,
                    calibrated=_day(meter.calibrated),
                    calibration_due=_day(due),
                    overdue=due is not None and due < last_day,
                    state=meter.state,
                    in_service=meter.id not in absent,
                    energy_watt_hours=flow.get(meter.id),
                )
            )
        for lines in signs.values():
            found += lines if len(lines) < _ALIKE else _grouped(lines)
    return found


def _grouped(lines: list[MeterLine]) -> Iterator[MeterLine]:
    groups: dict[tuple[Any, ...], list[MeterLine]] = {}
    for line in lines:
        shared = line.model_dump(exclude={"id", "energy_watt_hours", "count"})
        groups.setdefault(tuple(shared.values()), []).append(line)
    for group in groups.values():
        energies = [one.energy_watt_hours for one in group]
        known = [energy for energy in energies if energy is not None]
        ids = sorted(one.id for one in group)
        yield group[0].model_copy(
            update={
                "id": ids[0] if len(ids) == 1 else f"{ids[0]}{_SHOWN}{ids[-1]}",
                "count": len(group),
                "energy_watt_hours": fsum(known) if len(known) == len(group) else None,
            }
        )


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
