# SPDX-License-Identifier: Apache-2.0
"""What a file of flows may hold, and how its columns become flows on the bus."""

from collections.abc import Mapping
from typing import Final

TIME: Final = "time"
INTERVAL: Final = "interval_seconds"

SOURCES: Final[Mapping[str, str]] = {
    "pv": "pv",
    "wind": "wind",
    "hydro": "hydro",
    "grid_import": "grid",
    "genset": "genset",
}
"""Column to source."""

SINKS: Final[Mapping[str, str]] = {
    "load_it": "it",
    "load_cooling": "cooling",
    "load_other": "other",
    "load_campus": "campus",
    "grid_export": "export",
}
"""Column to sink."""

CHARGE: Final = "battery_charge"
DISCHARGE: Final = "battery_discharge"

CLAIMS: Final = ("ppa_pv", "ppa_wind", "ppa_hydro")
"""Claims on the grid's import, metered at the plant; no sources."""

REQUIRED: Final = (
    TIME,
    INTERVAL,
    "pv",
    "wind",
    "grid_import",
    "genset",
    DISCHARGE,
    CHARGE,
    "grid_export",
    "load_it",
    "load_cooling",
    "load_other",
)
OPTIONAL: Final = ("hydro", "load_campus", *CLAIMS)
KNOWN: Final = (*REQUIRED, *OPTIONAL)
