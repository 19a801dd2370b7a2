# SPDX-License-Identifier: Apache-2.0
"""Cooling, coolant loops and air: heat in, electrical power and temperatures out."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.spec import CoolingSpec
from rackwatt.twin.world.weather import Weather

Array = NDArray[np.float64]

HEAT_CAPACITY_PER_LITER: Final = 4186.0 * 0.9937
"""J/(L K) of water at 35 degrees Celsius: 4.18 kJ/(kg K) times 0.994 kg/L (CRC Handbook)."""
AIR_HEAT_CAPACITY: Final = 1206.0
"""J/(m3 K) of air at 20 degrees Celsius and sea level: 1.2 kg/m3 times 1005 J/(kg K)."""
_LOWEST_FLOW: Final = 0.3
"""Flow that the pumps keep without heat, as a ratio of full flow."""
_APPROACH: Final = 6.0
"""Kelvin between wet bulb and the water that a cooling tower returns."""
_CONDENSER: Final = 9.0
"""Kelvin between wet bulb and the chiller's condenser."""


@dataclass(frozen=True, slots=True)
class Coolant:
    """A coolant loop; `heat = flow * HEAT_CAPACITY_PER_LITER * (back - supply)`."""

    supply: float
    """Degrees Celsius."""
    back: float
    """Return, degrees Celsius."""
    flow: float
    """L/s."""
    heat: float
    """W."""
    pump: float
    """Speed as a ratio of full speed."""


def chiller_power(spec: CoolingSpec, heat: float, outdoor: Weather) -> float:
    """Electrical power that moves `heat` W out of the chilled water, W.

    Outdoor air does it alone when its wet bulb is low enough; in between the chiller does the
    rest, at a fixed part of Carnot's efficiency.
    """
    tower = outdoor.wet_bulb + _APPROACH
    back = spec.chilled_water_celsius + 8.0
    free = min(max((back - tower) / 8.0, 0.0), 1.0)
    cold = spec.chilled_water_celsius - 3.0 + 273.15
    warm = max(outdoor.wet_bulb + _CONDENSER + 273.15, cold + 8.0)
    performance = min(max(spec.carnot_ratio * cold / (warm - cold), 2.5), 12.0)
    return heat * ((1.0 - free) / performance + 0.02)


def cooling_power(spec: CoolingSpec, heat: float, outdoor: Weather) -> float:
    """Electrical power of the whole cooling, W, for `heat` W from the halls."""
    liquid = heat * spec.liquid_ratio
    air = heat - liquid
    # A dry cooler's fans run up as the outdoor air nears the water's temperature.
    gap = max(spec.water_supply_celsius + spec.water_rise_kelvin - outdoor.temperature, 4.0)
    dry = spec.liquid_pump_ratio * (1.0 + 6.0 / gap)
    return liquid * dry + air * spec.fan_ratio + chiller_power(spec, air, outdoor)


def coolant(spec: CoolingSpec, heat: float, full_heat: float, outdoor: Weather) -> Coolant:
    """The state of a loop that carries `heat` W and was built for `full_heat` W."""
    full_flow = max(full_heat, 1.0) / (HEAT_CAPACITY_PER_LITER * spec.water_rise_kelvin)
    ratio = _LOWEST_FLOW + (1.0 - _LOWEST_FLOW) * min(heat / max(full_heat, 1.0), 1.0)
    flow = full_flow * ratio
    supply = max(spec.water_supply_celsius, outdoor.temperature + 4.0)
    return Coolant(supply, supply + heat / (HEAT_CAPACITY_PER_LITER * flow), flow, heat, ratio)


class Air:
    """Rack inlets and outlets; fans speed up with the heat, but less than it."""

    def __init__(self, spec: CoolingSpec, racks: int, seed: int) -> None:
        self._spec = spec
        rng = np.random.default_rng(seed + 7)
        self._offset = np.clip(rng.normal(0.0, 0.7, racks), -1.5, 2.0)
        self._ripple = rng.uniform(0.0, 2 * math.pi, racks)

    def inlet(self, time: float, outdoor: Weather) -> Array:
        """Inlet temperatures, degrees Celsius."""
        warm = 0.06 * max(outdoor.temperature - 20.0, 0.0)
        wave = 0.25 * np.sin(time / 97.0 + self._ripple)
        return np.asarray(self._spec.air_supply_celsius + warm + self._offset + wave)

    def outlet(self, inlet: Array, heat: Array, full_heat: Array) -> Array:
        """Outlet temperatures for `heat` W of air heat per rack."""
        full_flow = full_heat / (AIR_HEAT_CAPACITY * self._spec.air_rise_kelvin)
        ratio = 0.4 + 0.6 * np.minimum(heat / np.maximum(full_heat, 1.0), 1.0)
        return np.asarray(inlet + heat / (AIR_HEAT_CAPACITY * np.maximum(full_flow, 1e-9) * ratio))
