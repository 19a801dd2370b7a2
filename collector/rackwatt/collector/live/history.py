# SPDX-License-Identifier: Apache-2.0
"""The last hour of figures for the page's chart, one mean each 10 s."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.vocabulary import HOUR_MS, RENEWABLE
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.live.devices import mean

STEP_MS: Final = 10_000
POINTS: Final = 360
_PER_HOUR: Final = HOUR_MS / INTERVAL_MS


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


def past(rows: Iterable[LedgerRow]) -> Iterator[Point]:
    """Minutes of the ledger as points, so that a page after a restart still shows the last hour."""
    for row in rows:
        data = row.data
        sources = {**data["sources"], "battery": data["discharge"], "unknown": data["unknown"]}
        shares = data["shares"]
        yield Point(
            row.start_ms,
            {name: _power(energy) for name, energy in sources.items()},
            _power(data["load"]),
            None,
            None if shares is None else fsum(shares.get(name, 0.0) for name in RENEWABLE),
        )


def _power(watt_hours: float | None) -> float | None:
    """The mean power of a ledger interval with this energy."""
    return None if watt_hours is None else watt_hours * _PER_HOUR
