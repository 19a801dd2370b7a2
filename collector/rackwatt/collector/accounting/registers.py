# SPDX-License-Identifier: Apache-2.0
"""Cumulative registers: from values to energy steps, and what happened in between.

A register that goes backwards rolled over (the step then fits its modulus), was reset, or sits in
another meter now. None of these is negative energy, and each is an event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from rackwatt.collector.accounting.power import MINIMUM_COVERAGE, Point, PowerCurve
from rackwatt.collector.accounting.vocabulary import HOUR_MS

DEFAULT_CADENCE_MS: Final = 10_000

FINE_RATIO: Final = 0.005
"""A register is fine where its resolution is at most this part of the energy it measures."""

_ROLL_OVER_MARGIN: Final = 2.0
"""A roll-over may hold this many times the energy of the greatest power around it."""

_JUMP_MARGIN: Final = 10.0
"""A forward step above this many times what the greatest power could do is another meter's."""

_ROLL_OVER_PART: Final = 0.05
"""Without any power reading, a roll-over is believed up to this part of the modulus."""

Happening = Literal["roll_over", "reset", "swap"]


@dataclass(frozen=True, slots=True)
class RegisterSpec:
    """What is known of a register.

    Attributes:
        cadence_ms: How often it is read.
        modulus_watt_hours: Where it wraps to 0, ``None`` if it is not known to.
        resolution_watt_hours: Its smallest step, ``None`` if not known: taken as fine.
    """

    cadence_ms: int = DEFAULT_CADENCE_MS
    modulus_watt_hours: float | None = None
    resolution_watt_hours: float | None = None


@dataclass(frozen=True, slots=True)
class RegisterEvent:
    """A register did not simply count on. ``time_ms`` is that of the reading after."""

    time_ms: int
    code: Happening
    before: float
    after: float


class Step(NamedTuple):
    """The energy in Wh between two neighbouring readings, ``None`` where the register broke."""

    start_ms: int
    end_ms: int
    watt_hours: float | None


def advance(
    before: Point, after: Point, spec: RegisterSpec, peak_watts: float | None
) -> tuple[float | None, Happening | None]:
    """Return the energy between two readings of a register, and what happened to it.

    Args:
        before: The earlier reading, Wh.
        after: The later reading, Wh.
        spec: The register.
        peak_watts: The greatest power read around the two, if any was.

    Returns:
        Energy in Wh (never negative), or ``None`` after a reset or a swap; and the event, if any.
    """
    slack = 2.0 * (spec.resolution_watt_hours or 0.0)
    (start_ms, first), (end_ms, last) = before, after
    possible = (peak_watts or 0.0) * (end_ms - start_ms) / HOUR_MS
    delta = last - first
    if delta >= 0.0:
        if possible > 0.0 and delta > _JUMP_MARGIN * possible + slack:
            return None, "swap"
        return delta, None
    modulus = spec.modulus_watt_hours
    if modulus is not None and last >= 0.0 and first < modulus:
        wrapped = modulus - first + last
        limit = _ROLL_OVER_MARGIN * possible if possible > 0.0 else _ROLL_OVER_PART * modulus
        if wrapped <= limit + slack:
            return wrapped, "roll_over"
    return None, "reset"


def steps(
    readings: Sequence[Point],
    spec: RegisterSpec,
    power: PowerCurve,
    swaps: Sequence[int] = (),
) -> tuple[list[Step], list[RegisterEvent]]:
    """Return the energy steps of a register and its events.

    Args:
        readings: Register values in Wh, sorted by time, at most one for each instant.
        spec: The register.
        power: The power of the same meter and direction, to judge what is possible.
        swaps: Times at which the meter is known to have been replaced.
    """
    found: list[Step] = []
    events: list[RegisterEvent] = []
    margin, slack = 2 * spec.cadence_ms, 2.0 * (spec.resolution_watt_hours or 0.0)
    ends, watts = power.ends, power.watts
    read, count = 0, len(ends)
    new = tuple.__new__  # a third of what the class' own way costs
    for before, after in pairwise(readings):
        (start, low), (end, high) = before, after
        while read < count and ends[read] <= end:
            read += 1
        energy: float | None = None
        code: Happening | None = "swap"
        if not swaps or not any(start < swap <= end for swap in swaps):
            delta = high - low
            # Where the last power explains the step, no greater one need be looked for.
            one = watts[read - 1] if read and ends[read - 1] >= start - margin else 0.0
            if 0.0 <= delta <= _JUMP_MARGIN * (one * (end - start) / HOUR_MS) + slack:
                found.append(new(Step, (start, end, delta)))
                continue
            energy, code = advance(before, after, spec, _peak(start, end, spec, power))
        found.append(new(Step, (start, end, energy)))
        if code is not None:
            events.append(RegisterEvent(end, code, low, high))
    return found, events


def _peak(start_ms: int, end_ms: int, spec: RegisterSpec, power: PowerCurve) -> float | None:
    """Return the greatest power around a step, ``None`` if it may have been greater unread.

    At the edges of a gap panels may stand in twilight, and at noon in its middle.
    """
    margin, span = 2 * spec.cadence_ms, end_ms - start_ms
    if span > margin and power.integral(start_ms, end_ms)[1] < MINIMUM_COVERAGE * span:
        return None
    return power.peak(start_ms - margin, end_ms)
