# SPDX-License-Identifier: Apache-2.0
"""What the dashboards' queries cost with a campus of data in a real InfluxDB; JSON on stdout.

Run: `python benchmarks/dashboard_queries.py [--racks 2500]`. Racks in 10 halls, 72 GPUs each, two
PDUs and four feeds a rack, 40 tenants: made up, with a little noise, written as lines. Halls,
tenants, the site and its chains have 30 days; racks six hours by minute, feeds a day by ten
minutes, PDUs three hours by minute, GPUs three minutes of all and three hours of one rack. Then
every query of every dashboard is sent as Grafana would send it, all choices at All (the board of
one rack: that rack), over 1 h, 24 h and 30 days. `rows`: what was written; times in ms.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboards.grafana_text import ALL, Range, applies, influx_text

from benchmarks.parts.machine import report
from rackwatt.dashboards.editions import all_boards, as_text
from rackwatt.dashboards.sources import RAW
from servers.influxdb import InfluxBucket, InfluxDB

HALLS: Final = 10
ROW: Final = 20
TENANTS: Final = 40
GPUS: Final = 72
MINUTE: Final = 60_000
DAY: Final = 1440
BATCH: Final = 5_000
HOURS: Final = (1, 24, 720)
SITE: Final = "campus"

Fields = Mapping[str, float]
RACK_FIELDS: Final = {
    "power_watts": 1e5, "inlet_temperature_celsius": 24.0, "outlet_temperature_celsius": 38.0,
    "gpus_number": 72.0, "gpus_reporting_number": 72.0, "gpu_power_watts": 9e4,
    "gpu_power_min_watts": 100.0, "gpu_power_max_watts": 1200.0, "gpu_utilization_ratio": 0.8,
    "gpus_idle_number": 3.0, "gpus_idle_watts": 400.0, "gpu_temperature_max_celsius": 70.0,
    "gpu_memory_temperature_max_celsius": 80.0, "gpus_throttled_number": 0.0,
    "gpus_braked_number": 0.0, "gpu_ecc_uncorrected_errors_total": 0.0,
}  # fmt: skip
HALL_FIELDS: Final = {
    **RACK_FIELDS, "inlet_temperature_min_celsius": 20.0, "inlet_temperature_max_celsius": 27.0,
    "racks_above_recommended_number": 1.0, "racks_above_allowable_number": 0.0,
    "rack_cooling_index_high_ratio": 0.99, "rack_cooling_index_low_ratio": 1.0,
    "dew_point_max_celsius": 9.0,
}  # fmt: skip
FEED_FIELDS: Final = {
    "power_watts": 5e4, "load_ratio": 0.6, "headroom_watts": 3e4, "failover_ratio": 0.9,
    "current_l1_amperes": 70.0, "current_l2_amperes": 71.0, "current_l3_amperes": 69.0,
}  # fmt: skip
CHAIN_FIELDS: Final = {
    "sellable_watts": 2e7, "stranded_watts": 1e6, "losses_watts": 4e6, "ride_through_seconds": 41.0,
    "feeds_at_risk_number": 0.0,
}  # fmt: skip
TENANT_FIELDS: Final = dict.fromkeys(
    (
        "energy_watt_hours", "it_watt_hours", "overhead_watt_hours", "gpu_hours",
        "carbon_operational_grams", "carbon_life_cycle_grams", "origin_pv_watt_hours",
        "origin_wind_watt_hours", "origin_grid_watt_hours", "origin_genset_watt_hours",
        "origin_unknown_watt_hours",
    ),
    1e6,
)  # fmt: skip
GPU_FIELDS: Final = {"power_watts": 900.0, "power_max_watts": 1000.0, "utilization_ratio": 0.8,
                     "temperature_celsius": 60.0, "temperature_celsius_max": 61.0}  # fmt: skip


def places(racks: int) -> Iterator[tuple[str, str, str]]:
    """Hall, row and rack."""
    for number in range(racks):
        hall = number * HALLS // racks
        yield f"hall-{hall:02d}", f"row-{number // ROW:03d}", f"r{number:04d}"


def lines(head: str, fields: Fields, end_ms: int, count: int, every: int) -> Iterator[str]:
    """`count` rows up to `end_ms`, one each `every` minutes."""
    rng = random.Random(head)  # noqa: S311 - repeatable
    for back in range(count):
        noise = rng.uniform(0.95, 1.0)
        body = ",".join(f"{name}={value * noise:.4g}" for name, value in fields.items())
        yield f"{head} {body} {end_ms - (back + 1) * every * MINUTE}"


def everything(racks: int, end_ms: int) -> Iterator[str]:
    """All rows of the bucket of rollups."""
    site = f"site={SITE}"
    for hall, row, rack in places(racks):
        place = f"hall={hall},rack={rack},row={row},{site}"
        yield from lines(f"rack_state,{place}", RACK_FIELDS, end_ms, 360, 1)
        yield f"rack_energy,{place} it_watt_hours=1,it_watt_hours_known=1 {end_ms - MINUTE}"
        yield from lines(
            f"chain_rack,rack={rack},{site}",
            {"room_watts": 1e4, "ride_through_seconds": 40.0},
            end_ms,
            144,
            10,
        )
        for side in "AB":
            pdu = f"{rack}-pdu-{side.lower()}"
            for source, target in ((f"{row}-busway", pdu), (pdu, rack)):
                head = f"chain_feed,feed={source}>{target},side={side},{site},source={source}"
                yield from lines(head, FEED_FIELDS, end_ms, 144, 10)
            yield from lines(f"power_1m,device={pdu},{place}", {"power_watts": 5e4}, end_ms, 180, 1)
        for gpu in range(GPUS):
            minutes = 180 if rack == "r0000" else 3
            yield from lines(f"gpu_1m,device={rack}-n{gpu // 4}/GPU-{gpu},{place}", GPU_FIELDS,
                             end_ms, minutes, 1)  # fmt: skip
    for number in range(HALLS):
        hall = f"hall=hall-{number:02d},{site}"
        yield from lines(f"hall_state,{hall}", HALL_FIELDS, end_ms, 30 * DAY, 1)
        yield f"hall_energy,{hall} energy_watt_hours=1,energy_watt_hours_known=1 {end_ms - MINUTE}"
    yield from lines(f"chain_site,{site}", CHAIN_FIELDS, end_ms, 30 * DAY, 1)
    for group in range(20):
        yield from lines(f"chain_group,group=ups-{group},{site}", {"spare_number": 1.0}, end_ms,
                         30 * DAY, 1)  # fmt: skip
    for number in range(TENANTS):
        head = f"kind=company,{site},tenant=tenant-{number:02d}"
        ones = ",".join(f"{name}_known=1" for name in TENANT_FIELDS)
        for suffix, count, every in (("", 30 * 96, 15), ("_1h", 720, 60), ("_1d", 30, DAY)):
            for line in lines(f"tenant_energy{suffix},{head}", TENANT_FIELDS, end_ms, count, every):
                body, _, at = line.rpartition(" ")
                yield f"{body},{ones} {at}"
    yield f"site_figures,{site} completeness_ratio=1 {end_ms - MINUTE}"


def write(bucket: InfluxBucket, rows: Iterator[str]) -> int:
    """Write all; returns how many."""
    count = 0
    batch: list[str] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            bucket.write("\n".join(batch))
            count += len(batch)
            batch.clear()
    if batch:
        bucket.write("\n".join(batch))
    return count + len(batch)


def ask(bucket: InfluxBucket, text: str) -> tuple[float, bool]:
    """Milliseconds, and whether there was an answer with rows."""
    begun = time.perf_counter()
    query = {"db": bucket.bucket, "epoch": "ms", "q": text}
    answer: dict[str, Any] = json.loads(bucket.server.request("POST", "/query", query=query))
    took = (time.perf_counter() - begun) * 1000
    return took, "series" in answer["results"][0]


def queries(end_ms: int) -> Iterator[tuple[str, str, int, str]]:
    """Board, panel, hours and InfluxQL."""
    for one in all_boards():
        board = json.loads(as_text(one.edition("en")[0]))
        variables = board["templating"]["list"]
        limits = {variable["name"]: variable.get("allValue") for variable in variables}
        values = {v["name"]: ALL if v["includeAll"] else "r0000" for v in variables}
        values["site"] = SITE
        for hours in HOURS:
            shown = Range(end_ms - hours * 3_600_000, end_ms)
            for panel in board["panels"]:
                for target in panel.get("targets", ()):
                    ours = "query" in target and target["datasource"]["uid"] != RAW
                    if ours and applies(target["query"], shown):
                        text = influx_text(target["query"], shown, panel, values, limits)
                        yield one.key, panel["title"], hours, text


def measure(racks: int) -> dict[str, Any]:
    """Fill and ask."""
    end_ms = round(time.time()) // 60 * MINUTE
    with tempfile.TemporaryDirectory() as folder, InfluxDB(Path(folder)) as server:
        bucket = server.create_bucket("bench-dashboards")
        begun = time.perf_counter()
        rows = write(bucket, everything(racks, end_ms))
        filled = time.perf_counter() - begun
        took: dict[tuple[str, str, int], float] = {}
        empty = 0
        boards: dict[str, list[float]] = {}
        for board, panel, hours, text in queries(end_ms):
            ms, found = ask(bucket, text)
            if not found:
                empty += 1
                continue
            took[board, panel, hours] = max(ms, took.get((board, panel, hours), 0.0))
            boards.setdefault(board, []).append(ms)
    cuts = quantiles(took.values(), n=20)
    slowest = sorted(took.items(), key=lambda one: -one[1])[:8]
    return {
        "racks": racks,
        "rows": rows,
        "filled_s": round(filled, 1),
        "asked": sum(map(len, boards.values())),
        "without_rows": empty,
        "p50_ms": round(cuts[9], 1),
        "p95_ms": round(cuts[18], 1),
        "largest_ms": {board: round(max(each), 1) for board, each in boards.items()},
        "slowest": [{"board": b, "panel": p, "hours": h, "ms": round(ms)}
                    for (b, p, h), ms in slowest],
    }  # fmt: skip


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--racks", type=int, default=2500)
    report("dashboard_queries", measure(parser.parse_args().racks))


if __name__ == "__main__":
    main()
