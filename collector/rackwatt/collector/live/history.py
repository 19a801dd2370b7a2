# SPDX-License-Identifier: Apache-2.0
"""The last hour of figures for the page's chart, one point each 10 s."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

STEP_MS: Final = 10_000
POINTS: Final = 360


@dataclass(frozen=True, slots=True)
class Point:
    """One instant: powers in W, ratios 0..1, None where unknown."""

    time_ms: int
    sources: Mapping[str, float | None]
    load: float | None
    pue: float | None
    renewable: float | None


class History:
    """The newest hour; older points fall out."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=POINTS)

    def add(self, point: Point) -> None:
        """Take a point, unless its 10 s already have one."""
        if self._points and point.time_ms // STEP_MS <= self._points[-1].time_ms // STEP_MS:
            return
        self._points.append(point)

    def as_dict(self) -> dict[str, Any]:
        """Columns, as the page wants them."""
        names: dict[str, None] = {}
        for point in self._points:
            names |= dict.fromkeys(point.sources)
        return {
            "step_seconds": STEP_MS // 1000,
            "times": [point.time_ms for point in self._points],
            "sources": {
                name: [point.sources.get(name) for point in self._points] for name in names
            },
            "load": [point.load for point in self._points],
            "pue": [point.pue for point in self._points],
            "renewable": [point.renewable for point in self._points],
        }
