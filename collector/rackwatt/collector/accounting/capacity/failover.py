# SPDX-License-Identifier: Apache-2.0
"""What each edge carries when the other side is gone, phase by phase, at every level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rackwatt.collector.accounting.capacity.chain import SIDES, Chain, Edge
from rackwatt.collector.accounting.capacity.loads import EdgeState, Load, state


@dataclass(frozen=True, slots=True)
class Failover:
    """An edge while the other side is down.

    Attributes:
        after: Its state with what it would take over.
        shifted: What it would take over.
    """

    after: EdgeState
    shifted: Load

    @property
    def at_risk(self) -> bool | None:
        """Whether it would carry more than it may; ``None``: unknown.

        Where amperes are the limit and a phase is unknown, the mean clears nobody.
        """
        if self.after.ratio is None:
            return None
        by_mean = self.after.edge.amperes is not None and not self.after.phase
        return None if by_mean and not self.after.over else self.after.over

    @property
    def phase(self) -> int:
        """The phase that decides, 1 to 3; 0 where the rating is in watts."""
        return self.after.phase


def failover(chain: Chain, loads: Mapping[str, Load]) -> dict[str, Failover]:
    """Every edge that would take something over, by id; edges of no side are not in it.

    What an asset with both sides takes from one side goes over to the edges of the other, in
    equal parts, and from there up the chain. Where that is unknown, because racks have no meters of
    their own, what feeds the same racks from the other side says it: its own load goes over.

    Args:
        chain: Power chain.
        loads: By edge id, of all edges.
    """
    shifted: dict[str, Load] = {}
    for edge in reversed(chain.edges):
        side = chain.side(edge)
        if side in SIDES and not edge.standby:
            moved = _moved(chain, edge, side, loads, shifted)
            if moved is not None:
                if not moved.known:
                    moved = _counterpart(chain, edge, side, loads) or moved
                shifted[edge.id] = moved
    found: dict[str, Failover] = {}
    for edge in chain.edges:
        more = shifted.get(edge.id)
        if more is not None:
            after = state(edge, add(loads[edge.id], more))
            found[edge.id] = Failover(after, more)
    return found


def _moved(
    chain: Chain, edge: Edge, side: str, loads: Mapping[str, Load], shifted: Mapping[str, Load]
) -> Load | None:
    """What comes over to an edge: at its target if that has both sides, else from below."""
    feeds = chain.feeding(edge.target)
    others = [other for other in feeds if chain.side(other) in SIDES and chain.side(other) != side]
    same = [other for other in feeds if chain.side(other) == side]
    if others:
        parts = [seen_by(edge, other, loads[other.id]) for other in others]
    else:
        parts = [
            seen_by(edge, other, shifted[other.id])
            for other in chain.out_of(edge.target)
            if other.id in shifted and chain.side(other) == side
        ]
    return scaled(_total(parts), 1.0 / len(same)) if parts else None


def _counterpart(chain: Chain, edge: Edge, side: str, loads: Mapping[str, Load]) -> Load | None:
    """The load of what feeds all that is below an edge, and nothing else, from the other side."""
    below = chain.downstream(edge.target) | {edge.target}
    alone = len([one for one in chain.feeding(edge.target) if chain.side(one) == side]) == 1
    seen = set(below)
    tops: set[str] = set()
    for name in below:
        for other in chain.feeding(name):
            if chain.side(other) in SIDES and chain.side(other) != side:
                tops.add(other.source)
    while alone and tops and all(chain.downstream(name) <= seen for name in tops):
        feeds = [other for name in sorted(tops) for other in chain.feeding(name)]
        if not feeds:
            break
        total = _total([seen_by(edge, other, loads[other.id]) for other in feeds])
        if total.known:
            return total
        seen |= tops
        tops = {other.source for other in feeds}
    return None


def seen_by(above: Edge, below: Edge, load: Load) -> Load:
    """A load of one edge in the voltage of another."""
    ours, theirs = above.phase_volts, below.phase_volts
    if ours is None or theirs is None or above.phases != below.phases:
        return Load(load.watts, (None,) * above.phases, measured=False)
    currents = tuple(None if a is None else a * theirs / ours for a in load.amperes)
    return Load(load.watts, currents, measured=False)


def add(one: Load, other: Load) -> Load:
    """Both at once; unknown stays unknown."""
    currents = tuple(
        None if a is None or b is None else a + b
        for a, b in zip(one.amperes, other.amperes, strict=True)
    )
    watts = None if one.watts is None or other.watts is None else one.watts + other.watts
    return Load(watts, currents, measured=False)


def scaled(load: Load, part: float) -> Load:
    """A part of it."""
    watts = None if load.watts is None else load.watts * part
    return Load(watts, tuple(None if a is None else a * part for a in load.amperes), measured=False)


def _total(parts: Sequence[Load]) -> Load:
    total = parts[0]
    for part in parts[1:]:
        total = add(total, part)
    return total
