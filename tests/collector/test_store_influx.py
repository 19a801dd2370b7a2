# SPDX-License-Identifier: Apache-2.0
"""InfluxDB as the store, against a real server; its setup, dump and tokens."""

import asyncio
import json
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackwatt.collector.store import (
    InfluxSpec,
    InfluxStore,
    Row,
    StoreRefused,
    TokenError,
    open_store,
    read_token,
)
from rackwatt.collector.store.cli import store_app
from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.setup import READ_FILE, WRITE_FILE, Plan, set_up
from servers.fixtures import InfluxBucket, InfluxDB, influx_bucket, influxdb

__all__ = ["influx_bucket", "influxdb"]  # fixtures

NOW = 1_790_000_000_000


def row(number: int, time_ms: int = NOW, **fields: float | str) -> Row:
    tags = (("device", f"node-{number // 8}/GPU-{number}"), ("hall", "hall-a"))
    return Row("gpu", tags, fields or {"power_watts": float(number)}, time_ms)


def store_of(place: InfluxBucket, /, **changes: str) -> InfluxStore:
    known = {"url": place.url, "org": place.org, "bucket": place.bucket, "token": place.token}
    return InfluxStore(**{**known, **changes})  # type: ignore[arg-type]


# --- a real server ----------------------------------------------------------------------


async def test_rows_arrive_whole_and_a_replay_overwrites(influx_bucket: InfluxBucket) -> None:
    store = store_of(influx_bucket)
    await store.start()
    rows = [row(n, power_watts=float(n), utilization_ratio=1.0) for n in range(12_000)]
    for _ in range(2):
        result = await store.write(rows)
        assert (result.written, result.rejected) == (12_000, ())
    await store.write([row(7, power_watts=8.0)])
    await store.aclose()
    assert influx_bucket.count("gpu", "power_watts") == 12_000
    (found,) = influx_bucket.query_influxql("SELECT * FROM gpu WHERE device = 'node-0/GPU-7'")
    assert found == {
        "measurement": "gpu",
        "time": NOW,
        "device": "node-0/GPU-7",
        "hall": "hall-a",
        "power_watts": 8.0,
        "utilization_ratio": 1.0,
    }


async def test_odd_names_and_texts_arrive_as_they_are(influx_bucket: InfluxBucket) -> None:
    store = store_of(influx_bucket)
    text = 'one\ntwo "three" \\ four\\'
    rows = [
        Row("event", (("code", "x"), ("device", "d")), {"text": text}, NOW),
        Row("my kind,x", (("a b", "c=d, é {e}"),), {"f g,=%d": 1e300, "h": 5e-324}, NOW),
    ]
    await store.start()
    assert (await store.write(rows)).written == 2
    await store.aclose()
    (event,) = influx_bucket.query_influxql("SELECT * FROM event")
    assert event["text"] == text
    (odd,) = influx_bucket.query_influxql('SELECT * FROM "my kind,x"')
    assert odd["a b"] == "c=d, é {e}"
    assert (odd["f g,=%d"], odd["h"]) == (1e300, 5e-324)


async def test_rows_that_the_server_refuses_are_found_among_thousands(
    influx_bucket: InfluxBucket,
) -> None:
    store = store_of(influx_bucket)
    await store.start()
    await store.write([row(0)])
    bad = {7, 4_000, 9_000}
    rows = [row(n, NOW + 1, power_watts="text" if n in bad else 2.0) for n in range(12_000)]
    result = await store.write(rows)
    assert result.written == 11_997
    assert {dict(r.tags)["device"].split("GPU-")[1] for r, _ in result.rejected} == {
        "7", "4000", "9000",
    }  # fmt: skip
    assert all("field type conflict" in reason for _, reason in result.rejected)
    await store.aclose()
    assert influx_bucket.count("gpu", "power_watts") == 11_998


async def test_rows_older_than_the_bucket_keeps_are_rejected(
    influxdb: InfluxDB, tmp_path: Path
) -> None:
    plan = Plan(tmp_path, "short-lived", "not-used", raw_seconds=0)
    with InfluxHttp(influxdb.url, influxdb.org, influxdb.token) as server:
        for seconds in (0, 3600):  # from for ever down to an hour
            set_up(server, replace(plan, raw_seconds=seconds), lambda _: None)
    spec = InfluxSpec(influxdb.url, influxdb.org, plan.raw_bucket, token_file=tmp_path / WRITE_FILE)
    store = open_store(spec)
    await store.start()
    result = await store.write([row(n, 1_000_000_000_000) for n in range(3_000)])
    await store.aclose()
    assert result.written == 0
    assert len(result.rejected) == 3_000
    assert "retention" in result.rejected[0][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bucket": "none"}, "404.*store setup"),
        ({"org": "none"}, "404.*store setup"),
        ({"token": "wrong"}, "401.*the token is not valid"),
    ],
)
async def test_a_refusal_says_what_to_do(
    influx_bucket: InfluxBucket, changes: dict[str, str], message: str
) -> None:
    store = store_of(influx_bucket, **changes)
    await store.start()
    with pytest.raises(StoreRefused, match=message) as caught:
        await store.write([row(1)])
    await store.aclose()
    assert influx_bucket.token not in str(caught.value)


async def test_rollups_go_into_their_own_bucket(influxdb: InfluxDB, tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan(tmp_path / "tokens", "set-up-raw", "set-up-rollups", raw_seconds=0)
    with InfluxHttp(influxdb.url, influxdb.org, influxdb.token) as server:
        set_up(server, plan, said.append)
    store = open_store(
        InfluxSpec(
            influxdb.url,
            influxdb.org,
            plan.raw_bucket,
            plan.rollups_bucket,
            token_file=tmp_path / "tokens" / WRITE_FILE,
        )
    )
    await store.start()
    rollup = Row("power_1h", (("device", "d"),), {"power_watts": 1.0}, NOW)
    assert (await store.write([row(1), rollup])).written == 2
    # Whoever writes can read back, in both buckets: late rollups are made so.
    for name, device in (("gpu", "node-0/GPU-1"), ("power_1h", "d")):
        found = await asyncio.to_thread(lambda: list(store.history(name, 0, NOW + 1)))  # noqa: B023
        assert [owner for owner, _ in found] == [device]
    await store.aclose()
    assert influxdb.count("gpu", "power_watts", bucket=plan.raw_bucket) == 1
    assert influxdb.count("power_1h", "power_watts", bucket=plan.rollups_bucket) == 1
    # The token to read reads, and does nothing else.
    token = read_token(tmp_path / "tokens" / READ_FILE)
    reader = InfluxStore(url=influxdb.url, org=influxdb.org, bucket=plan.raw_bucket, token=token)
    await reader.start()
    with pytest.raises(StoreRefused, match=r"40[13].*store setup"):
        await reader.write([row(1)])
    await reader.aclose()
    with InfluxHttp(influxdb.url, influxdb.org, token) as server:
        assert list(server.query(plan.raw_bucket, "SELECT * FROM gpu"))


def test_setup_may_be_run_again(influxdb: InfluxDB, tmp_path: Path) -> None:
    admin = tmp_path / "admin.token"
    admin.write_text(influxdb.token + "\n", encoding="utf-8")
    command = [
        "setup", "--influx", influxdb.url, "--influx-org", influxdb.org,
        "--influx-token-file", str(admin), "--token-dir", str(tmp_path / "tokens"),
        "--raw-bucket", "again-raw", "--rollups-bucket", "again-rollups",
    ]  # fmt: skip
    first = CliRunner().invoke(store_app, command)
    assert first.exit_code == 0, first.output
    assert "bucket again-raw: made, keeps 30 days" in first.stdout
    assert "database again-rollups: mapped for InfluxQL" in first.stdout
    tokens = {}
    for name in (WRITE_FILE, READ_FILE):
        path = tmp_path / "tokens" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        tokens[name] = path.read_text(encoding="utf-8")
        assert tokens[name].strip() not in first.output
    second = CliRunner().invoke(store_app, command)
    assert second.exit_code == 0, second.output
    assert "made" not in second.stdout
    assert second.stdout.count("there") == 6
    third = CliRunner().invoke(store_app, [*command, "--raw-keep", "48h"])
    assert "bucket again-raw: kept 30 days, now keeps 2 days" in third.stdout
    fourth = CliRunner().invoke(store_app, [*command, "--raw-keep", "forever"])
    assert "bucket again-raw: kept 2 days, now keeps for ever" in fourth.stdout
    for name, token in tokens.items():
        assert (tmp_path / "tokens" / name).read_text(encoding="utf-8") == token
    (tmp_path / "tokens" / WRITE_FILE).write_text("lost\n", encoding="utf-8")
    fifth = CliRunner().invoke(store_app, [*command, "--raw-keep", "forever"])
    assert "token to write: made" in fifth.stdout
    assert "earlier ones still work" in fifth.stdout
    unknown = [part if part != influxdb.org else "nobody" for part in command]
    refused = CliRunner().invoke(store_app, unknown)
    assert refused.exit_code == 1
    assert "no organization 'nobody'; there is rackwatt" in refused.stderr


async def test_dump_gives_back_what_was_written(influx_bucket: InfluxBucket) -> None:
    store = store_of(influx_bucket)
    await store.start()
    await store.write([row(1, power_watts=0.1), row(2, NOW + 1500, utilization_ratio=0.5)])
    await store.aclose()
    command = [
        "dump", "gpu", "--influx", influx_bucket.url, "--influx-org", influx_bucket.org,
        "--influx-bucket", influx_bucket.bucket,
    ]  # fmt: skip
    runner = CliRunner(env={"RACKWATT_INFLUX_TOKEN": influx_bucket.token})
    found = await asyncio.to_thread(runner.invoke, store_app, command)
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines() == [
        "time,device,hall,power_watts,utilization_ratio",
        "2026-09-21T14:13:20.000Z,node-0/GPU-1,hall-a,0.1,",
        "2026-09-21T14:13:21.500Z,node-0/GPU-2,hall-a,,0.5",
    ]
    extra = ["--device", "node-0/GPU-2", "--format", "jsonl", "--from", "2026-09-21T14:13:21Z"]
    found = await asyncio.to_thread(runner.invoke, store_app, [*command, *extra])
    assert [json.loads(line) for line in found.stdout.splitlines()] == [
        {
            "time": "2026-09-21T14:13:21.500Z",
            "device": "node-0/GPU-2",
            "hall": "hall-a",
            "utilization_ratio": 0.5,
        }
    ]
    command[1] = "gpux"
    found = await asyncio.to_thread(runner.invoke, store_app, command)
    assert found.exit_code == 2
    assert "did you mean 'gpu'" in found.stderr


# --- tokens -----------------------------------------------------------------------------


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" abc==\n", encoding="utf-8")
    assert read_token(file, {}) == "abc=="
    assert read_token(None, {"RACKWATT_INFLUX_TOKEN": "xyz"}) == "xyz"
    with pytest.raises(TokenError, match="RACKWATT_INFLUX_TOKEN"):
        read_token(None, {})
    with pytest.raises(TokenError, match="cannot be read"):
        read_token(tmp_path / "none", {})
    file.write_text("two words", encoding="utf-8")
    with pytest.raises(TokenError, match="one token"):
        read_token(file, {})


def test_no_option_takes_a_token() -> None:
    """What stands on a command line stands in every process list."""
    for command in ("setup", "dump"):
        shown = CliRunner().invoke(store_app, [command, "--help"], terminal_width=200).output
        options = set(re.findall(r"--[a-z-]+", shown))
        assert {name for name in options if "token" in name} <= {
            "--influx-token-file",
            "--token-dir",
        }


def test_dump_of_nothing_is_a_usage_error(tmp_path: Path) -> None:
    for arguments in ([], ["--data", str(tmp_path), "--influx", "http://x"]):
        found = CliRunner().invoke(store_app, ["dump", "gpu", *arguments])
        assert found.exit_code == 2
        assert "name one store" in found.stderr
