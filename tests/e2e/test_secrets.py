# SPDX-License-Identifier: Apache-2.0
"""Everything over TLS with passwords and tokens, and not one of them seen anywhere.

`rackwatt up` against a broker with users, an InfluxDB with a token and its own page with one. Then
every process's command line, every log and every file of its state is searched for the secrets.
"""

import contextlib
import secrets
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e.influx_tls import TlsInfluxDB
from e2e.whole import Whole, wait_for
from typer.testing import CliRunner

from rackwatt.collector.pki.broker import acl
from rackwatt.collector.pki.folder import Folder
from rackwatt.collector.store.cli import store_app
from servers.mosquitto import Mosquitto
from servers.programs import HOST, free_port, require

pytestmark = pytest.mark.e2e

SITE = """\
site: {id: demo, timezone: UTC, country: MA}
battery: {capacity_wh: 1000}
meters:
  - {id: grid-1, role: grid}
  - {id: it, role: it, position: pdu_output, sum: [pdu-1]}
  - {id: pdu-1}
halls: [{id: hall-a}]
"""
AGENT = """\
agent: {{site: demo, hall: site, name: host-1, node: host-1, sample_every: 1s, send_every: 1s}}
broker:
  url: {url}
  username: host-1
  password_file: {password}
  ca_file: {authority}
outbox: {{path: outbox.db}}
source: host
host: {{}}
"""


class Guarded(Whole):
    """`rackwatt up` whose page speaks TLS and wants a token."""

    token = ""
    authority: Path

    def get(self, path: str, headers: dict[str, str] | None = None) -> str:
        shown = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        request = urllib.request.Request(f"https://{HOST}:{self.port}{path}", headers=shown)
        context = ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            body: bytes = answer.read()
        return body.decode()


class Kit:
    """An authority, a broker with users, an InfluxDB, and a secret for each door."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = {
            name: f"{name}-{secrets.token_urlsafe(24)}" for name in ("collector-1", "host-1", "web")
        }
        now = datetime.now(UTC)
        pki = Folder(folder / "pki")
        pki.create("demo", now)
        self.certificate, self.key = pki.server([HOST, "localhost"], now, 10)
        self.authority = pki.certificate_file
        self.influx = TlsInfluxDB(folder / "influx", self.certificate, self.authority)
        self.secrets["influx"] = self.influx.token
        self.keys = folder / "keys"
        self.keys.mkdir(mode=0o700)
        for name, secret in self.secrets.items():
            (self.keys / name).write_text(secret + "\n", encoding="utf-8")
        self.tls_port = free_port()
        self.mosquitto = Mosquitto(folder / "mosquitto", extra=self._listener())
        (folder / "site.yaml").write_text(SITE, encoding="utf-8")
        agent = AGENT.format(
            url=self.broker_url, password=self.keys / "host-1", authority=self.authority
        )
        (folder / "agent.yaml").write_text(agent, encoding="utf-8")

    @property
    def broker_url(self) -> str:
        return f"mqtts://{HOST}:{self.tls_port}"

    def _listener(self) -> list[str]:
        users = self.folder / "users"
        for name in ("collector-1", "host-1"):
            command: list[str | Path] = [require("mosquitto_passwd"), "-b"]
            command += [] if users.exists() else ["-c"]
            subprocess.run(
                [*command, users, name, self.secrets[name]], check=True, capture_output=True
            )
        rules = self.folder / "acl"
        rules.write_text(acl("demo", ["collector-1"]), encoding="utf-8")
        return [
            f"listener {self.tls_port} {HOST}",
            "allow_anonymous false",
            f"certfile {self.certificate}",
            f"keyfile {self.key}",
            f"password_file {users}",
            f"acl_file {rules}",
        ]

    def options(self) -> list[str]:
        where, influx = self.folder, self.influx
        named: dict[str, object] = {
            "--site": where / "site.yaml",
            "--agent": where / "agent.yaml",
            "--broker": self.broker_url,
            "--broker-user": "collector-1",
            "--broker-password-file": self.keys / "collector-1",
            "--broker-ca-file": self.authority,
            "--influx": influx.url,
            "--influx-org": influx.org,
            "--influx-bucket": influx.bucket,
            "--influx-rollups-bucket": influx.bucket,
            "--influx-token-file": self.keys / "influx",
            "--influx-ca-file": self.authority,
            "--web-token-file": self.keys / "web",
            "--web-certificate-file": self.certificate,
            "--web-key-file": self.key,
        }
        return [str(part) for pair in named.items() for part in pair]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    made = Kit(tmp_path_factory.mktemp("secrets"))
    with made.mosquitto, made.influx:
        yield made


@pytest.fixture(scope="module")
def whole(kit: Kit) -> Iterator[Guarded]:
    system = Guarded(kit.folder / "data", *kit.options())
    system.token, system.authority = kit.secrets["web"], kit.authority
    # First with a wrong password, so that what is said of a refusal is searched, too.
    right = kit.keys / "collector-1"
    wrong = kit.secrets["wrong"] = f"wrong-{secrets.token_urlsafe(24)}"
    right.write_text(wrong, encoding="utf-8")
    try:
        system.start()
        log = system.folder / "logs" / "collector.log"
        wait_for("refusal", lambda: "uthori" in log.read_text(encoding="utf-8"), 20)
        right.write_text(kit.secrets["collector-1"], encoding="utf-8")
        yield system
    finally:
        system.close()


def processes(whole: Guarded) -> dict[str, bytes]:
    """The command lines of the supervisor and of all below it."""
    assert whole.process is not None
    found: dict[str, bytes] = {}
    waiting = [whole.process.pid]
    while waiting:
        place = Path(f"/proc/{waiting.pop()}")
        with contextlib.suppress(OSError):
            found[place.name] = (place / "cmdline").read_bytes()
            for task in (place / "task").iterdir():
                waiting += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def assert_unseen(kit: Kit, where: str, content: bytes) -> None:
    for name, secret in kit.secrets.items():
        assert secret.encode() not in content, f"the secret {name!r} shows in {where}"


def test_with_the_right_credentials_readings_arrive_in_the_store(kit: Kit, whole: Guarded) -> None:
    wait_for("stored", lambda: (whole.value("rackwatt_store_points_total") or 0) > 0, 60)
    assert whole.value("rackwatt_store_up") == 1
    assert whole.value("rackwatt_agent_up", agent="host-1") == 1
    with kit.influx.trusted():
        assert kit.influx.count("host", "memory_total_bytes") > 0


def test_no_process_shows_a_secret(kit: Kit, whole: Guarded) -> None:
    lines = processes(whole)
    assert len(lines) >= 4, "supervisor, collector, accountant, agent"
    assert any(b"--broker-password-file" in line for line in lines.values())
    for pid, line in lines.items():
        assert_unseen(kit, f"the command line of {pid}", line)
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert_unseen(kit, f"the environment of {pid}", environment)


def test_the_page_wants_the_token(kit: Kit, whole: Guarded) -> None:
    for path in ("/", "/wall", "/metrics", "/api/frame", "/events", "/static/js/page.js"):
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            whole.get(path, {})
        refused.value.close()
    assert whole.get("/healthz", {}) == "ok\n"
    assert "PUE" in whole.get("/?lang=en")


def test_a_store_behind_tls_is_set_up_and_asked_by_its_authority_only(
    kit: Kit, whole: Guarded, tmp_path: Path
) -> None:
    given = ["setup", "--influx", kit.influx.url, "--influx-org", kit.influx.org]
    given += ["--influx-token-file", str(kit.keys / "influx"), "--token-dir", str(tmp_path)]
    blind = CliRunner().invoke(store_app, given)
    assert blind.exit_code == 1
    assert "certificate verify failed" in blind.output
    done = CliRunner().invoke(store_app, [*given, "--influx-ca-file", str(kit.authority)])
    assert done.exit_code == 0, done.output
    tokens = [path.read_text().strip() for path in tmp_path.iterdir() if path.is_file()]
    assert tokens
    for token in tokens:
        assert token not in done.output


def test_no_log_and_no_file_of_the_state_holds_a_secret(kit: Kit, whole: Guarded) -> None:
    assert whole.stop(signal.SIGTERM) == 0
    assert whole.nothing_left()
    files = [whole.output, *(path for path in whole.folder.rglob("*") if path.is_file())]
    names = {path.name for path in files}
    assert {"collector.log", "accountant.log", "spool.db", "ledger.db"} <= names
    for path in files:
        assert_unseen(kit, str(path), path.read_bytes())
