# SPDX-License-Identifier: Apache-2.0
"""The books of one interval: flows, battery and factors in, origins, shares and carbon out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import fsum, hypot
from typing import Final, NamedTuple

from rackwatt.collector.accounting.accounts import BusAccount, IntervalAccount
from rackwatt.collector.accounting.balance import Balance, together
from rackwatt.collector.accounting.battery import (
    BatteryParameters,
    BatteryState,
    Movement,
    reanchor,
)
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import ONE_BUS, Flows, TieFlow, of_site
from rackwatt.collector.accounting.keyfigures import boundary_energy
from rackwatt.collector.accounting.masses import NO_MASSES, mass, times
from rackwatt.collector.accounting.modelled import ModelledLosses
from rackwatt.collector.accounting.nodes import Bus, blend, charged, cleaned, discharged, traced
from rackwatt.collector.accounting.tracing import UNKNOWN_MIX, Mix, directed
from rackwatt.collector.accounting.vocabulary import (
    GENERATION,
    ORIGINS,
    RENEWABLE,
    SERIES,
    Series,
    normalised,
    total,
)

__all__ = ["BusAccount", "Flows", "IntervalAccount", "TieFlow", "account", "account_network"]

COVERAGE_FACTOR: Final = 2.0
"""A residual is explained up to this many times its standard uncertainty."""


class _Booked(NamedTuple):
    """One interval: the site's flows, its buses, and the battery's two movements and end."""

    site: Flows
    buses: Mapping[str, Bus]
    out: Movement
    into: Movement
    battery: BatteryState
    moved: float | None


def account(
    flows: Flows,
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    *,
    measured_stock: float | None = None,
    residual_uncertainty: float | None = None,
    losses: ModelledLosses | None = None,
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
        losses=losses,
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
    losses: ModelledLosses | None = None,
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
        losses: What of the residual a model explains; ``None``: no model does.

    Raises:
        KeyError: A tie leads to a bus that is not among the nodes.
    """
    flags: set[str] = set()
    lifted = {bus: cleaned(flows, flags) for bus, flows in nodes.items()}
    site = of_site(list(lifted.values()))
    out = discharged(lifted.values(), state, parameters, factors, flags)
    buses = traced(lifted, directed(ties), out, factors)
    into = charged(buses.values(), out.state, parameters, factors, flags)
    battery = into.state
    moved = _stock_change(site, parameters)
    if measured_stock is not None:
        battery, drift = reanchor(battery, measured_stock)
        # What flowed while nobody knew it is no change of this interval.
        moved = moved if moved is None or into.state.stale else moved - drift
    booked = _Booked(site, buses, out, into, battery, moved)
    books = _site_books(site, buses)
    after = _after(books, losses)
    _judge(after, _together(residual_uncertainty, losses), flags)
    if losses is not None and losses.watt_hours is None:
        flags.add("modelled_losses_unknown")
    told = _told(booked, books, factors, _completeness(nodes, ties), flags)
    return told if losses is None else told._replace(residual_after_losses=after)


def _told(
    booked: _Booked,
    books: Balance,
    factors: IntervalFactors,
    completeness: float,
    flags: Iterable[str],
) -> IntervalAccount:
    """Return what the books say of the site."""
    site, buses, out, into, battery, moved = booked
    load = total([bus.load for bus in buses.values()])
    mix = UNKNOWN_MIX if load is not None and load <= 0.0 else _consumed(buses)
    consuming = _consuming(buses.values())
    # In the order of its fields: by name each would be searched for, in each interval.
    return IntervalAccount(
        load,
        site.sinks.get("it"),
        _boundary(site, moved),
        books.residual,
        books.ratio,
        books.unmetered,
        books.unknown,
        mix.shares,
        _origins(load, mix.shares),
        mix.intensity,
        _carbon(consuming),
        mass(site.sources.get("grid", 0.0), factors.intensity["operational"]["grid"]),
        battery,
        moved,
        out.beyond,
        _losses(out, into, battery),
        NO_MASSES if site.charge is None else into.carbon,
        NO_MASSES if site.discharge is None else out.carbon,
        completeness,
        tuple(sorted(flags)),
        total([_free_energy(bus) for bus in consuming]),
        _grid_factors(factors),
        {} if len(buses) == 1 else {name: _account(bus) for name, bus in buses.items()},
    )


def _consumed(buses: Mapping[str, Bus]) -> Mix:
    """Return the mix of what the data center consumed: of its buses, weighted by their load."""
    fed = [bus for bus in buses.values() if _is_fed(bus)]
    if len(fed) == 1:
        return fed[0].mix
    parts = [(bus.load, bus.mix) for bus in fed if bus.load is not None and bus.mix.shares]
    if len(parts) < len(fed) or not fed:
        return UNKNOWN_MIX
    whole = fsum([load for load, _ in parts])
    both = blend(parts)
    intensity: dict[Series, float | None] = {
        series: None if grams is None else grams * 1000.0 / whole
        for series, grams in both.carbon.items()
    }
    return Mix(normalised(both.energy), intensity, times(both.grid_free, 1.0 / whole))


def _is_fed(bus: Bus) -> bool:
    """Whether the data center consumes anything on a bus, or may do so."""
    if bus.load is None:
        return True
    return bus.load > 0.0


def _origins(load: float | None, shares: Mapping[str, float] | None) -> dict[str, float] | None:
    if load is None or shares is None:
        return None
    return {origin: load * part for origin, part in shares.items()}


def _consuming(buses: Collection[Bus]) -> Collection[Bus]:
    """Return the buses that the data center's carbon depends on: all of an idle site's."""
    return [bus for bus in buses if bus.load != 0.0] or buses


def _carbon(buses: Collection[Bus]) -> dict[Series, float | None]:
    """Return the mass that the data center's consumption caused."""
    carbon: dict[Series, float | None] = {}
    for series in SERIES:
        carbon[series] = total(
            [None if bus.blind else mass(bus.load, bus.mix.intensity[series]) for bus in buses]
        )
    return carbon


def _free_energy(bus: Bus) -> float | None:
    """Return the carbon-free part of the load of a bus."""
    if bus.load == 0.0 and not bus.blind:
        return 0.0
    shares, grid = bus.mix.shares, bus.mix.grid_free
    if bus.load is None or shares is None or grid is None:
        return None
    return bus.load * fsum([*[shares[name] for name in RENEWABLE], grid])


def _site_books(site: Flows, buses: Mapping[str, Bus]) -> Balance:
    if len(buses) == 1:
        return next(iter(buses.values())).books
    supplied = total([*site.sources.values(), site.discharge])
    return together([bus.books for bus in buses.values()], supplied)


def _after(books: Balance, losses: ModelledLosses | None) -> float | None:
    """Return what of the residual no model explains."""
    if losses is None or books.residual is None:
        return books.residual
    return None if losses.watt_hours is None else books.residual - losses.watt_hours


def _together(uncertainty: float | None, losses: ModelledLosses | None) -> float | None:
    """Return the uncertainty of the residual after a model's losses."""
    if uncertainty is None or losses is None:
        return uncertainty
    return None if losses.uncertainty is None else hypot(uncertainty, losses.uncertainty)


def _judge(residual: float | None, uncertainty: float | None, flags: set[str]) -> None:
    """Flag a residual that is unknown, or that uncertainty does not explain."""
    if residual is None:
        flags.add("residual_unknown")
    elif uncertainty is not None and abs(residual) > COVERAGE_FACTOR * uncertainty:
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


def _account(bus: Bus) -> BusAccount:
    books, mix = bus.books, bus.mix
    return BusAccount(
        bus.load, mix.shares, mix.intensity, books.residual, books.unmetered, books.unknown
    )


def _losses(out: Movement, into: Movement, battery: BatteryState) -> dict[str, float]:
    """What was lost on both ways, and what re-anchoring took off, by origin."""
    lost = {origin: out.losses[origin] + into.losses[origin] for origin in ORIGINS}
    if battery is into.state:
        return lost
    before, after = into.state.stock, battery.stock
    return {origin: lost[origin] + (before[origin] - after[origin]) for origin in ORIGINS}
