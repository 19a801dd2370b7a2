# SPDX-License-Identifier: Apache-2.0
"""What the messages hold: each a function of its agent and its number.

So any can be made again, without memory of what was sent. Powers move by a pattern that comes back
after 60 messages, energies are its sums: a register agrees with the powers. All meters move alike,
so that sources and loads balance at each instant.
"""

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

What = Literal["tray", "rack", "meter"]
GPUS: Final = 4
_TURNS: Final = 60
_SWAY: Final = [0.12 * math.sin(2 * math.pi * turn / _TURNS) for turn in range(_TURNS)]
"""How far a power is from its mean, as a part of it; their sum is 0."""
_SUMS: Final = list(accumulate(_SWAY))
_ORIGIN_MS: Final = 1_750_000_000_000
"""Registers count from here on: a load that begins again goes on with them."""
_GPU: Final = (
    '{"device":"%s/GPU-%08x-4d1c-4e5f-8a9b-00000000000N","power_watts":%.3f,'
    '"power_min_watts":%.3f,"power_max_watts":%.3f,"power_instant_watts":%.3f,'
    '"power_limit_watts":1200.0,"energy_import_watt_hours":%.4f,"temperature_celsius":%.1f,'
    '"memory_temperature_celsius":71.0,"utilization_ratio":%.2f,'
    '"memory_utilization_ratio":0.61,"memory_used_bytes":151397597184.0,'
    '"memory_total_bytes":206158430208.0,"sm_clock_hertz":1965000000.0,'
    '"memory_clock_hertz":3996000000.0,"clock_event_reasons_bitmask":4.0,'
    '"ecc_corrected_errors_total":0.0,"ecc_uncorrected_errors_total":0.0,'
    '"remapped_rows_total":0.0,"pcie_replays_total":0.0,"performance_state_number":0.0}'
)
_TRAY: Final = ",".join(_GPU.replace("N", str(gpu)) for gpu in range(GPUS))
_SENSOR: Final = '{"device":"%s","temperature_celsius":%.2f}'
_METER: Final = (
    '{"device":"%s","power_watts":%.3f,"power_min_watts":%.3f,"power_max_watts":%.3f,'
    '"energy_import_watt_hours":%.3f,"voltage_volts":%.1f,"frequency_hertz":%.2f,'
    '"power_factor_ratio":0.98}'
)
_HEAD: Final = '{"epoch":%d,"seq":%d,"time":%d,"readings":['
FIELDS: Final = {"tray": 20 * GPUS, "rack": 1, "meter": 7}
"""Field values of a message, of a rack per sensor."""


@dataclass(slots=True)
class Voice:
    """One agent: what it is, and how far it has come.

    Attributes:
        name: Its name in topics.
        hall: Its hall in topics.
        what: What it reads.
        number: Among all agents.
        devices: What it reports of: a node, sensors, a meter.
        watts: Mean power of a tray or meter.
        period_ms: Between two messages.
        phase_ms: Its turn within the period.
        topic: Of its messages.
        link: Number of the connection that carries it.
        taken: The newest message that was made.
        sent_through: The newest up to which the broker has acknowledged all.
    """

    name: str
    hall: str
    what: What
    number: int
    devices: tuple[str, ...]
    watts: float
    period_ms: int
    phase_ms: int
    topic: str = ""
    link: int = 0
    taken: int = 0
    sent_through: int = 0


def devices_of(voice: Voice) -> list[str]:
    """The devices of its readings, in their order."""
    if voice.what != "tray":
        return list(voice.devices)
    node, number = voice.devices[0], voice.number
    return [f"{node}/GPU-{number:08x}-4d1c-4e5f-8a9b-{gpu:012x}" for gpu in range(GPUS)]


def power_and_energy(watts: float, turn: int, period_ms: int) -> tuple[float, float]:
    """Mean power of a turn in W, and the register at its end in Wh.

    Args:
        watts: mean over all turns.
        turn: counted from one origin for all.
        period_ms: its length.
    """
    at = turn % _TURNS
    return watts * (1.0 + _SWAY[at]), watts * (turn + _SUMS[at]) * period_ms / 3_600_000


def body(voice: Voice, seq: int, first_ms: int) -> str:
    """The readings of its `seq`th message, without the brackets.

    Args:
        voice: whose.
        seq: from 1 on.
        first_ms: when messages began, in ms.
    """
    turn = (first_ms - _ORIGIN_MS) // voice.period_ms + seq
    if voice.what == "tray":
        return _tray(voice, turn + voice.number)
    if voice.what == "rack":
        warm = 22.0 + voice.number % 50 / 10 + turn % 7 / 10
        return ",".join(
            [_SENSOR % (device, warm + at % 20 / 2) for at, device in enumerate(voice.devices)]
        )
    watts, energy = power_and_energy(voice.watts, turn, voice.period_ms)
    return _METER % (
        voice.devices[0], watts, watts * 0.99, watts * 1.01, energy, 20_000 + turn % 40,
        49.98 + turn % 5 / 100,
    )  # fmt: skip


def _tray(voice: Voice, turn: int) -> str:
    name, number = voice.devices[0], voice.number
    watts, energy = power_and_energy(voice.watts / GPUS, turn, voice.period_ms)
    low, high, now = watts - 90.5, watts + 120.25, watts + turn % 13
    warm, load = 60.0 + turn % 11, 0.8 + turn % 19 / 100
    return _TRAY % (
        name, number, watts, low, high, now, energy, warm, load,
        name, number, watts, low, high, now + 1, energy + 1e3, warm + 1, load,
        name, number, watts, low, high, now + 2, energy + 2e3, warm + 2, load,
        name, number, watts, low, high, now + 3, energy + 3e3, warm + 3, load,
    )  # fmt: skip


def payload(voice: Voice, seq: int, epoch: int, first_ms: int) -> bytes:
    """A message as bytes.

    Args:
        voice: whose.
        seq: its number, from 1 on.
        epoch: of the run.
        first_ms: when messages began, in ms: the first of an agent comes at its phase after it.
    """
    time_ms = first_ms + voice.phase_ms + (seq - 1) * voice.period_ms
    head = _HEAD % (epoch, seq, time_ms)
    return f"{head}{body(voice, seq, first_ms)}]}}".encode()
