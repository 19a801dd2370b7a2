# SPDX-License-Identifier: Apache-2.0
"""Exact sums that can be added to and merged: no order of arrival can show in them."""

from collections.abc import Iterable
from math import fsum
from typing import Final

_LONGEST: Final = 4096


class ExactSum:
    """A sum of floats without any rounding until it is read.

    Characteristics: holds the numbers as they came, and now and then replaces them by the few
    floats that have exactly the same sum. So it stays small, merging is exact, and its value is
    what ``math.fsum`` over all numbers says, whatever their order. Not thread-safe.
    """

    __slots__ = ("_parts",)

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._parts: list[float] = []
        self.extend(values)

    @property
    def value(self) -> float:
        """The sum, rounded once."""
        return fsum(self._parts)

    @property
    def parts(self) -> tuple[float, ...]:
        """Floats whose exact sum this is."""
        return tuple(self._parts)

    def add(self, value: float) -> None:
        """Add one number, which must be finite."""
        self._parts.append(value)

    def extend(self, values: Iterable[float]) -> None:
        """Add numbers, which must be finite."""
        self._parts.extend(values)
        if len(self._parts) > _LONGEST:
            self._parts = exact_parts(self._parts)

    def merge(self, other: "ExactSum") -> None:
        """Add what another sum holds."""
        self.extend(other.parts)

    def copy(self) -> "ExactSum":
        """Return an independent one."""
        return ExactSum(self._parts)


def exact_parts(values: list[float]) -> list[float]:
    """Return few floats with exactly the same sum: the rounded sum, what it left, and so on."""
    parts: list[float] = []
    rest = values
    while part := fsum(rest):
        parts.append(part)
        rest = [*rest, -part]
    return parts
