# SPDX-License-Identifier: Apache-2.0
"""Carbon by series, and products in which one side may be unknown."""

from collections.abc import Mapping
from typing import Final

from rackwatt.collector.accounting.vocabulary import SERIES, Series

Masses = Mapping[Series, float | None]
"""Carbon by series: masses in g, or intensities in g/kWh. ``None`` = a factor is missing."""

NO_MASSES: Final[Masses] = dict.fromkeys(SERIES, None)
ZERO_MASSES: Final[Masses] = dict.fromkeys(SERIES, 0.0)


def mass(watt_hours: float | None, intensity: float | None) -> float | None:
    """Return the mass in g of an energy; no energy has none, even where its factor is missing."""
    if watt_hours == 0.0:
        return 0.0
    return None if watt_hours is None or intensity is None else watt_hours * intensity / 1000.0


def times(value: float | None, part: float) -> float | None:
    """Multiply; nothing of what is unknown is nothing."""
    if part == 0.0:
        return 0.0
    return None if value is None else value * part


def plus(value: float | None, more: float | None) -> float | None:
    """Add, unless one of both is unknown."""
    return None if value is None or more is None else value + more
