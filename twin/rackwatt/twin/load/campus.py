# SPDX-License-Identifier: Apache-2.0
"""Who sends what on the reference campus of 386 MW: trays, racks and meters; and its site file.

Ten halls of 254 racks of 18 trays of 4 GPUs: 45,720 trays, 182,880 GPUs, 2,540 racks with 40
sensors each, 500 meters. A tray and a rack send every 10 s, a meter each second, an agent's status
goes out every 10 s as the agents' own loop does it: 5,326 messages and 4,876 statuses a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rackwatt.wire.readings import Kind

SITE: Final = "campus"
HALLS: Final = 10
ROWS: Final = (*([20] * 12), 14)
"""Racks of each row of a hall."""
TRAYS: Final = 18
GPUS: Final = 4
SENSORS: Final = 40
RACK_WATTS: Final = 132_000.0
SLOW_MS: Final = 10_000
METER_MS: Final = 1_000

Role = Literal["grid", "pv", "wind", "it", "cooling", "other"]
METERS: Final[tuple[tuple[Role, int], ...]] = (
    ("grid", 2), ("pv", 1), ("wind", 1), ("it", 26), ("cooling", 18), ("other", 2),
)  # fmt: skip
"""Of each hall: 50."""
PARTS: Final[dict[Role, float]] = {"pv": 0.02, "wind": 0.30, "it": 1.0, "cooling": 0.11,
                                   "other": 0.04}  # fmt: skip
"""Power of a role over that of its hall's IT; the grid gives what is left."""


@dataclass(frozen=True, slots=True)
class Player:
    """One agent.

    Attributes:
        name: Its name, which the topic bears.
        hall: Where it stands.
        kind: What it sends.
        number: Counted within its hall and kind.
        period_ms: Between two messages.
        phase_ms: When in the period it sends, so that the load is even.
        role: Of a meter.
    """

    name: str
    hall: int
    kind: Kind
    number: int
    period_ms: int
    phase_ms: int
    role: Role | None = None

    @property
    def topic(self) -> str:
        """Its topic up to the last level."""
        return f"rackwatt/v1/{SITE}/{hall_name(self.hall)}/{self.name}"


def hall_name(hall: int) -> str:
    """``hall-01``."""
    return f"hall-{hall + 1:02d}"


def racks_of(hall: int) -> list[str]:
    """The racks of a hall, row by row."""
    return [
        f"{hall_name(hall)}-r{row + 1:02d}-{rack + 1:02d}"
        for row, racks in enumerate(ROWS)
        for rack in range(racks)
    ]


def players(halls: int) -> Iterator[Player]:
    """All agents of the first halls, trays first."""
    for hall in range(halls):
        racks = racks_of(hall)
        trays = len(racks) * TRAYS
        for number in range(trays):
            rack, tray = divmod(number, TRAYS)
            name = f"{racks[rack]}-n{tray + 1:02d}"
            yield Player(name, hall, "gpu", number, SLOW_MS, number * SLOW_MS // trays)
        for number, rack_name in enumerate(racks):
            name = f"edge-{rack_name}"
            phase = number * SLOW_MS // len(racks)
            yield Player(name, hall, "climate", number, SLOW_MS, phase)
        for number, (name, role) in enumerate(meters_of(hall)):
            phase = number * METER_MS // meters_per_hall()
            yield Player(f"edge-{name}", hall, "power", number, METER_MS, phase, role)


def meters_of(hall: int) -> list[tuple[str, Role]]:
    """Names and roles of a hall's meters."""
    return [
        (f"{role}-{hall + 1:02d}-{number + 1:02d}", role)
        for role, count in METERS
        for number in range(count)
    ]


def meters_per_hall() -> int:
    """50."""
    return sum(count for _, count in METERS)


def sensors_of(rack: str) -> list[str]:
    """The sensors of a rack; the first two hang at its inlet and its outlet."""
    return [f"{rack}-s{number + 1:02d}" for number in range(SENSORS)]


def site_file(halls: int) -> str:
    """The site file of the first halls."""
    lines = [
        "# The reference campus, as the load generator plays it. Made by `rackwatt twin load`.",
        f"site: {{id: {SITE}, name: Campus, timezone: Africa/Casablanca, simulated: true}}",
        "meters:",
    ]
    for role, count in METERS:
        position = ", position: pdu_output" if role == "it" else ""
        lines.append(
            f'  - {{id: "{role}-[01-{halls:02d}]-[01-{count:02d}]", role: {role}, class: 0.5,'
            f" cadence: 1s{position}}}"
        )
    lines.append("halls:")
    for hall in range(halls):
        lines += _hall_lines(hall)
    lines.append("agents:")
    lines += [
        f"  - {{name: {player.name}, hall: {hall_name(player.hall)}}}"
        for player in players(halls)
        if player.kind != "gpu"
    ]
    return "\n".join(lines) + "\n"


def _hall_lines(hall: int) -> Sequence[str]:
    name = hall_name(hall)
    lines = [f"  - id: {name}", "    rows:"]
    for row, racks in enumerate(ROWS):
        at = f"{name}-r{row + 1:02d}"
        lines.append(
            f'      - {{id: {at}, racks: "{at}-[01-{racks:02d}]",'
            f' nodes: "{{rack}}-n[01-{TRAYS:02d}]",'
            ' sensors: {inlet: "{rack}-s01", outlet: "{rack}-s02"},'
            f' devices: "{{rack}}-s[03-{SENSORS:02d}]"}}'
        )
    return lines
