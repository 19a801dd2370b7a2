# SPDX-License-Identifier: Apache-2.0
"""Who sends: every tray, rack and meter of a site file, each as an agent of its own."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from rackwatt.collector.site import Site
from rackwatt.twin.load.bodies import Voice, What
from rackwatt.wire.readings import Kind
from rackwatt.wire.topics import Topic

SEND_MS: Final = {"tray": 10_000, "rack": 10_000, "meter": 1000}
KIND: Final[dict[What, Kind]] = {"tray": "gpu", "rack": "climate", "meter": "power"}
TRAY_WATTS: Final = 4 * 900.0
"""Of its GPUs."""
IT_WATTS: Final = 5800.0
"""Of a tray with all that is around it in its rack."""
_PARTS: Final = {"grid": 0.45, "pv": 0.35, "wind": 0.2, "cooling": 0.1, "other": 0.03}
"""Of sources: of all that is drawn; of loads: beside one of IT."""
SOURCES: Final = ("grid", "pv", "wind")


def _share(items: Sequence[object], scale: float) -> Iterator[int]:
    """So many of them, evenly chosen; at least one where there is one."""
    count = max(1, round(len(items) * scale)) if items else 0
    return (at * len(items) // count for at in range(count))


def crew(site: Site, scale: float, *, together: bool = False) -> list[Voice]:
    """All agents of so much of the site.

    Args:
        site: the site; PDUs and what stands in no rack and is no meter stay silent.
        scale: part of its trays, of its racks and of its meters.
        together: all take their turn at once, as agents with good clocks do; else evenly spread.
    """
    found: list[Voice] = []
    now = time.time_ns() // 1_000_000
    racks = site.racks_at(now)
    trays = [(node, rack.hall) for rack in racks for node in rack.nodes]
    sensed = [
        (rack, (*rack.sensors.values(), *rack.devices))
        for rack in racks
        if rack.sensors or rack.devices
    ]
    pdus = {pdu for rack in racks for pdu in rack.pdus}
    meters = [
        meter
        for meter in site.meters_at(now).values()
        if meter.id not in pdus and not meter.virtual and meter.role != "battery"
    ]
    roles: dict[str, int] = {}
    for meter in meters:
        roles[meter.role or ""] = roles.get(meter.role or "", 0) + 1

    def add(what: What, name: str, hall: str, devices: tuple[str, ...], watts: float) -> None:
        found.append(Voice(name, hall, what, len(found), devices, watts, SEND_MS[what], 0))

    for at in _share(trays, scale):
        node, hall = trays[at]
        add("tray", node, hall, (node,), TRAY_WATTS)
    for at in _share(sensed, scale):
        rack, devices = sensed[at]
        add("rack", f"edge-{rack.id}", rack.hall, devices, 0.0)
    it_watts = max(1, len(trays)) * IT_WATTS
    rows = _trays_by_row(site, now)
    for at in _share(meters, scale):
        meter = meters[at]
        role = meter.role or ""
        if role == "it":
            row = rows.get(meter.id.removesuffix("-it"))
            watts = row * IT_WATTS if row else it_watts / roles["it"]
        else:
            whole = it_watts * (1.13 if role in SOURCES else 1.0)
            watts = whole * _PARTS.get(role, 0.01) / roles[role]
        name = f"edge-{meter.id}"
        add("meter", name, site.agent_halls.get(name, "site"), (meter.id,), watts)
    _place(found, site.id, together=together)
    return found


def _trays_by_row(site: Site, now: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for rack in site.racks_at(now):
        found[rack.row] = found.get(rack.row, 0) + len(rack.nodes)
    return found


def _place(voices: Sequence[Voice], site: str, *, together: bool) -> None:
    counts: dict[str, int] = {}
    for voice in voices:
        counts[voice.what] = counts.get(voice.what, 0) + 1
    turns: dict[str, int] = dict.fromkeys(counts, 0)
    for voice in voices:
        turn = turns[voice.what]
        turns[voice.what] += 1
        if not together:
            voice.phase_ms = turn * voice.period_ms // counts[voice.what]
        voice.topic = str(Topic(site, voice.hall, voice.name, KIND[voice.what]))
