# SPDX-License-Identifier: Apache-2.0
"""Temperatures, coolant loops and voltages of many devices over some minutes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.simulate.motion import Minutes
from rackwatt.twin.simulate.pieces import Field
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world import World
from rackwatt.twin.world.noise import process

Array = NDArray[np.float64]

_PHASE_VOLTS: Final = 230.0
_POWER_FACTOR: Final = 0.985
_HIGHER: Final = {"top": 0.8, "middle": 0.0, "bottom": -0.6}
"""Kelvin by which the air at a sensor's height differs."""


def electrical(spec: TwinSpec, minutes: Minutes, power: Array) -> dict[str, Field]:
    """Voltage, current and frequency at the powers of some meters, W."""
    volts = np.array(
        [_PHASE_VOLTS * (1.0 + 0.004 * process(spec.seed, 900, 300.0, at)) for at in minutes.times]
    )
    hertz = np.array([50.0 + 0.015 * process(spec.seed, 899, 30.0, at) for at in minutes.times])
    same = np.ones_like(power)
    current = power / (3.0 * volts[:, None] * _POWER_FACTOR)
    return {
        "voltage_volts": Field(np.round(volts * math.sqrt(3.0), 1)[:, None] * same),
        "current_amperes": Field(np.round(current, 2)),
        "frequency_hertz": Field(np.round(hertz, 3)[:, None] * same),
    }


def climate_fields(minutes: Minutes, sensors: Sequence[tuple[int, str]]) -> dict[str, Field]:
    """What the sensors in the racks' air show.

    Args:
        minutes: Of the world.
        sensors: Rack and position (`inlet`, `outlet_top`, ...) of each.
    """
    racks = [rack for rack, _ in sensors]
    outside: NDArray[np.bool_] = np.array([place.startswith("outlet") for _, place in sensors])
    higher: Array = np.array([_HIGHER.get(place.partition("_")[2], 0.0) for _, place in sensors])
    inlet = np.stack([climate.inlet for climate in minutes.climate])[:, racks]
    outlet = np.stack([climate.outlet for climate in minutes.climate])[:, racks]
    shown = np.asarray(np.round(np.where(outside, outlet, inlet) + higher, 1), dtype=np.float64)
    # The same water in warmer air: relative humidity falls with the saturation pressure.
    humidity = np.minimum(0.45 * _saturation(inlet) / _saturation(shown), 1.0)
    gamma = np.log(np.maximum(humidity, 0.01)) + 17.625 * shown / (243.04 + shown)
    return {
        "temperature_celsius": Field(shown),
        "humidity_ratio": Field(np.asarray(np.round(humidity, 3), dtype=np.float64)),
        "dew_point_celsius": Field(np.round(243.04 * gamma / (17.625 - gamma), 1)),
    }


def _saturation(celsius: Array) -> Array:
    return np.asarray(np.exp(17.625 * celsius / (243.04 + celsius)))


@dataclass(frozen=True, slots=True)
class Loops:
    """The coolant units, and what they show."""

    devices: tuple[str, ...]
    fields: dict[str, Field]


def coolant_fields(minutes: Minutes, world: World) -> Loops:
    """What the coolant units show; none on a site without any."""
    devices = tuple(world.climate.coolant)

    def over(name: str) -> Array:
        return np.array(
            [[getattr(c.coolant[device], name) for device in devices] for c in minutes.climate]
        )

    if not devices:
        return Loops((), {})
    pump = over("pump")
    heat = over("heat")
    after = np.array([world.cdu_heat[device] for device in devices])
    # What the world's register gained after each minute, taken off where it stands now.
    later = heat.sum(axis=0) - np.cumsum(heat, axis=0)
    return Loops(
        devices,
        {
            "supply_temperature_celsius": Field(np.round(over("supply"), 2)),
            "return_temperature_celsius": Field(np.round(over("back"), 2)),
            "flow_liters_per_second": Field(np.round(over("flow"), 3)),
            "heat_watts": Field(np.round(heat)),
            "heat_energy_watt_hours": Field(np.floor(after - later / 60.0)),
            "differential_pressure_pascals": Field(np.round(120_000.0 * pump**2)),
            "pump_speed_ratio": Field(np.round(pump, 4)),
        },
    )
