# SPDX-License-Identifier: Apache-2.0
"""What the tokens of `rackwatt store setup` open on a real InfluxDB, and what they do not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.setup import READ_FILE, WRITE_FILE, Plan, set_up
from servers.fixtures import InfluxDB, influxdb

__all__ = ["influxdb"]  # a fixture

SECRET = "secret_measurement"
TOKENS = {"write": WRITE_FILE, "read": READ_FILE}


@dataclass
class Thief:
    """Who has one of the tokens."""

    http: httpx.Client
    org: str
    org_id: str
    buckets: dict[str, str]
    """Name to id: ours, and somebody else's."""

    def ask(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        answer = self.http.request(method, path, **more)
        return answer.status_code, answer.text

    def influxql(self, bucket: str, query: str) -> tuple[int, str]:
        return self.ask("GET", "/query", params={"db": bucket, "q": query})

    def flux(self, bucket: str) -> tuple[int, str]:
        query = f'from(bucket: "{bucket}") |> range(start: 0)'
        return self.ask(
            "POST", "/api/v2/query", params={"org": self.org}, json={"query": query, "type": "flux"}
        )

    def write(self, bucket: str) -> tuple[int, str]:
        where = {"org": self.org, "bucket": bucket}
        return self.ask("POST", "/api/v2/write", params=where, content="forged value=1")


@pytest.fixture(scope="module")
def plan(influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    made = Plan(tmp_path_factory.mktemp("tokens"), "rights-raw", "rights-rollups", raw_seconds=0)
    with InfluxHttp(influxdb.url, influxdb.org, influxdb.token) as server:
        set_up(server, made, lambda _: None)
    other = influxdb.create_bucket("rights-other")
    other.write(f"{SECRET} value=1 1790000000000")
    influxdb.write("power power_watts=1 1790000000000", bucket=made.raw_bucket)
    return made


@pytest.fixture(params=["write", "read"])
def thief(influxdb: InfluxDB, plan: Plan, request: pytest.FixtureRequest) -> Iterator[Thief]:
    token = (Path(plan.token_directory) / TOKENS[request.param]).read_text().strip()
    found = json.loads(influxdb.request("GET", "/api/v2/buckets", query={"limit": "100"}))
    buckets = {item["name"]: item["id"] for item in found["buckets"]}
    org_id = next(item["orgID"] for item in found["buckets"] if item["name"] == "rights-other")
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=influxdb.url, headers=headers, trust_env=False) as http:
        yield Thief(http, influxdb.org, org_id, buckets)


def test_it_reads_its_own_bucket_and_no_other(thief: Thief, plan: Plan) -> None:
    status, text = thief.influxql(plan.raw_bucket, "SELECT * FROM power")
    assert (status, "power_watts" in text) == (200, True)
    for status, text in (
        thief.influxql("rights-other", f"SELECT * FROM {SECRET}"),  # noqa: S608 - our own
        thief.influxql(plan.raw_bucket, f'SELECT * FROM "rights-other".autogen.{SECRET}'),  # noqa: S608
        thief.influxql("rights-other", "SHOW MEASUREMENTS"),
        thief.flux("rights-other"),
    ):
        assert status != 200 or '"values"' not in text
        assert "1790000000" not in text
        assert "2026-" not in text


def test_it_writes_to_no_other_bucket(thief: Thief, influxdb: InfluxDB) -> None:
    status, _ = thief.write("rights-other")
    assert status in {401, 403, 404}
    assert influxdb.count("forged", "value", bucket="rights-other") == 0


def test_it_makes_no_tokens_buckets_users_or_organizations(thief: Thief, plan: Plan) -> None:
    every = [{"action": "write", "resource": {"type": "authorizations", "orgID": thief.org_id}}]
    own = {"type": "buckets", "id": thief.buckets[plan.raw_bucket], "orgID": thief.org_id}
    for path, body in (
        ("/api/v2/authorizations", {"orgID": thief.org_id, "permissions": every}),
        (
            "/api/v2/authorizations",
            {"orgID": thief.org_id, "permissions": [{"action": "read", "resource": own}]},
        ),
        ("/api/v2/buckets", {"orgID": thief.org_id, "name": "forged", "retentionRules": []}),
        ("/api/v2/users", {"name": "forged"}),
        ("/api/v2/orgs", {"name": "forged"}),
        ("/api/v2/dbrps", {"orgID": thief.org_id, "bucketID": thief.buckets["rights-other"],
                           "database": "x", "retention_policy": "y", "default": True}),
    ):  # fmt: skip
        status, text = thief.ask("POST", path, json=body)
        assert status in {401, 403, 404}, (path, status, text)


def test_it_sees_no_other_token_and_takes_nothing_away(
    thief: Thief, influxdb: InfluxDB, plan: Plan
) -> None:
    status, text = thief.ask("GET", "/api/v2/authorizations")
    assert status != 200 or json.loads(text)["authorizations"] == []
    assert influxdb.token not in text
    other = thief.buckets["rights-other"]
    status, _ = thief.ask("DELETE", f"/api/v2/buckets/{other}")
    assert status in {401, 403, 404}
    span = {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"}
    where = {"org": thief.org, "bucket": "rights-other"}
    status, _ = thief.ask("POST", "/api/v2/delete", params=where, json=span)
    assert status in {401, 403, 404}
    assert influxdb.count(SECRET, "value", bucket="rights-other") == 1
    assert plan.raw_bucket in influxdb.request("GET", "/api/v2/buckets", query={"limit": "100"})


def test_the_token_to_read_changes_nothing_of_its_own(influxdb: InfluxDB, plan: Plan) -> None:
    token = (Path(plan.token_directory) / READ_FILE).read_text().strip()
    found = json.loads(influxdb.request("GET", "/api/v2/buckets", query={"limit": "100"}))
    own = next(item["id"] for item in found["buckets"] if item["name"] == plan.raw_bucket)
    headers = {"Authorization": f"Token {token}"}
    where = {"org": influxdb.org, "bucket": plan.raw_bucket}
    span = {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"}
    with httpx.Client(base_url=influxdb.url, headers=headers, trust_env=False) as http:
        for answer in (
            http.post("/api/v2/write", params=where, content="power power_watts=9"),
            http.post("/api/v2/delete", params=where, json=span),
            http.patch(f"/api/v2/buckets/{own}", json={"description": "forged"}),
            http.delete(f"/api/v2/buckets/{own}"),
        ):
            assert answer.status_code in {401, 403, 404}
    assert influxdb.count("power", "power_watts", bucket=plan.raw_bucket) == 1


def test_the_token_to_write_can_erase_its_own_buckets(influxdb: InfluxDB, tmp_path: Path) -> None:
    """InfluxDB has no right to write that cannot delete: docs/security.md says so."""
    plan = Plan(tmp_path, "erased-raw", "erased-rollups", raw_seconds=0)
    with InfluxHttp(influxdb.url, influxdb.org, influxdb.token) as server:
        set_up(server, plan, lambda _: None)
    influxdb.write("power power_watts=1 1790000000000", bucket=plan.raw_bucket)
    headers = {"Authorization": f"Token {(tmp_path / WRITE_FILE).read_text().strip()}"}
    where = {"org": influxdb.org, "bucket": plan.raw_bucket}
    span = {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"}
    with httpx.Client(base_url=influxdb.url, headers=headers, trust_env=False) as http:
        answer = http.post("/api/v2/delete", params=where, json=span)
        assert answer.status_code == 204
    assert influxdb.count("power", "power_watts", bucket=plan.raw_bucket) == 0
