# SPDX-License-Identifier: Apache-2.0
"""From the embedded store to InfluxDB: all of it, once, however often it is broken off."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackwatt.collector.store import EmbeddedStore, InfluxStore, Row, StoreUnavailable
from rackwatt.collector.store import copying as copying_module
from rackwatt.collector.store.base import WriteResult
from rackwatt.collector.store.cli import store_app
from rackwatt.collector.store.copying import LATE_MS, MARKS, Marks, Moved, copy_store
from servers.fixtures import InfluxBucket, influx_bucket, influxdb

__all__ = ["influx_bucket", "influxdb"]  # fixtures

NOW = int(time.time()) * 1000 - 6 * 3_600_000
"""The embedded store keeps two days of readings."""
HOUR = 3_600_000


def rows(measurement: str, count: int, start: int = NOW) -> list[Row]:
    return [
        Row(measurement, (("device", f"d{n % 3}"), ("site", "demo")), {"power_watts": float(n)},
            start + n * 1000)
        for n in range(count)
    ]  # fmt: skip


async def filled(folder: Path, *more: Row) -> Path:
    store = EmbeddedStore(folder)
    await store.start()
    await store.write([*rows("power", 50), *rows("power_1m", 7), *more])
    await store.aclose()
    return folder


class Taker:
    """A store that takes rows, and fails as it is told to."""

    def __init__(self) -> None:
        self.taken: list[Row] = []
        self.fails_at = 0
        self.refuses = ""

    def identity(self) -> str:
        return "taker"

    async def write(self, batch: Sequence[Row]) -> WriteResult:
        self.fails_at -= 1
        if self.fails_at == 0:
            raise StoreUnavailable("gone")
        kept = [row for row in batch if row.measurement != self.refuses]
        self.taken += kept
        return WriteResult(len(kept), tuple((r, "no") for r in batch if r not in kept))

    def keys(self) -> set[tuple[str, int, str]]:
        return {(row.measurement, row.time_ms, dict(row.tags)["device"]) for row in self.taken}


def ignore(_: Moved) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("fails_at", range(1, 9))
async def test_what_was_broken_off_goes_on_and_lacks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    monkeypatch.setattr(copying_module, "BATCH", 8)
    folder = await filled(tmp_path / "store")
    taker = Taker()
    taker.fails_at = fails_at
    with pytest.raises(StoreUnavailable):
        await copy_store([folder], taker, Marks(tmp_path / MARKS, "taker"), ignore)
    before = len(taker.taken)
    done = await copy_store([folder], taker, Marks(tmp_path / MARKS, "taker"), ignore)
    assert len(taker.keys()) == 57
    assert before + sum(done.rows.values()) == len(taker.taken)


async def test_a_second_run_brings_what_is_new_or_came_late(tmp_path: Path) -> None:
    old = NOW - LATE_MS - HOUR
    folder = await filled(tmp_path / "store", *rows("power", 3, old))
    taker = Taker()
    await copy_store([folder], taker, Marks(tmp_path / MARKS, "taker"), ignore)
    taker.taken.clear()
    store = EmbeddedStore(folder)
    await store.start()
    late = rows("power", 1, NOW - 2 * HOUR)
    await store.write([*late, *rows("power", 2, NOW + HOUR)])
    await store.aclose()
    await copy_store([folder], taker, Marks(tmp_path / MARKS, "taker"), ignore)
    times = {row.time_ms for row in taker.taken}
    assert {NOW - 2 * HOUR, NOW + HOUR, NOW + HOUR + 1000} <= times
    assert old not in times
    other = Taker()
    await copy_store([folder], other, Marks(tmp_path / MARKS, "another store"), ignore)
    assert old in {row.time_ms for row in other.taken}


async def test_what_is_refused_is_counted_and_named(tmp_path: Path) -> None:
    folder = await filled(tmp_path / "store")
    taker = Taker()
    taker.refuses = "power_1m"
    done = await copy_store([folder], taker, Marks(tmp_path / MARKS, "taker"), ignore)
    assert (done.refused, done.reason) == (7, f"power_1m of {NOW}: no")
    assert done.rows == {"power": 50, "power_1m": 0}


async def test_the_command_on_a_real_influxdb(influx_bucket: InfluxBucket, tmp_path: Path) -> None:
    await filled(tmp_path / "data" / "store")
    token = tmp_path / "token"
    token.write_text(influx_bucket.token, encoding="utf-8")
    token.chmod(0o600)
    arguments = ["copy", "--data", str(tmp_path / "data"), "--influx", influx_bucket.url,
                 "--influx-org", influx_bucket.org, "--influx-bucket", influx_bucket.bucket,
                 "--influx-rollups-bucket", influx_bucket.bucket,
                 "--influx-token-file", str(token)]  # fmt: skip
    done = await asyncio.to_thread(CliRunner().invoke, store_app, arguments)
    assert done.exit_code == 0, done.output
    assert "57 rows copied" in done.output
    store = InfluxStore(url=influx_bucket.url, org=influx_bucket.org, bucket=influx_bucket.bucket,
                        token=influx_bucket.token)  # fmt: skip
    found = dict(await asyncio.to_thread(lambda: list(store.history("power", 0, NOW * 2))))
    kept = {(d, row.time_ms): row.fields["power_watts"] for d in found for row in found[d]}
    assert kept == {
        (dict(row.tags)["device"], row.time_ms): row.fields["power_watts"]
        for row in rows("power", 50)
    }
    marks = json.loads((tmp_path / "data" / MARKS).read_text())
    assert list(marks) == [store.identity()]


def test_wrong_input_is_said(tmp_path: Path) -> None:
    arguments = ["copy", "--data", str(tmp_path), "--influx", "http://127.0.0.1:9"]
    done = CliRunner().invoke(store_app, arguments)
    assert (done.exit_code, "no embedded store in" in done.output) == (2, True)
