# SPDX-License-Identifier: Apache-2.0
"""Which meters hang below which: a gap of theirs takes its shape from the one above."""

from collections.abc import Collection, Mapping
from typing import Any

from rackwatt.collector.ledger.sites import SiteBooks


class Children:
    """The meters below a meter, by time; remembers the last answer's topology.

    Args:
        site: The site.
    """

    def __init__(self, site: SiteBooks) -> None:
        self._site = site
        self._points: Mapping[str, Any] | None = None
        self._below: dict[str, list[str]] = {}

    def __call__(self, device: str, time_ms: int) -> Collection[str]:
        """The meters right below a device at a time."""
        points = self._site.meters_at(time_ms)
        if points is not self._points:
            self._points, self._below = points, {}
            for name, point in points.items():
                if point.parent:
                    self._below.setdefault(point.parent, []).append(name)
        return self._below.get(device, ())
