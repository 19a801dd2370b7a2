# SPDX-License-Identifier: Apache-2.0
"""`balance.modelled_losses:`, transformers and lines of the power chain whose losses no meter sees.

What each carries is measured next to it: by the meters of what it feeds, else of what feeds it.
"""

from collections.abc import Callable, Collection, Sequence

from rackwatt.collector.accounting.capacity.chain import Chain, Edge
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.site.metering import MeterTable
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.problems import Problems
from rackwatt.wire.config import Key

_KEY = ("balance", "modelled_losses")
_Step = Callable[[Edge], Sequence[Edge]]


def modelled_losses_of(
    problems: Problems, file: SiteFile, chain: Chain, table: MeterTable
) -> tuple[LossModel, ...]:
    """The models that `balance` names; without a chain that could be built, none."""
    patterns = file.balance.modelled_losses
    if patterns and file.power_chain is None:
        problems.add(_KEY, "needs a power_chain: what it names is there")
    if not chain:
        return ()
    physical = {meter.id for meter in table.meters if not meter.sum}
    edges = {edge.id: edge for edge in chain.edges}
    found: dict[str, LossModel] = {}
    for index, pattern in enumerate(patterns):
        key: Key = (*_KEY, index)
        for name in _names(problems, key, pattern):
            if name in found:
                problems.add(key, f"{name!r} stands here twice")
            elif name not in chain.assets and name not in edges:
                known = [*chain.assets, *edges]
                problems.unknown(key, "asset or feed (FROM>TO)", [name], known)
            elif wrong := _unstated(chain, name, edges.get(name)):
                problems.add(key, f"{name!r} {wrong}")
            elif (model := _model(chain, name, edges.get(name), physical)) is None:
                hint = "give the feeds next to it a 'meter' of `meters:` or of a row's pdus"
                problems.add(key, f"nothing measures what {name!r} carries", hint)
            else:
                found[name] = model
    _metered_already(problems, table, chain, edges, found.values())
    return tuple(found.values())


def _names(problems: Problems, key: Key, pattern: str) -> list[str]:
    """Of an asset, or of a feed with a pattern on either side: one name, or as many."""
    source, feeds, target = pattern.partition(">")
    sources = problems.expand(key, (source,))
    if not feeds:
        return sources
    targets = problems.expand(key, (target,))
    if len(sources) not in (1, len(targets)):
        text = f"gives {len(sources)} names before '>' and {len(targets)} after it"
        problems.add(key, f"{text}: give one, or as many")
        return []
    return [f"{sources[at % len(sources)]}>{name}" for at, name in enumerate(targets)]


def _unstated(chain: Chain, name: str, edge: Edge | None) -> str:
    """What its model lacks."""
    if edge is not None:
        if edge.ohms is None or edge.phase_volts is None:
            return "states no 'ohms' and 'volts'"
        return ""
    asset = chain.assets[name]
    if asset.no_load_loss_watts is None or not asset.rated_volt_amperes:
        return "states no 'no_load_loss_watts' and 'rated_volt_amperes'"
    return ""


def _model(
    chain: Chain, name: str, edge: Edge | None, physical: Collection[str]
) -> LossModel | None:
    meters, above = _nearest(chain, name, edge, physical, down=True), False
    if meters is None:
        meters, above = _nearest(chain, name, edge, physical, down=False), True
    if meters is None:
        return None
    if edge is not None:
        volts = edge.phase_volts or 0.0
        # R times the squares of all phases' currents, P / (phases V) each.
        square = (edge.ohms or 0.0) / (edge.phases * volts * volts)
        return LossModel(name, meters, 0.0, square, above)
    asset = chain.assets[name]
    rated = asset.rated_volt_amperes or 0.0
    square = (asset.load_loss_watts or 0.0) / (rated * rated)
    return LossModel(name, meters, asset.no_load_loss_watts or 0.0, square, above)


def _nearest(
    chain: Chain, name: str, edge: Edge | None, physical: Collection[str], *, down: bool
) -> tuple[str, ...] | None:
    """The meters nearest to it on one side; `None`: somewhere there is none."""
    if edge is not None:
        begin: Sequence[Edge] = [edge]
    else:
        begin = chain.out_of(name) if down else chain.into(name)
    found: list[str] = []
    waiting = [one for one in begin if not one.standby or one.meter]
    if not waiting:
        return None
    while waiting:
        one = waiting.pop()
        if one.meter in physical:
            found.append(one.meter)
            continue
        next_ = _beyond(chain, one, down=down)
        if not next_:
            return None
        waiting += [other for other in next_ if not other.standby or other.meter]
    return tuple(sorted(set(found)))


def _beyond(chain: Chain, edge: Edge, *, down: bool) -> Sequence[Edge]:
    """The edges that carry what this one does, one asset further; none if others share it."""
    if down:
        return chain.out_of(edge.target) if len(chain.feeding(edge.target)) == 1 else ()
    return chain.into(edge.source) if len(chain.out_of(edge.source)) == 1 else ()


def _metered_already(
    problems: Problems,
    table: MeterTable,
    chain: Chain,
    edges: dict[str, Edge],
    models: Collection[LossModel],
) -> None:
    """What lies between meters whose difference is a load already is no unmetered loss."""
    physical = {meter.id for meter in table.meters if not meter.sum}
    virtual = {meter.id: meter for meter in table.meters if meter.sum}

    def members(names: Sequence[str]) -> set[str]:
        found = {name for name in names if name not in virtual}
        for name in names:
            if name in virtual:
                found |= members(virtual[name].sum)
        return found

    between = [
        (members(meter.sum), members(meter.minus))
        for meter in virtual.values()
        if meter.role is not None and meter.minus
    ]
    for model in models:
        edge = edges.get(model.id)
        above = set(_nearest(chain, model.id, edge, physical, down=False) or ())
        below = set(_nearest(chain, model.id, edge, physical, down=True) or ())
        if any(above and above <= plus and below & minus for plus, minus in between):
            text = f"what {model.id!r} loses is metered already, as a difference of meters"
            problems.add(_KEY, text, "leave it out here")
