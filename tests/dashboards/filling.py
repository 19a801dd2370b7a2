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
from rackwatt.collector.copies.periods import Books, period_rows
from rackwatt.collector.copies.rows import Places, interval_rows
from rackwatt.collector.copies.spans import EVERY, Sum
from rackwatt.collector.ledger.journal import HEAT_REUSED, WATER_LITERS, LedgerRow
from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.site import load_site
from rackwatt.collector.store import InfluxStore
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


def _wet(row: LedgerRow) -> LedgerRow:
    """With 30 litres of water and 100 Wh of heat in a minute."""
    return replace(row, data={**row.data, WATER_LITERS: {"fresh": 30.0}, HEAT_REUSED: 100.0})
