# SPDX-License-Identifier: Apache-2.0
"""An InfluxDB filled by the real pipeline: two simulated days of the default site."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.grafana_text import Range

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
