# SPDX-License-Identifier: Apache-2.0
"""Contracts, agents and tenants: who claims, who speaks, who uses."""

from collections.abc import Collection, Mapping

from rackwatt.collector.site.basics import check_country
from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.metering import MeterTable
from rackwatt.collector.site.models import AssignmentModel, SiteFile, TenantModel
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Agent,
    Assignment,
    Contract,
    Placement,
    Rack,
    Tenant,
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


def tenants_of(
    problems: Problems, file: SiteFile, racks: Mapping[str, Rack], nodes: Mapping[str, Rack]
) -> tuple[Tenant, ...]:
    """The tenants; no node may belong to two of them at a time."""
    result: list[Tenant] = []
    held: dict[str, list[tuple[Validity, str]]] = {}
    for index, model in enumerate(file.tenants):
        key: Key = ("tenants", index)
        problems.identifier((*key, "id"), model.id, "tenant")
        if any(tenant.id == model.id for tenant in result):
            problems.add((*key, "id"), f"tenant {model.id!r} stands twice")
        check_country(problems, (*key, "country"), model.country)
        assignments = [
            _assignment(problems, item, (*key, "assignments", number), racks, nodes)
            for number, item in enumerate(model.assignments)
        ]
        for number, assignment in enumerate(assignments):
            at = (*key, "assignments", number)
            _hold(problems, held, model, assignment, at, racks)
        result.append(
            Tenant(model.id, model.name or model.id, model.kind, model.country, tuple(assignments))
        )
    return tuple(result)


def _assignment(
    problems: Problems,
    model: AssignmentModel,
    key: Key,
    racks: Mapping[str, Rack],
    nodes: Mapping[str, Rack],
) -> Assignment:
    if not model.nodes and not model.racks:
        problems.add(key, "assigns nothing: 'nodes' or 'racks' is needed")
    wanted: dict[str, tuple[str, ...]] = {}
    for part, patterns, known in (("nodes", model.nodes, nodes), ("racks", model.racks, racks)):
        names = problems.expand((*key, part), patterns)
        unknown = [name for name in names if name not in known]
        if unknown:
            problems.unknown((*key, part), part.removesuffix("s"), unknown, known)
        wanted[part] = tuple(names)
    return Assignment(wanted["nodes"], wanted["racks"], problems.validity(key, model))


def _hold(
    problems: Problems,
    held: dict[str, list[tuple[Validity, str]]],
    tenant: TenantModel,
    assignment: Assignment,
    key: Key,
    racks: Mapping[str, Rack],
) -> None:
    names = list(assignment.nodes)
    names += [n for rack in assignment.racks if rack in racks for n in racks[rack].nodes]
    clashes: list[tuple[str, str]] = []
    for name in names:
        spans = held.setdefault(name, [])
        clash = next((t for span, t in spans if span.overlaps(assignment.validity)), None)
        if clash is not None:
            clashes.append((name, clash))
        spans.append((assignment.validity, tenant.id))
    if clashes:
        name, other = clashes[0]
        more = f" (and {len(clashes) - 1} more)" if len(clashes) > 1 else ""
        problems.add(key, f"node {name!r}{more} is assigned to {other!r} at the same time")
