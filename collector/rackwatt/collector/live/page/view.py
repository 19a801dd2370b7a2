# SPDX-License-Identifier: Apache-2.0
"""What the page shows that is no figure: bar widths, heat levels, groups.

The Python half of ``static/js/view.js``; tests run the same frames through both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rackwatt.collector.live.page.formats import fixed

SOURCES: Final = ("pv", "wind", "hydro", "battery", "genset", "grid", "unknown")
"""Sources in the order of the bar: on site first, then the grid, then what nobody metered."""
HEAT_LEVELS: Final = 9
INLET_SCALE: Final = (15.0, 32.0)
"""Degrees Celsius: the allowable range of class A1 equipment spans the colour scale."""
INLET_RECOMMENDED: Final = (18.0, 27.0)
"""Degrees Celsius: outside the recommended range a rack is marked, whatever its colour."""
CLOCK_LIMIT_SECONDS: Final = 60.0
"""An agent whose clock is off by more has a wrong one: its readings are held."""


def number_at(item: object, key: str) -> float | None:
    """Return ``item[key]`` when it is a number, else None."""
    value = item.get(key) if isinstance(item, Mapping) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def items_at(frame: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """Return the list ``frame[key]``, empty when it is not there."""
    value = frame.get(key)
    return value if isinstance(value, list | tuple) else ()


def _percent(ratio: float) -> str:
    return f"{fixed(min(max(ratio, 0.0), 1.0) * 100, 3)}%"


def segments(frame: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Place each origin on the bar: ``x`` and ``width`` in percent of its length."""
    by_id = {str(item.get("id")): item for item in items_at(frame, "sources")}
    shares = {name: max(number_at(by_id.get(name), "share") or 0.0, 0.0) for name in SOURCES}
    total = 0.0
    for name in SOURCES:
        total += shares[name]
    scale = max(total, 1.0)
    placed, offset = {}, 0.0
    for name in SOURCES:
        width = shares[name] / scale
        placed[name] = {"x": _percent(offset), "width": _percent(width)}
        offset += width
    return placed


def nice_ceiling(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50, … at or above ``value``."""
    power = 1.0
    while True:
        for step in (1.0, 2.0, 5.0):
            if step * power >= value:
                return step * power
        power *= 10.0


def heat_level(value: float | None, low: float, high: float) -> int | None:
    """Return the step of the colour scale, 0 to 8, or None when the value is unknown."""
    if value is None:
        return None
    step = int((min(max(value, low), high) - low) / (high - low) * HEAT_LEVELS)
    return min(step, HEAT_LEVELS - 1)


def _inlet_flag(inlet: float | None) -> str | None:
    if inlet is None:
        return None
    if inlet > INLET_RECOMMENDED[1]:
        return "high"
    return "low" if inlet < INLET_RECOMMENDED[0] else None


def _rack(rack: Mapping[str, Any], power_max: float) -> dict[str, Any]:
    inlet = number_at(rack, "inlet_celsius")
    gpus, up = number_at(rack, "gpus"), number_at(rack, "gpus_up")
    return {
        **rack,
        "power_level": heat_level(number_at(rack, "power_watts"), 0.0, power_max),
        "inlet_level": heat_level(inlet, *INLET_SCALE),
        "inlet_flag": _inlet_flag(inlet),
        "gpus_flag": "down" if gpus is not None and up is not None and up < gpus else None,
    }


def halls(racks: Sequence[Mapping[str, Any]], power_max: float) -> list[dict[str, Any]]:
    """Group racks by hall and row, in the order in which they come."""
    grouped: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for rack in racks:
        rows = grouped.setdefault(str(rack.get("hall", "")), {})
        rows.setdefault(str(rack.get("row", "")), []).append(_rack(rack, power_max))
    return [
        {"id": hall, "rows": [{"id": row, "racks": members} for row, members in rows.items()]}
        for hall, rows in grouped.items()
    ]


def _agent(agent: Mapping[str, Any]) -> dict[str, Any]:
    offset = number_at(agent, "clock_offset_seconds") or 0.0
    return {**agent, "clock_wrong": abs(offset) > CLOCK_LIMIT_SECONDS}


def _demand(frame: Mapping[str, Any]) -> dict[str, Any]:
    """How near the running window comes to what is subscribed."""
    projected = number_at(frame.get("demand"), "projected_watts")
    limit = number_at(frame.get("demand"), "subscribed_watts")
    if projected is None or limit is None or limit <= 0:
        return {"x": "0%", "width": "0.000%", "over": False}
    return {"x": "0%", "width": _percent(projected / limit), "over": projected > limit}


def derive(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``view`` part that the templates and the scripts bind to.

    Args:
        frame: The frame as published; any part of it may be missing.

    Returns:
        Plain JSON values; unknown ones are None.
    """
    racks = items_at(frame, "racks")
    powers = [power for rack in racks if (power := number_at(rack, "power_watts")) is not None]
    power_max = nice_ceiling(max(powers, default=1.0))
    agents = items_at(frame, "agents")
    charge = number_at(frame.get("battery"), "state_of_charge")
    store_up = (frame.get("quality") or {}).get("store_up")
    return {
        "segments": segments(frame),
        "sources": [
            # A battery is no origin: its share is in those of what charged it.
            {**item, "why": "traced" if item.get("id") == "battery" else None}
            for item in items_at(frame, "sources")
        ],
        "by_source": {
            str(item.get("id")): {"share": share}
            for item in items_at(frame, "sources")
            if (share := number_at(item, "share")) is not None and share > 0
        },
        "origin_known": any(number_at(s, "share") is not None for s in items_at(frame, "sources")),
        "halls": halls(racks, power_max),
        "rack_power_max_watts": power_max if powers else None,
        "inlet_min_celsius": INLET_SCALE[0],
        "inlet_max_celsius": INLET_SCALE[1],
        "agents": [_agent(agent) for agent in agents],
        "agents_total": len(agents),
        "agents_online": sum(1 for agent in agents if agent.get("state") == "online"),
        "battery_level": {"x": "0%", "width": _percent(charge or 0.0)},
        "demand": _demand(frame),
        "held": (number_at(frame.get("quality"), "held_readings") or 0) > 0,
        "store": None if store_up is None else ("up" if store_up else "down"),
        "no_events": not items_at(frame, "events"),
    }
