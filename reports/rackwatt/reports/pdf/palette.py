# SPDX-License-Identifier: Apache-2.0
"""Colours on paper: the hues of the page and of the dashboards, dark enough for white paper.

Nothing is said by colour alone: legends name series, tables repeat every figure.
"""

from types import MappingProxyType
from typing import Final

SOURCES: Final = MappingProxyType(
    {
        "pv": "#e5a11f",
        "wind": "#12866f",
        "hydro": "#7cc4ea",
        "battery": "#7b5cc9",
        "grid": "#56646f",
        "genset": "#9a5f35",
        "unknown": "#c3c9cf",
    }
)
"""By source or origin, in the order in which bars stack."""
SINKS: Final = MappingProxyType(
    {
        "it": "#1d3a4c",
        "cooling": "#2f81c7",
        "losses": "#c4553b",
        "other": "#8a9a52",
        "charge": "#7b5cc9",
        "export": "#c06a99",
        "campus": "#b3a06c",
        "unmetered": "#c3c9cf",
    }
)
SCALE: Final = ("#3b1c5a", "#3e5a8c", "#2a8f8c", "#7cc76b", "#f4e46c")
"""From little to much, its lightness rising evenly: grey prints and all eyes keep its order."""
INK: Final = "#1d3a4c"
