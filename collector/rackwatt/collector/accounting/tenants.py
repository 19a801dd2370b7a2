# SPDX-License-Identifier: Apache-2.0
"""Tenants: who held what when, their part of the overhead, and parts rounded to a whole.

A tenant pays for what is reserved, be it idle. What nobody holds, and its overhead, is the
operator's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, fsum
from typing import Final

from rackwatt.collector.accounting.vocabulary import HOUR_MS, total

OPERATOR: Final = "operator"
"""Who has what no tenant holds."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A tenant holds something during a half-open span, ms since 1970 UTC."""

    tenant: str
    start_ms: int
    end_ms: int

    @property
    def hours(self) -> float:
        """How long."""
        return (self.end_ms - self.start_ms) / HOUR_MS


@dataclass(frozen=True, slots=True)
class Allocation:
    """A tenant's energies, Wh; ``None`` = unknown."""

    it: float | None
    overhead: float | None

    @property
    def load(self) -> float | None:
        """IT and overhead."""
        return total((self.it, self.overhead))


def holdings(given: Iterable[Holding], start_ms: int, end_ms: int) -> list[Holding]:
    """Return who holds a thing in a span without a gap: the operator where nobody else does.

    Args:
        given: Holdings of one thing, which do not overlap.
        start_ms: Start of the span.
        end_ms: Its end.
    """
    result: list[Holding] = []
    reached = start_ms
    for item in sorted(given, key=lambda holding: holding.start_ms):
        low, high = max(item.start_ms, reached), min(item.end_ms, end_ms)
        if low >= high:
            continue
        if low > reached:
            result.append(Holding(OPERATOR, reached, low))
        result.append(Holding(item.tenant, low, high))
        reached = high
    if reached < end_ms:
        result.append(Holding(OPERATOR, reached, end_ms))
    return result


def within(boundaries: Sequence[int], start_ms: int, end_ms: int) -> tuple[float, ...]:
    """Return which part of each interval between boundaries lies in a span, 0..1."""
    return tuple(
        max(min(right, end_ms) - max(left, start_ms), 0) / (right - left)
        for left, right in pairwise(boundaries)
    )


def allocate(it: Mapping[str, float | None], overhead: float | None) -> dict[str, Allocation]:
    """Share the overhead of one interval pro rata to IT energy.

    Without any IT energy the overhead is the operator's.

    Args:
        it: IT energy by tenant, Wh; the operator's is what nobody holds.
        overhead: Load less IT, Wh.
    """
    whole = total(it.values())
    if whole is None or overhead is None:
        return {tenant: Allocation(own, None) for tenant, own in it.items()}
    if whole <= 0.0:
        own = {OPERATOR: 0.0, **it}
        return {
            tenant: Allocation(value, overhead if tenant == OPERATOR else 0.0)
            for tenant, value in own.items()
        }
    return {tenant: Allocation(own, overhead * (own or 0.0) / whole) for tenant, own in it.items()}


def largest_remainder(parts: Mapping[str, float], unit: float = 1.0) -> dict[str, int]:
    """Round parts to whole units so that they add up to their rounded sum.

    Each is rounded down; the units that are left go to the largest remainders, in order of name
    where two are equal.

    Args:
        parts: By name.
        unit: The size of a unit, in the parts' own unit: 1000 makes kWh of Wh.

    Returns:
        Numbers of units by name.
    """
    scaled = {name: value / unit for name, value in parts.items()}
    result = {name: floor(value) for name, value in scaled.items()}
    left = round(fsum(scaled.values())) - sum(result.values())
    order = sorted(scaled, key=lambda name: (result[name] - scaled[name], name))
    for name in order[:left]:
        result[name] += 1
    return result
