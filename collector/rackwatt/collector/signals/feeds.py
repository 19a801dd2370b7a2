# SPDX-License-Identifier: Apache-2.0
"""Which feeds are dead while what they feed lives on from the other side, and silent meters."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.accounting.capacity.chain import Chain, Edge
from rackwatt.collector.accounting.capacity.loads import EdgeState
from rackwatt.collector.live.chain_plan import LEAVES

NOTHING: Final = 0.002
"""Of its continuous rating: a feed that carries less is taken for dead."""
TAKEN_OVER: Final = 0.5
"""Of a silent feed's last load the other side must have taken so much for it to count as dead."""
MEMORY: Final = 25
"""Looks, of 2 s each."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where what a feed feeds stands; ``""``: in several."""

    hall: str
    row: str


class Feeds:
    """Follows the feeds of a power chain.

    A dead feed is measured at nothing, or its meters have fallen silent (a PDU without power says
    no more) and the other side has taken its load over. One whose racks draw nothing from anywhere
    may just be off: unknown.

    Args:
        chain: the power chain.
        racks: hall and row by rack.
        memory: how many looks back the other side's load is compared with. It rises when a feed
            dies, and the dead one's last reading passes for fresh for half a minute after that.
    """

    def __init__(
        self, chain: Chain, racks: Mapping[str, tuple[str, str]], memory: int = MEMORY
    ) -> None:
        self._memory = memory
        self._chain = chain
        self._racks = {
            name: asset for name, asset in chain.assets.items() if asset.kind == "rack"
        }.keys()
        self._below = self._racks_below()
        self._homes = {name: _home(found, racks) for name, found in self._below.items()}
        self._sides = {edge.id: chain.side(edge) for edge in chain.edges}
        self._into = {rack: self._leaves(rack) for rack in self._racks}
        self._last: dict[str, deque[tuple[float, float]]] = {}
        """By feed that was alive: its load and that of the other sides at the last looks, W."""
        self._dead: set[str] = set()
        """Silent feeds that were found dead: they stay it until they speak."""

    def _racks_below(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for name in reversed(self._chain.order):
            own = {name} if name in self._racks else set[str]()
            found[name] = frozenset(own.union(*(found[e.target] for e in self._chain.out_of(name))))
        return found

    def _leaves(self, rack: str) -> list[Edge]:
        """The feeds right above a rack and its own PDUs."""
        found: list[Edge] = []
        waiting = list(self._chain.into(rack))
        while waiting:
            edge = waiting.pop()
            if self._chain.assets[edge.source].kind in LEAVES:
                waiting += self._chain.into(edge.source)
            else:
                found.append(edge)
        return found

    def home(self, edge: Edge) -> Home:
        """Hall and row of what an edge feeds."""
        return self._homes[edge.target]

    def side(self, edge: Edge) -> str:
        """Its side."""
        return self._sides[edge.id]

    def up(self, states: Mapping[str, EdgeState]) -> Iterator[tuple[Edge, bool]]:
        """Each rated feed that is known to be powered or dead; PDUs below dead ones left out."""
        dead: set[str] = set()
        for name in self._chain.order:
            above = self._chain.into(name)
            leaf = self._chain.assets[name].kind in LEAVES
            for edge in above:
                if edge.standby or not edge.rated or self._in_series(edge):
                    continue
                if leaf and self._fed_by_dead(edge, dead):
                    dead.add(edge.id)
                    continue
                alive = self._alive(edge, states)
                if alive is False:
                    dead.add(edge.id)
                if alive is not None:
                    yield edge, alive

    def _in_series(self, edge: Edge) -> bool:
        """Whether it has no meter and ends in one other feed, which tells the same."""
        return not edge.meter and len(self._chain.out_of(edge.target)) == 1

    def _fed_by_dead(self, edge: Edge, dead: set[str]) -> bool:
        above = [one for one in self._chain.into(edge.source) if not one.standby]
        return bool(above) and all(one.id in dead for one in above)

    def _alive(self, edge: Edge, states: Mapping[str, EdgeState]) -> bool | None:
        own, other = self._watts(edge, states), self._others(edge, states)
        least = NOTHING * (edge.continuous_watts or 0.0)
        if own is not None and own > least:
            self._last.setdefault(edge.id, deque(maxlen=self._memory)).append((own, other))
            self._dead.discard(edge.id)
            return True
        if own is not None:
            return False if other > least else None
        last = self._last.get(edge.id)
        if last is None or self._speaks(edge, states):
            self._dead.discard(edge.id)
            return None
        if other - min(before for _, before in last) >= TAKEN_OVER * last[-1][0]:
            self._dead.add(edge.id)
        return False if edge.id in self._dead else None

    def _watts(self, edge: Edge, states: Mapping[str, EdgeState]) -> float | None:
        state = states.get(edge.id)
        return None if state is None else state.load.watts

    def _own(self, edge: Edge) -> Iterable[Edge]:
        """The leaf feeds below an edge that are of its side."""
        side = self._sides[edge.id]
        for rack in self._below[edge.target]:
            for leaf in self._into[rack]:
                if self._sides[leaf.id] == side:
                    yield leaf

    def _speaks(self, edge: Edge, states: Mapping[str, EdgeState]) -> bool:
        return any(self._watts(leaf, states) is not None for leaf in self._own(edge))

    def _others(self, edge: Edge, states: Mapping[str, EdgeState]) -> float:
        """What the racks below draw from other sides, as far as it is known; W."""
        side = self._sides[edge.id]
        return sum(
            self._watts(leaf, states) or 0.0
            for rack in self._below[edge.target]
            for leaf in self._into[rack]
            if self._sides[leaf.id] != side
        )

    def meters(
        self, states: Mapping[str, EdgeState]
    ) -> tuple[Counter[tuple[str, str, str]], Counter[tuple[str, str, str]]]:
        """Metered feeds, and the silent ones of them, by hall, row and side."""
        all_of, silent = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
        for edge in {edge.meter: edge for edge in self._chain.edges if edge.meter}.values():
            home = self.home(edge)
            key = home.hall, home.row, self._sides[edge.id]
            all_of[key] += 1
            silent[key] += self._watts(edge, states) is None
        return all_of, silent


def _home(racks: Iterable[str], places: Mapping[str, tuple[str, str]]) -> Home:
    found = {places[rack] for rack in racks if rack in places}
    halls, rows = {hall for hall, _ in found}, {row for _, row in found}
    return Home(halls.pop() if len(halls) == 1 else "", rows.pop() if len(rows) == 1 else "")
