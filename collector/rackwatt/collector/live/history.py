# SPDX-License-Identifier: Apache-2.0
"""The last hour of figures for the page's chart, one mean each 10 s."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rackwatt.collector.live.devices import mean

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
    """The newest hour; older points fall out.

    A point is the mean of its 10 s: training steps swing whole halls within seconds, and one
    sample of them each 10 s would show beats that are not there.
    """

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._step: list[Point] = []

    def add(self, point: Point) -> None:
        """Take the figures of a moment, in order of time; an older one is left out."""
        if self._step and point.time_ms <= self._step[-1].time_ms:
            return
        if self._step and point.time_ms // STEP_MS != self._step[0].time_ms // STEP_MS:
            self._points.append(_mean(self._step))
            self._step = []
        self._step.append(point)

    def as_dict(self) -> dict[str, Any]:
        """Columns, as the page wants them."""
        points = [*self._points, *([_mean(self._step)] if self._step else [])][-POINTS:]
        names = dict.fromkeys(name for point in points for name in point.sources)
        return {
            "step_seconds": STEP_MS // 1000,
            "times": [point.time_ms for point in points],
            "sources": {name: [point.sources.get(name) for point in points] for name in names},
            "load": [point.load for point in points],
            "pue": [point.pue for point in points],
            "renewable": [point.renewable for point in points],
        }


def _mean(points: Sequence[Point]) -> Point:
    """The points of one step as one, at its begin; what was unknown throughout stays unknown."""
    names = dict.fromkeys(name for point in points for name in point.sources)
    return Point(
        points[0].time_ms // STEP_MS * STEP_MS,
        {name: mean(point.sources.get(name) for point in points) for name in names},
        mean(point.load for point in points),
        points[-1].pue,
        mean(point.renewable for point in points),
    )
