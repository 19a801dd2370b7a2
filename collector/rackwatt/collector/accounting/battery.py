# SPDX-License-Identifier: Apache-2.0
"""The battery's ledger: its stock by origin and the carbon in it, per series.

All carbon that went in comes out with the delivered energy: losses raise the intensity, and
nothing is counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import Final, NamedTuple

from rackwatt.collector.accounting.masses import ZERO_MASSES, Masses, mass, plus, times
from rackwatt.collector.accounting.vocabulary import ORIGINS, SERIES, UNKNOWN, Series


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


NO_ENERGY: Final[Mapping[str, float]] = dict.fromkeys(ORIGINS, 0.0)


class BatteryState(NamedTuple):
    """What the battery holds.

    Attributes:
        stock: Energy by origin, Wh, never negative.
        carbon: Mass by series, g; ``None`` while carbon of unknown mass is in it.
        stale: A charge or discharge was unknown: the stock waits to be re-anchored.
        grid_free: The part of ``stock["grid"]`` that was carbon-free when it was imported, Wh;
            ``None`` while some of unknown make is in it.
    """

    stock: Mapping[str, float] = NO_ENERGY
    carbon: Masses = ZERO_MASSES
    stale: bool = False
    grid_free: float | None = 0.0

    @property
    def watt_hours(self) -> float:
        """The whole stock, Wh."""
        return fsum(self.stock.values())


class Movement(NamedTuple):
    """One charge or discharge.

    Attributes:
        state: The state after it.
        energy: What was taken from the bus or given to it, by origin, Wh.
        losses: What was lost on the way, by origin, Wh.
        carbon: What moved in or out with it, by series, g.
        grid_free: The part of the grid's energy in it that was carbon-free at its import, Wh.
        beyond: Energy delivered that the stock did not hold, Wh (origin unknown).
    """

    state: BatteryState
    energy: Mapping[str, float]
    losses: Mapping[str, float]
    carbon: Masses
    grid_free: float | None = 0.0
    beyond: float = 0.0


def initial(watt_hours: float, intensity: Masses) -> BatteryState:
    """Return the state of a battery that is first seen with a stock: of unknown origin.

    Args:
        watt_hours: The declared stock, Wh.
        intensity: Its carbon in g/kWh by series, usually the grid's factors.
    """
    carbon: dict[Series, float | None] = {
        series: mass(watt_hours, intensity[series]) for series in SERIES
    }
    return BatteryState({**NO_ENERGY, UNKNOWN: watt_hours}, carbon)


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
    if delivered == 0.0:
        return Movement(state, NO_ENERGY, NO_ENERGY, ZERO_MASSES)
    efficiency = parameters.discharge_efficiency
    held = state.watt_hours
    needed = delivered / efficiency
    part = min(needed / held, 1.0) if held > 0.0 else 0.0
    beyond = max(delivered - held * efficiency, 0.0) if needed > held else 0.0
    energy: dict[str, float] = {}
    losses: dict[str, float] = {}
    rest: dict[str, float] = {}
    for origin, stored in state.stock.items():
        leaving = stored * part
        energy[origin] = out = leaving * efficiency
        losses[origin] = leaving - out
        rest[origin] = 0.0 if part == 1.0 else stored - leaving
    energy[UNKNOWN] = energy.get(UNKNOWN, 0.0) + beyond
    kept: dict[Series, float | None] = {}
    carbon: dict[Series, float | None] = {}
    for series, held_mass in state.carbon.items():
        kept[series] = _less(held_mass, part)
        moved = times(held_mass, part)
        carbon[series] = plus(moved, mass(beyond, grid[series])) if beyond else moved
    free = times(state.grid_free, part)
    after = BatteryState(rest, kept, state.stale, _less(state.grid_free, part))
    return Movement(after, energy, losses, carbon, times(free, efficiency), beyond)


def charge(
    state: BatteryState,
    energy: Mapping[str, float],
    carbon: Masses,
    parameters: BatteryParameters,
    grid_free: float | None = 0.0,
) -> Movement:
    """Put energy into the stock as it came from the bus.

    Args:
        state: The state before.
        energy: Energy taken from the bus by origin, Wh, >= 0.
        carbon: Its carbon by series, g.
        parameters: The battery.
        grid_free: The part of the grid's energy in it that was carbon-free at its import, Wh.
    """
    efficiency = parameters.charge_efficiency
    stock = dict(state.stock)
    losses: dict[str, float] = {}
    for origin, amount in energy.items():
        stored = amount * efficiency
        losses[origin] = amount - stored
        stock[origin] = stock.get(origin, 0.0) + stored
    masses: dict[Series, float | None] = {s: plus(state.carbon[s], carbon[s]) for s in SERIES}
    free = plus(state.grid_free, times(grid_free, efficiency))
    after = BatteryState(stock, masses, state.stale, free)
    return Movement(after, energy, losses, carbon, grid_free)


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
        free = times(state.grid_free, measured / held)
    else:
        stock = dict(state.stock) | {UNKNOWN: measured}
        free = 0.0
    return BatteryState(stock, state.carbon, grid_free=free), held - measured


def _less(value: float | None, part: float) -> float | None:
    if part == 1.0:
        return 0.0
    return None if value is None else value - value * part
