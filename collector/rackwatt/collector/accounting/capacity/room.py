# SPDX-License-Identifier: Apache-2.0
"""What more may be sold, and what is stranded: room at a rack that nothing above it can fill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf
from typing import Final

import networkx as nx

from rackwatt.collector.accounting.capacity.chain import SIDES, Chain, Edge
from rackwatt.collector.accounting.capacity.failover import Failover
from rackwatt.collector.accounting.capacity.loads import EdgeState

_Node = tuple[str, str]
_SOURCE: Final[_Node] = ("source", "")
_SINK: Final[_Node] = ("sink", "")


@dataclass(frozen=True, slots=True)
class Room:
    """What a chain may still carry, each side able to do it alone.

    Attributes:
        sellable_watts: To all consumers together, shared edges counted once; ``None``: unknown.
        stranded_watts: What their own feeds would still take, less that.
        consumers: To each one alone, were it the only one to grow; ``None``: unknown.
        limits: The edge that limits it, by consumer.
        unknown: Consumers of which nothing can be said.
    """

    sellable_watts: float | None
    stranded_watts: float | None
    consumers: Mapping[str, float | None]
    limits: Mapping[str, str]
    unknown: Sequence[str]


def room(chain: Chain, states: Mapping[str, EdgeState], failovers: Mapping[str, Failover]) -> Room:
    """The room of every consumer and of all together.

    The room of an edge is what its continuous rating leaves while the other side is down, or now
    where there is no other side; an edge without a rating limits nothing. What may be sold to all
    together is the largest flow from the sources through side A to a consumer and back through
    side B: both sides must have the room.

    Args:
        chain: Power chain.
        states: Of all edges.
        failovers: Of those with another side.
    """
    free = {edge.id: _free(edge, states[edge.id], failovers.get(edge.id)) for edge in chain.edges}
    each: dict[str, float | None] = {}
    limits: dict[str, str] = {}
    for name in chain.consumers():
        each[name], limits[name] = _way(chain, free, name)
    bounded = [name for name in each if _own(chain, free, name) not in (None, inf)]
    unknown = [name for name in each if name not in bounded]
    if not bounded:
        return Room(None, None, each, limits, unknown)
    sellable = _flow(chain, free, bounded)
    # Racks whose feeds have no rating of their own share the room of what is above: it counts once.
    rooms = {_nearest(chain, free, name): _own(chain, free, name) or 0.0 for name in bounded}
    own = fsum(rooms.values())
    return Room(sellable, max(own - sellable, 0.0), each, limits, unknown)


def _free(edge: Edge, state: EdgeState, after: Failover | None) -> float | None:
    """W; infinite where no rating is stated, None where the load is unknown."""
    if not edge.rated:
        return inf
    left = after.after.headroom_watts if after is not None else state.headroom_watts
    return None if left is None else max(left, 0.0)


def _own(chain: Chain, free: Mapping[str, float | None], name: str) -> float | None:
    """What the consumer's own feeds would take: the smaller of its sides."""
    sides = [_sum([_rated(chain, free, edge) for edge in feeds]) for feeds in _by_side(chain, name)]
    known = [side for side in sides if side is not None]
    return min(known) if known and len(known) == len(sides) else None


def _rated(chain: Chain, free: Mapping[str, float | None], edge: Edge) -> float | None:
    """The room of an edge, or of what is above it where it has no rating of its own."""
    if free[edge.id] != inf:
        return free[edge.id]
    above = chain.feeding(edge.source)
    return _sum([_rated(chain, free, other) for other in above]) if above else inf


def _nearest(chain: Chain, free: Mapping[str, float | None], name: str) -> frozenset[str]:
    """The edges nearest to a consumer that have a rating."""
    found: set[str] = set()
    waiting = list(chain.feeding(name))
    while waiting:
        edge = waiting.pop()
        if free[edge.id] == inf:
            waiting += chain.feeding(edge.source)
        else:
            found.add(edge.id)
    return frozenset(found)


def _by_side(chain: Chain, name: str) -> list[list[Edge]]:
    feeds = chain.feeding(name)
    sides = [[edge for edge in feeds if chain.side(edge) == side] for side in SIDES]
    both = [side for side in sides if side]
    return both if len(both) == len(SIDES) else [list(feeds)] if feeds else []


def _way(chain: Chain, free: Mapping[str, float | None], name: str) -> tuple[float | None, str]:
    """The narrowest edge on the way up, of all sides; several feeds of a side add up."""
    least, limit = inf, ""
    for feeds in _by_side(chain, name):
        got = _up(chain, free, feeds)
        if got is None:
            return None, ""
        if got[0] < least:
            least, limit = got
    return (None, "") if least == inf else (least, limit)


def _up(
    chain: Chain, free: Mapping[str, float | None], feeds: Sequence[Edge]
) -> tuple[float, str] | None:
    total, where = 0.0, ""
    for edge in feeds:
        own = free[edge.id]
        if own is None:
            return None
        above = chain.feeding(edge.source)
        over = _up(chain, free, above) if above else (inf, "")
        if over is None:
            return None
        got, limit = min((own, edge.id), over)
        total += got
        where = where or limit
    return total, where


def _flow(chain: Chain, free: Mapping[str, float | None], names: Sequence[str]) -> float:
    """The largest flow: down side A, through the consumers, and up side B again; whole W."""
    graph: nx.DiGraph[_Node] = nx.DiGraph()
    for edge in chain.edges:
        if edge.standby:
            continue
        side = chain.side(edge)
        if side != "B":
            _connect(graph, ("down", edge.source), ("down", edge.target), free[edge.id])
        if side != "A":
            _connect(graph, ("up", edge.target), ("up", edge.source), free[edge.id])
    for name in chain.order:
        if not chain.feeding(name):
            _connect(graph, _SOURCE, ("down", name), inf)
            _connect(graph, ("up", name), _SINK, inf)
    arcs: dict[str, tuple[_Node, _Node]] = {}
    for name in names:
        sides = {chain.side(edge) for edge in chain.feeding(name)}
        enter: _Node = _SOURCE if sides == {"B"} else ("down", name)
        leave: _Node = ("up", name) if "B" in sides else _SINK
        _connect(graph, enter, leave, _own(chain, free, name))
        arcs[name] = enter, leave
    value, flow = nx.maximum_flow(graph, _SOURCE, _SINK)
    given = {name: flow[enter][leave] for name, (enter, leave) in arcs.items()}
    return float(max(value - _twice(chain, free, given), 0))


def _connect(
    graph: "nx.DiGraph[_Node]", source: _Node, target: _Node, capacity: float | None
) -> None:
    if capacity == inf:
        graph.add_edge(source, target)
    else:
        graph.add_edge(source, target, capacity=int(capacity or 0.0))


def _twice(chain: Chain, free: Mapping[str, float | None], given: Mapping[str, int]) -> float:
    """What edges of no side give beyond their room to consumers that have one side only.

    Those on side A come down such an edge, those on side B up: the flow sees it as two.
    """
    excess = 0.0
    for edge in chain.edges:
        room = free[edge.id]
        if chain.side(edge) in SIDES or room in (None, inf) or len(chain.feeding(edge.target)) > 1:
            continue
        under = chain.downstream(edge.target) | {edge.target}
        excess += max(sum(given[name] for name in under if name in given) - (room or 0.0), 0.0)
    return excess


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fsum(known) if len(known) == len(values) else None
