# SPDX-License-Identifier: Apache-2.0
"""A chain level by level: what its feeds carry together, and what is left with one side down."""

from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any

from rackwatt.collector.accounting.capacity.chain import SIDES, Chain, Edge
from rackwatt.collector.live.chain import ChainState


def levels_of(chain: Chain, state: ChainState) -> list[dict[str, Any]]:
    """Rated feeds by the kind of what they feed, from the utility down; standby ones are not in."""
    found: dict[str, list[Edge]] = {}
    for edge in chain.edges:
        if edge.rated and not edge.standby and edge.id in state.edges:
            found.setdefault(chain.assets[edge.target].kind, []).append(edge)
    return [_level(chain, state, kind, edges) for kind, edges in found.items()]


def _level(chain: Chain, state: ChainState, kind: str, edges: Sequence[Edge]) -> dict[str, Any]:
    loads = [state.edges[edge.id] for edge in edges]
    ratios = [(one.ratio, one.edge.id) for one in loads if one.ratio is not None]
    after = [
        (one.after.ratio, edge.id)
        for edge in edges
        if (one := state.failovers.get(edge.id)) is not None and one.after.ratio is not None
    ]
    worst, worst_after = max(ratios, default=None), max(after, default=None)
    return {
        "kind": kind,
        "feeds": len(edges),
        "unknown": sum(one.ratio is None for one in loads),
        "watts": total(one.load.watts for one in loads),
        "continuous_watts": total(edge.continuous_watts for edge in edges),
        "ratio": None if worst is None else worst[0],
        "ratio_feed": "" if worst is None else worst[1],
        "failover_ratio": None if worst_after is None else worst_after[0],
        "failover_feed": "" if worst_after is None else worst_after[1],
        "headroom_watts": _headroom(chain, state, edges),
    }  # fmt: skip


def _headroom(chain: Chain, state: ChainState, edges: Sequence[Edge]) -> float | None:
    """What the tighter side may still take while the other is down; of all where none is a side."""
    sides = [
        [_left(state, edge) for edge in edges if chain.side(edge) == side]
        for side in (*SIDES, "")
    ]  # fmt: skip
    sums = [total(side) for side in sides if side]
    known = [one for one in sums if one is not None]
    return min(known) if known and len(known) == len(sums) else None


def _left(state: ChainState, edge: Edge) -> float | None:
    after = state.failovers.get(edge.id)
    left = (state.edges[edge.id] if after is None else after.after).headroom_watts
    return None if left is None else max(left, 0.0)


def total(values: Iterable[float | None]) -> float | None:
    """The sum; None where one is unknown, or where there is none."""
    all_of_them = list(values)
    known = [value for value in all_of_them if value is not None]
    return fsum(known) if known and len(known) == len(all_of_them) else None
