# SPDX-License-Identifier: Apache-2.0
"""Panels, turbine and battery: what the site makes and keeps."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.twin.spec import BatterySpec, PvSpec, TwinSpec

# Faiman (2008) with pvlib's default coefficients: W/(m2 K) and W s/(m3 K).
_U0, _U1 = 25.0, 6.84
_PER_KELVIN: Final = -0.0035
"""Power coefficient of crystalline silicon modules, typical of data sheets."""
_SYSTEM: Final = 0.92
"""Soiling, wiring, mismatch."""
# PVWatts version 5 (Dobos 2014, NREL/TP-6A20-62641): inverter at part load.
_NOMINAL, _REFERENCE = 0.965, 0.9637


def pv_power(spec: PvSpec, irradiance: float, temperature: float, wind: float) -> float:
    """AC power of the panels, W, never above the inverter.

    Args:
        spec: the plant.
        irradiance: on the panels, W/m2.
        temperature: of the air, degrees Celsius.
        wind: speed, m/s.
    """
    if irradiance <= 0 or spec.peak_watts == 0 or spec.inverter_watts == 0:
        return 0.0
    cell = temperature + irradiance / (_U0 + _U1 * wind)
    direct = spec.peak_watts * irradiance / 1000.0 * (1.0 + _PER_KELVIN * (cell - 25.0)) * _SYSTEM
    load = direct / (spec.inverter_watts / _NOMINAL)
    if load < 0.003:  # below its start-up threshold an inverter sleeps
        return 0.0
    efficiency = _NOMINAL / _REFERENCE * (-0.0162 * load - 0.0059 / load + 0.9858)
    return min(max(direct * efficiency, 0.0), spec.inverter_watts)


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What the battery does in one step; at most one of them is above 0. W at its terminals."""

    charge: float = 0.0
    discharge: float = 0.0


def _within(hour: int, span: tuple[int, int]) -> bool:
    first, end = span
    return first <= hour < end if first <= end else hour >= first or hour < end


class Dispatcher:
    """The battery's rule: see `BatterySpec`."""

    def __init__(self, spec: TwinSpec) -> None:
        self._battery = spec.battery
        self._zone = ZoneInfo(spec.site.timezone)

    def decide(self, time: float, stock: float, deficit: float, seconds: float) -> Dispatch:
        """What to do for `seconds`.

        Args:
            time: UTC seconds, for the hour.
            stock: stored energy, Wh.
            deficit: demand minus own supply, W; negative: a surplus.
            seconds: length of the step; no bound is passed within it.
        """
        battery = self._battery
        if battery.capacity_wh == 0:
            return Dispatch()
        hour = datetime.fromtimestamp(time, UTC).astimezone(self._zone).hour
        if deficit < 0:
            return Dispatch(charge=min(-deficit, self._room(battery.capacity_wh, stock, seconds)))
        reserve = battery.reserve_ratio * battery.capacity_wh
        if _within(hour, battery.peak_hours) and stock > reserve:
            return Dispatch(discharge=min(deficit, self._available(reserve, stock, seconds)))
        if stock < reserve:
            room = self._room(reserve, stock, seconds)
            return Dispatch(charge=min(battery.reserve_charge_watts, room))
        if _within(hour, battery.off_peak_hours):
            target = battery.off_peak_ratio * battery.capacity_wh
            room = self._room(target, stock, seconds)
            return Dispatch(charge=min(battery.off_peak_charge_watts, room))
        return Dispatch()

    def _room(self, limit: float, stock: float, seconds: float) -> float:
        room = max(limit - stock, 0.0) / self._battery.charge_efficiency / (seconds / 3600.0)
        return min(room, self._battery.power_watts)

    def _available(self, floor: float, stock: float, seconds: float) -> float:
        available = max(stock - floor, 0.0) * self._battery.discharge_efficiency
        return min(available / (seconds / 3600.0), self._battery.power_watts)


def next_stock(spec: BatterySpec, stock: float, dispatch: Dispatch, seconds: float) -> float:
    """The stored energy after a step, Wh, within 0 and the capacity."""
    hours = seconds / 3600.0
    after = stock + dispatch.charge * spec.charge_efficiency * hours
    after -= dispatch.discharge / spec.discharge_efficiency * hours
    return min(max(after, 0.0), spec.capacity_wh)
