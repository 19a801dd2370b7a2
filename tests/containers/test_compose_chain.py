# SPDX-License-Identifier: Apache-2.0
"""The services of compose.yaml, started by its own commands: from a simulated meter to Prometheus.

Grafana is not run: it is no server of these tests. What it is given is used in its place.
"""

import contextlib
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers.stack import Stack
from e2e.whole import wait_for
from prometheus_client.parser import text_string_to_metric_families

from servers.programs import HOST

pytestmark = pytest.mark.e2e
CONNECT = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03spy"
"""MQTT 3.1.1: a client `spy` without a user."""


def get(url: str, token: str = "", data: bytes | None = None, ca: Path | None = None) -> Any:
    request = urllib.request.Request(url, data=data)
    if token:
        request.add_header("Authorization", f"Token {token}")
    context = ssl.create_default_context(cafile=ca)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(request, timeout=30) as answer:
        body = answer.read().decode()
    try:
        return json.loads(body)
    except ValueError:
        return body


class Chain(Stack):
    """The stack with what is asked of it."""

    def url(self, port: int) -> str:
        return f"http://{HOST}:{self.ports[port]}"

    def set_up_influx(self) -> None:
        """What the entrypoint of InfluxDB's image does with its environment."""
        env = self.env("influxdb")
        here = {"BOLT": "influxd.bolt", "SQLITE": "influxd.sqlite", "ENGINE": "engine"}
        data = self.mounts("influxdb")["/var/lib/influxdb2"]
        paths = {f"INFLUXD_{what}_PATH": str(data / name) for what, name in here.items()}
        address = {"INFLUXD_HTTP_BIND_ADDRESS": f"{HOST}:{self.ports[8086]}"}
        process = self.start("influxdb", {**paths, **address})

        def answers() -> bool:
            process.alive()
            with contextlib.suppress(OSError):
                return bool(get(f"{self.url(8086)}/health")["status"] == "pass")
            return False

        wait_for("InfluxDB", answers, 120)
        prefix = "DOCKER_INFLUXDB_INIT_"
        secret = {
            name: Path(env[f"{prefix}{name}_FILE"]).read_text().strip()
            for name in ("PASSWORD", "ADMIN_TOKEN")
        }
        body = {
            "username": env[f"{prefix}USERNAME"], "password": secret["PASSWORD"],
            "org": env[f"{prefix}ORG"], "bucket": env[f"{prefix}BUCKET"],
            "token": secret["ADMIN_TOKEN"], "retentionPeriodSeconds": 30 * 86_400,
        }  # fmt: skip
        get(f"{self.url(8086)}/api/v2/setup", data=json.dumps(body).encode())

    def start_prometheus(self) -> None:
        """With the mounted files, in which addresses and paths are as they are here."""
        home = self.folder / "prometheus"
        home.mkdir()
        mounts = self.mounts("prometheus")
        text = mounts["/etc/prometheus/prometheus.yml"].read_text(encoding="utf-8")
        (home / "prometheus.yml").write_text(self.mapped("prometheus", text), encoding="utf-8")
        (home / "rules").symlink_to(mounts["/etc/prometheus/rules"])
        shipped = str(mounts["/etc/prometheus/prometheus.yml"])
        self.services["prometheus"]["command"] = [
            word.replace(shipped, str(home / "prometheus.yml"))
            for word in self.command("prometheus")[1:]
        ]
        self.start("prometheus")

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Of the accountant and, over TLS, of the collector."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        authority = self.mounts("prometheus")["/trust"] / "ca.crt"
        collector = self.url(8401).replace("http:", "https:")
        with contextlib.suppress(OSError):
            text = get(f"{self.url(8400)}/metrics") + get(f"{collector}/metrics", ca=authority)
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("compose"))
    try:
        made.init()
        made.set_up_influx()
        made.once("store-setup")
        for service in ("alertmanager", "mosquitto", "twin", "agents", "collector"):
            made.start(service)
        made.wait_healthy("collector")
        made.start("accountant")
        made.start_prometheus()
        made.wait_healthy("accountant")
        yield made
    finally:
        made.close()


def test_figures_come_from_agents_that_showed_their_certificates(chain: Chain) -> None:
    def up() -> set[str]:
        found = chain.metrics().get("rackwatt_agent_up", [])
        return {labels["agent"] for labels, value in found if value == 1}

    wait_for("agents", lambda: {"modbus-site", "modbus-hall-a", "snmp-hall-a"} <= up(), 120)
    wait_for("PUE", lambda: "rackwatt_pue_ratio" in chain.metrics(), 120)
    found = chain.metrics()
    assert 1 < found["rackwatt_pue_ratio"][0][1] < 3
    nodes = [value for labels, value in found["rackwatt_gpu_nodes"] if labels["state"] == "online"]
    assert sum(nodes) > 0, "GPU nodes report through the stand-in of NVML"
    said = chain.running["mosquitto"].said()
    for name in ("modbus-site", "collector-1", "r1-01-n1"):
        assert f"u'{name}'" in said, f"{name} had a certificate of its own"


def test_readings_are_in_influxdb_and_grafanas_token_only_reads(chain: Chain) -> None:
    token = (chain.mounts("grafana")["/keys"] / "influx-read.token").read_text().strip()
    where = urllib.parse.urlencode(
        {"db": "rackwatt_raw", "q": "SELECT count(power_watts) FROM power"}
    )

    def rows() -> int:
        answer = get(f"{chain.url(8086)}/query?{where}", token)["results"][0]
        return int(answer["series"][0]["values"][0][1]) if "series" in answer else 0

    wait_for("rows", lambda: rows() > 100, 120)
    write = f"{chain.url(8086)}/api/v2/write?org=rackwatt&bucket=rackwatt_raw"
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(write, token, b"power,device=forged power_watts=1")
    assert refused.value.code in {401, 403}
    refused.value.close()


def test_prometheus_scrapes_both_and_loads_every_rule(chain: Chain) -> None:
    base = f"{chain.url(9090)}/api/v1"

    def up() -> dict[str, str]:
        with contextlib.suppress(OSError):
            targets = get(f"{base}/targets")["data"]["activeTargets"]
            return {t["labels"]["job"]: t["health"] + t["lastError"] for t in targets}
        return {}

    wanted = {"rackwatt": "up", "rackwatt-collector": "up"}
    wait_for("targets", lambda: up() == wanted, 120)
    groups = get(f"{base}/rules")["data"]["groups"]
    shipped = sorted((chain.mounts("prometheus")["/etc/prometheus/rules"]).glob("*.yaml"))
    assert {Path(group["file"]).name for group in groups} == {path.name for path in shipped}
    assert get(f"{base}/alertmanagers")["data"]["activeAlertmanagers"]


def test_alertmanager_hears_the_agents_past_broker_and_collector(chain: Chain) -> None:
    def classes() -> set[str]:
        with contextlib.suppress(OSError):
            found = get(f"{chain.url(9093)}/api/v2/alerts")
            return {alert["labels"].get("class", "") for alert in found}
        return set()

    wait_for("heartbeat", lambda: "safety-heartbeat" in classes(), 120)


def test_a_client_in_plain_text_gets_no_word(chain: Chain) -> None:
    with socket.create_connection((HOST, chain.ports[8883]), timeout=10) as client:
        client.sendall(CONNECT)
        with contextlib.suppress(ConnectionError):
            assert not client.recv(100).startswith(b"\x20"), "no CONNACK"


def test_a_client_without_a_certificate_is_refused(chain: Chain) -> None:
    keys = chain.mounts("agents")["/keys"]
    context = ssl.create_default_context(cafile=keys / "ca.crt")
    assert not connack(chain, context)
    with_one = ssl.create_default_context(cafile=keys / "ca.crt")
    with_one.load_cert_chain(keys / "r1-01-n1.crt", keys / "r1-01-n1.key")
    assert connack(chain, with_one), "the same client with a certificate is taken"


def connack(chain: Chain, context: ssl.SSLContext) -> bool:
    """Whether the broker takes a client."""
    try:
        with (
            socket.create_connection((HOST, chain.ports[8883]), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="mosquitto") as client,
        ):
            client.sendall(CONNECT)
            return client.recv(4) == b"\x20\x02\x00\x00"
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.parametrize("service", ["twin", "agents", "collector", "accountant"])
def test_health_checks_are_commands_that_are_there(chain: Chain, service: str) -> None:
    chain.wait_healthy(service)


def test_a_second_start_changes_nothing(chain: Chain) -> None:
    authority = chain.mounts("init")["/pki"] / "ca.crt"
    before = authority.read_bytes()
    assert "there already" in chain.init()
    assert authority.read_bytes() == before
    keys = [path.name for path in chain.folder.rglob("ca.key")]
    assert keys == ["ca.key"], "the authority's key lies in one volume"
    assert not [name for name in chain.services if name != "init" and "/pki" in chain.mounts(name)]


def test_services_end_well_when_they_are_told_to(chain: Chain) -> None:
    for service in ("agents", "twin", "collector", "accountant"):
        process = chain.running[service]
        process.alive()
        assert process.stop() == 0, process.said()[-2000:]
        assert "Traceback" not in process.said()
