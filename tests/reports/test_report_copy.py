# SPDX-License-Identifier: Apache-2.0
"""The report of a month from the ledger's copy in a real InfluxDB, which the copier filled."""

import asyncio
import json
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from typing import Any

import pytest
from reports.report_books import call, fill

from rackwatt.collector.copies.copier import Copier
from rackwatt.collector.signing.keys import SigningKey
from rackwatt.collector.site import load_site
from rackwatt.collector.store import InfluxStore
from rackwatt.wire.clock import SYSTEM_CLOCK
from servers.fixtures import InfluxBucket, InfluxDB, free_port, influxdb

__all__ = ["influxdb"]  # a fixture

# Of the HTTP library, where a batch of rows is above a megabyte: it holds the loop for a moment.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

MONTH = "2026-02"
NOT_IN_THE_COPY = {"pue_uncertainty_ratio"}


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("copied"))


@pytest.fixture(scope="module")
def bucket(books: Path, influxdb: InfluxDB) -> Iterator[InfluxBucket]:
    made = influxdb.create_bucket("copied-month")
    (books / "token").write_text(made.token, encoding="ascii")

    async def copy() -> None:
        async def save(_name: str, _number: int) -> None:
            pass

        store = InfluxStore(url=made.url, org=made.org, bucket=made.bucket, token=made.token)
        site = load_site(books / "site.yaml")
        copier = Copier(site, books / "ledger.db", store, save, SYSTEM_CLOCK)
        await copier.open()
        await copier.finish()
        await copier.aclose()
        await store.aclose()

    asyncio.run(copy())
    yield made
    made.delete()


def options(books: Path, bucket: InfluxBucket, **more: object) -> list[object]:
    return ["--site", books / "site.yaml", "--influx", more.get("url", bucket.url),
            "--influx-org", bucket.org, "--influx-rollups-bucket", bucket.bucket,
            "--influx-token-file", more.get("token", books / "token")]  # fmt: skip


def document(path: Path) -> dict[str, Any]:
    text = (path / f"rackwatt-demo-{MONTH}-en.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["document"]
    return found


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return isclose(one, other, rel_tol=1e-12, abs_tol=1e-9)
    return bool(one == other)


def test_its_figures_are_the_ledgers(books: Path, bucket: InfluxBucket, tmp_path: Path) -> None:
    made = call("--month", MONTH, "--data", books, "--out", tmp_path / "a")
    assert made.exit_code == 0, made.output
    made = call("--month", MONTH, *options(books, bucket), "--out", tmp_path / "b")
    assert made.exit_code == 0, made.output
    assert "preliminary" in made.output
    ledger, copy = document(tmp_path / "a"), document(tmp_path / "b")
    figures = ledger["figures"]
    assert len(figures) > 40
    wrong = {
        name: (value, copy["figures"].get(name))
        for name, value in figures.items()
        if not alike(value, copy["figures"].get(name))
    }
    assert not wrong
    assert not any(copy["figures"][name] for name in set(copy["figures"]) - set(figures))
    assert [day["label"] for day in copy["days"]] == [day["label"] for day in ledger["days"]]
    for mine, other in zip(ledger["days"], copy["days"], strict=True):
        assert all(alike(value, other["figures"][name]) for name, value in mine["figures"].items()
                   if name not in NOT_IN_THE_COPY)  # fmt: skip
    assert len(copy["hours"]) == len(ledger["hours"])
    lines = {one["id"]: one for one in ledger["tenants"]}
    assert {one["id"] for one in copy["tenants"]} == set(lines)
    for one in copy["tenants"]:
        for name in ("load_watt_hours", "gpu_hours", "rounded_kilowatt_hours", "kind", "name"):
            assert alike(one[name], lines[one["id"]][name]), name
    assert copy["proof"]["source"] == "copy"
    assert copy["proof"]["hash"] is None
    assert copy["state"] == "preliminary"
    assert copy["reasons"][0]["code"] == "from_the_copy"
    for name, value in ledger["eu"]["fields"].items():
        assert alike(value, copy["eu"]["fields"][name]), name
    pdf = tmp_path / "b" / f"rackwatt-demo-{MONTH}-en.pdf"
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_it_cannot_be_signed_nor_proved(books: Path, bucket: InfluxBucket, tmp_path: Path) -> None:
    call("--month", MONTH, *options(books, bucket), "--out", tmp_path)
    file = tmp_path / f"rackwatt-demo-{MONTH}-en.json"
    key = tmp_path / "me.key"
    key.write_bytes(SigningKey.new().pem)
    key.chmod(0o600)
    done = call("sign", file, "--role", "prepared", "--signer", "A. Amrani", "--key", key)
    assert done.exit_code == 1
    assert "is from the copy" in done.output
    done = call("verify", file, "--data", books)
    assert done.exit_code == 2
    assert "compare it with --influx" in done.output


def test_both_are_compared_and_a_changed_point_is_found(
    books: Path, bucket: InfluxBucket, tmp_path: Path
) -> None:
    call("--month", MONTH, "--data", books, "--out", tmp_path / "a")
    call("--month", MONTH, *options(books, bucket), "--out", tmp_path / "b")
    for folder in ("a", "b"):
        file = tmp_path / folder / f"rackwatt-demo-{MONTH}-en.json"
        done = call("verify", file, *options(books, bucket))
        assert done.exit_code == 0, done.output
        assert "latest revisions in the copy alone" in done.output
    (day,) = [one for one in document(tmp_path / "a")["days"] if one["label"] == "2026-02-10"]
    changed = day["figures"]["load_watt_hours"] + 1.0
    time_ms = bucket.query_influxql(
        "SELECT load_watt_hours FROM site_figures_1d WHERE time >= '2026-02-09T20:00:00Z' LIMIT 1"
    )[0]["time"]
    bucket.write(f"site_figures_1d,site=demo load_watt_hours={changed} {time_ms}")
    try:
        done = call("verify", tmp_path / "a" / file.name, *options(books, bucket))
    finally:
        bucket.write(f"site_figures_1d,site=demo load_watt_hours={changed - 1.0} {time_ms}")
    assert done.exit_code == 1
    assert "days[2026-02-10].load_watt_hours" in done.output


def test_a_copy_that_is_not_there(books: Path, bucket: InfluxBucket, tmp_path: Path) -> None:
    out = ("--out", tmp_path)
    done = call("--month", "2025-02", *options(books, bucket), *out)
    assert done.exit_code == 2
    assert "the copy has no sums of 2025-02" in done.output
    done = call("--year", "2026", *options(books, bucket), *out)
    assert done.exit_code == 2
    assert "in the book of record alone" in done.output
    gone = f"http://127.0.0.1:{free_port()}"
    done = call("--month", MONTH, *options(books, bucket, url=gone), *out)
    assert done.exit_code == 1
    assert "cannot be reached" in done.output
    (tmp_path / "wrong").write_text("another-token", encoding="ascii")
    done = call("--month", MONTH, *options(books, bucket, token=tmp_path / "wrong"), *out)
    assert done.exit_code == 1
    assert "401" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["wrong"]
