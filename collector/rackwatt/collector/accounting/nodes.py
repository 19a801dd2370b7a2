# SPDX-License-Identifier: Apache-2.0
"""The buses of one interval: what enters each, their mixes, what the battery gives and takes."""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import Final, NamedTuple

from rackwatt.collector.accounting.balance import Balance, balance
from rackwatt.collector.accounting.battery import (
    NO_ENERGY,
    BatteryParameters,
    BatteryState,
    Movement,
    charge,
    discharge,
)
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.masses import ZERO_MASSES, mass, plus, times
from rackwatt.collector.accounting.tracing import Mix, Supply, trace
from rackwatt.collector.accounting.vocabulary import (
    LOADS,
    ORIGINS,
    SERIES,
    UNKNOWN,
    Series,
    total,
)

BEYOND_RATIO: Final = 1e-9
"""A discharge beyond the stock by less than this is rounding."""

_UNKNOWN_ORIGIN: Final[Mapping[str, float]] = {**NO_ENERGY, UNKNOWN: 1.0}


class Bus(NamedTuple):
    """One bus of one interval.

    Attributes:
        flows: What was metered on it.
        books: Its balance.
        mix: What the energy on it is made of.
        load: The data center's consumption on it, Wh.
        blind: Something that enters it, or its charge, is unknown: so its mix is.
    """

    flows: Flows
    books: Balance
    mix: Mix
    load: float | None
    blind: bool


def cleaned(flows: Flows, flags: set[str]) -> Flows:
    """Lift sources, charge and discharge that a difference of meters put below 0 to 0."""
    for value in flows.sinks.values():
        if value is not None and value < 0.0:
            flags.add("negative_sink")
    for value in (*flows.sources.values(), flows.charge, flows.discharge):
        if value is not None and value < 0.0:
            flags.add("negative_source")
            sources = {name: _lifted(value) for name, value in flows.sources.items()}
            return Flows(sources, flows.sinks, _lifted(flows.charge), _lifted(flows.discharge))
    return flows


def _lifted(value: float | None) -> float | None:
    return None if value is None else max(value, 0.0)


def discharged(
    nodes: Iterable[Flows],
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    flags: set[str],
) -> Movement:
    """Discharge first, from the opening stock; an unknown discharge takes nothing from it."""
    given = [node.discharge for node in nodes]
    known = fsum([value for value in given if value is not None])
    out = discharge(state, known, parameters, factors.grid)
    if None in given:
        out = out._replace(state=out.state._replace(stale=True))
    if out.beyond > BEYOND_RATIO * known:
        flags.add("discharge_beyond_stock")
        capacity = parameters.capacity_watt_hours
        if capacity is not None and known / parameters.discharge_efficiency > capacity:
            flags.add("discharge_beyond_capacity")
    return out


def traced(
    nodes: Mapping[str, Flows],
    ties: Sequence[TieFlow],
    out: Movement,
    factors: IntervalFactors,
) -> dict[str, Bus]:
    """Balance each bus by itself, then trace what flows between them."""
    discharged = fsum([node.discharge or 0.0 for node in nodes.values()])
    books: dict[str, Balance] = {}
    supplies: dict[str, Supply | None] = {}
    for name, flows in nodes.items():
        given = [*flows.sources.values(), flows.discharge]
        taken = [*flows.sinks.values(), flows.charge]
        for tie in ties:
            if tie.target == name:
                given.append(tie.watt_hours)
            elif tie.source == name:
                taken.append(tie.watt_hours)
        book = books[name] = balance(given, taken)
        supplies[name] = None
        if book.supplied is not None and flows.charge is not None:
            part = flows.discharge / discharged if flows.discharge else 0.0
            supplies[name] = _supply(flows, out, part, book.unknown, factors)
    mixes = trace(supplies, ties)
    buses: dict[str, Bus] = {}
    for name, flows in nodes.items():
        blind = supplies[name] is None
        buses[name] = Bus(flows, books[name], mixes[name], _load(flows), blind)
    return buses


def _supply(
    flows: Flows, out: Movement, part: float, unknown: float, factors: IntervalFactors
) -> Supply:
    """Return what enters a bus from outside the mesh, with its part of the discharge."""
    energy = dict.fromkeys(ORIGINS, 0.0)
    for name, value in flows.sources.items():
        energy[name] = value or 0.0
    energy[UNKNOWN] = unknown
    carbon: dict[Series, float | None] = {}
    for series, table in factors.intensity.items():
        masses: list[float | None] = [times(out.carbon[series], part)]
        for name, amount in energy.items():
            if amount:
                factor = table[name]
                masses.append(None if factor is None else amount * factor / 1000.0)
        carbon[series] = total(masses)
    free = times(factors.grid_carbon_free_ratio, energy["grid"])
    if part:
        for origin, amount in out.energy.items():
            energy[origin] += amount * part
        free = plus(free, times(out.grid_free, part))
    return Supply(energy, carbon, free)


def _load(flows: Flows) -> float | None:
    return total([flows.sinks[name] for name in LOADS if name in flows.sinks])


def charged(
    buses: Iterable[Bus],
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    flags: set[str],
) -> Movement:
    """Charge with the mix of each bus, with ``unknown`` at the grid's factor if that is unknown."""
    parts: list[tuple[float, Mix]] = []
    for bus in buses:
        if bus.flows.charge is None:
            state = state if state.stale else state._replace(stale=True)
        elif bus.flows.charge > 0.0 and bus.mix.shares is None:
            flags.add("charge_of_unknown_origin")
            parts.append((bus.flows.charge, Mix(_UNKNOWN_ORIGIN, factors.grid, 0.0)))
        elif bus.flows.charge > 0.0:
            parts.append((bus.flows.charge, bus.mix))
    if not parts:
        return Movement(state, NO_ENERGY, NO_ENERGY, ZERO_MASSES)
    mixed = blend(parts)
    return charge(state, mixed.energy, mixed.carbon, parameters, mixed.grid_free)


def _held(amount: float, mix: Mix) -> Supply:
    """Return what an energy with a known mix holds."""
    energy = {origin: amount * part for origin, part in (mix.shares or NO_ENERGY).items()}
    carbon = {series: mass(amount, intensity) for series, intensity in mix.intensity.items()}
    return Supply(energy, carbon, times(mix.grid_free, amount))


def blend(parts: Sequence[tuple[float, Mix]]) -> Supply:
    """Return what energies with known mixes hold together."""
    held = [_held(amount, mix) for amount, mix in parts]
    if len(held) == 1:
        return held[0]
    return Supply(
        {origin: fsum([one.energy[origin] for one in held]) for origin in ORIGINS},
        {series: total([one.carbon[series] for one in held]) for series in SERIES},
        total([one.grid_free for one in held]),
    )
