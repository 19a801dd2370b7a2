# SPDX-License-Identifier: Apache-2.0
"""The same system with a real InfluxDB 2.x behind it: every row arrives, with equal values."""

import json
import signal
import threading
import time
from math import fsum
from pathlib import Path
from typing import Self

import pytest
from dashboards.grafana_text import Range, influx_text
from e2e.whole import Key, Whole, wait_for

from rackwatt.dashboards.boards.now import BOARD
from rackwatt.dashboards.editions import as_text
from rackwatt.wire.readings import FIELDS
from servers.fixtures import InfluxBucket, InfluxDB

pytestmark = pytest.mark.e2e


def in_influx(bucket: InfluxBucket) -> dict[Key, float]:
    """Every number of the raw measurements."""
    found: dict[Key, float] = {}
    for kind, fields in FIELDS.items():
        if not fields:
            continue
        for row in bucket.query_influxql(f'SELECT * FROM "{kind}"'):  # noqa: S608
            for name, value in row.items():
                if name in fields and value is not None:
                    found[row["device"], name, row["time"]] = value
    return found


SHARES = {
    **{f"Shares of the load {name}": ("rackwatt_" + name + "_share_ratio", {})
       for name in ("renewable", "grid", "carbon_free")},
    **{f"Carbon intensity of the load {series}": (
        "rackwatt_carbon_intensity_grams_per_kilowatt_hour", {"series": series})
       for series in ("operational", "life_cycle")},
}  # fmt: skip
"""What "Now" shows of the newest booked minute, and the metric that said so while it lasted."""


class Watcher:
    """Reads /metrics every second, to be compared with minutes that are booked later."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._ending = threading.Event()
        self.seen: list[tuple[float, dict[str, float]]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(1.0):
            found = {}
            for title, (name, labels) in SHARES.items():
                value = self._whole.value(name, **labels)
                if value is not None:
                    found[title] = value
            self.seen.append((time.time(), found))

    def mean(self, title: str, start_ms: int) -> float:
        """Of a minute; the live figures are up to 2 s behind."""
        start = start_ms / 1000 + 1.0
        values = [
            found[title] for at, found in self.seen if start <= at < start + 60 and title in found
        ]
        assert len(values) >= 20, "too few looks at that minute"
        return fsum(values) / len(values)


def now_shows(bucket: InfluxBucket, start_ms: int) -> dict[str, tuple[int, float]]:
    """Panel and series of the dashboard "Now" to the minute and the value that it shows.

    Of the minutes from `start_ms` on: in the books' first one meters begin one after the other, the
    site's own and the racks' seconds apart, and its PUE is that of no minute.
    """
    board = json.loads(as_text(BOARD.edition("en")[0]))
    end_ms = round(time.time() * 1000)
    found: dict[str, tuple[int, float]] = {}
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            if panel.get("timeFrom") and "query" in target:
                text = influx_text(target["query"], Range(start_ms, end_ms),
                                   {**panel, "timeFrom": ""},
                                   {"site": "demo"}, {"site": None})  # fmt: skip
                for row in bucket.query_influxql(text):
                    value = row.get("last", row.get("sum_sum"))
                    if value is not None:
                        name = f"{panel['title']} {target.get('alias', '')}".strip()
                        found[name] = row["time"], value
    return found


def agree(whole: Whole, bucket: InfluxBucket, watcher: Watcher) -> None:
    """What "Now" shows is what /metrics said: the shares of that minute, the PUE of its window."""
    first = bucket.query_influxql("SELECT load_watt_hours FROM site_figures LIMIT 1")[0]["time"]
    shown = now_shows(bucket, first + 60_000)
    pue = whole.value("rackwatt_pue_ratio", window="15m")
    assert shown["PUE, interim (15 min)"][1] == pytest.approx(pue, abs=0.02)
    for title in SHARES:
        minute, value = shown[title]
        # Two points of a share, which are 13 g/kWh where the rest is the grid: the live figures are
        # means of other seconds, and a small share makes a large ratio of them.
        close = 13.0 if "intensity" in title else 0.02
        assert value == pytest.approx(watcher.mean(title, minute), rel=0.05, abs=close), title


def test_influxdb_holds_what_was_sent(
    influxdb: InfluxDB, influx_bucket: InfluxBucket, tmp_path: Path
) -> None:
    rollups = influxdb.create_bucket(f"{influx_bucket.bucket}-rollups")
    token = tmp_path / "token"
    token.write_text(influx_bucket.token, encoding="utf-8")
    token.chmod(0o600)
    whole = Whole(
        tmp_path / "data",
        *("--influx", influx_bucket.url, "--influx-org", influx_bucket.org),
        *("--influx-bucket", influx_bucket.bucket, "--influx-token-file", str(token)),
        *("--influx-rollups-bucket", rollups.bucket),
    )
    try:
        whole.start()
        with Watcher(whole) as watcher:
            wait_for("PUE", lambda: whole.value("rackwatt_pue_ratio", window="15m"), 60)
            wait_for(
                "stored points", lambda: (whole.value("rackwatt_store_points_total") or 0) > 800, 60
            )
            assert whole.value("rackwatt_store_up") == 1
            wait_for(
                "two minutes' balance",
                lambda: rollups.count("site_figures", "load_watt_hours") >= 2,
                260,
            )
            wait_for("minutes of power", lambda: rollups.count("power_1m", "power_watts"), 90)
            agree(whole, rollups, watcher)
        assert whole.stop(signal.SIGTERM) == 0
        assert whole.nothing_left()
        sent = whole.sent()
    finally:
        whole.close()
    # What was still on its way to the store when everything stopped lies in the spool.
    newest = max(time for _, _, time in sent) - 10_000
    sent = {key: value for key, value in sent.items() if key[2] < newest}
    kept = {key: value for key, value in in_influx(influx_bucket).items() if key[2] < newest}
    rows = {(device, time) for device, _, time in sent}
    assert len(rows) > 300
    assert {(device, time) for device, _, time in kept} == rows
    assert kept == sent
    query = (
        "SELECT sum(energy_watt_hours) FROM energy_balance WHERE energy_watt_hours_known = 1"
        " GROUP BY time(1m) fill(none)"
    )
    loads = "SELECT load_watt_hours FROM site_figures WHERE load_watt_hours_known = 1"
    summed = {row["time"]: row["sum"] for row in rollups.query_influxql(query)}
    figures = {row["time"]: row["load_watt_hours"] for row in rollups.query_influxql(loads)}
    assert summed
    assert summed == pytest.approx({time: figures[time] for time in summed})


def test_a_missing_token_is_named(tmp_path: Path) -> None:
    whole = Whole(tmp_path / "data", "--influx", "http://127.0.0.1:9")
    whole.environment = {"RACKWATT_INFLUX_TOKEN": ""}
    try:
        with pytest.raises(AssertionError, match="no token for InfluxDB"):
            whole.start()
    finally:
        whole.close()
