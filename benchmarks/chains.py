# SPDX-License-Identifier: Apache-2.0
"""What the chains of a campus cost the accountant, its metrics and the store; JSON on stdout.

Run: `python benchmarks/chains.py [--racks 2540]`. 2,540 racks with two PDUs, rows of 20 with a
busway a side, blocks of 200 with a transformer and a UPS a side, coolant units with two pumps; all
PDUs speak. `look`: the chains read and judged, every 10 s. `families`: the metrics made, without
their text. `rows`: what goes to the store in a minute, and in each tenth of them, made and written
to an embedded store; `day_bytes` is its files' growth over ten such minutes, times 144.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report
from rackwatt.collector.copies.chain_rows import chain_rows
from rackwatt.collector.live.chain import LiveChains
from rackwatt.collector.live.chain_metrics import chain_families
from rackwatt.collector.live.chain_plan import LEAVES
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.roles.chain_history import RACKS_EVERY
from rackwatt.collector.roles.chains import MANY_FEEDS
from rackwatt.collector.site import Site, site_of
from rackwatt.collector.store import EmbeddedStore, Row
from rackwatt.collector.store.files import files_in
from rackwatt.collector.store.lines import LineEncoder
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.config import Document

T = TypeVar("T")

NOW: Final = 1_790_000_000_000
PER_ROW: Final = 20
PER_BLOCK: Final = 10
MINUTES_A_DAY: Final = 1440
MINUTE_MS: Final = 60_000


def document(racks: int) -> str:
    """The site file: rows of racks, blocks of rows."""
    counts = [min(PER_ROW, racks - first) for first in range(0, racks, PER_ROW)]
    rows = {f"{number:03d}": count for number, count in enumerate(counts)}
    names = {row: f"r{row}-[01-{count:02d}]" for row, count in rows.items()}
    blocks = [str(block) for block in range(-(-len(rows) // PER_BLOCK))]
    power: dict[str, list[dict[str, Any]]] = {
        "assets": [{"id": "u", "kind": "utility"}],
        "edges": [],
        "groups": [{"id": f"ups-{block}", "needed": 1} for block in blocks],
    }
    for side in "ab":
        for block in blocks:
            _block(power, block, side)
        for number, row in enumerate(rows):
            _busway(power, f"ups-{blocks[number // PER_BLOCK]}-{side}", row, names[row], side)
    mass = {"coolant_kilograms": 25, "metal_kilograms": 100, "limit_celsius": 65}
    cdus = [{"id": f"cdu-{row}", "kind": "cdu", "pumps": 2, "pumps_needed": 1} for row in rows]
    lines = [{"id": f"row-{r}", "racks": names[r], "pdus": "{rack}-pdu-[a-b]"} for r in rows]
    site = {
        "site": {"id": "campus", "timezone": "UTC", "country": "MA"},
        "halls": [
            {"id": "hall-a", "rows": lines, "devices": [str(cdu["id"]) for cdu in cdus]},
        ],
        "power_chain": power,
        "cooling_chain": {
            "assets": [{"id": "chiller-1", "kind": "chiller"}, *cdus],
            "edges": [
                *({"from": "chiller-1", "to": f"cdu-{row}"} for row in rows),
                *({"from": f"cdu-{row}", "to": names[row]} for row in rows),
            ],
            "thermal_mass": [{"racks": names[row], **mass} for row in rows],
        },
    }
    return json.dumps(site)


def _block(power: dict[str, list[dict[str, Any]]], block: str, side: str) -> None:
    rated = {"watts": 4e7, "derating": 1.0, "side": side.upper()}
    for kind, no_load, load in (("transformer", 2e4, 1.5e5), ("ups", 1e5, 7e5)):
        asset = {
            "id": f"{kind}-{block}-{side}", "kind": kind, "rated_volt_amperes": 4e7,
            "no_load_loss_watts": no_load, "load_loss_watts": load,
        }  # fmt: skip
        power["assets"].append(asset | ({"group": f"ups-{block}"} if kind == "ups" else {}))
    transformer, ups = f"transformer-{block}-{side}", f"ups-{block}-{side}"
    power["edges"] += [
        {"from": "u", "to": transformer, **rated},
        {"from": transformer, "to": ups, **rated},
    ]


def _busway(
    power: dict[str, list[dict[str, Any]]], ups: str, row: str, racks: str, side: str
) -> None:
    busway, rated = f"busway-{row}-{side}", {"volts": 400, "derating": 0.8}
    power["assets"].append({"id": busway, "kind": "busway"})
    pdus = {"to": f"{racks}-pdu-{side}", "amperes": 250, "meter": "{to}"}
    power["edges"] += [
        {"from": ups, "to": busway, "amperes": 5000, **rated},
        {"from": busway, **pdus, **rated},
    ]


def seen(site: Site) -> Devices:
    """All PDUs and coolant units speak."""
    devices = Devices(site)
    currents: dict[str, float | None] = {f"current_l{n}_amperes": 80.0 + n for n in (1, 2, 3)}
    for rack in site.racks:
        for pdu in rack.pdus:
            reading = ReceivedReading(pdu, NOW, {"power_watts": 55e3, **currents})
            devices.observe("power", reading, NOW)
    for asset in site.chains.cooling.assets.values():
        values: dict[str, float | None] = {
            "pumps_running_number": 2.0,
            "return_temperature_celsius": 44.0,
        }
        devices.observe("coolant", ReceivedReading(asset.id, NOW, values), NOW)
    return devices


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds that it took."""
    begun = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begun


async def written(batches: Sequence[Sequence[Row]]) -> list[float]:
    """Seconds of each batch, and last the bytes of the store's files."""
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder))
        await store.start()
        found: list[float] = []
        for rows in batches:
            begun = time.perf_counter()
            await store.write(rows)
            found.append(time.perf_counter() - begun)
        await store.aclose()
        found.append(float(sum(file.size() for file in files_in(Path(folder)))))
    return found


def measure(racks: int) -> dict[str, Any]:
    """All of it, once."""
    site, loading = timed(lambda: site_of(Document("site.yaml", document(racks))))
    live, power = LiveChains(site, seen(site)), site.chains.power
    sides = {edge.id: power.side(edge) for edge in power.edges}
    live.state(NOW)
    state, look = timed(lambda: live.state(NOW))
    many = len(power.edges) > MANY_FEEDS
    detailed = {e.id for e in power.edges if not many or power.assets[e.target].kind not in LEAVES}
    metrics, families = timed(lambda: chain_families(site.id, state, sides, detailed))
    make = (site.id, site.chains, state, NOW)
    whole, making = timed(lambda: chain_rows(*make, racks=True))
    above, making_above = timed(lambda: chain_rows(*make, racks=not many))
    minutes = [
        [replace(row, time_ms=NOW + n * MINUTE_MS) for row in (above if n else whole)]
        for n in range(RACKS_EVERY)
    ]
    *seconds, size = asyncio.run(written(minutes))
    return {
        "racks": racks,
        "feeds": len(state.edges),
        "site_file_seconds": loading,
        "look_seconds": look,
        "families": {"series": sum(len(f.samples) for f in metrics), "seconds": families},
        "rows": {
            "in_a_tenth_minute": len(whole),
            "make_seconds": making,
            "write_seconds": seconds[0],
            "lines_bytes": sum(len(LineEncoder().line(row)) + 1 for row in whole),
            "in_others": len(above),
            "make_seconds_others": making_above,
            "write_seconds_others": max(seconds[1:]),
            "day_rows": (len(whole) + (RACKS_EVERY - 1) * len(above)) * MINUTES_A_DAY // 10,
            "day_bytes": round(size * MINUTES_A_DAY / RACKS_EVERY),
        },
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--racks", type=int, default=2540)
    report("chains", measure(parser.parse_args().racks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
