# SPDX-License-Identifier: Apache-2.0
"""Attribution below the site, summed over spans of time: halls, racks, tenants."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from rackwatt.collector.accounting.vocabulary import total


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


def summed(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One member's figures over several quarter hours.

    A sum is ``None`` if one of its terms is unknown; words are those of the last part.
    """
    known = list(parts)
    names = dict.fromkeys(name for part in known for name in part)
    return {name: _sum([part.get(name) for part in known if name in part]) for name in names}


def _sum(values: Sequence[Any]) -> Any:
    if any(isinstance(value, str) for value in values):
        return values[-1]
    if any(isinstance(value, Mapping) for value in values):
        whole = [value for value in values if isinstance(value, Mapping)]
        return summed(whole) if len(whole) == len(values) else None
    return total(values)


def by_member(level: Level, quarters: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each member's figures over quarter hours, in order of name."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for quarter in quarters:
        for name, values in members(level, quarter).items():
            parts.setdefault(name, []).append(values)
    return {name: {"quarters": len(parts[name]), **summed(parts[name])} for name in sorted(parts)}
