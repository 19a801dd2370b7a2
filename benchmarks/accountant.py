# SPDX-License-Identifier: Apache-2.0
"""What the accountant spends on the default site, per second of its life; JSON on stdout.

Run: `python benchmarks/accountant.py [--seconds 300]`. The simulated default site's file; its site
meters once a second, its PDUs every 10 s, all at once, as its agents send them. Each second: the
ledger takes the readings in (durably), the live figures observe them and are made anew, intervals
close. The first 17 minutes fill the figures' window and are not counted.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import percentile, report
from rackwatt.collector.accounting.battery import initial
from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.collector.site import Site, load_site
from rackwatt.twin.kit import build
from rackwatt.twin.spec import load_spec

FILL_SECONDS: Final = 17 * 60
START_MS: Final = 1_790_000_040_000
_PDU_EVERY: Final = 10
_EXTRA: Final = {
    "power_export_watts": 0.0,
    "energy_export_watt_hours": 303_277.0,
    "voltage_l1_volts": 229.0,
    "voltage_l2_volts": 232.0,
    "voltage_l3_volts": 229.8,
    "current_l1_amperes": 4.92,
    "current_l2_amperes": 4.86,
    "current_l3_amperes": 4.92,
    "power_factor_ratio": 0.98,
    "apparent_power_volt_amperes": 3380.0,
}
POWERS: Final = {
    "grid-1": 46_000.0,
    "pv-1": 32_700.0,
    "wind-1": 48_200.0,
    "ups-1": 105_900.0,
    "cooling-1": 6_800.0,
    "other-1": 2_200.0,
}
PDU_WATTS: Final = 3_250.0


class Meters:
    """Readings of every power meter of the default site."""

    def __init__(self, site: Site) -> None:
        self.pdus = [name for rack in site.racks for name in rack.pdus]

    def at(self, second: int) -> list[InputRecord]:
        """What the meters send in that second."""
        time_ms = START_MS + second * 1000
        found = [self._metered(name, watts, second, time_ms) for name, watts in POWERS.items()]
        charged = 12_000.0
        values = {
            "power_charge_watts": charged,
            "power_discharge_watts": 0.0,
            "energy_charge_watt_hours": 1e6 + charged * second / 3600,
            "energy_discharge_watt_hours": 8e5,
            "state_of_charge_ratio": 0.4,
        }
        found.append(InputRecord("battery-1", time_ms, values, time_ms + 200))
        if second % _PDU_EVERY == 0:
            found += [self._metered(name, PDU_WATTS, second, time_ms) for name in self.pdus]
        return found

    @staticmethod
    def _metered(name: str, watts: float, second: int, time_ms: int) -> InputRecord:
        now = watts * (1 + (second % 7) / 1000)
        values: dict[str, float | None] = {
            "power_watts": now,
            "power_min_watts": now,
            "power_max_watts": now,
            "energy_import_watt_hours": 1e6 + watts * 1.003 * second / 3600,
            **_EXTRA,
        }
        return InputRecord(name, time_ms, values, time_ms + 200)


def measure(folder: Path, seconds: int) -> dict[str, Any]:
    """Live through some minutes as fast as it goes."""
    kit = build(load_spec("default"), folder / "twin", "mqtt://127.0.0.1:1883")
    site = load_site(kit.site_file)
    factors, parameters = site_factors(site), battery_parameters(site)
    stock = initial_stock(site)
    path = folder / "ledger.db"
    ledger = Ledger(path, site, factors, parameters, stock)
    live = LiveFigures(
        site, factors, parameters, initial(stock, factors.at(START_MS).initial), now_ms=START_MS
    )
    meters = Meters(site)
    times: dict[str, list[float]] = {name: [] for name in ("apply", "observe", "figures", "close")}
    closing: list[float] = []
    processor = counted = 0.0
    records = 0
    for second in range(1, FILL_SECONDS + seconds + 1):
        batch = meters.at(second)
        now = START_MS + second * 1000 + 300
        before = _used()
        marks = [time.perf_counter()]
        ledger.apply(batch, second)
        marks.append(time.perf_counter())
        for record in batch:
            live.observe(record.device, record.time_ms, record.values)
        marks.append(time.perf_counter())
        figures = live.figures(now)
        marks.append(time.perf_counter())
        closed = ledger.close_intervals(now)
        marks.append(time.perf_counter())
        if second <= FILL_SECONDS:
            continue
        processor += _used() - before
        counted += marks[-1] - marks[0]
        records += len(batch)
        for name, begin, end in zip(times, marks, marks[1:], strict=False):
            times[name].append(end - begin)
        if closed.closed:
            closing.append(marks[-1] - marks[-2])
    assert figures.pue.value is not None, figures.pue
    assert not figures.missing, figures.missing
    ledger.close()
    size = sum(file.stat().st_size for file in folder.glob("ledger.db*"))
    return {
        "meters": len(meters.pdus) + len(POWERS) + 1,
        "seconds": seconds,
        "readings_per_second": round(records / seconds, 1),
        "milliseconds": {
            name: {
                "median": round(percentile(values, 0.5) * 1000, 3),
                "p99": round(percentile(values, 0.99) * 1000, 3),
            }
            for name, values in times.items()
        },
        "close_one_interval_milliseconds": {
            "median": round(percentile(closing, 0.5) * 1000, 2),
            "max": round(max(closing) * 1000, 2),
        },
        "apply_microseconds_per_reading": round(sum(times["apply"]) / records * 1e6, 1),
        "observe_microseconds_per_reading": round(sum(times["observe"]) / records * 1e6, 2),
        "core_ratio": round(processor / seconds, 4),
        "busy_ratio": round(counted / seconds, 4),
        "ledger_bytes_per_reading": round(size / len(_all(meters, seconds)), 1),
        "pue": round(figures.pue.value, 4),
    }


def _all(meters: Meters, seconds: int) -> list[InputRecord]:
    return [r for second in range(1, FILL_SECONDS + seconds + 1) for r in meters.at(second)]


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=300, help="of the site's time, counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report("accountant", measure(Path(name), options.seconds))


if __name__ == "__main__":
    main()
