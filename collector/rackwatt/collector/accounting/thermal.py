# SPDX-License-Identifier: Apache-2.0
"""Thermal key figures: rack cooling index, heat indices, heat taken by liquid, wet bulb."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

HEAT_TOLERANCE: Final = 0.05
"""Heat and power of a rack agree within this part of the power."""


@dataclass(frozen=True, slots=True)
class AirClass:
    """Inlet temperatures of an air class, degrees Celsius.

    Attributes:
        name: ``A1``.
        recommended_low: Lower end of the recommended range.
        recommended_high: Its upper end.
        allowable_low: Lower end of the allowable range.
        allowable_high: Its upper end.
    """

    name: str
    recommended_low: float
    recommended_high: float
    allowable_low: float
    allowable_high: float

    def recommended(self, celsius: float) -> bool:
        """Whether an inlet is within the recommended range, its ends included."""
        return self.recommended_low <= celsius <= self.recommended_high

    def allowable(self, celsius: float) -> bool:
        """Whether an inlet is within the allowable range, its ends included."""
        return self.allowable_low <= celsius <= self.allowable_high


A1: Final = AirClass("A1", 18.0, 27.0, 15.0, 32.0)
AIR_CLASSES: Final[Mapping[str, AirClass]] = {
    one.name: one
    for one in (
        A1,
        AirClass("A2", 18.0, 27.0, 10.0, 35.0),
        AirClass("A3", 18.0, 27.0, 5.0, 40.0),
        AirClass("A4", 18.0, 27.0, 5.0, 45.0),
        AirClass("H1", 18.0, 22.0, 15.0, 25.0),
    )
}
"""ASHRAE TC 9.9, Thermal Guidelines for Data Processing Environments, fifth edition (2021)."""


@dataclass(frozen=True, slots=True)
class CoolingIndex:
    """RCI after Herrlin 2005: 1 = no inlet beyond the recommended range; may go below 0."""

    high: float
    low: float


def rack_cooling_index(inlets: Sequence[float], air: AirClass = A1) -> CoolingIndex | None:
    """Return the rack cooling index of inlet temperatures.

    Args:
        inlets: Known inlet temperatures, degrees Celsius; unknown ones are left out.
        air: The class of the equipment.

    Returns:
        Ratios, 1 is best; ``None`` without a temperature.
    """
    if not inlets:
        return None
    over = fsum(max(inlet - air.recommended_high, 0.0) for inlet in inlets)
    under = fsum(max(air.recommended_low - inlet, 0.0) for inlet in inlets)
    allowed_over = (air.allowable_high - air.recommended_high) * len(inlets)
    allowed_under = (air.recommended_low - air.allowable_low) * len(inlets)
    return CoolingIndex(1.0 - over / allowed_over, 1.0 - under / allowed_under)


@dataclass(frozen=True, slots=True)
class HeatIndices:
    """Supply heat index (0 is best) and return heat index (1 is best); they sum to 1."""

    supply: float
    return_: float


def heat_indices(racks: Sequence[tuple[float, float]], supply: float) -> HeatIndices | None:
    """Return how much the cold air was warmed before it came to the racks.

    Args:
        racks: Inlet and outlet temperature of each rack in which both are known.
        supply: Temperature of the air that the coolers give.

    Returns:
        ``None`` if the outlets are not warmer than the supply.
    """
    outlets = fsum(outlet - supply for _, outlet in racks)
    if outlets <= 0.0:
        return None
    index = fsum(inlet - supply for inlet, _ in racks) / outlets
    return HeatIndices(index, 1.0 - index)


def liquid_heat(
    flow: float | None, heat_capacity: float, supply: float | None, back: float | None
) -> float | None:
    """Return the heat that a liquid takes, W: ``m x cp x dT``.

    Args:
        flow: Mass flow, kg/s.
        heat_capacity: J/(kg K): water 4186, with glycol less.
        supply: Temperature of the liquid that comes.
        back: Temperature of the liquid that goes.
    """
    if flow is None or supply is None or back is None:
        return None
    return flow * heat_capacity * (back - supply)


@dataclass(frozen=True, slots=True)
class HeatCheck:
    """Heat against power of a rack.

    Attributes:
        ratio: Heat over power.
        agrees: Within the tolerance.
    """

    ratio: float
    agrees: bool


def heat_check(
    liquid: float | None,
    air: float | None,
    power: float | None,
    tolerance: float = HEAT_TOLERANCE,
) -> HeatCheck | None:
    """Compare the heat that leaves a rack with the power that enters it, W.

    Returns:
        ``None`` if one of them is unknown, or there is no power.
    """
    if liquid is None or air is None or not power:
        return None
    ratio = (liquid + air) / power
    return HeatCheck(ratio, abs(ratio - 1.0) <= tolerance)


def wet_bulb_celsius(celsius: float, humidity: float) -> float | None:
    """Return the wet bulb at sea level's pressure; None where the formula does not hold.

    Stull, R. (2011), J. Appl. Meteor. Climatol. 50, 2267-2269: within 1 K for 5 to 99 % of
    humidity and -20 to 50 degrees.

    Args:
        celsius: Dry bulb.
        humidity: Relative, 0..1.
    """
    percent = 100.0 * humidity
    if not (5.0 <= percent <= 99.0 and -20.0 <= celsius <= 50.0):
        return None
    return (
        celsius * math.atan(0.151977 * math.sqrt(percent + 8.313659))
        + math.atan(celsius + percent)
        - math.atan(percent - 1.676331)
        + 0.00391838 * percent * math.sqrt(percent) * math.atan(0.023101 * percent)
        - 4.686035
    )
