# SPDX-License-Identifier: Apache-2.0
"""The books of one interval: flows, battery and factors in, origins, shares and carbon out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import Final, NamedTuple

from rackwatt.collector.accounting.accounts import BusAccount, IntervalAccount
from rackwatt.collector.accounting.balance import Balance, balance, together
from rackwatt.collector.accounting.battery import (
    NO_ENERGY,
    BatteryParameters,
    BatteryState,
    Movement,
    charge,
    discharge,
    reanchor,
)
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import ONE_BUS, Flows, TieFlow, of_site
from rackwatt.collector.accounting.keyfigures import boundary_energy
from rackwatt.collector.accounting.masses import NO_MASSES, ZERO_MASSES, mass, times
from rackwatt.collector.accounting.tracing import (
    UNKNOWN_MIX,
    Mix,
    Supply,
    directed,
    trace,
)
from rackwatt.collector.accounting.vocabulary import (
    GENERATION,
    LOADS,
    ORIGINS,
    RENEWABLE,
    SERIES,
    UNKNOWN,
    Series,
    normalised,
    total,
)

__all__ = ["BusAccount", "Flows", "IntervalAccount", "TieFlow", "account", "account_network"]

COVERAGE_FACTOR: Final = 2.0
"""A residual is explained up to this many times its standard uncertainty."""

BEYOND_RATIO: Final = 1e-9
"""A discharge beyond the stock by less than this is rounding."""

_UNKNOWN_ORIGIN: Final[Mapping[str, float]] = {**NO_ENERGY, UNKNOWN: 1.0}


class _Bus(NamedTuple):
    """One bus of one interval."""

    flows: Flows
    books: Balance
    mix: Mix
    load: float | None


def account(
    flows: Flows,
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    *,
    measured_stock: float | None = None,
    residual_uncertainty: float | None = None,
) -> IntervalAccount:
    """Book one interval of a site with one bus; see :func:`account_network`."""
    return account_network(
        {ONE_BUS: flows},
        (),
        state,
        parameters,
        factors,
        measured_stock=measured_stock,
        residual_uncertainty=residual_uncertainty,
    )


def account_network(
    nodes: Mapping[str, Flows],
    ties: Sequence[TieFlow],
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    *,
    measured_stock: float | None = None,
    residual_uncertainty: float | None = None,
) -> IntervalAccount:
    """Book one interval.

    Args:
        nodes: What was metered on each bus. Batteries of several buses share one stock.
        ties: What flowed between them.
        state: The battery before.
        parameters: The battery.
        factors: The emission factors of this interval.
        measured_stock: Stock measured at the end, Wh, to re-anchor the battery to.
        residual_uncertainty: Standard uncertainty of the residual, Wh.

    Raises:
        KeyError: A tie leads to a bus that is not among the nodes.
    """
    flags: set[str] = set()
    cleaned = {bus: _cleaned(flows, flags) for bus, flows in nodes.items()}
    site = of_site(list(cleaned.values()))
    lines = directed(ties)
    out = _discharged(cleaned.values(), state, parameters, factors, flags)
    buses = _buses(cleaned, lines, out, factors)
    into = _charged(buses.values(), out.state, parameters, factors, flags)
    battery = into.state
    moved = _stock_change(site, parameters)
    if measured_stock is not None:
        battery, drift = reanchor(battery, measured_stock)
        moved = None if moved is None else moved - drift
    books = _site_books(site, buses)
    load = total([bus.load for bus in buses.values()])
    mix = UNKNOWN_MIX if load is not None and load <= 0.0 else _consumed(buses)
    untraceable = books.supplied is None or site.charge is None
    _judge(books, residual_uncertainty, flags)
    return IntervalAccount(
        load=load,
        it=site.sinks.get("it"),
        boundary=_boundary(site, moved),
        residual=books.residual,
        residual_ratio=books.ratio,
        unmetered=books.unmetered,
        unknown=books.unknown,
        shares=mix.shares,
        origins=_origins(load, mix.shares),
        intensity=mix.intensity,
        carbon=NO_MASSES if load == 0.0 and untraceable else _carbon(buses.values()),
        scope_2=mass(site.sources.get("grid", 0.0), factors.intensity["operational"]["grid"]),
        battery=battery,
        stock_change=moved,
        beyond=out.beyond,
        losses=_summed(out.losses, into.losses),
        charged=NO_MASSES if site.charge is None else into.carbon,
        discharged=NO_MASSES if site.discharge is None else out.carbon,
        completeness=_completeness(nodes, ties),
        flags=tuple(sorted(flags)),
        carbon_free=total([_free_energy(bus) for bus in buses.values()]),
        grid_factors=_grid_factors(factors),
        buses={} if len(buses) == 1 else {name: _account(bus) for name, bus in buses.items()},
    )


def _cleaned(flows: Flows, flags: set[str]) -> Flows:
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


def _discharged(
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
        out = out._replace(state=replace(out.state, stale=True))
    if out.beyond > BEYOND_RATIO * known:
        flags.add("discharge_beyond_stock")
        capacity = parameters.capacity_watt_hours
        if capacity is not None and known / parameters.discharge_efficiency > capacity:
            flags.add("discharge_beyond_capacity")
    return out


def _buses(
    nodes: Mapping[str, Flows],
    ties: Sequence[TieFlow],
    out: Movement,
    factors: IntervalFactors,
) -> dict[str, _Bus]:
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
    buses: dict[str, _Bus] = {}
    for name, flows in nodes.items():
        buses[name] = _Bus(flows, books[name], mixes[name], _load(flows))
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
        free = total([free, times(out.grid_free, part)])
    return Supply(energy, carbon, free)


def _load(flows: Flows) -> float | None:
    return total([flows.sinks[name] for name in LOADS if name in flows.sinks])


def _charged(
    buses: Iterable[_Bus],
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    flags: set[str],
) -> Movement:
    """Charge with the mix of each bus, with ``unknown`` at the grid's factor if that is unknown."""
    parts: list[tuple[float, Mix]] = []
    for bus in buses:
        if bus.flows.charge is None:
            state = state if state.stale else replace(state, stale=True)
        elif bus.flows.charge > 0.0 and bus.mix.shares is None:
            flags.add("charge_of_unknown_origin")
            parts.append((bus.flows.charge, Mix(_UNKNOWN_ORIGIN, factors.grid, 0.0)))
        elif bus.flows.charge > 0.0:
            parts.append((bus.flows.charge, bus.mix))
    if not parts:
        return Movement(state, NO_ENERGY, NO_ENERGY, ZERO_MASSES)
    mixed = _blend(parts)
    return charge(state, mixed.energy, mixed.carbon, parameters, mixed.grid_free)


def _held(amount: float, mix: Mix) -> Supply:
    """Return what an energy with a known mix holds."""
    energy = {origin: amount * part for origin, part in (mix.shares or NO_ENERGY).items()}
    carbon = {series: mass(amount, intensity) for series, intensity in mix.intensity.items()}
    return Supply(energy, carbon, times(mix.grid_free, amount))


def _blend(parts: Sequence[tuple[float, Mix]]) -> Supply:
    """Return what energies with known mixes hold together."""
    held = [_held(amount, mix) for amount, mix in parts]
    if len(held) == 1:
        return held[0]
    return Supply(
        {origin: fsum([one.energy[origin] for one in held]) for origin in ORIGINS},
        {series: total([one.carbon[series] for one in held]) for series in SERIES},
        total([one.grid_free for one in held]),
    )


def _consumed(buses: Mapping[str, _Bus]) -> Mix:
    """Return the mix of what the data center consumed: of its buses, weighted by their load."""
    fed = [bus for bus in buses.values() if _is_fed(bus)]
    if len(fed) == 1:
        return fed[0].mix
    parts = [(bus.load, bus.mix) for bus in fed if bus.load is not None and bus.mix.shares]
    if len(parts) < len(fed) or not fed:
        return UNKNOWN_MIX
    whole = fsum([load for load, _ in parts])
    blend = _blend(parts)
    intensity: dict[Series, float | None] = {
        series: None if mass is None else mass * 1000.0 / whole
        for series, mass in blend.carbon.items()
    }
    return Mix(normalised(blend.energy), intensity, times(blend.grid_free, 1.0 / whole))


def _is_fed(bus: _Bus) -> bool:
    """Whether the data center consumes anything on a bus, or may do so."""
    if bus.load is None:
        return True
    return bus.load > 0.0


def _origins(load: float | None, shares: Mapping[str, float] | None) -> dict[str, float] | None:
    if load is None or shares is None:
        return None
    return {origin: load * part for origin, part in shares.items()}


def _carbon(buses: Collection[_Bus]) -> dict[Series, float | None]:
    """Return the mass that the data center's consumption caused."""
    carbon: dict[Series, float | None] = {}
    for series in SERIES:
        carbon[series] = total([mass(bus.load, bus.mix.intensity[series]) for bus in buses])
    return carbon


def _free_energy(bus: _Bus) -> float | None:
    """Return the carbon-free part of the load of a bus."""
    if bus.load == 0.0:
        return 0.0
    shares, grid = bus.mix.shares, bus.mix.grid_free
    if bus.load is None or shares is None or grid is None:
        return None
    return bus.load * fsum([*(shares[name] for name in RENEWABLE), grid])


def _site_books(site: Flows, buses: Mapping[str, _Bus]) -> Balance:
    if len(buses) == 1:
        return next(iter(buses.values())).books
    supplied = total([*site.sources.values(), site.discharge])
    return together([bus.books for bus in buses.values()], supplied)


def _judge(books: Balance, uncertainty: float | None, flags: set[str]) -> None:
    """Flag a residual that is unknown, or that the meters' uncertainty does not explain."""
    if books.residual is None:
        flags.add("residual_unknown")
    elif uncertainty is not None and abs(books.residual) > COVERAGE_FACTOR * uncertainty:
        flags.add("residual_beyond_uncertainty")


def _completeness(nodes: Mapping[str, Flows], ties: Sequence[TieFlow]) -> float:
    """Return the known part of all flows."""
    if len(nodes) == 1:
        return next(iter(nodes.values())).completeness
    values: list[float | None] = [tie.watt_hours for tie in ties]
    for node in nodes.values():
        values += [*node.sources.values(), *node.sinks.values(), node.charge, node.discharge]
    return 1.0 - values.count(None) / len(values)


def _stock_change(flows: Flows, parameters: BatteryParameters) -> float | None:
    """Change of what the battery holds by what was metered, whatever the books held before."""
    if flows.charge is None or flows.discharge is None:
        return None
    drawn = flows.discharge / parameters.discharge_efficiency
    return flows.charge * parameters.charge_efficiency - drawn


def _boundary(flows: Flows, stock_change: float | None) -> float | None:
    return boundary_energy(
        grid_import=flows.sources.get("grid", 0.0),
        own_generation=total([flows.sources[n] for n in GENERATION if n in flows.sources]),
        export=flows.sinks.get("export", 0.0),
        stock_change=stock_change,
        campus=flows.sinks.get("campus", 0.0),
    )


def _grid_factors(factors: IntervalFactors) -> dict[str, float | None]:
    return {
        "life_cycle": factors.intensity["life_cycle"]["grid"],
        "direct": factors.intensity["operational"]["grid"],
        "carbon_free": factors.grid_carbon_free_ratio,
    }


def _account(bus: _Bus) -> BusAccount:
    books, mix = bus.books, bus.mix
    return BusAccount(
        bus.load, mix.shares, mix.intensity, books.residual, books.unmetered, books.unknown
    )


def _summed(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {origin: one[origin] + other[origin] for origin in ORIGINS}
