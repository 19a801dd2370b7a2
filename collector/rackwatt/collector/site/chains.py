# SPDX-License-Identifier: Apache-2.0
"""From the file's chains to graphs, and the rules on them: no loop, no orphan, two real sides.

Racks and the rows' PDUs are assets without being named; a PDU feeds its rack unless an edge says
otherwise. In an edge `{rack}` and `{row}` in `from` and `meter` stand for the rack (or the row) of
what `to` names, `{to}` for its name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rackwatt.collector.accounting.capacity.chain import Asset, Chain, ChainLoopError, Edge
from rackwatt.collector.accounting.capacity.ride_through import HeatMass
from rackwatt.collector.site.chain_models import (
    COOLING_ROOTS,
    POWER_ROOTS,
    CoolingAssetModel,
    CoolingChainModel,
    CoolingEdgeModel,
    PowerAssetModel,
    PowerChainModel,
    PowerEdgeModel,
    ThermalMassModel,
)
from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.patterns import substitute
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.topology import Rack, SiteChains, ThermalMass
from rackwatt.wire.config import Key

_INSIDE: Final = ("row", "rack", "to")
_ChainModel = PowerChainModel | CoolingChainModel


@dataclass(slots=True)
class _Draft:
    """A chain while it is being gathered."""

    problems: Problems
    section: str
    roots: frozenset[str]
    racks: Mapping[str, Rack]
    assets: dict[str, Asset] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)
    edge_keys: dict[tuple[str, str], Key] = field(default_factory=dict)
    homes: dict[str, Rack] = field(default_factory=dict)
    """The rack of racks and PDUs."""


def chains_of(problems: Problems, file: SiteFile, layout: Layout) -> SiteChains:
    """Both chains; empty ones where the file has none."""
    racks = {rack.id: rack for rack in layout.racks}
    power = cooling = Chain()
    needed: dict[str, int] = {}
    if file.power_chain is not None:
        draft = _Draft(problems, "power_chain", POWER_ROOTS, racks)
        power = _chain(draft, file.power_chain, needed)
    masses: dict[str, ThermalMass] = {}
    if file.cooling_chain is not None:
        draft = _Draft(problems, "cooling_chain", COOLING_ROOTS, racks)
        cooling = _chain(draft, file.cooling_chain, needed)
        masses = _masses(problems, file.cooling_chain.thermal_mass, racks)
    return SiteChains(power, cooling, needed, masses)


def _chain(draft: _Draft, model: _ChainModel, needed: dict[str, int]) -> Chain:
    _assets(draft, model.assets)
    _members(draft)
    edges: Sequence[PowerEdgeModel | CoolingEdgeModel] = model.edges
    for index, edge in enumerate(edges):
        _edges(draft, edge, (draft.section, "edges", index))
    if draft.section == "power_chain":
        _own_pdus(draft)
    _groups(draft, model, needed)
    assets = _fed(draft)
    try:
        chain = Chain(assets, draft.edges.values())
    except ChainLoopError as error:
        key = draft.edge_keys[error.loop[0], error.loop[1]]
        draft.problems.add(key, f"{error}: nothing feeds itself")
        return Chain()
    _orphans(draft, chain)
    _two_sides(draft, chain)
    return chain


def _assets(draft: _Draft, models: Iterable[PowerAssetModel | CoolingAssetModel]) -> None:
    for index, model in enumerate(models):
        key: Key = (draft.section, "assets", index)
        for name in draft.problems.expand((*key, "id"), (model.id,)):
            if name in draft.assets:
                line = draft.problems.line(draft.keys[name])
                draft.problems.add((*key, "id"), f"asset {name!r} stands twice: see line {line}")
                continue
            if name in draft.racks:
                draft.problems.add((*key, "id"), f"{name!r} is a rack: racks need not be named")
            draft.keys[name] = key
            given = model.model_dump(exclude={"id", "kind"})
            draft.assets[name] = Asset(name, model.kind, **given)


def _members(draft: _Draft) -> None:
    """Racks and their PDUs, in so far as they are not named."""
    for rack in draft.racks.values():
        draft.assets.setdefault(rack.id, Asset(rack.id, "rack"))
        draft.homes[rack.id] = rack
        if draft.section == "power_chain":
            for pdu in rack.pdus:
                draft.assets.setdefault(pdu, Asset(pdu, "rack_pdu"))
                draft.homes[pdu] = rack


def _edges(draft: _Draft, model: PowerEdgeModel | CoolingEdgeModel, key: Key) -> None:
    targets = draft.problems.expand((*key, "to"), model.target)
    sources = draft.problems.expand((*key, "from"), (model.source,), _INSIDE)
    if not targets or not sources:
        return
    if len(sources) not in (1, len(targets)):
        text = f"gives {len(sources)} names, 'to' gives {len(targets)}: give one, or as many"
        draft.problems.add((*key, "from"), text)
        return
    meter = model.meter if isinstance(model, PowerEdgeModel) else ""
    meters = draft.problems.expand((*key, "meter"), (meter,), _INSIDE) if meter else [""]
    if len(meters) not in (1, len(targets)):
        text = f"gives {len(meters)} names, 'to' gives {len(targets)}: give one, or as many"
        draft.problems.add((*key, "meter"), text)
        return
    unknown: dict[str, list[str]] = {"from": [], "to": []}
    for index, target in enumerate(targets):
        source = _put_in(draft, sources[index % len(sources)], target)
        ends = (("from", source), ("to", target))
        strangers = [(where, name) for where, name in ends if name not in draft.assets]
        for where, name in strangers:
            unknown[where].append(name)
        if not strangers:
            found = _put_in(draft, meters[index % len(meters)], target)
            _edge(draft, model, source, target, found, key)
    for where, names in unknown.items():
        if names:
            distinct = list(dict.fromkeys(names))
            draft.problems.unknown((*key, where), "asset", distinct, draft.assets)


def _put_in(draft: _Draft, template: str, target: str) -> str:
    names = {"to": target}
    home = draft.homes.get(target)
    if home is not None:
        names |= {"rack": home.id, "row": home.row}
    return substitute([template], names)[0]


def _edge(
    draft: _Draft,
    model: PowerEdgeModel | CoolingEdgeModel,
    source: str,
    target: str,
    meter: str,
    key: Key,
) -> None:
    at = source, target
    if at in draft.edges:
        line = draft.problems.line(draft.edge_keys[at])
        text = f"{source!r} feeds {target!r} twice (line {line}): give the second way an asset"
        draft.problems.add(key, text)
        return
    draft.edge_keys[at] = key
    side = model.side or ""
    if isinstance(model, CoolingEdgeModel):
        draft.edges[at] = Edge(source, target, side=side)
        return
    draft.edges[at] = Edge(
        source,
        target,
        amperes=model.amperes,
        watts=model.watts,
        volts=model.volts,
        phases=model.phases,
        derating=1.0 if model.derating is None else model.derating,
        side=side,
        meter=meter,
        ohms=model.ohms,
        standby=model.standby,
    )


def _own_pdus(draft: _Draft) -> None:
    """A PDU that is fed, and of which no edge says otherwise, feeds its rack and measures it."""
    fed = {edge.target: edge for edge in draft.edges.values()}
    feeding = {source for source, _ in draft.edges}
    for pdu, rack in draft.homes.items():
        feed = fed.get(pdu)
        if pdu != rack.id and feed is not None and pdu not in feeding:
            given = Edge(pdu, rack.id, volts=feed.volts, phases=feed.phases, meter=pdu)
            draft.edges[pdu, rack.id] = given
            draft.edge_keys[pdu, rack.id] = (draft.section, "edges")


def _groups(draft: _Draft, model: _ChainModel, needed: dict[str, int]) -> None:
    stated = {group.id: group.needed for group in model.groups}
    members: dict[str, int] = {}
    for asset in draft.assets.values():
        if asset.group:
            members[asset.group] = members.get(asset.group, 0) + 1
    for index, group in enumerate(model.groups):
        key: Key = (draft.section, "groups", index)
        if group.id not in members:
            draft.problems.unknown((*key, "id"), "group of assets", [group.id], members)
        elif group.needed > members[group.id]:
            text = f"{group.needed} needed, and {members[group.id]} there are"
            draft.problems.add((*key, "needed"), text)
    for name in members:
        if name not in stated:
            first = next(a.id for a in draft.assets.values() if a.group == name)
            text = f"group {name!r} does not say how many are needed"
            hint = f"add it to {draft.section}.groups: {{id: {name}, needed: ...}}"
            draft.problems.add(draft.keys[first], text, hint)
    needed.update(stated)


def _fed(draft: _Draft) -> Iterator[Asset]:
    """All assets but the rows' PDUs that no edge names."""
    used = {name for edge in draft.edges for name in edge}
    for name, asset in draft.assets.items():
        if name in used or name in draft.keys or name in draft.racks:
            yield asset


def _orphans(draft: _Draft, chain: Chain) -> None:
    """Everything is fed, by somebody who may begin a chain."""
    unfed = [n for n in chain.order if not chain.into(n)]
    stray = [n for n in unfed if chain.assets[n].kind not in draft.roots]
    roots = " or a ".join(sorted(draft.roots)).replace("_", " ")
    for name in (n for n in stray if n in draft.keys):
        text = f"{name!r} is fed by nothing: only a {roots} begins a chain"
        draft.problems.add(draft.keys[name], text)
    racks = [name for name in stray if name in draft.racks]
    if racks:
        text = f"rack {_some(racks)} is fed by nothing: add an edge to it or to its PDUs"
        draft.problems.add((draft.section, "edges"), text)
    for name in unfed:
        if chain.assets[name].kind in draft.roots and not chain.out_of(name):
            draft.problems.add(draft.keys[name], f"{name!r} feeds nothing")


def _two_sides(draft: _Draft, chain: Chain) -> None:
    """Sides A and B meet in nothing but where the chain begins, unless its owner knows."""
    hung: dict[str, list[str]] = {}
    for name in chain.order:
        if len({chain.side(edge) for edge in chain.into(name)} - {""}) < 2:
            continue
        for above in chain.shared(name):
            asset = chain.assets[above]
            if chain.into(above) and not asset.common:
                hung.setdefault(above, []).append(name)
    for above, names in hung.items():
        what = f"{chain.assets[names[0]].kind.replace('_', ' ')} {_some(names)}"
        text = f"sides A and B of {what} both hang on {above!r}: one fault there takes both"
        hint = "feed one side from elsewhere, or write 'common: true' here if it is so"
        draft.problems.add(draft.keys.get(above, (draft.section,)), text, hint)


def _masses(
    problems: Problems, models: Sequence[ThermalMassModel], racks: Mapping[str, Rack]
) -> dict[str, ThermalMass]:
    found: dict[str, ThermalMass] = {}
    for index, model in enumerate(models):
        key: Key = ("cooling_chain", "thermal_mass", index, "racks")
        names = problems.expand(key, model.racks)
        strangers = [name for name in names if name not in racks]
        if strangers:
            problems.unknown(key, "rack", strangers, racks)
        doubled = [name for name in names if name in found]
        if doubled:
            problems.add(key, f"rack {_some(doubled)} stands here twice")
        coolant = HeatMass(model.coolant_kilograms, model.coolant_joules_per_kilogram_kelvin)
        metal = HeatMass(model.metal_kilograms, model.metal_joules_per_kilogram_kelvin)
        mass = ThermalMass((coolant, metal), model.limit_celsius)
        found.update(dict.fromkeys(names, mass))
    return found


def _some(names: Sequence[str]) -> str:
    return repr(names[0]) + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
