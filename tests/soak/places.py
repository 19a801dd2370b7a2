# SPDX-License-Identifier: Apache-2.0
"""The site of the soak: racks with PDUs, GPU nodes and probes, and the meters of the campus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SITE: Final = "demo"
"""As the vandal of the faults calls it."""
RACKS: Final = 4
"""Of each row: a PDU and two probes each, which one agent reads each second."""
NODES: Final = 2
"""GPU nodes of each row, in its first racks; each has an agent of its own, as it must."""
GPUS: Final = 8
METERS: Final = "site-meters"
"""The agent that reads what the books begin with."""
HOST: Final = "machine"
"""The agent of this very machine: `rackwatt-agent`, as it is installed."""
RACK_WATTS: Final = 40_000.0


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of the fleet: of a row's racks, of a GPU node, or of the site's meters."""

    name: str
    hall: str
    racks: Sequence[str] = ()
    """Whose PDUs and probes it reads."""
    is_node: bool = False

    @property
    def probes(self) -> list[str]:
        return [f"{rack}-{place}" for rack in self.racks for place in ("in", "out")]

    @property
    def pdus(self) -> list[str]:
        return [f"{rack}-pdu" for rack in self.racks]

    @property
    def every(self) -> float:
        """How often it reads and sends, in s."""
        return 10.0 if self.is_node else 1.0


def gpu(node: str, number: int) -> str:
    return f"{node}/GPU-{node}-{number}"


def members(rows: int) -> list[Member]:
    """The agents of so many rows, half of them in each hall, and the one of the meters."""
    fleet = [Member(METERS, "site")]
    for number in range(1, rows + 1):
        hall = "hall-a" if number <= rows // 2 else "hall-b"
        racks = [f"r{number:03}-{rack}" for rack in range(1, RACKS + 1)]
        fleet.append(Member(f"row-{number:03}", hall, racks))
        fleet += [Member(f"{rack}-n1", hall, is_node=True) for rack in racks[:NODES]]
    return fleet


def site_file(fleet: Sequence[Member]) -> str:
    """The site file: two halls, each agent's racks are a row of them."""
    rows = [member for member in fleet if member.racks]
    pdus = f"r[001-{len(rows):03}]-[1-{RACKS}]-pdu"
    lines = [
        f"site: {{id: {SITE}, timezone: Africa/Casablanca, country: MA}}",
        "battery: {capacity_wh: 20000000}",
        "meters:",
        "  - {id: grid-1, role: grid}",
        "  - {id: pv-1, role: pv}",
        "  - {id: wind-1, role: wind}",
        "  - {id: battery-1, role: battery}",
        f'  - {{id: it, role: it, position: pdu_output, sum: ["{pdus}"]}}',
        "  - {id: cooling-1, role: cooling}",
        "halls:",
    ]
    for hall in sorted({member.hall for member in rows}):
        lines += [f"  - id: {hall}", "    rows:"]
        for member in rows:
            if member.hall == hall:
                lines += _row(member)
    lines.append("agents:")
    lines += [f"  - {{name: {member.name}, hall: {member.hall}}}" for member in fleet
              if not member.is_node]  # fmt: skip
    lines.append(f"  - {{name: {HOST}, hall: hall-a}}")
    return "\n".join(lines) + "\n"


def _row(member: Member) -> list[str]:
    """A row's racks with nodes, and those without: two rows of the site file."""
    begin = member.racks[0][:-1]
    common = 'pdus: "{rack}-pdu", sensors: {inlet: "{rack}-in", outlet: "{rack}-out"}}'
    return [
        f'      - {{id: {member.name}-gpu, racks: "{begin}[1-{NODES}]", nodes: "{{rack}}-n1", '
        + common,
        f'      - {{id: {member.name}, racks: "{begin}[{NODES + 1}-{RACKS}]", ' + common,
    ]
