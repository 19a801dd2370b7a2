# SPDX-License-Identifier: Apache-2.0
"""Certificates all the way: agents and collector at the broker, the accountant at the collector.

Broker, rules and every certificate come from `rackwatt pki`.
"""

import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from collecting import TOKEN
from e2e.whole import Whole, wait_for
from faults_kit.processes import REAL, lifeline
from prometheus_client.parser import text_string_to_metric_families
from soak.parts import Lifeline, Part

from servers.fixtures import HOST, free_port
from servers.mutual import MutualMosquitto, pki

pytestmark = pytest.mark.e2e

SITE = """\
site: {id: demo, timezone: UTC, country: MA}
meters:
  - {id: grid-1, role: grid}
  - {id: it, role: it, position: pdu_output, sum: [pdu-1]}
  - {id: pdu-1}
halls: [{id: hall-a}]
"""
AGENT = """\
agent: {{site: demo, hall: hall-a, name: host-1, sample_every: 1s, send_every: 1s}}
broker:
  url: "{url}"
  ca_file: "{authority}"
  certificate_file: "{certificate}"
  key_file: "{key}"
outbox: {{path: outbox.db}}
source: host
host: {{}}
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MutualMosquitto]:
    folder = tmp_path_factory.mktemp("mutual")
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    with MutualMosquitto(folder, "host-1") as made:
        certificate, key = made.key("host-1")
        text = AGENT.format(
            url=made.url, authority=made.authority, certificate=certificate, key=key
        )
        (folder / "agent.yaml").write_text(text, encoding="utf-8")
        pki(made.pki, "server", "web", HOST)
        yield made


@pytest.fixture
def line() -> Iterator[Lifeline]:
    with lifeline() as made:
        yield made


def test_everything_on_one_machine(broker: MutualMosquitto, tmp_path: Path) -> None:
    folder = broker.pki.parent
    system = Whole(
        tmp_path / "data", "--site", str(folder / "site.yaml"), "--agent",
        str(folder / "agent.yaml"), "--broker", broker.url, *broker.collector_options(),
    )  # fmt: skip
    try:
        system.start()
        wait_for("agent", lambda: system.value("rackwatt_agent_up", agent="host-1") == 1, 60)
        stored = "rackwatt_store_points_total"
        wait_for("stored", lambda: (system.value(stored) or 0) > 0, 60)
        assert system.value("rackwatt_http_refused_total", reason="token") == 0
        assert "host-" not in " ".join(path.name for path in (tmp_path / "data").glob("agents/*"))
        assert system.stop(signal.SIGTERM) == 0
    finally:
        system.close()
    assert broker.said("u'collector-1'") > 0
    assert broker.said("u'host-1'") > 0


class Apart:
    """A collector, an agent and an accountant, each started by itself, with TLS between them."""

    def __init__(self, broker: MutualMosquitto, folder: Path, line: Lifeline) -> None:
        home = broker.pki.parent
        self.broker = broker
        self.ports = {"collector": free_port(), "accountant": free_port()}
        certificate, key = broker.key("web", "servers")
        self.web = ["--web-certificate-file", str(certificate), "--web-key-file", str(key)]
        self.site = ["--site", str(home / "site.yaml")]
        self.folder, self.line = folder, line
        self.collector = self.part(
            "collector", "collect", "--broker", broker.url, *broker.collector_options(), *self.web
        )
        self.agent = Part(
            "agent", "rackwatt.agents.cli", ["run", str(home / "agent.yaml")], folder, line
        )

    def part(self, name: str, *arguments: str) -> Part:
        data, port = self.folder / name, self.ports[name]
        given = [*arguments, *self.site, "--data", str(data), "--port", str(port)]
        environment = {"RACKWATT_INTERNAL_TOKEN": TOKEN}
        ready = lambda: self.get(name, "/healthz") == "ok\n"  # noqa: E731
        return Part(name, REAL, given, self.folder, self.line, environment, ready)

    def accountant(self, authority: Path | None) -> Part:
        url = f"https://{HOST}:{self.ports['collector']}"
        trust = [] if authority is None else ["--collector-ca-file", str(authority)]
        return self.part("accountant", "account", "--collector", url, *trust, *self.web)

    def get(self, name: str, path: str) -> str:
        """The text at a path, from who has a certificate of ours; empty while there is none."""
        context = ssl.create_default_context(cafile=self.broker.authority)
        url = f"https://{HOST}:{self.ports[name]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5, context=context) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def passed(self) -> float:
        """Bytes that the accountant has yet to book."""
        families = text_string_to_metric_families(self.get("collector", "/metrics"))
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "rackwatt_spool_bytes" and sample.labels["cursor"] == "accountant"
        )


def test_collector_and_accountant_apart(
    broker: MutualMosquitto, tmp_path: Path, line: Lifeline
) -> None:
    made = Apart(broker, tmp_path, line)
    pki(tmp_path / "other", "init", "--site", "demo")
    accountant = made.accountant(tmp_path / "other" / "ca.crt")
    try:
        made.collector.start()
        made.agent.spawn()
        accountant.start()
        wait_for("message", lambda: made.passed() > 0, 30)
        wait_for("refusal", lambda: "CERTIFICATE_VERIFY_FAILED" in accountant.tail(), 30)
        assert made.passed() > 0, "nothing was given to who does not know whom it asks"
        accountant.stop()
        accountant = made.accountant(broker.authority)
        accountant.start()
        made.agent.stop()
        wait_for("all of it booked", lambda: made.passed() == 0, 60)
    finally:
        for part in (made.agent, accountant, made.collector):
            part.stop()
    plain = f"http://{HOST}:{made.ports['collector']}/metrics"
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(plain, timeout=5)
