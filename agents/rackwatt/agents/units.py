# SPDX-License-Identifier: Apache-2.0
"""Units as devices and manuals write them, converted once, here, to those of the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """A device's unit: `ours = value * factor + offset`."""

    ours: str
    """The unit on the wire, as in `FieldSpec.unit`."""
    factor: float = 1.0
    offset: float = 0.0


UNITS: Final[Mapping[str, Unit]] = MappingProxyType(
    {
        "1": Unit("1"),
        "%": Unit("1", 0.01),
        "W": Unit("W"),
        "kW": Unit("W", 1e3),
        "MW": Unit("W", 1e6),
        "Wh": Unit("Wh"),
        "kWh": Unit("Wh", 1e3),
        "MWh": Unit("Wh", 1e6),
        "J": Unit("Wh", 1 / 3600),
        "VA": Unit("VA"),
        "kVA": Unit("VA", 1e3),
        "var": Unit("var"),
        "kvar": Unit("var", 1e3),
        "V": Unit("V"),
        "mV": Unit("V", 1e-3),
        "kV": Unit("V", 1e3),
        "A": Unit("A"),
        "mA": Unit("A", 1e-3),
        "kA": Unit("A", 1e3),
        "Hz": Unit("Hz"),
        "Cel": Unit("Cel"),
        "degF": Unit("Cel", 5 / 9, -160 / 9),
        "K": Unit("Cel", 1.0, -273.15),
        "Pa": Unit("Pa"),
        "hPa": Unit("Pa", 1e2),
        "kPa": Unit("Pa", 1e3),
        "mbar": Unit("Pa", 1e2),
        "bar": Unit("Pa", 1e5),
        "psi": Unit("Pa", 6894.757293168),
        "L/s": Unit("L/s"),
        "L/min": Unit("L/s", 1 / 60),
        "L/h": Unit("L/s", 1 / 3600),
        "m3/h": Unit("L/s", 1 / 3.6),
        "gal/min": Unit("L/s", 3.785411784 / 60),
        "L": Unit("L"),
        "m3": Unit("L", 1e3),
        "s": Unit("s"),
        "min": Unit("s", 60.0),
        "h": Unit("s", 3600.0),
        "m/s": Unit("m/s"),
        "km/h": Unit("m/s", 1 / 3.6),
        "W/m2": Unit("W/m2"),
        "By": Unit("By"),
    }
)
"""`%` and `1` are ratios (0..1 on the wire), `Cel` is degrees Celsius, `gal` is the US gallon."""

CURRENT_UNITS: Final = frozenset({"A", "W", "Wh", "VA", "var"})
"""Our units that a current transformer's ratio scales."""
