# SPDX-License-Identifier: Apache-2.0
"""The whole site: powers, energies and temperatures, one step after the other.

Pure: no clock, no file, no socket; the same seed and the same steps give the same numbers. In
every step sources and sinks balance exactly, because the grid takes the rest:

`pv + wind + genset + grid_import + discharge
    = it + losses + cooling + other + charge + grid_export`

`it` is what the rack PDUs deliver, `losses` what UPS and transformers turn into heat. All powers
are means over the last step, so that power times time is exactly what the registers gained.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world.almanac import Almanac
from rackwatt.twin.world.cooling import Air, Array, Coolant, coolant, cooling_power
from rackwatt.twin.world.origin import Tracer
from rackwatt.twin.world.plant import Dispatcher, next_stock, pv_power
from rackwatt.twin.world.racks import Floor
from rackwatt.twin.world.weather import Sky, Weather

SOURCES: Final = ("pv", "wind", "genset", "grid_import", "discharge")
SINKS: Final = ("it", "losses", "cooling", "other", "charge", "grid_export")
_EVENING: Final = 0.15
"""Lighting: part of the other loads that is on at night."""


@dataclass(frozen=True, slots=True)
class Climate:
    """Temperatures of a step."""

    outdoor: Weather
    inlet: Array
    """Per rack, degrees Celsius."""
    outlet: Array
    coolant: Mapping[str, Coolant]
    """Per CDU."""


class World:
    """A simulated site.

    Args:
        spec: what it is made of.
        start: UTC seconds since 1970 at which it stands.
        almanac: the sun and the turbine; default: computed when needed.

    Attributes:
        time: UTC seconds; the end of the last step.
        sim_time: the time of weather and jobs; ahead of `time` when the twin runs faster.
        powers: W by source, sink and contract, means over the last step.
        energies: Wh by source, sink and contract since the first start.
        stock: energy in the battery, Wh.
    """

    def __init__(self, spec: TwinSpec, start: float, almanac: Almanac | None = None) -> None:
        self.spec = spec
        self.time = start
        self.sim_time = start
        self.floor = Floor(spec)
        self.tracer = Tracer(spec.battery)
        self.stock = spec.battery.initial_wh
        contracts = tuple(contract.id for contract in spec.contracts)
        self.powers: dict[str, float] = dict.fromkeys((*SOURCES, *SINKS, *contracts), 0.0)
        self.energies: dict[str, float] = dict.fromkeys(self.powers, 0.0)
        self._sky = Sky(spec, almanac or Almanac(spec))
        self._dispatcher = Dispatcher(spec)
        full = self.floor.largest_power
        self.ups_rating = spec.ups.rated_watts or full * 1.3
        self._rack_full = full / len(self.floor.racks) * np.ones(len(self.floor.racks))
        self._air = Air(spec.cooling, len(self.floor.racks), spec.seed)
        self._halls = _hall_indices(self.floor)
        self._heat = self.floor.rack_power.copy()  # what reaches the plant, W per rack
        self._cold = True
        self.cdu_heat: dict[str, float] = {cdu: 0.0 for hall in spec.halls for cdu in hall.cdus}
        """Heat that each CDU carried, Wh."""
        self.climate = self._climate(self._sky.at(self.sim_time))

    @property
    def consumption(self) -> float:
        """What the data center draws, W: IT, losses, cooling and other."""
        return sum(self.powers[name] for name in ("it", "losses", "cooling", "other"))

    def ups_losses(self, output: float) -> float:
        """Losses of UPS and transformers at `output` W."""
        ups = self.spec.ups
        load = output / self.ups_rating
        return self.ups_rating * (ups.no_load_ratio + ups.load_ratio * load * load)

    def step(self, seconds: float, sim_seconds: float | None = None) -> None:
        """Advance.

        Args:
            seconds: of the clock; energies integrate these.
            sim_seconds: by which weather and jobs move on; default: `seconds` times the speed.

        Raises:
            ValueError: `seconds` is not positive.
        """
        sim = seconds * self.spec.speed if sim_seconds is None else sim_seconds
        middle = self.sim_time + sim / 2.0
        self.time += seconds
        self.sim_time += sim
        self.floor.step(self.time, self.sim_time, seconds)
        outdoor = self._sky.at(middle)
        self._warm(seconds)
        powers = self._balance(outdoor, middle, seconds)
        self.powers = powers
        hours = seconds / 3600.0
        for name, power in powers.items():
            self.energies[name] += power * hours
        self.tracer.step(powers, self.consumption, hours)
        self.climate = self._climate(outdoor)
        for cdu, state in self.climate.coolant.items():
            self.cdu_heat[cdu] += state.heat * hours

    def _warm(self, seconds: float) -> None:
        if self._cold:  # a site that was running long before its first step
            self._heat, self._cold = self.floor.settle(self.time, self.sim_time), False
        part = 1.0 - math.exp(-seconds / self.spec.cooling.time_constant)
        self._heat = self._heat + (self.floor.rack_power - self._heat) * part

    def _balance(self, outdoor: Weather, middle: float, seconds: float) -> dict[str, float]:
        spec = self.spec
        it = float(self.floor.rack_power.sum())
        losses = self.ups_losses(it)
        heat = float(self._heat.sum()) + self.ups_losses(float(self._heat.sum()))
        cooling = cooling_power(spec.cooling, heat, outdoor)
        other = spec.other_watts * (1.0 + (_EVENING if outdoor.irradiance < 20.0 else 0.0))
        air = outdoor.temperature
        pv = pv_power(spec.pv, outdoor.plane_irradiance, air, outdoor.wind_speed / 2.0)
        wind = spec.wind.rated_watts * outdoor.wind_ratio
        genset = spec.genset.power_watts if spec.genset.running else 0.0
        deficit = it + losses + cooling + other - pv - wind - genset
        dispatch = self._dispatcher.decide(middle, self.stock, deficit, seconds)
        self.stock = next_stock(spec.battery, self.stock, dispatch, seconds)
        grid = deficit + dispatch.charge - dispatch.discharge
        powers = {
            "pv": pv,
            "wind": wind,
            "genset": genset,
            "grid_import": max(grid, 0.0),
            "discharge": dispatch.discharge,
            "it": it,
            "losses": losses,
            "cooling": cooling,
            "other": other,
            "charge": dispatch.charge,
            "grid_export": max(-grid, 0.0) + 0.0,  # never -0.0
        }
        for contract in spec.contracts:
            far = outdoor.remote_wind_ratio if contract.kind == "wind" else outdoor.remote_sun_ratio
            powers[contract.id] = contract.rated_watts * far
        return powers

    def _climate(self, outdoor: Weather) -> Climate:
        spec = self.spec.cooling
        inlet = self._air.inlet(self.sim_time, outdoor)
        air = 1.0 - spec.liquid_ratio
        outlet = self._air.outlet(inlet, self._heat * air, self._rack_full * air)
        loops: dict[str, Coolant] = {}
        for hall in self.spec.halls:
            indices = self._halls[hall.id]
            part = spec.liquid_ratio / max(len(hall.cdus), 1)
            heat = float(self._heat[indices].sum()) * part
            full = float(self._rack_full[indices].sum()) * part
            for cdu in hall.cdus:
                loops[cdu] = coolant(spec, heat, full, outdoor)
        return Climate(outdoor, inlet, outlet, loops)

    # what must survive a restart

    def snapshot(self) -> dict[str, Any]:
        """Everything that a later `restore` needs, as plain values and vectors."""
        return {
            "time": self.time,
            "sim_time": self.sim_time,
            "stock": self.stock,
            "powers": dict(self.powers),
            "energies": dict(self.energies),
            "origin_stock": dict(self.tracer.stock),
            "origin_load": dict(self.tracer.load),
            "cdu_heat": dict(self.cdu_heat),
            "gpu_energy": self.floor.gpu_energy,
            "gpu_temperature": self.floor.gpu_temperature,
            "rack_energy": self.floor.rack_energy,
            "heat": self._heat,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Stand where `snapshot` was taken.

        Raises:
            ValueError: it was taken of a site of another size.
        """
        sizes = {"gpu_energy": len(self.floor.gpu_energy), "rack_energy": len(self.floor.racks)}
        for name, size in sizes.items():
            if len(state[name]) != size:
                raise ValueError(f"the saved state has {len(state[name])} values of {name}, "
                                 f"the site {size}")  # fmt: skip
        self.time = float(state["time"])
        # After a run at another speed the sun goes by the clock again.
        self.sim_time = self.time if self.spec.speed == 1.0 else float(state["sim_time"])
        self.stock = min(float(state["stock"]), self.spec.battery.capacity_wh)
        for mine, name in (
            (self.powers, "powers"),
            (self.energies, "energies"),
            (self.tracer.stock, "origin_stock"),
            (self.tracer.load, "origin_load"),
            (self.cdu_heat, "cdu_heat"),
        ):
            mine.update({key: float(value) for key, value in state[name].items() if key in mine})
        self.floor.gpu_energy = np.array(state["gpu_energy"], dtype=np.float64)
        self.floor.gpu_temperature = np.array(state["gpu_temperature"], dtype=np.float64)
        self.floor.rack_energy = np.array(state["rack_energy"], dtype=np.float64)
        self._heat = np.array(state["heat"], dtype=np.float64)
        self._cold = False


def _hall_indices(floor: Floor) -> dict[str, Any]:
    halls: dict[str, list[int]] = {}
    for rack in floor.racks:
        halls.setdefault(rack.hall, []).append(rack.index)
    return {hall: np.array(indices) for hall, indices in halls.items()}
