# SPDX-License-Identifier: Apache-2.0
"""Contracts and agents: who claims, who speaks."""

from collections.abc import Collection, Mapping

from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.metering import MeterTable
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Agent,
    Contract,
    Placement,
    Rack,
    Validity,
)
from rackwatt.wire.config import Key


def contracts_of(
    problems: Problems, file: SiteFile, table: MeterTable, layout: Layout
) -> tuple[Contract, ...]:
    """Claims on the import: their meters are at the plant, never sources of this site."""
    result: list[Contract] = []
    roles = {meter.id: meter.role for meter in table.meters if meter.role is not None}
    spans: dict[str, list[Validity]] = {}
    for index, model in enumerate(file.contracts):
        key: Key = ("contracts", index)
        validity = problems.validity(key, model)
        problems.identifier((*key, "id"), model.id, "contract")
        if any(span.overlaps(validity) for span in spans.setdefault(model.id, [])):
            problems.add((*key, "id"), f"contract {model.id!r} stands twice at the same time")
        spans[model.id].append(validity)
        role = roles.get(model.meter)
        if role is not None:
            problems.add(
                (*key, "meter"),
                f"meter {model.meter!r} has the role {role!r}: contracted energy is part of the"
                " import, never a source or a load beside it",
            )
        used = {c.meter for c in result if c.id != model.id and c.validity.overlaps(validity)}
        if model.meter in used:
            problems.add((*key, "meter"), f"meter {model.meter!r} serves two contracts")
        known = problems.identifier((*key, "meter"), model.meter, "device")
        if known and model.meter not in layout.stands:
            place = Placement(SITE_HALL)
            layout.put([model.meter], "contract", place, Validity(), (*key, "meter"))
        result.append(Contract(model.id, model.claim, model.meter, validity, model.kind))
    return tuple(result)


def agents_of(
    problems: Problems, file: SiteFile, halls: Collection[str], nodes: Mapping[str, Rack]
) -> tuple[Agent, ...]:
    """The field agents, each with a hall that exists."""
    seen: dict[str, Key] = {}
    for index, model in enumerate(file.agents):
        key: Key = ("agents", index)
        problems.identifier((*key, "name"), model.name, "agent")
        if model.name in seen:
            line = problems.line(seen[model.name])
            problems.add((*key, "name"), f"agent {model.name!r} stands twice: see line {line}")
        seen.setdefault(model.name, key)
        if model.hall not in halls:
            problems.unknown((*key, "hall"), "hall", [model.hall], halls)
        elif model.name in nodes and nodes[model.name].hall != model.hall:
            hall = nodes[model.name].hall
            problems.add((*key, "hall"), f"node {model.name!r} stands in hall {hall!r}")
    return tuple(Agent(model.name, model.hall) for model in file.agents)
