# SPDX-License-Identifier: Apache-2.0
"""Factors over time: what a site's own series say of an instant, before all defaults."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["direct", "life_cycle"]
FactorType = Literal["average", "marginal"]

CARBON_FREE: Final = "grid_carbon_free"
"""The item whose value is the carbon-free part of the grid, 0..1; its scope is ``direct``."""

SeriesItem = Literal["pv", "wind", "hydro", "grid", "genset", "residual", "grid_carbon_free"]


@dataclass(frozen=True, slots=True)
class FactorLine:
    """A factor that holds for a half-open span of time.

    Attributes:
        item: Of what.
        scope: ``direct`` or ``life_cycle``.
        start_ms: From when on, ms since 1970 UTC.
        end_ms: Until when.
        value: g CO2e/kWh; for :data:`CARBON_FREE` 0..1.
        type: ``average`` or ``marginal``.
        estimated: A model rather than a measurement.
        source: Who says so.
    """

    item: SeriesItem
    scope: Scope
    start_ms: int
    end_ms: int
    value: float
    type: FactorType = "average"
    estimated: bool = False
    source: str = ""


class FactorSeries:
    """The lines of one item and scope by time. The lines must not overlap.

    Args:
        lines: In any order.

    Raises:
        ValueError: Two lines hold at once.
    """

    __slots__ = ("_lines", "_starts")

    def __init__(self, lines: Iterable[FactorLine]) -> None:
        self._lines: Sequence[FactorLine] = sorted(lines, key=lambda line: line.start_ms)
        self._starts = [line.start_ms for line in self._lines]
        for before, after in zip(self._lines, self._lines[1:], strict=False):
            if before.end_ms > after.start_ms:
                msg = f"two factors of {after.item} ({after.scope}) hold at {after.start_ms} ms"
                raise ValueError(msg)

    def at(self, instant_ms: int) -> FactorLine | None:
        """Return the line that holds at an instant, if any."""
        index = bisect_right(self._starts, instant_ms) - 1
        if index < 0 or self._lines[index].end_ms <= instant_ms:
            return None
        return self._lines[index]

    @property
    def edges(self) -> list[int]:
        """The instants at which something changes, ms."""
        return sorted({*self._starts, *(line.end_ms for line in self._lines)})


def by_item(lines: Iterable[FactorLine]) -> dict[tuple[str, Scope], FactorSeries]:
    """Group lines by item and scope.

    Raises:
        ValueError: Two lines of one item and scope hold at once.
    """
    groups: dict[tuple[str, Scope], list[FactorLine]] = {}
    for line in lines:
        groups.setdefault((line.item, line.scope), []).append(line)
    return {key: FactorSeries(group) for key, group in groups.items()}
