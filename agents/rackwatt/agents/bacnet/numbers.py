# SPDX-License-Identifier: Apache-2.0
"""Numbers of ASHRAE 135 that the driver knows: object types, properties, engineering units."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rackwatt.agents.units import UNITS, Unit

OBJECT_TYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "analog-input": 0,
        "analog-output": 1,
        "analog-value": 2,
        "binary-input": 3,
        "binary-output": 4,
        "binary-value": 5,
        "multi-state-input": 13,
        "multi-state-output": 14,
        "multi-state-value": 19,
        "accumulator": 23,
        "pulse-converter": 24,
        "integer-value": 45,
        "large-analog-value": 46,
        "positive-integer-value": 48,
    }
)
"""The types that may stand in a map."""

STATES: Final = frozenset({3, 4, 5, 13, 14, 19})
"""Object types whose value is a state: they have no unit."""
ACCUMULATOR: Final = 23
DEVICE: Final = 8
ANY_DEVICE: Final = 4194303
"""The instance number that every device takes for its own (clause 12.11)."""

FIRMWARE_REVISION: Final = 44
MAX_PRES_VALUE: Final = 65
MODEL_NAME: Final = 70
OBJECT_IDENTIFIER: Final = 75
OBJECT_NAME: Final = 77
PRESENT_VALUE: Final = 85
STATUS_FLAGS: Final = 111
UNITS_PROPERTY: Final = 117
VENDOR_NAME: Final = 121
SCALE: Final = 187
SERIAL_NUMBER: Final = 372

_BTU: Final = 0.29307107017
"""Watt-hours."""
_TON: Final = 12000 * _BTU
_WATER: Final = 98.0665
"""Pascals of a centimetre."""

ENGINEERING_UNITS: Final[Mapping[int, tuple[str, Unit]]] = MappingProxyType(
    {
        2: ("milliamperes", UNITS["mA"]),
        3: ("amperes", UNITS["A"]),
        5: ("volts", UNITS["V"]),
        6: ("kilovolts", UNITS["kV"]),
        7: ("megavolts", Unit("V", 1e6)),
        8: ("volt-amperes", UNITS["VA"]),
        9: ("kilovolt-amperes", UNITS["kVA"]),
        10: ("megavolt-amperes", Unit("VA", 1e6)),
        11: ("volt-amperes-reactive", UNITS["var"]),
        12: ("kilovolt-amperes-reactive", UNITS["kvar"]),
        13: ("megavolt-amperes-reactive", Unit("var", 1e6)),
        15: ("power-factor", UNITS["1"]),
        16: ("joules", UNITS["J"]),
        17: ("kilojoules", Unit("Wh", 1e3 / 3600)),
        18: ("watt-hours", UNITS["Wh"]),
        19: ("kilowatt-hours", UNITS["kWh"]),
        20: ("btus", Unit("Wh", _BTU)),
        22: ("ton-hours", Unit("Wh", _TON)),
        27: ("hertz", UNITS["Hz"]),
        29: ("percent-relative-humidity", UNITS["%"]),
        35: ("watts-per-square-meter", UNITS["W/m2"]),
        47: ("watts", UNITS["W"]),
        48: ("kilowatts", UNITS["kW"]),
        49: ("megawatts", UNITS["MW"]),
        50: ("btus-per-hour", Unit("W", _BTU)),
        52: ("tons-refrigeration", Unit("W", _TON)),
        53: ("pascals", UNITS["Pa"]),
        54: ("kilopascals", UNITS["kPa"]),
        55: ("bars", UNITS["bar"]),
        56: ("pounds-force-per-square-inch", UNITS["psi"]),
        57: ("centimeters-of-water", Unit("Pa", _WATER)),
        58: ("inches-of-water", Unit("Pa", 2.54 * _WATER)),
        62: ("degrees-celsius", UNITS["Cel"]),
        63: ("degrees-kelvin", UNITS["K"]),
        64: ("degrees-fahrenheit", UNITS["degF"]),
        71: ("hours", UNITS["h"]),
        72: ("minutes", UNITS["min"]),
        73: ("seconds", UNITS["s"]),
        74: ("meters-per-second", UNITS["m/s"]),
        75: ("kilometers-per-hour", UNITS["km/h"]),
        80: ("cubic-meters", UNITS["m3"]),
        82: ("liters", UNITS["L"]),
        83: ("us-gallons", Unit("L", 3.785411784)),
        85: ("cubic-meters-per-second", Unit("L/s", 1e3)),
        87: ("liters-per-second", UNITS["L/s"]),
        88: ("liters-per-minute", UNITS["L/min"]),
        89: ("us-gallons-per-minute", UNITS["gal/min"]),
        95: ("no-units", UNITS["1"]),
        98: ("percent", UNITS["%"]),
        124: ("millivolts", UNITS["mV"]),
        126: ("megajoules", Unit("Wh", 1e6 / 3600)),
        132: ("milliwatts", Unit("W", 1e-3)),
        133: ("hectopascals", UNITS["hPa"]),
        134: ("millibars", UNITS["mbar"]),
        135: ("cubic-meters-per-hour", UNITS["m3/h"]),
        136: ("liters-per-hour", UNITS["L/h"]),
        146: ("megawatt-hours", UNITS["MWh"]),
        147: ("kilo-btus", Unit("Wh", 1e3 * _BTU)),
        148: ("mega-btus", Unit("Wh", 1e6 * _BTU)),
        157: ("kilo-btus-per-hour", Unit("W", 1e3 * _BTU)),
        165: ("cubic-meters-per-minute", Unit("L/s", 1e3 / 60)),
        206: ("millimeters-of-water", Unit("Pa", _WATER / 10)),
    }
)
"""BACnetEngineeringUnits: number to name and our unit. Differences of temperature are none."""
