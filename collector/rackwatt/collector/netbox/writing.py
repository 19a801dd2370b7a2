# SPDX-License-Identifier: Apache-2.0
"""What NetBox says, as parts of a site file."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import yaml

from rackwatt.collector.netbox.mapping import HallPlan, Plan, RackPlan, TenantPlan, shape_of
from rackwatt.collector.site.patterns import brackets

HALLS: Final = "halls"
TENANTS: Final = "tenants"
POWER: Final = "power"
DEVICES: Final = "devices"
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_WORDS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
_NUMBERED: Final = re.compile(r"(.*?)(\d+)")
_LETTERED: Final = re.compile(r"(.*-)([a-z])")


def halls_text(halls: Sequence[HallPlan]) -> str:
    """`halls:`, rows with one line for each shape of rack."""
    if not halls:
        return ""
    lines = ["halls:"]
    for hall in halls:
        lines.append(f"  - id: {word(hall.id)}")
        if hall.name and hall.name != hall.id:
            lines.append(f"    name: {word(hall.name)}")
        if hall.racks:
            lines.append("    rows:")
            lines += _rows(hall.racks)
        if hall.devices:
            lines.append(f"    devices: {_list(hall.devices)}")
    return "\n".join(lines) + "\n"


def _rows(racks: Iterable[RackPlan]) -> list[str]:
    rows: dict[str, list[RackPlan]] = defaultdict(list)
    for rack in racks:
        rows[rack.row].append(rack)
    lines: list[str] = []
    for row, members in sorted(rows.items()):
        shapes: dict[Any, list[str]] = defaultdict(list)
        for rack in members:
            shapes[shape_of(rack)].append(rack.name)
        ordered = sorted(shapes.items(), key=lambda item: (-len(item[1]), sorted(item[1])))
        for number, (shape, names) in enumerate(ordered, 1):
            # A row stands once in a hall: other kinds of racks in it have a row of their own.
            lines.append(f"      - id: {word(row if number == 1 else f'{row}-{number}')}")
            lines.append(f"        racks: {_list(names)}")
            for key, listed in zip(("nodes", "pdus", "devices"), shape, strict=True):
                if listed:
                    lines.append(f"        {key}: {_list(listed)}")
    return lines


def devices_text(devices: Sequence[str]) -> str:
    """`devices:`, those on the site and in no hall."""
    return f"devices: {_list(devices)}\n" if devices else ""


def power_text(plan: Plan) -> str:
    """`power_chain:` from panels to PDUs, with a utility above, since NetBox has nothing there."""
    if not plan.feeds:
        return ""
    lines = [
        "power_chain:",
        "  assets:",
        "    # Assumed: NetBox does not say what feeds its panels.",
        "    - {id: utility-1, kind: utility}",
        *(f"    - {{id: {word(name)}, kind: board}}" for name in sorted(plan.panels)),
        "  edges:",
        f"    - {{from: utility-1, to: {_list(plan.panels)}}}",
    ]
    edges: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for feed in plan.feeds:
        rating = (feed.amperes, feed.volts, feed.phases, feed.derating, feed.side)
        edges[feed.source, *rating].append(feed.target)
    for (source, amperes, volts, phases, derating, side), targets in sorted(edges.items()):
        lines.append(
            f"    - {{from: {word(source)}, to: {_list(targets)}, amperes: {amperes:g},"
            f" volts: {volts:g}, phases: {phases}, derating: {derating:g}, side: {side}}}"
        )
    return "\n".join(lines) + "\n"


def tenants_text(tenants: Sequence[TenantPlan], before: str, since: datetime | None) -> str:
    """`tenants:`, with what they held before until it changed.

    Args:
        tenants: What NetBox says.
        before: The region as it was; empty at the first import.
        since: From when on a change holds; ``None`` at the first import: for ever.
    """
    held = _assignments(before)
    known = {one.id: one for one in tenants}
    if not known and not held:
        return ""
    lines = ["tenants:"]
    for name in sorted({*known, *held}):
        lines += _tenant(known.get(name), held.get(name), since)
    return "\n".join(lines) + "\n"


_Spans = dict[tuple[str, str], list[tuple[str, str]]]
"""From and to of what is held, by unit and name; empty: for ever."""


def _assignments(before: str) -> dict[str, tuple[Mapping[str, Any], _Spans]]:
    # Dates as they are written; this loader makes nothing but strings, lists and mappings.
    data = yaml.load(before, yaml.BaseLoader) if before.strip() else None  # noqa: S506
    found: dict[str, tuple[Mapping[str, Any], _Spans]] = {}
    for tenant in (data or {}).get("tenants", ()):
        spans: _Spans = defaultdict(list)
        for one in tenant.get("assignments", ()):
            for unit in ("racks", "nodes"):
                names = one.get(unit, ())
                span = (one.get("valid_from", ""), one.get("valid_to", ""))
                for pattern in [names] if isinstance(names, str) else names:
                    for name in brackets(pattern):
                        spans[unit, name].append(span)
        found[tenant["id"]] = (tenant, spans)
    return found


def _tenant(
    now: TenantPlan | None,
    before: tuple[Mapping[str, Any], _Spans] | None,
    since: datetime | None,
) -> list[str]:
    stamp = "" if since is None else since.isoformat(timespec="seconds")
    spans: _Spans = defaultdict(list)
    if before is not None:
        spans.update(before[1])
    holds = set()
    if now is not None:
        holds = {("racks", one) for one in now.racks} | {("nodes", one) for one in now.nodes}
    for what in {*spans, *holds}:
        running = next((span for span in spans[what] if not span[1]), None)
        if what in holds and running is None:
            spans[what].append((stamp, ""))
        elif what not in holds and running is not None and stamp:
            spans[what].remove(running)
            spans[what].append((running[0], stamp))
    if now is not None:
        head = {"id": now.id, "name": now.name, "kind": now.kind, "country": now.country}
    else:
        assert before is not None  # noqa: S101 - a name is of either
        head = {key: str(before[0].get(key, "")) for key in ("id", "name", "kind", "country")}
    lines = [f"  - id: {word(head['id'])}"]
    lines += [f"    {key}: {word(head[key])}" for key in ("name", "kind", "country") if head[key]]
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (unit, one), held in spans.items():
        for start, end in held:
            groups[unit, start, end].append(one)
    lines.append("    assignments:")
    for (unit, start, end), names in sorted(groups.items()):
        dates = "".join(
            f", {key}: {value}"
            for key, value in (("valid_from", start), ("valid_to", end))
            if value
        )
        lines.append(f"      - {{{unit}: {_list(names)}{dates}}}")
    return lines


def word(text: str) -> str:
    """A string as YAML reads it back."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _list(names: Iterable[str]) -> str:
    """Names as patterns where they run: `r1-[01-08]`; one alone without brackets."""
    found = _runs(sorted(names))
    words = [word(one) for one in found]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


def _runs(names: Sequence[str]) -> list[str]:
    """Three or more names that differ in their last number, or two in their last letter."""
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    found: list[str] = []
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match is None or "[" in name:
            found.append(name)
        else:
            width = len(match[2]) if match[2].startswith("0") else 0
            groups[match[1], width].append(int(match[2]))
    for (start, width), numbers in groups.items():
        for low, high in _spans(sorted(numbers)):
            if high - low < 2 or len(str(high)) > width > 0:
                found += [f"{start}{str(n).zfill(width)}" for n in range(low, high + 1)]
            else:
                found.append(f"{start}[{str(low).zfill(width)}-{str(high).zfill(width)}]")
    return sorted(_letters(found))


def _letters(names: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    found: list[str] = []
    for name in names:
        match = _LETTERED.fullmatch(name)
        if match is None or "[" in name:
            found.append(name)
        else:
            groups[match[1]].append(match[2])
    for start, letters in groups.items():
        for low, high in _spans(sorted(map(ord, letters))):
            found.append(
                f"{start}{chr(low)}" if low == high else f"{start}[{chr(low)}-{chr(high)}]"
            )
    return found


def _spans(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
