# SPDX-License-Identifier: Apache-2.0
"""What the devices show: the truth, through registers that started somewhere, and through faults.

Servers ask here and never look at the world; one tick shows the same numbers to every reader.
"""

from collections.abc import Mapping
from typing import Any, Final

from rackwatt.twin.devices import Device, Values
from rackwatt.twin.faults import Fault, Faults
from rackwatt.twin.world import World

Offsets = dict[str, dict[str, float]]
_BIASED: Final = ("power_watts", "power_export", "power_charge", "power_discharge", "power_l",
                  "power_output", "current_", "apparent_", "reactive_")  # fmt: skip
_DEFAULT_BIAS: Final = 1.02


def _factor(fault: Fault) -> float:
    return _DEFAULT_BIAS if fault.value is None else fault.value


class Panel:
    """The displays of all devices.

    Args:
        world: the truth.
        devices: all of them.
        faults: those that are on.
    """

    def __init__(self, world: World, devices: Mapping[str, Device], faults: Faults) -> None:
        self._world = world
        self._devices = devices
        self._faults = faults
        self.offsets: Offsets = {name: dict(device.starts) for name, device in devices.items()}
        """Register minus truth, Wh, by device and field: must survive a restart."""
        self._cache: dict[str, Values] = {}
        self._stuck: dict[str, Values] = {}
        self._biased: dict[str, Values] = {}
        self.tick = 0
        """Counts refreshes, for those who cache what they made of the values."""

    def refresh(self) -> None:
        """The world has moved: show its new state."""
        for name in list(self._biased):
            self._drift(name)
        self._cache.clear()
        self.tick += 1

    def values(self, device: str) -> Values:
        """What the device shows now; registers are not yet cut to their modulus."""
        stuck = self._stuck.get(device)
        if stuck is not None and self._faults.get("stuck", device):
            return stuck
        found = self._cache.get(device)
        if found is None:
            found = self._cache[device] = self._read(device)
        return found

    def _read(self, device: str) -> Values:
        values = self._devices[device].read(self._world)
        if self._devices[device].kind == "coolant":
            self._hurt(device, values)
        fault = self._faults.get("bias", device)
        offsets = self.offsets.get(device, {})
        for name in values:
            if "energy_" in name:
                values[name] = max(values[name] + offsets.get(name, 0.0), 0.0)
            elif fault is not None and name.startswith(_BIASED):
                values[name] *= _factor(fault)
        return values

    def _hurt(self, cdu: str, values: Values) -> None:
        """What a fault of a coolant unit makes its sensors show."""
        if self._faults.get("leak", cdu):
            values["leak_ratio"] = 1.0
        if self._faults.get("flow", cdu):
            values["facility_flow_liters_per_second"] = 0.0
        if fault := self._faults.get("level", cdu):
            values["level_ratio"] = 0.4 if fault.value is None else fault.value
        if fault := self._faults.get("warm", cdu):
            values["supply_temperature_celsius"] += 6.0 if fault.value is None else fault.value
        if fault := self._faults.get("pump", cdu):
            there = values["pumps_running_number"]
            left = max(there - (1.0 if fault.value is None else fault.value), 0.0)
            values["pumps_running_number"] = left
            # Of parallel pumps the rest gives somewhat more than its share.
            share = (left / there) ** 0.7
            values["flow_liters_per_second"] *= share
            values["differential_pressure_pascals"] *= share**2

    # what faults do to a display

    def freeze(self, device: str) -> None:
        """Keep showing what is shown now."""
        self._stuck[device] = dict(self.values(device))

    def reset(self, device: str) -> None:
        """All energy registers start again at 0."""
        truth = self._devices[device].read(self._world)
        self.offsets[device] = {name: -value for name, value in truth.items() if "energy_" in name}
        self._cache.pop(device, None)

    def show(self, device: str, field: str, watt_hours: float) -> None:
        """Let a register jump to `watt_hours`."""
        truth = self._devices[device].read(self._world)[field]
        self.offsets.setdefault(device, {})[field] = watt_hours - truth
        self._cache.pop(device, None)

    def bias(self, device: str) -> None:
        """From now on the registers gain with the device's bias as well."""
        self._biased[device] = self._devices[device].read(self._world)

    def _drift(self, device: str) -> None:
        fault = self._faults.get("bias", device)
        if fault is None:
            del self._biased[device]
            return
        before, now = self._biased[device], self._devices[device].read(self._world)
        offsets = self.offsets.setdefault(device, {})
        for name in now:
            if "energy_" in name:
                gained = (now[name] - before[name]) * (_factor(fault) - 1.0)
                offsets[name] = offsets.get(name, 0.0) + gained
        self._biased[device] = now

    # what must survive a restart

    def snapshot(self) -> dict[str, Any]:
        """The registers' offsets."""
        return {"offsets": {device: dict(values) for device, values in self.offsets.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the registers where `snapshot` left them; new devices keep their start."""
        for device, values in state.get("offsets", {}).items():
            if device in self.offsets:
                self.offsets[device] = {name: float(value) for name, value in values.items()}
