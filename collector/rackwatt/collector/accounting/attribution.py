# SPDX-License-Identifier: Apache-2.0
"""Energy down a tree of places: what a place drew is what the places in it drew, to the last Wh.

The parent's energy P is known, its children have meters M, counters C or nothing:

- sum(M) <= P: what remains goes to the children without a known meter: to each what its counters
  say, and of the rest a part by its number of GPUs. Where every child is metered, the remainder
  is shared by the stated rule: pro rata to their energies, or by their number of GPUs.
- sum(M) > P: the children are scaled to P, which is flagged.
- P unknown: metered children keep their energies, the others are unknown: never 0.

Within a span everything below a meter has the course in time of that meter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

SCALED: Final = "children_scaled"
"""The meters or counters in a place said more than its own meter."""

BY_DIFFERENCE: Final = "by_difference"
"""A meter was silent: its place has what its siblings left of their parent's energy."""

_TOLERANCE: Final = 1e-9
"""Relative; an excess below it is rounding."""

Course = tuple[float, ...]
"""Energies of consecutive intervals, Wh."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What a place drew: a part of what the meter at or above it measured.

    Attributes:
        course: That meter's energies, Wh by interval.
        factor: The place's part of them.
    """

    course: Course
    factor: float = 1.0

    @property
    def watt_hours(self) -> float:
        """The energy of the whole span."""
        return self.factor * fsum(self.course)

    @property
    def resolved(self) -> Course:
        """The place's own energies by interval."""
        return self.course if self.factor == 1.0 else tuple(self.factor * e for e in self.course)


@dataclass(frozen=True, slots=True)
class Part:
    """A child, as far as it is metered.

    Attributes:
        metered: What its meter says, ``None`` if it has none, or if an interval is unknown.
        counted: What counters below it say, Wh; it counts where there is no known meter.
        gpus: How many GPUs it holds, ``None`` if that is not known: it then weighs as much as its
            siblings do on average.
        has_meter: It is metered, even if its meter was silent.
    """

    metered: Course | None = None
    counted: float = 0.0
    gpus: float | None = None
    has_meter: bool = False


@dataclass(frozen=True, slots=True)
class Division:
    """What the children drew, in their order, and what was odd."""

    amounts: tuple[Amount | None, ...]
    flags: frozenset[str] = frozenset()


def divide(whole: Amount | None, parts: Sequence[Part], *, by_gpus: bool = False) -> Division:
    """Divide what a place drew among the places in it; their energies add up to its own.

    Args:
        whole: The place, ``None`` if its energy is unknown.
        parts: The places in it.
        by_gpus: Where all are metered, the remainder goes by the number of GPUs (what a rack
            draws besides its nodes), else pro rata to energy (losses on the way to the racks).
    """
    if whole is None or not parts:
        known = (None if p.metered is None else Amount(p.metered) for p in parts)
        return Division(tuple(known))
    course = whole.resolved
    metered = [part.metered for part in parts if part.metered is not None]
    sums = tuple(fsum(values) for values in zip(*metered, strict=True)) or (0.0,) * len(course)
    rest = tuple(p - m for p, m in zip(course, sums, strict=True))
    remainder, limit = fsum(rest), _TOLERANCE * max(abs(fsum(course)), fsum(sums))
    flags: set[str] = set()
    if remainder < -limit:
        flags.add(SCALED)
    silent = [part for part in parts if part.metered is None]
    if any(part.has_meter for part in silent):
        flags.add(BY_DIFFERENCE)
    if silent and remainder >= -limit:
        fractions, exceeded = _fractions(remainder, limit, silent)
        flags |= {SCALED} if exceeded else set()
        return Division(_interleaved(parts, metered, rest, fractions), frozenset(flags))
    weights = _weights([part for part in parts if part.metered is not None])
    if by_gpus and remainder >= -limit:
        scaled = [_added(own, rest, w) for own, w in zip(metered, weights, strict=True)]
    else:
        scaled = [_scaled(own, course, sums, w) for own, w in zip(metered, weights, strict=True)]
    nothing = [0.0] * len(silent)
    return Division(_interleaved(parts, scaled, course, nothing), frozenset(flags))


def measured(parts: Sequence[Part]) -> Course | None:
    """Return the sum of places that make up a whole, ``None`` if one of them is unknown."""
    courses = [part.metered for part in parts if part.metered is not None]
    if not parts or len(courses) < len(parts):
        return None
    return tuple(fsum(values) for values in zip(*courses, strict=True))


def _fractions(remainder: float, limit: float, silent: Sequence[Part]) -> tuple[list[float], bool]:
    """Which part of the remainder each child without a known meter has; whether counters exceed."""
    weights = _weights(silent)
    if remainder <= limit:
        return weights, fsum(part.counted for part in silent) > limit
    counted = fsum(part.counted for part in silent)
    if counted > remainder:
        exceeded = counted > remainder * (1.0 + _TOLERANCE)
        return [part.counted / counted for part in silent], exceeded
    free = remainder - counted
    return [
        (part.counted + free * weight) / remainder
        for part, weight in zip(silent, weights, strict=True)
    ], False


def _weights(parts: Sequence[Part]) -> list[float]:
    """Parts of the GPUs; they sum to 1."""
    known = [part.gpus for part in parts if part.gpus is not None]
    usual = fsum(known) / len(known) if known else 1.0
    counts = [usual if part.gpus is None else part.gpus for part in parts]
    whole = fsum(counts)
    if whole <= 0.0:
        return [1.0 / len(parts)] * len(parts)
    return [count / whole for count in counts]


def _added(own: Course, rest: Course, weight: float) -> Course:
    return tuple(e + weight * r for e, r in zip(own, rest, strict=True))


def _scaled(own: Course, whole: Course, sums: Course, weight: float) -> Course:
    """Pro rata to energy, interval by interval; by GPUs where nothing was measured."""
    return tuple(
        p * (e / s) if s > 0.0 else p * weight for e, p, s in zip(own, whole, sums, strict=True)
    )


def _interleaved(
    parts: Sequence[Part],
    metered: Sequence[Course],
    rest: Course,
    fractions: Sequence[float],
) -> tuple[Amount, ...]:
    known, others = iter(metered), iter(fractions)
    return tuple(
        Amount(rest, next(others)) if part.metered is None else Amount(next(known))
        for part in parts
    )
