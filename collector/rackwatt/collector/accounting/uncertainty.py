# SPDX-License-Identifier: Apache-2.0
"""Uncertainty after the GUM: first order, propagated down to physical meters.

A meter of class c (percent) has the relative standard uncertainty ``c / sqrt(3)``, the class of its
transformers added to its own. One meter's error is the same in all intervals (correlation 1 in
time), so it never averages out over a month. Meters of one calibration group are correlated, by
0.5 unless more is known; all others are independent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Final

COVERAGE_FACTOR: Final = 2.0
"""What is shown behind "plus or minus": k = 2, about 95 %."""

GROUP_CORRELATION: Final = 0.5
_ROOT: Final = sqrt(3.0)


@dataclass(frozen=True, slots=True)
class MeterClass:
    """How good a physical meter is.

    Attributes:
        accuracy: Its class, percent.
        transformer: Class of its current and voltage transformers, percent; 0: none, or included.
        group: Calibration group; empty: it shares its errors with nobody.
    """

    accuracy: float
    transformer: float = 0.0
    group: str = ""

    @property
    def relative(self) -> float:
        """Relative standard uncertainty."""
        return (self.accuracy + self.transformer) / 100.0 / _ROOT


def standard_uncertainty(
    energies: Mapping[str, float],
    meters: Mapping[str, MeterClass],
    *,
    correlation: float = GROUP_CORRELATION,
    resolutions: Mapping[str, float] | None = None,
) -> float | None:
    """Return the standard uncertainty of a sum of meters.

    Args:
        energies: By physical meter, its energy times its sensitivity (Wh for a sum of energies;
            below 0 where it is taken off). A meter that counts twice is given once, with its sum.
        meters: Their classes.
        correlation: Within a calibration group, 0..1.
        resolutions: Resolution of the registers at both ends, times the sensitivity, by meter; not
            named: finer than matters.

    Returns:
        In the unit of the energies; ``None`` if the class of a meter that counts is unknown.
    """
    alone: list[float] = []
    groups: dict[str, list[float]] = {}
    for name, energy in energies.items():
        if energy == 0.0:
            continue
        meter = meters.get(name)
        if meter is None:
            return None
        part = energy * meter.relative
        if meter.group:
            groups.setdefault(meter.group, []).append(part)
        else:
            alone.append(part)
    return combined(alone, groups, (resolutions or {}).values(), correlation)


def combined(
    alone: Iterable[float],
    groups: Mapping[str, Sequence[float]],
    steps: Iterable[float],
    correlation: float = GROUP_CORRELATION,
) -> float:
    """Return the standard uncertainty of a sum, in the unit of its parts.

    Args:
        alone: What each meter adds to it whose error is its own.
        groups: The same of calibration groups.
        steps: Resolutions of registers, times their sensitivity.
        correlation: Within a calibration group, 0..1.
    """
    squares = [part * part for part in alone]
    for parts in groups.values():
        own = fsum(part * part for part in parts)
        together = fsum(parts)
        squares.append((1.0 - correlation) * own + correlation * together * together)
    # Two readings, each uniform over one step of the register: 2 / 12.
    squares += [step * step / 6.0 for step in steps]
    return sqrt(fsum(squares))


def expanded(standard: float | None) -> float | None:
    """Return the expanded uncertainty, k = 2."""
    return None if standard is None else COVERAGE_FACTOR * standard


def ratio_uncertainty(
    numerator: Mapping[str, float],
    denominator: Mapping[str, float],
    meters: Mapping[str, MeterClass],
    *,
    correlation: float = GROUP_CORRELATION,
) -> float | None:
    """Return the standard uncertainty of a ratio of two sums of meters, as a PUE is.

    A meter in both terms is one meter: what its error does to one it does to the other.

    Args:
        numerator: By physical meter, its energy times its sign in the numerator, Wh.
        denominator: The same for the denominator.
        meters: Their classes.
        correlation: Within a calibration group, 0..1.

    Returns:
        Without unit; ``None`` if a class is unknown or the denominator is not above 0.
    """
    over, under = fsum(numerator.values()), fsum(denominator.values())
    if under <= 0.0:
        return None
    ratio = over / under
    names = {**numerator, **denominator}
    parts = {
        name: (numerator.get(name, 0.0) - ratio * denominator.get(name, 0.0)) / under
        for name in names
    }
    return standard_uncertainty(parts, meters, correlation=correlation)
