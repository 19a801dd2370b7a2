# SPDX-License-Identifier: Apache-2.0
"""The reference campus as a site file: 2,540 racks, 45,800 trays of 4 GPUs, 500 meters.

Ten halls of 254 racks in rows of 20, 18 trays in a rack and 22 in those of the first row. IT is
metered by the row. A part of it keeps the proportions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SITE: Final = "campus"
RACKS: Final = 2540
RACKS_PER_HALL: Final = 254
RACKS_PER_ROW: Final = 20
TRAYS_PER_RACK: Final = 18
TRAYS_OF_FIRST_ROW: Final = 22
SENSORS_PER_RACK: Final = 40
METERS: Final = {"grid": 4, "pv": 96, "wind": 60, "cooling": 150, "other": 60}
"""Of the site, by role; a row has one more, of its IT: 500 in all."""
_HEAD: Final = (
    "# The reference campus, {scale:.4g} of it, as 'rackwatt twin load --write-site' makes it.\n"
    "site: {{id: {site}, name: Reference campus, timezone: Africa/Casablanca, country: MA, "
    "simulated: true}}\nmeters:\n"
)
_ROW: Final = (
    "  - id: {row}\n    racks: '{row}-[01-{racks:02d}]'\n    nodes: '{{rack}}-n[01-{trays}]'\n"
    "    sensors: {{inlet: '{{rack}}-air-01', outlet: '{{rack}}-air-02'}}\n"
    "    devices: '{{rack}}-air-[03-{sensors}]'\n"
)


@dataclass(frozen=True, slots=True)
class _Row:
    hall: str
    id: str
    racks: int
    trays: int


def _rows(scale: float) -> Iterator[_Row]:
    """The rows of a part of the campus, at least one rack in all."""
    left = max(1, round(RACKS * scale))
    first = min(left, round(RACKS_PER_ROW * scale))
    hall = 0
    while left:
        hall += 1
        here = min(left, RACKS_PER_HALL)
        left -= here
        row = 0
        while here:
            row += 1
            fuller = hall == row == 1 and first > 0
            racks = first if fuller else min(here, RACKS_PER_ROW)
            here -= racks
            trays = TRAYS_OF_FIRST_ROW if fuller else TRAYS_PER_RACK
            yield _Row(f"hall-{hall:02d}", f"h{hall:02d}-r{row:02d}", racks, trays)


def site_text(scale: float = 1.0) -> str:
    """The site file of so much of the campus.

    Args:
        scale: part of its racks, trays and meters, above 0, at most 1.
    """
    rows = list(_rows(scale))
    meters = [
        (f"{role}-{number:03d}", role)
        for role, count in METERS.items()
        for number in range(1, max(1, round(count * scale)) + 1)
    ]
    parts = [_HEAD.format(scale=scale, site=SITE)]
    parts += [f"- {{id: {name}, role: {role}, cadence: 1s}}\n" for name, role in meters]
    parts += [
        f"- {{id: {row.id}-it, role: it, position: pdu_output, hall: {row.hall}, cadence: 1s}}\n"
        for row in rows
    ]
    parts.append("halls:\n")
    hall = ""
    for row in rows:
        if row.hall != hall:
            hall = row.hall
            parts.append(f"- id: {hall}\n  rows:\n")
        parts.append(
            _ROW.format(row=row.id, racks=row.racks, trays=row.trays, sensors=SENSORS_PER_RACK)
        )
    parts.append("agents:\n")
    parts += [f"- {{name: edge-{name}, hall: site}}\n" for name, _ in meters]
    for row in rows:
        names = [f"{row.id}-it", *(f"{row.id}-{at:02d}" for at in range(1, row.racks + 1))]
        parts += [f"- {{name: edge-{name}, hall: {row.hall}}}\n" for name in names]
    return "".join(parts)
