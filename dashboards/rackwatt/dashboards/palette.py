# SPDX-License-Identifier: Apache-2.0
"""One colour per thing, everywhere, and the same as on the live page (its dark theme).

Told apart by people who see red and green alike, too; a test computes it. Names of series are
never shown by colour alone: legends and tables name them.
"""

from types import MappingProxyType
from typing import Final

SOURCES: Final = MappingProxyType(
    {
        "pv": "#f6b73c",
        "wind": "#2dbfa2",
        "hydro": "#99dafa",
        "grid": "#6b7a8d",
        "genset": "#b5825a",
        "battery": "#a98bf0",
        "unknown": "#8b949e",
    }
)
"""Sources and origins."""
SINKS: Final = MappingProxyType(
    {
        "it": "#eef2f5",
        "cooling": "#2f81c7",
        "losses": "#d9694f",
        "other": "#9aa86b",
        "charge": "#a98bf0",
        "export": "#d98cb3",
        "campus": "#c9b98f",
        "unmetered": "#8b949e",
    }
)
GOOD: Final = "#54d3ad"
WARN: Final = "#f3bd58"
BAD: Final = "#ff8f85"
NEUTRAL: Final = "#93a0ad"
ACCENT: Final = "#45cfb0"
SERIES: Final = ("#99dafa", "#f6b73c", "#a98bf0", "#2dbfa2", "#d9694f", "#93a0ad")
"""Where nothing has a colour of its own: in this order."""
