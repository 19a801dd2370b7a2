# SPDX-License-Identifier: Apache-2.0
"""An InfluxDB filled by the real pipeline: two simulated days of the default site."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboards.grafana_text import Range

from rackwatt.collector.accounting.calendar import spans
from rackwatt.collector.copies.book import Book
from rackwatt.collector.copies.chain_rows import chain_rows
from rackwatt.collector.copies.periods import Books, period_rows
from rackwatt.collector.copies.rows import Places, interval_rows
from rackwatt.collector.copies.spans import EVERY, Sum
from rackwatt.collector.copies.state_rows import state_rows
from rackwatt.collector.ledger.journal import HEAT_REUSED, WATER_LITERS, LedgerRow
from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.live.chain import LiveChains
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.states import hall_states
from rackwatt.collector.site import load_site
from rackwatt.collector.store import InfluxStore, Row
from rackwatt.collector.store.rollups import MINUTE_RULES, fold
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import KINDS, Kind
from servers.fixtures import InfluxBucket, InfluxDB

FIRST_DAY = "2026-11-20"
DAYS = 2


@dataclass(frozen=True)
class Filled:
    """What was filled, and up to when.

    Attributes:
        raw: bucket of readings.
        rollups: bucket of everything else.
        folder: has `ledger.db`.
        end_ms: the end of the data.
    """

    raw: InfluxBucket
    rollups: InfluxBucket
    folder: Path
    end_ms: int

    def range(self, hours: float) -> Range:
        """The last so many hours of the data."""
        return Range(self.end_ms - round(hours * 3_600_000), self.end_ms)


def fill(server: InfluxDB, folder: Path) -> Filled:
    """Simulate, book, copy."""
    raw = server.create_bucket("dashboards-raw")
    rollups = server.create_bucket("dashboards-rollups")
    token = folder / "token"
    token.write_text(server.token, encoding="utf-8")
    token.chmod(0o600)
    command = [
        *(sys.executable, "-m", "rackwatt.collector.cli", "twin", "simulate"),
        *("--from", FIRST_DAY, "--days", str(DAYS), "--data", str(folder / "books")),
        *("--influx", server.url, "--influx-org", server.org, "--influx-token-file", str(token)),
        *("--influx-bucket", raw.bucket, "--influx-rollups-bucket", rollups.bucket),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    newest: list[dict[str, Any]] = rollups.query_influxql(
        'SELECT last("completeness_ratio") FROM "site_figures"'
    )
    return Filled(raw, rollups, folder / "books", newest[0]["time"] + 60_000)


WET = "wet"
"""A second site: the same books, with water and reused heat metered, too."""


async def fill_wet(filled: Filled, server: InfluxDB) -> None:
    """Copy the books once more, by the code that copies them, with meters that they lack."""
    site = load_site(filled.folder / "site.yaml")
    book = Book(filled.folder / "ledger.db")
    rows = [_wet(row) for row in book.rows(0, filled.end_ms)]
    book.close()
    first, end = rows[0].start_ms, filled.end_ms
    points = [p for r in rows for p in interval_rows(Places(WET), r.start_ms, r.revision, r.data)]
    books = Books(lambda a, b: [r for r in rows if a <= r.start_ms < b], first, end)
    for every in EVERY:
        for span in spans(first, end, every, site.timezone):
            item = Sum("interval", every, span.start_ms, span.end_ms)
            points += period_rows(WET, rules_of(site), item, books)
    place = filled.rollups
    store = InfluxStore(url=server.url, org=server.org, bucket=place.bucket, token=server.token)
    await store.start()
    for start in range(0, len(points), 1000):  # wide rows: a megabyte is enough for a request
        result = await store.write(points[start : start + 1000])
        assert not result.rejected
    await store.aclose()


MINUTES = 120
"""Of what the accountant looks at while it runs: the newest of the two days."""


async def fill_states(filled: Filled, server: InfluxDB) -> None:
    """Chains, racks and halls, by the code that looks at them, from the readings that are there."""
    site = load_site(filled.folder / "site.yaml")
    first = filled.end_ms - MINUTES * 60_000
    raw = _store(server, filled.raw)
    rollups = _store(server, filled.rollups)
    await raw.start()
    await rollups.start()
    await raw.write(extras(first, filled.end_ms))
    for suffix in ("_1m", "_1h"):
        await rollups.write(
            [
                _rolled(row, suffix)
                for row in extras(first, filled.end_ms)
                if row.measurement in MINUTE_RULES
            ]
        )
    minutes: dict[int, list[tuple[Kind, ReceivedReading]]] = {}
    for kind in KINDS:
        for device, stored in raw.history(kind, first, filled.end_ms) if kind != "event" else ():
            for row in stored:
                known = {k: v for k, v in row.fields.items() if isinstance(v, float)}
                minutes.setdefault(row.time_ms // 60_000, []).append(
                    (kind, ReceivedReading(device, row.time_ms, {**known, **unsimulated(kind)}))
                )
    devices = Devices(site)
    chains = LiveChains(site, devices)
    for minute, found in sorted(minutes.items()):
        now = max(reading.time_ms for _, reading in found)
        for kind, reading in found:
            devices.observe(kind, reading, reading.time_ms)
        racks = devices.rack_states(now)
        rows = [
            *state_rows(site.id, racks, hall_states(racks), minute * 60_000),
            *chain_rows(site.id, site.chains, chains.state(now), minute * 60_000, racks=True),
        ]
        result = await rollups.write(rows)
        assert not result.rejected
    await raw.aclose()
    await rollups.aclose()


def _rolled(row: Row, suffix: str) -> Row:
    """A span with this reading alone."""
    fields = fold(MINUTE_RULES[row.measurement], [(row.time_ms, row.fields)])
    return replace(row, measurement=row.measurement + suffix, fields=fields)


def _store(server: InfluxDB, bucket: InfluxBucket) -> InfluxStore:
    return InfluxStore(url=server.url, org=server.org, bucket=bucket.bucket, token=server.token)


def unsimulated(kind: Kind) -> dict[str, float]:
    """What agents read of devices and simulated months do not have."""
    if kind == "gpu":
        return {"memory_temperature_celsius": 82.0, "clock_event_reasons_bitmask": 4.0,
                "ecc_uncorrected_errors_total": 0.0}  # fmt: skip
    if kind == "power":
        return {f"current_l{phase}_amperes": 4.0 + phase for phase in (1, 2, 3)}
    return {}


def extras(first_ms: int, end_ms: int) -> list[Row]:
    """A UPS, a leak detector and events, as their agents would have them: a row a minute."""
    of_site = (("hall", "site"), ("site", "demo"))
    ups = {
        "on_battery_ratio": 0.0,
        "load_ratio": 0.4,
        "runtime_seconds": 600.0,
        "power_factor_ratio": 0.98,
        "voltage_volts": 231.0,
        "frequency_hertz": 50.0,
    }
    rows = []
    for time_ms in range(first_ms, end_ms, 60_000):
        rows.append(Row("power", (("device", "ups-a"), *of_site), ups, time_ms))
        loop = (("device", "cdu-a1"), ("hall", "hall-a"), ("site", "demo"))
        rows.append(Row("coolant", loop, {"leak_ratio": 0.0}, time_ms))
    for rack, row in (("r1-01", "row-1"), ("r2-01", "row-2")):
        place = (
            ("code", "xid_79"),
            ("device", f"{rack}-n1/GPU-0"),
            ("hall", "hall-a"),
            ("rack", rack),
            ("row", row),
            ("site", "demo"),
        )
        rows.append(
            Row(
                "event",
                place,
                {"text": "XID 79: GPU has fallen off the bus", "severity": "error"},
                end_ms - 600_000,
            )
        )
    return rows


def _wet(row: LedgerRow) -> LedgerRow:
    """With 30 litres of water and 100 Wh of heat in a minute."""
    return replace(row, data={**row.data, WATER_LITERS: {"fresh": 30.0}, HEAT_REUSED: 100.0})
