# SPDX-License-Identifier: Apache-2.0
"""A small site with racks, nodes, GPUs and tenants, and a quarter hour of readings of it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def site(tenants: str = "", halls: str = HALL, meters: str = PDUS, head: str = HEAD) -> Site:
    return site_of(Document("site.yaml", head + meters + halls + tenants))


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
