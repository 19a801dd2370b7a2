# SPDX-License-Identifier: Apache-2.0
"""A small site with racks, nodes, GPUs and tenants, and a quarter hour of readings of it."""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

import pytest

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.ledger import InputRecord, Ledger, site_factors
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.counters import QUARTER_MS, CounterRecord
from rackwatt.collector.site import Site, site_of
from rackwatt.wire.config import Document

HOUR = 3_600_000
BEGIN = 1_780_000_000_000 // HOUR * HOUR + 2 * HOUR

HEAD = """
site: {id: s, name: S, timezone: UTC, country: MA}
carbon: {factors: {pv: {life_cycle: 48}, grid: {life_cycle: 600, direct: 500}}}
meters:
- {id: g, role: grid, cadence: 10s}
- {id: p, role: pv, cadence: 10s}
- {id: c, role: cooling, cadence: 10s}
"""
PDUS = "- {id: it, role: it, position: pdu_output, sum: ['r[1-4]-pdu']}\n"
HALL = """
halls:
- id: hall-a
  rows:
  - {id: row-1, racks: 'r[1-2]', nodes: '{rack}-n[1-2]', pdus: '{rack}-pdu'}
- id: hall-b
  rows:
  - {id: row-2, racks: 'r[3-4]', nodes: '{rack}-n[1-2]', pdus: '{rack}-pdu'}
"""
SECONDS = range(-10, 921, 10)
RACKS = {"r1-pdu": 2400.0, "r2-pdu": 1200.0, "r3-pdu": 400.0, "r4-pdu": 0.0}
IT = fsum(RACKS.values())
LOADS = {**RACKS, "c": 600.0, "g": 2300.0, "p": 2300.0}
EIGHT = {f"r1-n{n}/GPU-{g}": 200.0 for n in (1, 2) for g in "abcd"}


def tenants(text: str) -> str:
    return f"tenants:\n{text}"


A_AND_B = tenants(
    "- {id: a, kind: researcher, country: FR, assignments: [{racks: r1}]}\n"
    "- {id: b, kind: start-up, assignments: [{nodes: r2-n1}, {nodes: r2-n2}]}\n"
)


def site(people: str = "", halls: str = HALL, meters: str = PDUS, head: str = HEAD) -> Site:
    return site_of(Document("site.yaml", head + meters + halls + people))


def ms(text_seconds: float) -> int:
    return BEGIN + round(text_seconds * 1000)


def powers(watts: Mapping[str, float], seconds: Iterable[int]) -> list[InputRecord]:
    """Registers that count steadily, and the power beside them."""
    return [
        InputRecord(
            device,
            ms(s),
            {"power_watts": own, "energy_import_watt_hours": 7000.0 + own * s / 3600.0},
            ms(s) + 500,
        )
        for s in seconds
        for device, own in watts.items()
    ]


def gpus(watts: Mapping[str, float], seconds: Iterable[int]) -> list[CounterRecord]:
    return [
        CounterRecord(device, ms(s), 90.0 + own * s / 3600.0, ms(s) + 500)
        for s in seconds
        for device, own in watts.items()
    ]


def booked(
    of: Site,
    records: Sequence[InputRecord],
    counters: Sequence[CounterRecord] = (),
    *,
    until: float = 930.0,
    path: Path = Path(":memory:"),
) -> tuple[Ledger, Attributor]:
    """A ledger that has closed what those readings tell."""
    ledger = Ledger(path, of, site_factors(of), BatteryParameters(), 0.0)
    attributor = Attributor(of, ledger.metered, ledger.counters, ledger.closed_through_ms)
    ledger.apply(records, 1, counters=counters)
    ledger.close_intervals(ms(until))
    return ledger, attributor


def row(of: tuple[Ledger, Attributor], quarter: int = 0) -> dict[str, Any]:
    ledger, attributor = of
    start = BEGIN + quarter * QUARTER_MS
    found = attributor.row(start, list(ledger.rows(start, start + QUARTER_MS)))
    assert found is not None
    return found


def tree(of: tuple[Ledger, Attributor], racks: Sequence[str] | None = None) -> dict[str, Any]:
    ledger, attributor = of
    found = attributor.tree(BEGIN, list(ledger.rows(BEGIN, BEGIN + QUARTER_MS)), racks)
    assert found is not None
    return found


def close(one: float | None, other: float | None) -> bool:
    assert one is not None
    assert other is not None
    return one == pytest.approx(other, rel=1e-9, abs=1e-9)


def check_sums(found: Mapping[str, Any]) -> None:
    """Halls and tenants add up to the site, in every figure."""
    for parts in (found["halls"].values(), found["tenants"].values()):
        for figure in ("it", "load"):
            assert close(fsum(part[figure] for part in parts), found[figure])
    for figure in ("life_cycle", "operational"):
        sums = [
            fsum(part["carbon"][figure] for part in parts)
            for parts in (found["halls"].values(), found["tenants"].values())
        ]
        sums.append(
            fsum(rack[1 if figure == "life_cycle" else 2] for rack in found["racks"].values())
        )
        assert close(sums[0], sums[1])
        assert close(sums[0], sums[2])
    for origin in ("pv", "grid", "unknown"):
        halls, people = (
            fsum(part["origins"][origin] for part in parts)
            for parts in (found["halls"].values(), found["tenants"].values())
        )
        assert close(halls, people)
    assert close(fsum(rack[0] for rack in found["racks"].values()), found["it"])
