# SPDX-License-Identifier: Apache-2.0
"""States that are told when they change: supplies, detectors, pumps. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rackwatt.agents.redfish.schema import Watch
from rackwatt.agents.redfish.values import Found, State, pick, state_of
from rackwatt.agents.redfish.walk import Spot
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Event, Severity

_SEVERITY: Final[Mapping[State, Severity]] = {
    "ok": "info",
    "warning": "warning",
    "critical": "critical",
    "absent": "critical",
}


class Watcher:
    """Remembers the last state of each thing that is watched.

    A state that could not be read changes nothing: silence is told elsewhere. What is bad when it
    is first seen is told; an empty slot is not.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], State] = {}

    def look(
        self, device: str, watch: Watch, seen: Sequence[tuple[Spot, Found]]
    ) -> Iterator[Event]:
        """Take the states of a round; what has changed."""
        for spot, resource in seen:
            state = state_of(resource, watch.value)
            if state == "unknown":
                continue
            key = (device, watch.code, spot.path)
            before = self._last.get(key)
            self._last[key] = state
            quiet = {"ok", "absent"} if before is None else {before}
            if state not in quiet:
                name = f"{watch.name} {spot.ids[-1]}" if spot.ids else watch.name
                text = f"{name}: {_words(resource, watch) or state}"
                yield Event(f"{watch.code}_{state}", _SEVERITY[state], text)


def _words(resource: Found, watch: Watch) -> str:
    if isinstance(resource, Quality):
        return ""
    pointers = dict.fromkeys((watch.value, "Status/State", "Status/Health"))
    found = {pointer.rpartition("/")[2]: pick(resource, pointer) for pointer in pointers}
    return ", ".join(
        f"{name} {items[0]}" for name, items in found.items() if items and items[0] is not None
    )
