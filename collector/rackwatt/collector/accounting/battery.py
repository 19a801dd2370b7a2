# SPDX-License-Identifier: Apache-2.0
"""The battery's ledger: its stock by origin and the carbon in it, per series.

All carbon that went in comes out with the delivered energy: losses raise the intensity, and
nothing is counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import fsum

from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES, UNKNOWN, Series

Masses = Mapping[Series, float | None]
"""Carbon by series: masses in g, or intensities in g/kWh. ``None`` = a factor is missing."""


@dataclass(frozen=True, slots=True)
class BatteryParameters:
    """How a battery is booked.

    Attributes:
        capacity_watt_hours: Usable capacity; ``None`` if there is no battery or it is not known.
        charge_efficiency: Stored part of a charge, 0..1.
        discharge_efficiency: Delivered part of what leaves the stock, 0..1.
    """

    capacity_watt_hours: float | None = None
    charge_efficiency: float = 1.0
    discharge_efficiency: float = 1.0

    def __post_init__(self) -> None:
        for efficiency in (self.charge_efficiency, self.discharge_efficiency):
            if not 0.0 < efficiency <= 1.0:
                msg = f"an efficiency lies above 0 and is at most 1, not {efficiency}"
                raise ValueError(msg)


def _empty_stock() -> dict[str, float]:
    return dict.fromkeys(ORIGINS, 0.0)


def _no_carbon() -> dict[Series, float | None]:
    return dict.fromkeys(SERIES, 0.0)


@dataclass(frozen=True, slots=True)
class BatteryState:
    """What the battery holds.

    Attributes:
        stock: Energy by origin, Wh, never negative.
        carbon: Mass by series, g; ``None`` while carbon of unknown mass is in it.
        stale: A charge or discharge was unknown: the stock waits to be re-anchored.
        grid_free: The part of ``stock["grid"]`` that was carbon-free when it was imported, Wh;
            ``None`` while some of unknown make is in it.
    """

    stock: Mapping[str, float] = field(default_factory=_empty_stock)
    carbon: Masses = field(default_factory=_no_carbon)
    stale: bool = False
    grid_free: float | None = 0.0

    @property
    def watt_hours(self) -> float:
        """The whole stock, Wh."""
        return fsum(self.stock.values())


@dataclass(frozen=True, slots=True)
class Movement:
    """One charge or discharge.

    Attributes:
        state: The state after it.
        energy: What was taken from the bus or given to it, by origin, Wh.
        losses: What was lost on the way, by origin, Wh.
        carbon: What moved in or out with it, by series, g.
        beyond: Energy delivered that the stock did not hold, Wh (origin unknown).
    """

    state: BatteryState
    energy: Mapping[str, float]
    losses: Mapping[str, float]
    carbon: Masses
    beyond: float = 0.0


def initial(watt_hours: float, intensity: Masses) -> BatteryState:
    """Return the state of a battery that is first seen with a stock: of unknown origin.

    Args:
        watt_hours: The declared stock, Wh.
        intensity: Its carbon in g/kWh by series, usually the grid's factors.
    """
    carbon: dict[Series, float | None] = {
        series: _mass(watt_hours, intensity[series]) for series in SERIES
    }
    return BatteryState(_empty_stock() | {UNKNOWN: watt_hours}, carbon)


def discharge(
    state: BatteryState, delivered: float, parameters: BatteryParameters, grid: Masses
) -> Movement:
    """Take energy from the stock, pro rata by origin.

    Args:
        state: The state before.
        delivered: Energy given to the bus, Wh, >= 0.
        parameters: The battery.
        grid: The grid's factors in g/kWh, for what the stock does not hold.
    """
    efficiency = parameters.discharge_efficiency
    held = state.watt_hours
    needed = delivered / efficiency
    part = min(needed / held, 1.0) if held > 0.0 else 0.0
    beyond = max(delivered - held * efficiency, 0.0) if needed > held else 0.0
    leaving = {origin: energy * part for origin, energy in state.stock.items()}
    energy = {origin: amount * efficiency for origin, amount in leaving.items()}
    losses = {origin: leaving[origin] - energy[origin] for origin in leaving}
    energy[UNKNOWN] = energy.get(UNKNOWN, 0.0) + beyond
    rest = {o: 0.0 if part == 1.0 else e - leaving[o] for o, e in state.stock.items()}
    kept: dict[Series, float | None] = {}
    carbon: dict[Series, float | None] = {}
    for series in SERIES:
        mass = state.carbon[series]
        kept[series] = 0.0 if part == 1.0 else _less(mass, part)
        carbon[series] = _plus(_times(mass, part), _mass(beyond, grid[series]))
    return Movement(replace(state, stock=rest, carbon=kept), energy, losses, carbon, beyond)


def charge(
    state: BatteryState,
    taken: float,
    mix: Mapping[str, float],
    intensity: Masses,
    parameters: BatteryParameters,
) -> Movement:
    """Put energy into the stock with the mix and the carbon of the bus.

    Args:
        state: The state before.
        taken: Energy taken from the bus, Wh, >= 0.
        mix: Shares of the origins on the bus, summing to 1.
        intensity: Carbon of the bus in g/kWh, by series.
        parameters: The battery.
    """
    energy = {origin: taken * part for origin, part in mix.items()}
    stored = {origin: amount * parameters.charge_efficiency for origin, amount in energy.items()}
    losses = {origin: energy[origin] - stored[origin] for origin in energy}
    names = (*state.stock, *(origin for origin in stored if origin not in state.stock))
    stock = {origin: state.stock.get(origin, 0.0) + stored.get(origin, 0.0) for origin in names}
    carbon: dict[Series, float | None] = {s: _mass(taken, intensity[s]) for s in SERIES}
    total: dict[Series, float | None] = {s: _plus(state.carbon[s], carbon[s]) for s in SERIES}
    return Movement(replace(state, stock=stock, carbon=total), energy, losses, carbon)


def reanchor(state: BatteryState, measured: float) -> tuple[BatteryState, float]:
    """Set the stock to what was measured: origins are scaled, carbon stays.

    Args:
        state: The state before.
        measured: Measured stock, Wh, >= 0.

    Returns:
        The state after, no longer stale, and the drift in Wh (positive: energy that was lost).
    """
    held = state.watt_hours
    if held > 0.0:
        stock = {origin: energy * measured / held for origin, energy in state.stock.items()}
    else:
        stock = dict(state.stock) | {UNKNOWN: measured}
    return BatteryState(stock, state.carbon), held - measured


def _mass(watt_hours: float, intensity: float | None) -> float | None:
    """Mass in g of an energy; no energy has no mass, whatever its factor."""
    if watt_hours == 0.0:
        return 0.0
    return None if intensity is None else watt_hours * intensity / 1000.0


def _times(mass: float | None, part: float) -> float | None:
    if part == 0.0:
        return 0.0
    return None if mass is None else mass * part


def _less(mass: float | None, part: float) -> float | None:
    return None if mass is None else mass - mass * part


def _plus(mass: float | None, more: float | None) -> float | None:
    return None if mass is None or more is None else mass + more
