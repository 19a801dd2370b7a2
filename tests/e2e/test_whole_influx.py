# SPDX-License-Identifier: Apache-2.0
"""The same system with a real InfluxDB 2.x behind it: every row arrives, with equal values."""

import signal
from pathlib import Path

import pytest
from e2e.whole import Key, Whole, wait_for

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
        wait_for("PUE", lambda: whole.value("rackwatt_pue_ratio", window="15m"), 60)
        wait_for(
            "stored points", lambda: (whole.value("rackwatt_store_points_total") or 0) > 800, 60
        )
        assert whole.value("rackwatt_store_up") == 1
        wait_for(
            "a minute's balance", lambda: rollups.count("energy_balance", "energy_watt_hours"), 200
        )
        wait_for("minutes of power", lambda: rollups.count("power_1m", "power_watts"), 90)
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
