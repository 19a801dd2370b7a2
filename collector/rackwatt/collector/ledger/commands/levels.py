# SPDX-License-Identifier: Apache-2.0
"""Attribution below the site, summed over spans of time: halls, racks, tenants."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.sums import exact_parts

_KEPT: Final = 128


class Level(StrEnum):
    """By what energy is shown."""

    SITE = "site"
    HALL = "hall"
    RACK = "rack"
    NODE = "node"
    GPU = "gpu"
    TENANT = "tenant"


def members(level: Level, quarter: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What one quarter hour's row says of each member of a level."""
    if level is Level.RACK:
        return {
            name: {"it": it, "carbon": {"life_cycle": life_cycle, "operational": operational}}
            for name, (it, life_cycle, operational) in quarter.get("racks", {}).items()
        }
    if level in {Level.NODE, Level.GPU}:
        return dict(_below(level, quarter, ""))
    found: Mapping[str, Mapping[str, Any]] = quarter.get(f"{level.value}s", {})
    return found


def _below(
    level: Level, place: Mapping[str, Any], above: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes or GPUs below a place of an attribution tree; a GPU is named behind its node."""
    for child in place.get("children", ()):
        name = f"{above}/{child['name']}" if child["level"] == Level.GPU else child["name"]
        if child["level"] == level:
            yield name, {k: v for k, v in child.items() if k not in {"level", "name", "children"}}
        else:
            yield from _below(level, child, name)


class Tally:
    """A figure over several quarter hours, or a group of figures.

    Characteristics: exact, and small: a month of quarter hours of thousands of racks is held as
    a few floats each.
    """

    __slots__ = ("_groups", "_parts", "_unknown", "_word")

    def __init__(self) -> None:
        self._groups: dict[str, Tally] = {}
        self._parts: list[float] = []
        self._unknown = False
        self._word: str | None = None

    def add(self, value: Any) -> None:
        """Add what one quarter hour says; of words the last one counts."""
        if isinstance(value, Mapping):
            for name, part in value.items():
                if name not in self._groups:
                    self._groups[name] = Tally()
                self._groups[name].add(part)
        elif isinstance(value, str):
            self._word = value
        elif value is None:
            self._unknown = True
        else:
            self._parts.append(value)
            if len(self._parts) > _KEPT:
                self._parts = exact_parts(self._parts)

    def value(self) -> Any:
        """The sum, or the sums by name; ``None`` if a term of it is unknown."""
        if self._word is not None:
            return self._word
        if self._unknown:
            return None
        if self._groups:
            return {name: group.value() for name, group in self._groups.items()}
        return fsum(self._parts)


def by_member(level: Level, quarters: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each member's figures over quarter hours, in order of name."""
    tallies: dict[str, Tally] = {}
    counts: Counter[str] = Counter()
    for quarter in quarters:
        for name, values in members(level, quarter).items():
            if name not in tallies:
                tallies[name] = Tally()
            tallies[name].add(values)
            counts[name] += 1
    return {name: {"quarters": counts[name], **tallies[name].value()} for name in sorted(tallies)}
