# SPDX-License-Identifier: Apache-2.0
"""Energies of intervals from one meter's register and power readings.

The register comes first: its total is exact across any gap. Power gives the *shape* where the
register is too coarse or silent, and stands in, marked as estimated, where there is no register.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import fsum
from typing import Final, NamedTuple

from rackwatt.collector.accounting.power import MINIMUM_COVERAGE, Point, PowerCurve
from rackwatt.collector.accounting.registers import (
    FINE_RATIO,
    RegisterEvent,
    RegisterSpec,
    Step,
    steps,
)
from rackwatt.collector.accounting.vocabulary import HOUR_MS, total

_PART_HOUR_RATIO: Final = 0.05
"""A part of an hour is scaled to its register only where the resolution is this fine."""


class Energy(NamedTuple):
    """The energy of one interval and how it was found.

    Attributes:
        watt_hours: Never negative; ``None`` if unknown.
        estimated: Some of it is integrated power: no register spans it.
        shape_estimated: Its sum is a register's, its place in time is not.
        provisional: Integrated power, until its hour is closed and takes the register's sum.
    """

    watt_hours: float | None
    estimated: bool = False
    shape_estimated: bool = False
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class MeterData:
    """One direction of one meter: readings sorted by time, at most one for each instant.

    Attributes:
        registers: Register values, Wh. To be exact at the edges, the readings just outside the
            boundaries belong to it.
        powers: Mean powers, W, each over the window that ends at its time.
        spec: The register.
        swaps: Times at which the meter is known to have been replaced.
        parent: Power of the meter above, for the shape of a gap in which this one was silent.
        parent_cadence_ms: How often that one reports; ``None``: as often as this one.
    """

    registers: Sequence[Point] = ()
    powers: Sequence[Point] = ()
    spec: RegisterSpec = field(default_factory=RegisterSpec)
    swaps: Sequence[int] = ()
    parent: Sequence[Point] = ()
    parent_cadence_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Curves:
    steps: Sequence[Step]
    power: PowerCurve
    parent: PowerCurve
    near_ms: int
    """A step this long needs no shape."""


def energies(
    boundaries: Sequence[int], data: MeterData
) -> tuple[list[Energy], list[RegisterEvent]]:
    """Return the energy of each interval between boundaries, and the register's events.

    Where the register's resolution exceeds 0.5 % of an interval's energy, power gives the shape.
    An hour (UTC) that stands complete between the boundaries then sums up to its register; an
    hour that does not is provisional. Pass whole hours for closed ones, single intervals else.

    Args:
        boundaries: Times in ms, ascending.
        data: The meter.
    """
    power = PowerCurve(data.powers, data.spec.cadence_ms)
    parent = PowerCurve(data.parent, data.parent_cadence_ms or data.spec.cadence_ms)
    found, events = steps(data.registers, data.spec, power, data.swaps)
    curves = _Curves(found, power, parent, 2 * data.spec.cadence_ms)
    spans = list(pairwise(boundaries))
    result = _from_registers(spans, curves)
    resolution = data.spec.resolution_watt_hours
    if resolution is None or not found:
        return result, events
    whole = [power.energy(start, end) for start, end in spans]
    for group, closed in _hours(spans):
        shaped = _shape_hour if closed else _shape_open
        result[group] = shaped(result[group], whole[group], resolution)
    return result, events


def _from_registers(spans: Sequence[tuple[int, int]], curves: _Curves) -> list[Energy]:
    """Put intervals together from register steps, and power where there is none."""
    found, result = curves.steps, list[Energy]()
    at, count = 0, len(found)
    new = tuple.__new__  # a third of what the class' own way costs
    for start, end in spans:
        while at < count and found[at][1] <= start:
            at += 1
        if at < count:
            first, last, watt_hours = found[at]
            if first == start and last == end and watt_hours is not None:
                # A meter that is read at each boundary: one step is one interval.
                result.append(new(Energy, (watt_hours + 0.0, False, False, False)))
                continue
        result.append(_from_register(start, end, at, curves))
    return result


def _from_register(start: int, end: int, at: int, curves: _Curves) -> Energy:
    """Put an interval together, from the first step on that ends after its start."""
    parts: list[float] = []
    pieces: list[Energy] = []
    reached, near, found = start, curves.near_ms, curves.steps
    for index in range(at, len(found)):
        step = found[index]
        first, last, watt_hours = step
        if first >= end:
            break
        if first > reached:
            pieces.append(Energy(curves.power.energy(reached, first), estimated=True))
        left = first if first > start else start  # noqa: FURB136 - it is called for each reading
        right = last if last < end else end  # noqa: FURB136
        span = last - first
        if span <= near and watt_hours is not None:
            parts.append(watt_hours * ((right - left) / span))  # nearly all of them
        else:
            pieces.append(_piece(step, left, right, curves))
        reached = right
    if reached < end:
        pieces.append(Energy(curves.power.energy(reached, end), estimated=True))
    if not pieces:
        return Energy(fsum(parts))
    energy = total([*parts, *(piece.watt_hours for piece in pieces)])
    return Energy(
        energy,
        estimated=energy is not None and any(piece.estimated for piece in pieces),
        shape_estimated=energy is not None and any(piece.shape_estimated for piece in pieces),
    )


def _piece(step: Step, left: int, right: int, curves: _Curves) -> Energy:
    """Return the part of a long or broken register step that lies between two instants of it."""
    if step.watt_hours is None:
        return Energy(curves.power.energy(left, right), estimated=True)
    flat = (right - left) / (step.end_ms - step.start_ms)
    if (left, right) == (step.start_ms, step.end_ms):
        return Energy(step.watt_hours)
    for curve in (curves.power, curves.parent):
        part = _part(curve, step, left, right)
        if part is not None:
            return Energy(step.watt_hours * part, shape_estimated=True)
    return Energy(step.watt_hours * flat, shape_estimated=True)


def _part(curve: PowerCurve, step: Step, left: int, right: int) -> float | None:
    """Return which part of a step's energy lies between two instants, by a curve's shape.

    Small holes of the curve take its mean, so that the parts of a step sum to 1.
    """
    span = step.end_ms - step.start_ms
    energy, covered = curve.integral(step.start_ms, step.end_ms)
    if energy <= 0.0 or covered < MINIMUM_COVERAGE * span:
        return None
    mean = energy / covered
    part, part_covered = curve.integral(left, right)
    return (part + mean * (right - left - part_covered)) / (mean * span)


def _hours(spans: Sequence[tuple[int, int]]) -> list[tuple[slice, bool]]:
    """Group intervals by hour; say of each group whether it is the complete hour."""
    groups: list[tuple[slice, bool]] = []
    first = 0
    for index, (_, end) in enumerate(spans):
        hour = spans[first][0] // HOUR_MS
        last = index + 1 == len(spans) or spans[index + 1][0] // HOUR_MS != hour
        if last:
            complete = spans[first][0] == hour * HOUR_MS and end == (hour + 1) * HOUR_MS
            groups.append((slice(first, index + 1), complete))
            first = index + 1
    return groups


def _shape_open(
    counted: Sequence[Energy], integrated: Sequence[float | None], resolution: float
) -> list[Energy]:
    """Take integrated power where the register is too coarse; its sum comes with the hour."""
    result: list[Energy] = []
    for energy, power in zip(counted, integrated, strict=True):
        best = energy.watt_hours if power is None else power
        if best is None or energy.estimated or resolution <= FINE_RATIO * best:
            result.append(energy)
        elif power is None:
            result.append(energy._replace(shape_estimated=True))
        else:
            result.append(Energy(power, provisional=True))
    return result


def _shape_hour(
    counted: Sequence[Energy], integrated: Sequence[float | None], resolution: float
) -> list[Energy]:
    """Shape a closed hour by power so that it sums up to its register, if that is too coarse."""
    exact = [
        index
        for index, energy in enumerate(counted)
        if energy.watt_hours is not None and not energy.estimated
    ]
    whole = fsum(counted[index].watt_hours or 0.0 for index in exact)
    if not exact or resolution * len(exact) <= FINE_RATIO * whole:
        return list(counted)
    if len(exact) < len(counted) and resolution > _PART_HOUR_RATIO * whole:
        # A few minutes of a coarse register say less about their sum than power does.
        return [
            item._replace(provisional=False, estimated=item.provisional or item.estimated)
            for item in _shape_open(counted, integrated, resolution)
        ]
    result = list(counted)
    weights = {index: _weight(counted[index], integrated[index]) for index in exact}
    weight = fsum(weights.values())
    for index in exact:
        if weight > 0.0:
            result[index] = counted[index]._replace(
                watt_hours=whole * weights[index] / weight,
                shape_estimated=counted[index].shape_estimated or integrated[index] is None,
            )
    return result


def _weight(counted: Energy, integrated: float | None) -> float:
    return (counted.watt_hours or 0.0) if integrated is None else integrated
