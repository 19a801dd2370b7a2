# SPDX-License-Identifier: Apache-2.0
"""The books of one interval: flows, battery and factors in, origins, shares and carbon out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import fsum
from typing import Final

from rackwatt.collector.accounting.balance import balance
from rackwatt.collector.accounting.battery import (
    BatteryParameters,
    BatteryState,
    Masses,
    Movement,
    charge,
    discharge,
    reanchor,
)
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import Flows as Flows  # also found here
from rackwatt.collector.accounting.keyfigures import boundary_energy
from rackwatt.collector.accounting.vocabulary import (
    GENERATION,
    LOADS,
    ORIGINS,
    SERIES,
    UNKNOWN,
    Series,
    normalised,
    total,
)

_NOT_KNOWN: Final[Masses] = dict.fromkeys(SERIES, None)
_NO_LOSSES: Final[Mapping[str, float]] = {}


@dataclass(frozen=True, slots=True)
class BusAccount:
    """One of several buses in one interval.

    Attributes:
        load: The data center's consumption on it, Wh.
        shares: What the energy on it is made of, battery and ties traced back; sums to 1.
        intensity: Its carbon intensity, g/kWh.
        residual: What comes in less what goes out, ties included, Wh.
        unmetered: The residual as a sink, >= 0.
        unknown: The residual as a source, >= 0.
    """

    load: float | None
    shares: Mapping[str, float] | None
    intensity: Masses
    residual: float | None
    unmetered: float
    unknown: float


@dataclass(frozen=True, slots=True)
class IntervalAccount:
    """One interval, booked. Energies in Wh, masses in g, intensities in g/kWh.

    Attributes:
        load: Consumption of the data center: IT, cooling, losses, other.
        it: Consumption of the IT load.
        boundary: ``E_DC``, the numerator of the PUE: with battery losses and what is unmetered.
        residual: Sources minus sinks.
        residual_ratio: Residual as a part of the sources, signed.
        unmetered: The residual as a sink, >= 0.
        unknown: The residual as a source, >= 0.
        shares: Origin of the data center's consumption with the battery traced back; sums to 1.
            ``None`` without a load or when it cannot be known.
        origins: The same in Wh.
        intensity: Carbon intensity of the bus, so of every consumer on it.
        carbon: Mass caused by the data center's consumption.
        scope_2: Gross import at the grid's direct factor, location-based; not traced.
        battery: The battery's state at the end.
        stock_change: Change of what the battery holds, self-discharge and drift included.
        beyond: Discharge that the stock did not hold (part of origin ``unknown``).
        losses: Battery losses by origin.
        charged: Carbon that entered the battery.
        discharged: Carbon that left it.
        completeness: Known part of the flows, 0..1.
        flags: What is odd, sorted.
        carbon_free: The carbon-free part of the load, Wh: own renewable energy and the grid's
            carbon-free part when it was imported, battery traced back.
        grid_factors: The grid's ``life_cycle`` and ``direct`` factor and its ``carbon_free`` part.
        buses: The single buses of a site that has several, by name.
    """

    load: float | None
    it: float | None
    boundary: float | None
    residual: float | None
    residual_ratio: float | None
    unmetered: float
    unknown: float
    shares: Mapping[str, float] | None
    origins: Mapping[str, float] | None
    intensity: Masses
    carbon: Masses
    scope_2: float | None
    battery: BatteryState
    stock_change: float | None
    beyond: float
    losses: Mapping[str, float]
    charged: Masses
    discharged: Masses
    completeness: float
    flags: tuple[str, ...]
    carbon_free: float | None = None
    grid_factors: Mapping[str, float | None] = field(default_factory=dict)
    buses: Mapping[str, BusAccount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Bus:
    """The bus of one interval: what is on it by origin, and its carbon."""

    mix: Mapping[str, float] | None
    intensity: Masses


def account(
    flows: Flows,
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    *,
    measured_stock: float | None = None,
) -> IntervalAccount:
    """Book one interval.

    Args:
        flows: What was metered.
        state: The battery before.
        parameters: The battery.
        factors: The emission factors of this interval.
        measured_stock: Stock measured at the end, Wh, to re-anchor the battery to.
    """
    flags: set[str] = set()
    flows = _cleaned(flows, flags)
    out = _discharged(flows, state, parameters, factors, flags)
    books = balance(
        {**flows.sources, "battery": flows.discharge}, {**flows.sinks, "charge": flows.charge}
    )
    traceable = books.supplied is not None and flows.charge is not None
    bus = _bus(flows, out, books.unknown, factors) if traceable else _Bus(None, _NOT_KNOWN)
    into = _charged(flows, out.state, bus, parameters, factors, flags)
    battery = into.state
    moved = _stock_change(flows, parameters)
    if measured_stock is not None:
        battery, drift = reanchor(battery, measured_stock)
        moved = None if moved is None else moved - drift
    load = total(flows.sinks[name] for name in LOADS if name in flows.sinks)
    idle = load is not None and load <= 0.0
    shares = None if idle else bus.mix
    origins = None
    if load is not None and shares is not None:
        origins = {origin: load * part for origin, part in shares.items()}
    if books.residual is None:
        flags.add("residual_unknown")
    return IntervalAccount(
        load=load,
        it=flows.sinks.get("it"),
        boundary=_boundary(flows, moved),
        residual=books.residual,
        residual_ratio=books.ratio,
        unmetered=books.unmetered,
        unknown=books.unknown,
        shares=shares,
        origins=origins,
        intensity=_NOT_KNOWN if idle else bus.intensity,
        carbon={series: _mass(load, bus.intensity[series]) for series in SERIES},
        scope_2=_mass(flows.sources.get("grid", 0.0), factors.grid["operational"]),
        battery=battery,
        stock_change=moved,
        beyond=out.beyond,
        losses=_summed(out.losses, into.losses),
        charged=into.carbon,
        discharged=out.carbon,
        completeness=flows.completeness,
        flags=tuple(sorted(flags)),
    )


def _cleaned(flows: Flows, flags: set[str]) -> Flows:
    """Lift sources, charge and discharge that a difference of meters put below 0 to 0."""
    if any(value is not None and value < 0.0 for value in flows.sinks.values()):
        flags.add("negative_sink")
    sources = {name: _lifted(value, flags) for name, value in flows.sources.items()}
    into, out = _lifted(flows.charge, flags), _lifted(flows.discharge, flags)
    return replace(flows, sources=sources, charge=into, discharge=out)


def _lifted(value: float | None, flags: set[str]) -> float | None:
    if value is None or value >= 0.0:
        return value
    flags.add("negative_source")
    return 0.0


def _discharged(
    flows: Flows,
    state: BatteryState,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    flags: set[str],
) -> Movement:
    """Discharge first, from the opening stock; an unknown discharge leaves it as it is."""
    if flows.discharge is None:
        stale = replace(state, stale=True)
        return Movement(stale, dict.fromkeys(ORIGINS, 0.0), _NO_LOSSES, _NOT_KNOWN)
    out = discharge(state, flows.discharge, parameters, factors.grid)
    if out.beyond > 0.0:
        flags.add("discharge_beyond_stock")
        capacity = parameters.capacity_watt_hours
        if capacity is not None and flows.discharge / parameters.discharge_efficiency > capacity:
            flags.add("discharge_beyond_capacity")
    return out


def _bus(flows: Flows, out: Movement, unknown: float, factors: IntervalFactors) -> _Bus:
    """Return the mix and the carbon intensity of the bus."""
    metered = {name: value or 0.0 for name, value in flows.sources.items()}
    metered[UNKNOWN] = unknown
    on_bus = {origin: metered.get(origin, 0.0) + out.energy.get(origin, 0.0) for origin in ORIGINS}
    whole = fsum(on_bus.values())
    intensity: dict[Series, float | None] = {}
    for series in SERIES:
        parts = [_mass(energy, factors.intensity[series][name]) for name, energy in metered.items()]
        mass = total([*parts, out.carbon[series]])
        intensity[series] = None if mass is None or whole <= 0.0 else mass * 1000.0 / whole
    return _Bus(normalised(on_bus), intensity)


def _charged(
    flows: Flows,
    state: BatteryState,
    bus: _Bus,
    parameters: BatteryParameters,
    factors: IntervalFactors,
    flags: set[str],
) -> Movement:
    """Charge with the mix of the bus, with ``unknown`` at the grid's factor if that is unknown."""
    if flows.charge is None:
        return Movement(replace(state, stale=True), {}, _NO_LOSSES, _NOT_KNOWN)
    if bus.mix is not None:
        return charge(state, flows.charge, bus.mix, bus.intensity, parameters)
    if flows.charge > 0.0:
        flags.add("charge_of_unknown_origin")
    return charge(state, flows.charge, {UNKNOWN: 1.0}, factors.grid, parameters)


def _stock_change(flows: Flows, parameters: BatteryParameters) -> float | None:
    """Change of what the battery holds by what was metered, whatever the books held before."""
    if flows.charge is None or flows.discharge is None:
        return None
    drawn = flows.discharge / parameters.discharge_efficiency
    return flows.charge * parameters.charge_efficiency - drawn


def _boundary(flows: Flows, stock_change: float | None) -> float | None:
    return boundary_energy(
        grid_import=flows.sources.get("grid", 0.0),
        own_generation=total(flows.sources[n] for n in GENERATION if n in flows.sources),
        export=flows.sinks.get("export", 0.0),
        stock_change=stock_change,
        campus=flows.sinks.get("campus", 0.0),
    )


def _mass(watt_hours: float | None, intensity: float | None) -> float | None:
    """Mass in g of an energy; no energy has no mass, even where its factor is missing."""
    if watt_hours == 0.0:
        return 0.0
    return None if watt_hours is None or intensity is None else watt_hours * intensity / 1000.0


def _summed(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {origin: one.get(origin, 0.0) + other.get(origin, 0.0) for origin in ORIGINS}
