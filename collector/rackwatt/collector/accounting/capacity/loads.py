# SPDX-License-Identifier: Apache-2.0
"""What each edge carries: measured where a meter is, else the sum of what it feeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rackwatt.collector.accounting.capacity.chain import Asset, Chain, Edge
from rackwatt.collector.accounting.capacity.losses import line_loss, transformer_loss

Currents = tuple[float | None, ...]
"""Amperes of each phase, L1 first; None: unknown."""


@dataclass(frozen=True, slots=True)
class Load:
    """What flows over an edge.

    Attributes:
        watts: All phases together; ``None``: unknown.
        amperes: Of each phase, as many as the edge has.
        measured: By a meter of its own; else summed from below.
    """

    watts: float | None
    amperes: Currents
    measured: bool = True

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return self.watts is not None or any(a is not None for a in self.amperes)


@dataclass(frozen=True, slots=True)
class EdgeState:
    """An edge's load against what it may carry for ever.

    Attributes:
        edge: The edge.
        load: What it carries.
        ratio: Of the continuous rating, the worst phase; ``None``: unknown.
        headroom_amperes: What the worst phase may still take; negative: too much already.
        headroom_watts: The same over all phases, were what is added balanced.
        phase: The worst phase, 1 to 3; 0 where the rating is in watts.
    """

    edge: Edge
    load: Load
    ratio: float | None
    headroom_amperes: float | None
    headroom_watts: float | None
    phase: int = 0

    @property
    def over(self) -> bool:
        """Whether it carries more than it may for ever."""
        return self.ratio is not None and self.ratio > 1.0


def unknown(edge: Edge) -> Load:
    """Nothing is known."""
    return Load(None, (None,) * edge.phases, measured=False)


def loads(chain: Chain, measured: Mapping[str, Load]) -> dict[str, Load]:
    """The load of every edge, by its id.

    An edge without a meter carries what its target gives on and loses, if it is the only one that
    feeds it: how two feeds share a load nobody can know without a meter. What is on standby is
    unknown without one.

    Args:
        chain: Power chain.
        measured: By meter; a meter that is silent is not in it.
    """
    found: dict[str, Load] = {}
    for edge in reversed(chain.edges):
        load = measured.get(edge.meter) if edge.meter else None
        if load is not None and load.known:
            found[edge.id] = load
        elif not edge.standby and len(chain.feeding(edge.target)) == 1:
            found[edge.id] = _from_below(chain, edge, found)
        else:
            found[edge.id] = unknown(edge)
    return found


def _from_below(chain: Chain, edge: Edge, found: Mapping[str, Load]) -> Load:
    below = chain.out_of(edge.target)
    if not below:
        return unknown(edge)
    asset = chain.assets[edge.target]
    given = _sum([found[other.id].watts for other in below])
    if given is None:
        return unknown(edge)
    lost = asset_loss(asset, given)
    for other in below:
        lost += edge_loss(other, found[other.id])
    parts = [_converted(other, found[other.id], edge) for other in below]
    amperes = tuple(_sum([part[phase] for part in parts]) for phase in range(edge.phases))
    volts = edge.phase_volts
    if lost and volts:
        amperes = tuple(None if a is None else a + lost / volts / edge.phases for a in amperes)
    return Load(given + lost, amperes, measured=False)


def _converted(below: Edge, load: Load, above: Edge) -> Currents:
    """Its currents as the edge above sees them: at its voltage, on its phases."""
    from_volts, to_volts = below.phase_volts, above.phase_volts
    if from_volts is None or to_volts is None or below.phases != above.phases:
        return (None,) * above.phases
    return tuple(None if a is None else a * from_volts / to_volts for a in load.amperes)


def asset_loss(asset: Asset, watts: float) -> float:
    """What a transformer that gives on `watts` takes itself; 0 where no figures are stated."""
    if asset.no_load_loss_watts is None or not asset.rated_volt_amperes:
        return 0.0
    copper = asset.load_loss_watts or 0.0
    return transformer_loss(asset.no_load_loss_watts, copper, asset.rated_volt_amperes, watts)


def edge_loss(edge: Edge, load: Load) -> float:
    """What a line of stated resistance takes; 0 where it is not stated or a current unknown."""
    currents = [a for a in load.amperes if a is not None]
    if edge.ohms is None or len(currents) < edge.phases:
        return 0.0
    return line_loss(edge.ohms, currents)


def modelled_losses(chain: Chain, loads: Mapping[str, Load]) -> float | None:
    """All modelled losses of a chain in W; None where a load that they depend on is unknown."""
    total: list[float] = []
    for asset in chain.assets.values():
        if asset.no_load_loss_watts is None or not asset.rated_volt_amperes:
            continue
        given = _sum([loads[edge.id].watts for edge in chain.out_of(asset.id)])
        if given is None:
            return None
        total.append(asset_loss(asset, given))
    for edge in chain.edges:
        if edge.ohms is None:
            continue
        if any(a is None for a in loads[edge.id].amperes):
            return None
        total.append(edge_loss(edge, loads[edge.id]))
    return fsum(total)


def state(edge: Edge, load: Load) -> EdgeState:
    """A load against the edge's continuous rating; amperes decide where both are stated."""
    limit = edge.continuous_amperes
    currents = [(a, phase) for phase, a in enumerate(load.amperes, 1) if a is not None]
    if limit is not None and limit > 0.0 and len(currents) == edge.phases:
        worst, phase = max(currents)
        room = limit - worst
        volts = edge.phase_volts
        watts = None if volts is None else room * volts * edge.phases
        return EdgeState(edge, load, worst / limit, room, watts, phase)
    top = edge.continuous_watts
    if top is None or top <= 0.0 or load.watts is None:
        return EdgeState(edge, load, None, None, None)
    return EdgeState(edge, load, load.watts / top, None, top - load.watts)


def states(chain: Chain, loads: Mapping[str, Load]) -> dict[str, EdgeState]:
    """All edges' states, by id."""
    return {edge.id: state(edge, loads[edge.id]) for edge in chain.edges}


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fsum(known) if len(known) == len(values) and values else None
