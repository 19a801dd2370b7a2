# SPDX-License-Identifier: Apache-2.0
"""The site of the soak: racks with PDUs, GPU nodes and probes, and the meters of the campus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SITE: Final = "demo"
"""As the vandal of the faults calls it."""
RACKS: Final = 4
"""Of each agent: one PDU, three nodes and two probes each."""
NODES: Final = 3
GPUS: Final = 8
METERS: Final = "site-meters"
"""The agent that reads what the books begin with."""
HOST: Final = "machine"
"""The agent of this very machine: `rackwatt-agent`, as it is installed."""
RACK_WATTS: Final = 40_000.0


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of the fleet and what it reads."""

    name: str
    hall: str
    racks: Sequence[str] = ()

    @property
    def nodes(self) -> list[str]:
        return [f"{rack}-n{number}" for rack in self.racks for number in range(1, NODES + 1)]

    @property
    def probes(self) -> list[str]:
        return [f"{rack}-{place}" for rack in self.racks for place in ("in", "out")]

    @property
    def pdus(self) -> list[str]:
        return [f"{rack}-pdu" for rack in self.racks]


def gpu(node: str, number: int) -> str:
    return f"{node}/GPU-{node}-{number}"


def members(count: int) -> list[Member]:
    """So many agents of racks, half of them in each hall, and the one of the meters."""
    racks = [
        Member(
            f"row-{number:03}",
            "hall-a" if number <= count // 2 else "hall-b",
            [f"r{number:03}-{rack}" for rack in range(1, RACKS + 1)],
        )
        for number in range(1, count + 1)
    ]
    return [Member(METERS, "site"), *racks]


def site_file(fleet: Sequence[Member]) -> str:
    """The site file: two halls, each agent's racks are a row of them."""
    pdus = f"r[001-{len(fleet) - 1:03}]-[1-{RACKS}]-pdu"
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
    for hall in sorted({member.hall for member in fleet if member.racks}):
        lines += [f"  - id: {hall}", "    rows:"]
        lines += [
            f'      - {{id: {member.name}, racks: "{member.racks[0][:-1]}[1-{RACKS}]", '
            f'nodes: "{{rack}}-n[1-{NODES}]", pdus: "{{rack}}-pdu", '
            'sensors: {inlet: "{rack}-in", outlet: "{rack}-out"}}'
            for member in fleet
            if member.hall == hall
        ]
    lines.append("agents:")
    lines += [f"  - {{name: {member.name}, hall: {member.hall}}}" for member in fleet]
    lines.append(f"  - {{name: {HOST}, hall: hall-a}}")
    return "\n".join(lines) + "\n"
