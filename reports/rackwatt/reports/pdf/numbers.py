# SPDX-License-Identifier: Apache-2.0
"""Numbers as each language prints them.

Thousands are parted by U+202F, which keeps Arabic text from turning the groups around; decimals by
a comma in French and Arabic (the Maghreb writes 1 234,5). In Arabic a number is isolated together
with its unit (U+2066 to U+2069), so that it reads from left to right.
"""

from collections.abc import Sequence
from math import floor, log10
from typing import Final

from rackwatt.reports.pdf.words import Language

NARROW: Final = "\u202f"
UNKNOWN: Final = "–"
_MINUS: Final = "−"
_ENERGY: Final = (("GWh", 1e9), ("MWh", 1e6), ("kWh", 1e3))
_MASS: Final = (("kt", 1e9), ("t", 1e6), ("kg", 1e3))


def isolated(text: str, language: Language) -> str:
    """Return a text that reads from left to right, whatever surrounds it."""
    return f"\u2066{text}\u2069" if language == "ar" else text


def number(value: float | None, language: Language, digits: int = 0) -> str:
    """Return a number with so many decimals, or a dash for an unknown one."""
    if value is None:
        return UNKNOWN
    text = f"{abs(value):,.{digits}f}".replace(",", NARROW)
    if language != "en":
        text = text.replace(".", ",")
    negative = value < 0 and any(one in "123456789" for one in text)
    return isolated(_MINUS + text if negative else text, language)


def with_unit(value: float | None, unit: str, language: Language, digits: int = 0) -> str:
    """Return a number and its unit, which no line break parts."""
    if value is None:
        return UNKNOWN
    plain = number(value, "fr" if language == "ar" else language, digits)
    return isolated(f"{plain}\u00a0{unit}", language)


def percent(ratio: float | None, language: Language, digits: int = 1) -> str:
    """Return a ratio as a percentage."""
    return with_unit(None if ratio is None else ratio * 100, "%", language, digits)


def energy_unit(largest: float) -> tuple[str, float]:
    """Return the unit in which energies up to so many Wh are printed, and how many Wh it is."""
    return _unit(largest, _ENERGY)


def mass_unit(largest: float) -> tuple[str, float]:
    """Return the unit in which masses up to so many g are printed, and how many g it is."""
    return _unit(largest, _MASS)


def ticks(largest: float) -> Sequence[float]:
    """Return the marks of an axis from 0 to at least a value: 3 to 6 round numbers.

    Args:
        largest: What it must hold; 0 gives an axis to 1.
    """
    if largest <= 0:
        return (0.0, 1.0)
    rough = largest / 5
    power = 10.0 ** floor(log10(rough))
    step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power >= rough * (1 - 1e-9))
    count = 1
    while step * count < largest * (1 - 1e-9):
        count += 1
    return tuple(step * at for at in range(count + 1))


def _unit(largest: float, units: tuple[tuple[str, float], ...]) -> tuple[str, float]:
    return next(((name, size) for name, size in units if abs(largest) >= 10 * size), units[-1])
