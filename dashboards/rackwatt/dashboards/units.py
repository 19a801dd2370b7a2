# SPDX-License-Identifier: Apache-2.0
"""Grafana's unit of a figure, read off the end of its name."""

from typing import Final

RATIO: Final = "none"
"""A ratio that is shown as a number: PUE."""
PERCENT: Final = "percentunit"
COUNT: Final = "short"
SINCE: Final = "dateTimeFromNow"
"""Of a time in ms: how long ago."""

_ENDS: Final = (
    ("_grams_per_kilowatt_hour", "suffix: g/kWh"),
    ("_kilograms_per_kilowatt_hour", "suffix: kg/kWh"),
    ("_liters_per_kilowatt_hour", "suffix: L/kWh"),
    ("_liters_per_second", "suffix: L/s"),
    ("_watt_hours", "watth"),
    ("_watts", "watt"),
    ("_volt_amperes", "voltamp"),
    ("_amperes", "amp"),
    ("_volts", "volt"),
    ("_ratio", PERCENT),
    ("_celsius", "celsius"),
    ("_grams", "massg"),
    ("_liters", "litre"),
    ("_hertz", "hertz"),
    ("_pascals", "pressurepa"),
    ("_bytes", "bytes"),
    ("_seconds", "s"),
    ("_hours", "h"),
    ("_total", COUNT),
    ("_number", COUNT),
)


def unit_of(name: str) -> str:
    """The unit of a field or metric; a PUE's is `RATIO`.

    Raises:
        KeyError: its name does not say.
    """
    if name.startswith("pue_"):
        return RATIO
    for end, unit in _ENDS:
        if name.endswith(end):
            return unit
    raise KeyError(name)
