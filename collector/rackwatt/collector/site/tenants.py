# SPDX-License-Identifier: Apache-2.0
"""Tenants and what they hold: in the site file and in CSV files beside it.

`tenants:` holds them with `gpus` (`NODE/UUID`), `nodes` and `racks`; `assignments_csv` names
files with the columns `tenant,unit,id` and, where they are needed, `kind,country,name,valid_from`
and `valid_to`; `unit` is `gpu`, `node` or `rack`. A machine has one tenant at a time: a GPU may
not be assigned to one and its node or rack to another.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from rackwatt.collector.accounting.tenants import OPERATOR
from rackwatt.collector.site.basics import check_country, countries
from rackwatt.collector.site.models import SiteFile, TenantKind, TenantModel
from rackwatt.collector.site.patterns import PatternError, brackets
from rackwatt.collector.site.problems import Problems, near
from rackwatt.collector.site.tables import Cells, read_table
from rackwatt.collector.site.topology import (
    ALWAYS,
    FOR_EVER,
    Assignment,
    Rack,
    Tenant,
    Validity,
)
from rackwatt.wire.config import Key
from rackwatt.wire.topics import check_name

NEEDED: Final = ("tenant", "unit", "id")
OPTIONAL: Final = ("kind", "country", "name", "valid_from", "valid_to")
UNITS: Final = ("gpu", "node", "rack")
_INDEX: Final = re.compile(r"[0-9]+")
_UUID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Wrong = Callable[[str, str], None]
"""Reports a message and a hint at the place of an assignment."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """A tenant holds a machine, and where that is written."""

    tenant: str
    validity: Validity
    where: str


@dataclass(slots=True)
class _Machines:
    """Who holds what, while it is being gathered."""

    racks: Mapping[str, Rack]
    nodes: Mapping[str, Rack]
    rack_holds: dict[str, list[_Hold]] = field(default_factory=dict)
    node_holds: dict[str, list[_Hold]] = field(default_factory=dict)
    gpu_holds: dict[str, dict[str, list[_Hold]]] = field(default_factory=dict)

    def hold(self, unit: str, name: str, hold: _Hold) -> tuple[str, str, _Hold] | None:
        """Let a tenant hold a machine; return what of it is held already (unit, name, hold)."""
        if unit == "gpu":
            node = name.partition("/")[0]
            gpus = self.gpu_holds.setdefault(node, {}).setdefault(name, [])
            clash = _clash("gpu", name, gpus, hold)
            clash = clash or _clash("node", node, self.node_holds.get(node, ()), hold)
            gpus.append(hold)
            return clash
        if unit == "node":
            return self._hold_node(name, hold)
        holds = self.rack_holds.setdefault(name, [])
        found = [_clash("rack", name, holds, hold)]
        holds.append(hold)
        found += [self._hold_node(node, hold) for node in self.racks[name].nodes]
        return next((clash for clash in found if clash is not None), None)

    def _hold_node(self, node: str, hold: _Hold) -> tuple[str, str, _Hold] | None:
        holds = self.node_holds.setdefault(node, [])
        clash = _clash("node", node, holds, hold)
        for name, others in self.gpu_holds.get(node, {}).items():
            clash = clash or _clash("gpu", name, others, hold)
        holds.append(hold)
        return clash

    def names(self, unit: str, patterns: Sequence[str], wrong: Wrong) -> tuple[str, ...]:
        """The machines that patterns name; what is wrong with them is reported."""
        result: list[str] = []
        for pattern in patterns:
            try:
                result += brackets(pattern)
            except PatternError as error:
                wrong(str(error), "")
        known = self.racks if unit == "rack" else self.nodes
        unknown = [name for name in result if name.partition("/")[0] not in known]
        if unknown:
            kind = "rack" if unit == "rack" else "node"
            first = unknown[0].partition("/")[0] if unit == "gpu" else unknown[0]
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            wrong(f"unknown {kind} {first!r}{more}", near(first, known))
        if unit == "gpu" and (odd := [name for name in result if not _is_gpu(name)]):
            wrong(*_explain_gpu(odd[0]))
            unknown += odd
        if len(set(result)) != len(result):
            doubled = next(name for name in result if result.count(name) > 1)
            wrong(f"the patterns give {doubled!r} twice", "")
        left = set(unknown)
        return tuple(name for name in dict.fromkeys(result) if name not in left)


def _clash(
    unit: str, name: str, holds: Iterable[_Hold], hold: _Hold
) -> tuple[str, str, _Hold] | None:
    found = (other for other in holds if other.validity.overlaps(hold.validity))
    return next(((unit, name, other) for other in found), None)


def _is_gpu(name: str) -> bool:
    _, slash, uuid = name.partition("/")
    if not slash or _INDEX.fullmatch(uuid) or _UUID.fullmatch(uuid) is None:
        return False
    return uuid[:4].upper() != "GPU-" or uuid.startswith("GPU-")


def _explain_gpu(name: str) -> tuple[str, str]:
    node, _, uuid = name.partition("/")
    if _INDEX.fullmatch(uuid):
        text = f"{name!r}: a GPU is named by its UUID, not its index, which may change at a restart"
        return text, f"like {node}/GPU-5e1c...; 'nvidia-smi -L' on the node lists them"
    if uuid[:4].upper() == "GPU-":
        return f"{name!r}: the case of a UUID counts", f"did you mean {node}/GPU-{uuid[4:]}?"
    return f"{name!r} is no GPU", "like NODE/GPU-5e1c..."


def tenants_of(
    problems: Problems, file: SiteFile, racks: Mapping[str, Rack], nodes: Mapping[str, Rack]
) -> tuple[Tenant, ...]:
    """The tenants of the site file and of its CSV files; nothing is held by two at a time."""
    machines = _Machines(racks, nodes)
    result: dict[str, Tenant] = {}
    for index, model in enumerate(file.tenants):
        key: Key = ("tenants", index)
        problems.identifier((*key, "id"), model.id, "tenant")
        if model.id in result:
            problems.add((*key, "id"), f"tenant {model.id!r} stands twice")
        if model.id == OPERATOR and model.kind != "operator":
            problems.add((*key, "id"), _RESERVED)
        check_country(problems, (*key, "country"), model.country)
        assignments = _assignments(problems, machines, model, key)
        result[model.id] = Tenant(
            model.id, model.name or model.id, model.kind, model.country, assignments
        )
    for index, name in enumerate(file.assignments_csv):
        for cells in read_table(problems, ("assignments_csv", index), name, NEEDED, OPTIONAL):
            _add_line(result, machines, cells)
    return tuple(result.values())


_RESERVED: Final = f"{OPERATOR!r} is who has what nobody holds: of kind operator, or another id"


def _assignments(
    problems: Problems, machines: _Machines, model: TenantModel, key: Key
) -> tuple[Assignment, ...]:
    result: list[Assignment] = []
    for number, item in enumerate(model.assignments):
        at: Key = (*key, "assignments", number)
        if not item.gpus and not item.nodes and not item.racks:
            problems.add(at, "assigns nothing: 'gpus', 'nodes' or 'racks' is needed")
        hold = _Hold(model.id, problems.validity(at, item), f"line {problems.line(at)}")
        held: dict[str, tuple[str, ...]] = {}
        for unit, patterns in zip(UNITS, (item.gpus, item.nodes, item.racks), strict=True):

            def wrong(message: str, hint: str, part: Key = (*at, f"{unit}s")) -> None:
                problems.add(part, message, hint)

            held[unit] = machines.names(unit, patterns, wrong)
            _hold(machines, unit, held[unit], hold, wrong)
        result.append(Assignment(held["node"], held["rack"], hold.validity, held["gpu"]))
    return tuple(result)


def _hold(machines: _Machines, unit: str, names: Sequence[str], hold: _Hold, wrong: Wrong) -> None:
    """Let a tenant hold machines; all that others hold is one error."""
    clashes = [c for c in (machines.hold(unit, name, hold) for name in names) if c is not None]
    if not clashes:
        return
    kind, name, other = clashes[0]
    more = f" (and {len(clashes) - 1} more)" if len(clashes) > 1 else ""
    wrong(
        f"{'GPU' if kind == 'gpu' else kind} {name!r}{more} is assigned to {other.tenant!r}"
        f" at the same time as to {hold.tenant!r}: see {other.where}",
        "let one end, under valid_to, before the other begins",
    )


def _add_line(result: dict[str, Tenant], machines: _Machines, cells: Cells) -> None:
    """Add one line of a CSV file."""
    tenant = _tenant(result, cells)
    unit = cells.choice("unit", UNITS)
    if tenant is None or unit not in UNITS:
        return
    start = cells.moment("valid_from") if cells.texts["valid_from"] else ALWAYS
    end = cells.moment("valid_to") if cells.texts["valid_to"] else FOR_EVER
    if end <= start:
        if start and end:
            cells.wrong("valid_to", "must be later than valid_from")
        return

    def wrong(message: str, hint: str) -> None:
        cells.wrong("id", message, hint)

    hold = _Hold(tenant.id, Validity(start, end), f"{cells.file}:{cells.line}")
    names = machines.names(unit, (cells.texts["id"],), wrong)
    _hold(machines, unit, names, hold, wrong)
    held = {other: names if other == unit else () for other in UNITS}
    added = Assignment(held["node"], held["rack"], hold.validity, held["gpu"])
    result[tenant.id] = Tenant(
        tenant.id, tenant.name, tenant.kind, tenant.country, (*tenant.assignments, added)
    )


def _tenant(result: Mapping[str, Tenant], cells: Cells) -> Tenant | None:
    """The tenant of a line: one that is known already, or a new one."""
    name, kind = cells.texts["tenant"], cells.texts["kind"]
    country = cells.texts["country"] or None
    try:
        check_name(name, "tenant")
    except ValueError as error:
        cells.wrong("tenant", str(error))
        return None
    if country is not None and country not in countries():
        cells.wrong("country", f"unknown country {country!r}: a two-letter code of ISO 3166", "")
        country = None
    found = result.get(name)
    if found is None:
        chosen = cells.choice("kind", get_args(TenantKind))
        if chosen not in get_args(TenantKind):
            return None
        if name == OPERATOR and chosen != "operator":
            cells.wrong("tenant", _RESERVED)
        known: TenantKind = chosen  # type: ignore[assignment]
        return Tenant(name, cells.texts["name"] or name, known, country, ())
    if kind and kind != found.kind:
        cells.wrong("kind", f"tenant {name!r} is of kind {found.kind!r} elsewhere")
    if country is not None and country != found.country:
        cells.wrong("country", f"tenant {name!r} is of country {found.country!r} elsewhere")
    return found
