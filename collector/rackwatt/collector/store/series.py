# SPDX-License-Identifier: Apache-2.0
"""Series: what the rows of one device of one kind have in common while it stands in one place.

Looked up once and remembered: the place, the tags, and the first part of each line.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from rackwatt.collector.site import SITE_HALL, Placement, Site
from rackwatt.wire.readings import KINDS, Kind

ALWAYS: Final = -(2**63)
FOR_EVER: Final = 2**63 - 1
Tags = tuple[tuple[str, str], ...]


class Series(msgspec.Struct, gc=False):
    """A device of a kind in one place: small, and nothing for the garbage collector to walk.

    Attributes:
        kind: of its readings.
        device: its name.
        slot: its number within the kind, from 0 on and never given again, while it always stands
            in its place; below 0, -1 - number, when that must be looked at.
        where: the site, and the place in it; shared.
        span: from when on it stands there, and up to when, excluded; None: always.
        mixed: several agents tell of the device: its place does not follow from the time alone.
        head: `measurement,tag=value,…` for line protocol; None: not made yet.
        named: its tags; None: not made yet.
    """

    kind: str
    device: str
    slot: int
    where: tuple[str, Placement]
    span: tuple[int, int] | None = None
    mixed: bool = False
    head: bytes | None = None
    named: Tags | None = None

    @property
    def number(self) -> int:
        """Its number within the kind."""
        return self.slot if self.slot >= 0 else -1 - self.slot

    def tags(self) -> Tags:
        """Its tags in order of name."""
        if self.named is None:
            self.named = tags_of(*self.where, self.device)
        return self.named

    def covers(self, time_ms: int) -> bool:
        """Whether the device stands there at a time, as far as the time says."""
        return self.span is None or self.span[0] <= time_ms < self.span[1]

    def holds(self, start_ms: int, end_ms: int) -> bool:
        """Whether the device has no other series in a half-open span."""
        if self.mixed or self.span is None:
            return not self.mixed
        return self.span[0] <= start_ms and end_ms <= self.span[1]


class SeriesBook:
    """All series of a site that have been seen.

    Args:
        site: tells where each device sits.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers: dict[str, int] = {}
        self._where: dict[Placement, tuple[str, Placement]] = {}
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
            if series.covers(time_ms) and sender in {"", agent}:
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
            series = Series(kind, device, number, self._at(place))
            self.fixed[kind][device] = series
            return series
        sender = "" if place is not None else agent
        where = self._at(place or Placement(self._site.hall_of_agent(agent) or SITE_HALL))
        span = self._span(dated, time_ms)
        others = self._others.setdefault((kind, device), [])
        mixed = bool(sender and others)
        if mixed:
            for _, known in others:
                known.slot, known.mixed = -1 - known.number, True
        slot = -1 - number if dated or mixed else number
        series = Series(kind, device, slot, where, span if dated else None, mixed)
        others.append((sender, series))
        return series

    def _at(self, place: Placement) -> tuple[str, Placement]:
        return self._where.setdefault(place, (self._site.id, place))

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
