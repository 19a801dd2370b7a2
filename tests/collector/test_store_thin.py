# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store thin`: old minutes go from a real InfluxDB, and nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackwatt.collector.store.cli import store_app
from rackwatt.collector.store.thinning import minute_measurements
from servers.fixtures import InfluxBucket, influx_bucket, influxdb

__all__ = ["influx_bucket", "influxdb"]  # fixtures

DAYS = (1, 34, 89, 91, 120, 400)


def thin(bucket: InfluxBucket, folder: Path, keep: str, **more: str) -> tuple[int, str]:
    token = folder / "token"
    token.write_text(more.get("token", bucket.token), encoding="utf-8")
    found = CliRunner().invoke(
        store_app,
        ["thin", "--influx", more.get("url", bucket.url), "--influx-org", bucket.org,
         "--influx-rollups-bucket", bucket.bucket, "--influx-token-file", str(token),
         "--minutes-keep", keep],
    )  # fmt: skip
    return found.exit_code, found.output


def filled(bucket: InfluxBucket, *measurements: str) -> None:
    now = datetime.now(UTC).replace(hour=12)
    bucket.write(
        [
            f"{name},device=a,hall=h power_watts=1 {int((now - timedelta(days=d)).timestamp())}000"
            for name in measurements
            for d in DAYS
        ]
    )


def test_old_minutes_go_and_all_else_stays(influx_bucket: InfluxBucket, tmp_path: Path) -> None:
    minutes, others = minute_measurements(), ["gpu_1h", "energy_balance", "rack_state", "gpu_1"]
    assert "gpu_1m" in minutes
    filled(influx_bucket, *minutes, *others)
    code, said = thin(influx_bucket, tmp_path, "90d")
    assert code == 0, said
    assert "no minutes before" in said
    assert [influx_bucket.count(name, "power_watts") for name in minutes] == [3] * len(minutes)
    assert [influx_bucket.count(name, "power_watts") for name in others] == [6] * len(others)
    code, said = thin(influx_bucket, tmp_path, "90d")
    assert (code, said) == (0, "no minutes that old\n")


@pytest.mark.parametrize("keep", ["34d", "forever", "soon", "-90d", "0"])
def test_what_late_readings_may_need_is_kept(
    influx_bucket: InfluxBucket, tmp_path: Path, keep: str
) -> None:
    filled(influx_bucket, "gpu_1m")
    code, said = thin(influx_bucket, tmp_path, keep)
    assert code == 2
    assert "--minutes-keep: expects 35d or more" in said
    assert influx_bucket.count("gpu_1m", "power_watts") == len(DAYS)


def test_who_may_not_is_told(influx_bucket: InfluxBucket, tmp_path: Path) -> None:
    filled(influx_bucket, "gpu_1m")
    code, said = thin(influx_bucket, tmp_path, "90d", token="another-token-altogether")
    assert code == 1
    assert "401" in said
    assert influx_bucket.count("gpu_1m", "power_watts") == len(DAYS)
