# SPDX-License-Identifier: Apache-2.0
"""Flow tracing: what the energy on each bus is made of, when ties carry it between buses.

With ``P_n`` the whole inflow of bus n, ``F[m->n]`` what a tie brings from m, and what enters at n
from outside, ``P_n c_n - sum_m(F[m->n] c_m) = sum_g(P[n,g] e_g)`` (Bialek 1996; Tranberg et al.
2019, arXiv 1812.06679). Bus after bus is taken out, handing on what it has (Grassmann, Taksar and
Heyman 1985). That needs no subtraction, so no share comes out negative and rounding cannot grow;
without circular flows it is plain substitution; and unlike a library's solver it gives the same
bits on every machine, which a journal that others recompute depends on.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import Final, NamedTuple

from rackwatt.collector.accounting.flows import TieFlow
from rackwatt.collector.accounting.masses import NO_MASSES, Masses
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES, Series

LEAST_WATT_HOURS: Final = 1e-9
"""A tie that carries less carries nothing, and a bus that gets less has no mix."""

_ENERGY: Final = len(ORIGINS)
_FREE: Final = _ENERGY + len(SERIES)


class Supply(NamedTuple):
    """What enters a bus from outside the mesh in one interval.

    Attributes:
        energy: By origin, all of them, battery traced back, Wh, >= 0.
        carbon: By series, g; ``None`` = a factor is missing.
        grid_free: The part of the grid's energy that was carbon-free at its import, Wh.
    """

    energy: Mapping[str, float]
    carbon: Masses
    grid_free: float | None


class Mix(NamedTuple):
    """What the energy on a bus is made of.

    Attributes:
        shares: By origin, summing to 1; ``None`` if they cannot be known, or nothing flows.
        intensity: g/kWh by series.
        grid_free: The part of all energy that is the grid's, and carbon-free.
    """

    shares: Mapping[str, float] | None
    intensity: Masses
    grid_free: float | None


UNKNOWN_MIX: Final = Mix(None, NO_MASSES, None)


def directed(ties: Iterable[TieFlow]) -> list[TieFlow]:
    """Turn flows below 0 round, so that each runs from its source to its target."""
    return [
        TieFlow(tie.target, tie.source, -tie.watt_hours)
        if tie.watt_hours is not None and tie.watt_hours < 0.0
        else tie
        for tie in ties
    ]


def trace(supplies: Mapping[str, Supply | None], ties: Sequence[TieFlow]) -> dict[str, Mix]:
    """Return the mix of each bus.

    Args:
        supplies: By bus; ``None`` where something that enters the bus is unknown. That makes the
            mix unknown there, and wherever energy of that bus flows.
        ties: Flows between these buses, each from its source to its target.

    Returns:
        The same to the last bit in whatever order buses and ties are given.
    """
    if not ties:
        return {bus: _of_one(supply) for bus, supply in supplies.items()}
    into = _inflows(supplies, ties)
    closed = _downstream(_without_mix(supplies, into), into)
    known = {bus: s for bus, s in supplies.items() if s is not None and bus not in closed}
    if not known:
        return dict.fromkeys(supplies, UNKNOWN_MIX)
    blind = [
        _downstream({bus for bus, s in known.items() if _column(s)[at] is None}, into)
        for at in range(_FREE + 1)
    ]
    contents = {bus: [value or 0.0 for value in _column(known[bus])] for bus in sorted(known)}
    density = _solve(contents, {bus: into[bus] for bus in contents})
    found = {
        bus: _of_mesh([None if bus in blind[at] else v for at, v in enumerate(values)])
        for bus, values in density.items()
    }
    return {bus: found.get(bus, UNKNOWN_MIX) for bus in supplies}


def _of_one(supply: Supply | None) -> Mix:
    """Return the mix of a bus that gets nothing from others: proportional sharing."""
    if supply is None:
        return UNKNOWN_MIX
    whole = fsum(supply.energy.values())
    if whole <= 0.0:
        return UNKNOWN_MIX
    shares = {origin: amount / whole for origin, amount in supply.energy.items()}
    intensity: dict[Series, float | None] = {}
    for series, grams in supply.carbon.items():
        intensity[series] = None if grams is None else grams * 1000.0 / whole
    free = supply.grid_free
    return Mix(shares, intensity, None if free is None else free / whole)


def _of_mesh(values: Sequence[float | None]) -> Mix:
    shares = {origin: values[at] or 0.0 for at, origin in enumerate(ORIGINS)}
    per_watt_hour = dict(zip(SERIES, values[_ENERGY:_FREE], strict=True))
    intensity: Masses = {s: None if g is None else g * 1000.0 for s, g in per_watt_hour.items()}
    return Mix(shares, intensity, values[_FREE])


def _column(supply: Supply) -> list[float | None]:
    """All that is traced: energy by origin, carbon by series, what of the grid is carbon-free."""
    energy: list[float | None] = [supply.energy[origin] for origin in ORIGINS]
    return [*energy, *(supply.carbon[series] for series in SERIES), supply.grid_free]


Inflows = Mapping[str, Mapping[str, float]]
"""By target, then by source: Wh above 0."""


def _inflows(buses: Iterable[str], ties: Sequence[TieFlow]) -> Inflows:
    parts: dict[str, dict[str, list[float]]] = {bus: {} for bus in buses}
    for tie in ties:
        if tie.watt_hours is not None and tie.watt_hours >= LEAST_WATT_HOURS:
            parts[tie.target].setdefault(tie.source, []).append(tie.watt_hours)
    return {
        target: {source: fsum(values) for source, values in sorted(sources.items())}
        for target, sources in parts.items()
    }


def _without_mix(supplies: Mapping[str, Supply | None], into: Inflows) -> set[str]:
    """Buses of which not all inflow is known, and those that nothing known feeds."""
    unknown = {bus for bus, supply in supplies.items() if supply is None}
    lit = {
        bus
        for bus, supply in supplies.items()
        if supply is not None and fsum(supply.energy.values()) >= LEAST_WATT_HOURS
    }
    return unknown | (supplies.keys() - _downstream(lit, into))


def _downstream(begin: set[str], into: Inflows) -> set[str]:
    """Return these buses and all that energy of theirs reaches."""
    reached = set(begin)
    grown = True
    while grown:
        more = {t for t, sources in into.items() if t not in reached and reached & sources.keys()}
        grown = bool(more)
        reached |= more
    return reached


def _solve(contents: dict[str, list[float]], into: Inflows) -> dict[str, list[float]]:
    """Return what a Wh on each bus holds.

    Args:
        contents: What enters each bus from outside, in the order in which buses are taken out.
        into: What enters each from others of them.
    """
    own = dict(contents)
    flows = {target: dict(sources) for target, sources in into.items()}
    taken: list[tuple[str, dict[str, float], float]] = []
    for bus in contents:
        inflow = flows.pop(bus)
        through = fsum([*own[bus][:_ENERGY], *inflow.values()])
        taken.append((bus, inflow, through))
        for target, sources in flows.items():
            part = sources.pop(bus, 0.0) / through
            if part == 0.0:
                continue
            own[target] = [a + part * b for a, b in zip(own[target], own[bus], strict=True)]
            for source, energy in inflow.items():
                if source != target:  # what only comes back round says nothing of the mix
                    sources[source] = sources.get(source, 0.0) + part * energy
    density: dict[str, list[float]] = {}
    for bus, inflow, through in reversed(taken):
        density[bus] = [
            fsum([value, *(energy * density[source][at] for source, energy in inflow.items())])
            / through
            for at, value in enumerate(own[bus])
        ]
    return density
