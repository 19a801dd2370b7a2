# SPDX-License-Identifier: Apache-2.0
"""What the store should hold after a load of the campus, and how old it was when it came there."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rackwatt.twin.load.campus import GPUS, SENSORS, players
from rackwatt.twin.load.payloads import gpu_name, gpu_power

COUNTED: Final = {
    "gpu": "power_watts",
    "climate": "temperature_celsius",
    "power": "power_watts",
}
"""A field that each reading of a kind has."""
DEVICES: Final = {"gpu": GPUS, "climate": SENSORS, "power": 1}
"""Of one message."""
_COMPARED: Final = 20


def readings_of(by_kind: Mapping[str, int]) -> int:
    """Readings in so many messages."""
    return sum(DEVICES[kind] * count for kind, count in by_kind.items())


def counts_of(by_kind: Mapping[str, int]) -> dict[str, int]:
    """The same by kind."""
    return {kind: DEVICES[kind] * count for kind, count in by_kind.items()}


def samples(sent: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Statements and what they should give: whole series of GPUs here and there."""
    everyone = [player for player in players(sent["halls"]) if player.kind == "gpu"]
    end_ms = round(sent["seconds"] * 1000) - 1
    for number in range(_COMPARED):
        player = everyone[number * (len(everyone) // _COMPARED)]
        gpu = number % GPUS
        name = gpu_name(player, gpu)
        last = (end_ms - player.phase_ms) // player.period_ms + 1
        rows = [
            {
                "measurement": "gpu",
                "time": sent["start_ms"] + player.phase_ms + (seq - 1) * player.period_ms,
                "power_watts": gpu_power(player, gpu, seq),
            }
            for seq in range(1, last + 1)
        ]
        yield f"SELECT power_watts FROM gpu WHERE device = '{name}'", rows  # noqa: S608


def within(values: Mapping[str, float]) -> dict[str, float]:
    """Seconds from reading to store that 50, 95 and 99 % of rows stayed within."""
    counts: list[tuple[float, float]] = []
    for name, value in values.items():
        found = re.fullmatch(r'store_rows_within_total\{seconds="([^"]+)"\}', name)
        if found:
            counts.append((float(found[1].replace("+Inf", "inf")), value))
    counts.sort()
    if not counts or not counts[-1][1]:
        return {}
    total = counts[-1][1]
    result: dict[str, float] = {}
    for part in (0.5, 0.95, 0.99, 1.0):
        edge = next(seconds for seconds, count in counts if count >= part * total)
        result[f"p{part * 100:g}_at_most"] = edge
    return result
