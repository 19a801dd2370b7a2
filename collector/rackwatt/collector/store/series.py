# SPDX-License-Identifier: Apache-2.0
"""Series: what the rows of one device of one kind have in common while it stands in one place.

Looked up once and remembered: the place, the tags, and the first part of each line.
"""

from collections.abc import Iterable
from typing import Final

from rackwatt.collector.site import SITE_HALL, Placement, Site
from rackwatt.wire.readings import KINDS, Kind

ALWAYS: Final = -(2**63)
FOR_EVER: Final = 2**63 - 1
Tags = tuple[tuple[str, str], ...]


class Series:
    """A device of a kind in one place.

    Attributes:
        kind: of its readings.
        device: its name.
        number: from 0 on, within the kind; never given again.
        start_ms: from when on it stands there.
        end_ms: up to when, excluded.
        slot: its number while it always stands there; below 0 when that must be looked at.
        moved: its place does not follow from the time alone.
        head: `measurement,tag=value,…` for line protocol; None: not made yet.
    """

    __slots__ = ("_place", "_site", "device", "end_ms", "head", "kind", "moved", "number",
                 "slot", "start_ms")  # fmt: skip

    def __init__(
        self,
        site: str,
        kind: str,
        device: str,
        place: Placement,
        number: int,
        *,
        start_ms: int = ALWAYS,
        end_ms: int = FOR_EVER,
    ) -> None:
        self._site = site
        self._place = place
        self.kind = kind
        self.device = device
        self.number = number
        self.start_ms = start_ms
        self.end_ms = end_ms
        always = start_ms == ALWAYS and end_ms == FOR_EVER
        self.slot = number if always else -1 - number
        self.moved = False
        self.head: bytes | None = None

    def tags(self) -> Tags:
        """Its tags in order of name."""
        return tags_of(self._site, self._place, self.device)

    def move(self) -> None:
        """Its rows may stand in another place at the same time."""
        self.moved = True
        self.slot = -1 - self.number

    def holds(self, start_ms: int, end_ms: int) -> bool:
        """Whether the device has no other series in a half-open span."""
        return not self.moved and self.start_ms <= start_ms and end_ms <= self.end_ms


class SeriesBook:
    """All series of a site that have been seen.

    Args:
        site: tells where each device sits.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers: dict[str, int] = {}
        self._others: dict[tuple[str, str], list[tuple[str, Series]]] = {}
        """Kind and device to the agent that it depends on, if it does, and the series."""
        self.fixed: dict[Kind, dict[str, Series]] = {kind: {} for kind in KINDS}
        """Device to series, where neither time nor agent matters."""

    def find(self, kind: Kind, agent: str, device: str, time_ms: int) -> Series:
        """The series of a reading.

        A device that the site file does not know stands in its agent's hall, in no rack.
        """
        found = self.fixed[kind].get(device)
        if found is not None:
            return found
        for sender, series in self._others.get((kind, device), ()):
            if series.start_ms <= time_ms < series.end_ms and sender in {"", agent}:
                return series
        return self._make(kind, agent, device, time_ms)

    def _make(self, kind: Kind, agent: str, device: str, time_ms: int) -> Series:
        places = self._site.places
        node = device.partition("/")[0]
        names = () if device in places.fixed else dict.fromkeys((device, node))
        dated = [name for name in names if name in places.dated]
        place = self._site.place(device, time_ms)
        number = self._numbers.get(kind, 0)
        self._numbers[kind] = number + 1
        if place is not None and not dated:
            series = Series(self._site.id, kind, device, place, number)
            self.fixed[kind][device] = series
            return series
        sender = ""
        if place is None:
            sender, place = agent, Placement(self._site.hall_of_agent(agent) or SITE_HALL)
        start, end = self._span(dated, time_ms)
        series = Series(self._site.id, kind, device, place, number, start_ms=start, end_ms=end)
        others = self._others.setdefault((kind, device), [])
        if any(other != sender for other, _ in others) or (sender and others):
            for each in (*(known for _, known in others), series):
                each.move()
        others.append((sender, series))
        return series

    def _span(self, names: Iterable[str], time_ms: int) -> tuple[int, int]:
        """Around a time, the span in which nothing moves."""
        start, end = ALWAYS, FOR_EVER
        for name in names:
            for validity, _ in self._site.places.dated[name]:
                for edge in (validity.start_ms, validity.end_ms):
                    if edge <= time_ms:
                        start = max(start, edge)
                    else:
                        end = min(end, edge)
        return start, end


def tags_of(site: str, place: Placement, device: str, code: str = "") -> Tags:
    """Tags in order of name, as the database wants them."""
    tags = [("device", device), ("hall", place.hall)]
    if code:
        tags.insert(0, ("code", code))
    if place.rack:
        tags += [("rack", place.rack), ("row", place.row)]
    tags.append(("site", site))
    return tuple(tags)
