# SPDX-License-Identifier: Apache-2.0
"""Colours on paper: the hues of the page and of the dashboards, dark enough for white paper.

Nothing is said by colour alone: legends name series, tables repeat every figure. Any two of a group
may meet in a bar, so any two can be told apart by eyes that lack one of the three cones (a test
simulates them).
"""

from types import MappingProxyType
from typing import Final

SOURCES: Final = MappingProxyType(
    {
        "pv": "#e5a11f",
        "wind": "#12806e",
        "hydro": "#80b7f0",
        "battery": "#795db7",
        "grid": "#3a4b5c",
        "genset": "#9a5f35",
        "unknown": "#d3d8dc",
    }
)
"""By source or origin, in the order in which bars stack."""
SINKS: Final = MappingProxyType(
    {
        "it": "#1d3a4c",
        "cooling": "#3a9ad7",
        "losses": "#b73535",
        "other": "#c7c177",
        "charge": "#795db7",
        "export": "#d69da5",
        "campus": "#d37126",
        "unmetered": "#d3d8dc",
    }
)
SCALE: Final = ("#360f53", "#3e5588", "#408f94", "#7cc779", "#f8f48a")
"""From little to much, its lightness rising evenly: grey prints and all eyes keep its order."""
INK: Final = "#1d3a4c"
