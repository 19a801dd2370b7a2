# SPDX-License-Identifier: Apache-2.0
"""A chain: assets, and the edges by which one feeds another; power or cooling."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from types import MappingProxyType
from typing import Any, Final

import networkx as nx

SIDES: Final = ("A", "B")


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing that feeds or is fed.

    Attributes:
        id: Its name.
        kind: ``transformer``, ``ups``, ``rack``, ...
        group: Redundancy group, ``""``: none.
        rated_volt_amperes: Of a transformer or a UPS.
        no_load_loss_watts: P0 of a transformer.
        load_loss_watts: Pk, its load loss at rated current.
        watts: What it can give or take away; heat in the cooling chain.
        pumps: Pumps that it has.
        pumps_needed: How many of them must run.
        common: Both sides hang on it, and its owner knows.
    """

    id: str
    kind: str
    group: str = ""
    rated_volt_amperes: float | None = None
    no_load_loss_watts: float | None = None
    load_loss_watts: float | None = None
    watts: float | None = None
    pumps: int = 0
    pumps_needed: int = 0
    common: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """One asset feeds another.

    Attributes:
        source: Who feeds.
        target: Who is fed.
        amperes: Rating per phase.
        watts: Rating of all phases together.
        volts: Between lines with three phases, else of the one phase.
        phases: 3 or 1.
        derating: Part of the rating that may be used for ever, 0..1.
        side: ``A``, ``B`` or ``""``; inherited from what feeds the source.
        meter: Power device that measures it, ``""``: none.
        ohms: Resistance of one conductor.
        standby: It feeds only when the others do not: a genset, the spare side of a transfer.
    """

    source: str
    target: str
    amperes: float | None = None
    watts: float | None = None
    volts: float | None = None
    phases: int = 3
    derating: float = 1.0
    side: str = ""
    meter: str = ""
    ohms: float | None = None
    standby: bool = False

    @property
    def id(self) -> str:
        """``ups-a>busway-a1``."""
        return f"{self.source}>{self.target}"

    @property
    def rated(self) -> bool:
        """Whether a rating is stated; an edge without one limits nothing."""
        return self.amperes is not None or self.watts is not None

    @property
    def phase_volts(self) -> float | None:
        """Volts that a phase's current is multiplied by for its power."""
        if self.volts is None:
            return None
        return self.volts / sqrt(3.0) if self.phases == 3 else self.volts

    @property
    def continuous_amperes(self) -> float | None:
        """What a phase may carry for ever."""
        return None if self.amperes is None else self.amperes * self.derating

    @property
    def continuous_watts(self) -> float | None:
        """What all phases may carry for ever; of a rating in amperes at power factor 1."""
        if self.watts is not None:
            return self.watts * self.derating
        amperes, volts = self.continuous_amperes, self.phase_volts
        return None if amperes is None or volts is None else amperes * volts * self.phases


class Chain:
    """A graph without loops.

    Args:
        assets: All assets.
        edges: All edges, between assets that are there, at most one between two of them.

    Raises:
        ChainLoopError: Somebody feeds himself.
    """

    def __init__(self, assets: Iterable[Asset] = (), edges: Iterable[Edge] = ()) -> None:
        self.assets: Mapping[str, Asset] = MappingProxyType({asset.id: asset for asset in assets})
        self._graph: nx.DiGraph[str] = nx.DiGraph()
        self._graph.add_nodes_from(self.assets)
        for edge in edges:
            self._graph.add_edge(edge.source, edge.target, edge=edge)
        if not nx.is_directed_acyclic_graph(self._graph):
            loop = [source for source, _ in nx.find_cycle(self._graph)]
            raise ChainLoopError((*loop, loop[0]))
        self.order: tuple[str, ...] = tuple(nx.topological_sort(self._graph))
        """Assets, each after all that feed it."""
        self._incoming = self._gathered(into=True)
        self._outgoing = self._gathered(into=False)
        self._sides = self._inherited()

    def __bool__(self) -> bool:
        return bool(self.assets)

    def _gathered(self, *, into: bool) -> dict[str, tuple[Edge, ...]]:
        found: dict[str, list[Edge]] = {name: [] for name in self.assets}
        for edge in self._all():
            found[edge.target if into else edge.source].append(edge)
        return {name: tuple(edges) for name, edges in found.items()}

    def _all(self) -> list[Edge]:
        return [data["edge"] for _, _, data in self._graph.edges(data=True)]

    def _inherited(self) -> dict[str, str]:
        sides: dict[str, str] = {}
        for name in self.order:
            above = {sides[edge.id] for edge in self._incoming[name]}
            given = above.pop() if len(above) == 1 else ""
            for edge in self._outgoing[name]:
                sides[edge.id] = edge.side or given
        return sides

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, each after those that feed its source."""
        return tuple(edge for name in self.order for edge in self._outgoing[name])

    def into(self, asset: str) -> Sequence[Edge]:
        """The edges that feed it."""
        return self._incoming[asset]

    def feeding(self, asset: str) -> Sequence[Edge]:
        """The edges that feed it now: all but those on standby."""
        return [edge for edge in self._incoming[asset] if not edge.standby]

    def out_of(self, asset: str) -> Sequence[Edge]:
        """The edges that it feeds."""
        return self._outgoing[asset]

    def side(self, edge: Edge) -> str:
        """``A``, ``B`` or ``""``: its own, or that of all that feeds its source."""
        return self._sides[edge.id]

    def upstream(self, asset: str) -> frozenset[str]:
        """All that feeds it, directly or not."""
        return frozenset(nx.ancestors(self._graph, asset))

    def downstream(self, asset: str) -> frozenset[str]:
        """All that it feeds, directly or not: what fails with it, unless fed otherwise too."""
        return frozenset(nx.descendants(self._graph, asset))

    def lost_with(self, *assets: str) -> frozenset[str]:
        """What is fed by nothing any more when these are gone; they themselves not included."""
        gone = set(assets)
        for name in self.order:
            feeds = self._incoming[name]
            if feeds and all(edge.source in gone for edge in feeds):
                gone.add(name)
        return frozenset(gone.difference(assets))

    def consumers(self) -> tuple[str, ...]:
        """Assets that feed nothing."""
        return tuple(name for name in self.order if not self._outgoing[name])

    def shared(self, asset: str) -> frozenset[str]:
        """What both of its sides hang on: one fault there takes both."""
        ways = {side: self._way(asset, side) for side in SIDES}
        return frozenset(ways["A"] & ways["B"])

    def _way(self, asset: str, side: str) -> set[str]:
        found: set[str] = set()
        for edge in self._incoming[asset]:
            if self.side(edge) == side:
                found |= {edge.source, *nx.ancestors(self._graph, edge.source)}
        return found

    @property
    def graph(self) -> "nx.DiGraph[Any]":
        """A copy, for algorithms; each edge has ``edge``."""
        return self._graph.copy()


class ChainLoopError(ValueError):
    """Somebody feeds himself.

    Attributes:
        loop: Who, one after the other; the last is the first.
    """

    def __init__(self, loop: tuple[str, ...]) -> None:
        super().__init__(f"a loop: {' > '.join(loop)}")
        self.loop = loop
