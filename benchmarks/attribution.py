# SPDX-License-Identifier: Apache-2.0
"""How long one quarter hour takes down the tree: the default site, and the reference site.

The reference site has 2,540 racks with two PDUs and 18 trays of four GPUs each, every tray held
by a tenant and one tray of each rack by GPU: the worst case, as every GPU counter is read.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.ledger import InputRecord, Ledger, site_factors
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.chain import canonical
from rackwatt.collector.ledger.conditions import Conditions
from rackwatt.collector.ledger.counters import QUARTER_MS, CounterRecord
from rackwatt.collector.ledger.samples import SampleRecord, own_minute
from rackwatt.collector.site import Site, site_of
from rackwatt.wire.config import Document

HOUR = 3_600_000
BEGIN = 1_780_000_000_000 // HOUR * HOUR
CADENCE = 10_000
REPEAT = 5


def document(racks: int, nodes: int, tenants: str) -> Site:
    last = f"{racks:04d}"
    return site_of(
        Document(
            "site.yaml",
            f"""
site: {{id: bench, name: Bench, timezone: UTC, country: MA}}
meters:
- {{id: g, role: grid, cadence: 10s}}
- {{id: c, role: cooling, cadence: 10s}}
- {{id: it, role: it, position: pdu_output, sum: ['r[0001-{last}]-pdu-[a-b]']}}
halls:
- id: hall-a
  rows:
  - {{id: row-1, racks: 'r[0001-{last}]', nodes: '{{rack}}-n[1-{nodes}]',
     pdus: '{{rack}}-pdu-[a-b]', sensors: {{inlet: '{{rack}}-in'}}}}
devices: [weather]
{tenants}
""",
        )
    )


def readings(site: Site, seconds: Sequence[int]) -> list[InputRecord]:
    watts = {pdu: 5000.0 for rack in site.racks for pdu in rack.pdus}
    watts |= {"g": 1.2 * sum(watts.values()), "c": 0.2 * sum(watts.values())}
    return [
        InputRecord(
            device,
            BEGIN + s * 1000,
            {"power_watts": own, "energy_import_watt_hours": 9e4 + own * s / 3600.0},
            BEGIN + s * 1000,
        )
        for s in seconds
        for device, own in watts.items()
    ]


def counters(site: Site, seconds: Sequence[int]) -> list[CounterRecord]:
    names = [f"{n}/GPU-{n}-{g}" for rack in site.racks for n in rack.nodes for g in range(4)]
    return [
        CounterRecord(name, BEGIN + s * 1000, 5e3 + 400.0 * s / 3600.0, BEGIN + s * 1000)
        for s in seconds
        for name in names
    ]


def samples(site: Site, gpus: Sequence[str]) -> list[SampleRecord]:
    """Two readings a minute of each probe, and what is taken of the GPUs."""
    found: list[SampleRecord] = []
    for time_ms in range(BEGIN, BEGIN + QUARTER_MS, 60_000):
        found += [
            SampleRecord(name, "temperature_celsius", at, 22.0, at)
            for name in ("weather", *(rack.sensors["inlet"] for rack in site.racks))
            for at in (time_ms + 5_000, time_ms + 35_000)
        ]
        found += [
            SampleRecord(gpu, "utilization_ratio", time_ms, 0.5, time_ms)
            for gpu in gpus
            if own_minute(gpu, time_ms)
        ]
    return found


def measure(site: Site, step: int, through: int) -> dict[str, Any]:
    ledger = Ledger(Path(":memory:"), site, site_factors(site), BatteryParameters(), 0.0)
    attributor = Attributor(site, ledger.metered, ledger.counters, ledger.closed_through_ms)
    seen = counters(site, range(-5, through + 20, 300))
    begun = time.perf_counter()
    ledger.apply((), 1, counters=seen)
    taken = time.perf_counter() - begun
    ledger.apply(readings(site, range(-step, through + 2 * step, step)), 2)
    ledger.close_intervals(BEGIN + through * 1000 + 30_000)
    sampled = samples(site, sorted({record.device for record in seen}))
    begun = time.perf_counter()
    ledger.apply((), 4, samples=sampled)
    sampling = time.perf_counter() - begun
    begun = time.perf_counter()
    conditions = Conditions(site, ledger.samples).of(BEGIN, BEGIN + QUARTER_MS)
    told = time.perf_counter() - begun
    # Another reading makes what was kept of the booking stale: the first row is metered anew.
    ledger.apply(readings(site, [0])[:1], 3)
    rows = list(ledger.rows(BEGIN, BEGIN + QUARTER_MS))
    times: list[float] = []
    row: dict[str, Any] | None = None
    for _ in range(REPEAT):
        begun = time.perf_counter()
        row = attributor.row(BEGIN, rows)
        times.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    attributor.tree(BEGIN, rows, [site.racks[0].id])
    one = time.perf_counter() - begun
    ledger.close()
    assert row is not None
    return {
        "racks": len(site.racks),
        "gpus": len({c.device for c in seen}),
        "row_seconds": round(times[0], 4),
        "row_again_seconds": round(min(times), 4),
        "tree_of_one_rack_seconds": round(one, 4),
        "row_bytes": len(canonical(row)),
        "conditions_seconds": round(told, 4),
        "conditions_bytes": len(canonical(dict(conditions or {}))),
        "sample_readings_per_second": round(len(sampled) / sampling),
        "counter_readings_per_second": round(len(seen) / taken),
    }


HELD = """tenants:
- {id: lab, kind: researcher, assignments: [{racks: 'r[0001-0002]'}]}
- {id: start, kind: start-up, assignments: [{nodes: 'r0003-n[1-2]'}]}
- {id: firm, kind: company, assignments: [{gpus: ['r0004-n1/GPU-r0004-n1-0']}]}
"""


def worst(racks: int) -> str:
    names = [f"r{n:04d}" for n in range(1, racks + 1)]
    nodes = ", ".join(f"'{name}-n[2-18]'" for name in names)
    gpus = ", ".join(f"{name}-n1/GPU-{name}-n1-{g}" for name in names for g in range(2))
    return f"""tenants:
- {{id: lab, kind: researcher, assignments: [{{nodes: [{nodes}]}}]}}
- {{id: firm, kind: company, assignments: [{{gpus: [{gpus}]}}]}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="all 2,540 racks, not a tenth")
    whole = parser.parse_args().whole
    racks = 2540 if whole else 254
    result = {
        "default_open_hour": measure(document(16, 2, HELD), 10, 900),
        "default_closed_hour": measure(document(16, 2, HELD), 10, 3600),
        "reference" if whole else "reference_tenth": measure(
            document(racks, 18, worst(racks)), 10, 900
        ),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
