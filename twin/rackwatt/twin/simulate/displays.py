# SPDX-License-Identifier: Apache-2.0
"""What a device can show of a value: the steps and the size of its registers, by the agents' maps.

One minute of a month costs a numpy operation for all meters here, not a Modbus frame for each; the
numbers are those that the servers of `rackwatt twin run` would encode and the agents decode.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.agents.modbus import load_map, shipped_maps
from rackwatt.agents.modbus.points import fitting_exponents, register_at
from rackwatt.agents.snmp import load_oid_map
from rackwatt.wire.inventory import Register

Array = NDArray[np.float64]
_FLOAT_TYPES: Final = frozenset({"float32"})


@dataclass(frozen=True, slots=True)
class Scale:
    """How one field is shown.

    Attributes:
        step: The smallest difference, in the field's unit; 0: none that matters.
        single: The register is a 32-bit float, in units of `step`.
        register: How it counts, of energy registers.
    """

    step: float
    single: bool = False
    register: Register | None = None

    def shown(self, values: Array) -> Array:
        """True values as the device shows them; registers are cut down, powers rounded."""
        if self.single:
            return np.asarray(
                (values / self.step).astype(np.float32).astype(np.float64) * self.step
            )
        if self.register is None:
            return values if self.step == 0.0 else np.round(values / self.step) * self.step
        step = self.register.resolution_watt_hours or self.step
        counted = np.floor(values / step + 1e-9)
        modulus = self.register.modulus_watt_hours
        if modulus is not None:
            counted = np.mod(counted, round(modulus / step))
        return np.asarray(counted * step)


def scales(name: str, peaks: Mapping[str, float]) -> dict[str, Scale]:
    """Every field of a map, with how it is shown.

    Args:
        name: of a register or OID map that ships with the agents.
        peaks: largest values to be expected, for devices that scale their registers.
    """
    return _modbus(name, peaks) if name in shipped_maps() else _snmp(name)


def _modbus(name: str, peaks: Mapping[str, float]) -> dict[str, Scale]:
    points = load_map(name).points()
    exponents = fitting_exponents(points, peaks)
    found: dict[str, Scale] = {}
    for point in points:
        exponent = 0
        if point.scale_address is not None:
            exponent = exponents.get(point.scale_address, point.typical_exponent)
        step = abs(point.multiplier) * 10.0**exponent
        if point.factor is not None:
            step *= point.factor.typical
        float64 = point.type == "float64"
        scale = Scale(
            0.0 if float64 else step, point.type in _FLOAT_TYPES, register_at(point, exponent)
        )
        found |= {spec.name: scale for spec in point.fields}
    return found


def _snmp(name: str) -> dict[str, Scale]:
    found: dict[str, Scale] = {}
    for point in load_oid_map(name).points():
        part = 10.0**-point.typical_decimals
        register = point.register
        if register is not None and part != 1.0:
            modulus, step = register.modulus_watt_hours, register.resolution_watt_hours
            register = Register(
                modulus_watt_hours=None if modulus is None else modulus * part,
                resolution_watt_hours=None if step is None else step * part,
            )
        scale = Scale(abs(point.multiplier) * part, register=register)
        found |= {spec.name: scale for spec in point.fields}
    return found
