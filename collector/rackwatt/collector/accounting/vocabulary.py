# SPDX-License-Identifier: Apache-2.0
"""The names of sources, origins, sinks and carbon series, and sums over them."""

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Final, Literal

Series = Literal["life_cycle", "operational"]

SERIES: Final[tuple[Series, ...]] = ("life_cycle", "operational")
"""Carbon series, never mixed."""

GENERATION: Final = ("pv", "wind", "hydro", "genset")
"""Own generation, metered at its output."""

SOURCES: Final = ("pv", "wind", "hydro", "grid", "genset", "battery")
"""Metered sources of the bus; ``battery`` is its discharge as delivered."""

ORIGINS: Final = ("pv", "wind", "hydro", "grid", "genset", "unknown")
"""Where energy came from once the battery is traced back."""

RENEWABLE: Final = ("pv", "wind", "hydro")

LOADS: Final = ("it", "cooling", "losses", "other")
"""Sinks that make up the data center's own consumption."""

SINKS: Final = ("it", "cooling", "losses", "other", "campus", "charge", "export")
"""Metered sinks of the bus; ``campus`` is consumption outside the data center."""

WATER_SOURCES: Final = ("fresh", "reclaimed", "rain")
"""Where a data center's water comes from."""

WATER_OUT: Final = "discharge"
"""Water that it gives back."""

UNKNOWN: Final = "unknown"
UNMETERED: Final = "unmetered"

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


def total(values: Iterable[float | None]) -> float | None:
    """Sum values, or ``None`` if one of them is unknown. The empty sum is 0."""
    known = values if type(values) is list else [*values]
    return None if None in known else fsum(known)  # type: ignore[arg-type]


def normalised(amounts: Mapping[str, float]) -> dict[str, float] | None:
    """Turn amounts into shares that sum to 1, or ``None`` when they sum to 0 or less."""
    whole = fsum(amounts.values())
    if whole <= 0.0:
        return None
    return {name: amount / whole for name, amount in amounts.items()}
