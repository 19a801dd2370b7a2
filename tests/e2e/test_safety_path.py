# SPDX-License-Identifier: Apache-2.0
"""From a register to the phone: real Modbus, a real agent, a real Alertmanager, a webhook.

One stack serves all tests of this file, in order: what one leaves on, the next one needs. Times
are from the moment the register changed.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from e2e.whole import wait_for

from rackwatt.twin import Kit, build, clear, inject, load_spec
from rackwatt.twin.control import control_file
from servers.alertmanager import SHIPPED, Alertmanager, Notice, Webhook
from servers.fixtures import Mosquitto, require

pytestmark = pytest.mark.e2e

AT_MOST = 5.0
CDU = "cdu-a1"


class Stack:
    """Everything between the register and the webhook."""

    def __init__(self, folder: Path, webhook: Webhook) -> None:
        self.webhook = webhook
        self.broker = Mosquitto(folder / "broker")
        self.alertmanagers = [Alertmanager(folder / f"am{i}", webhook.url) for i in (1, 2)]
        self.kit: Kit = build(load_spec("demo"), folder / "data", self.broker.url)
        self.config = folder / "cdus.yaml"
        self.outbox = folder / "outbox.db"
        self._write()
        self.log = folder / "log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.agent: subprocess.Popen[bytes] | None = None

    def _write(self) -> None:
        path = next(f for f in self.kit.field_agent_files if f.name == "modbus-hall-a.yaml")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["outbox"] = {"path": "outbox.db"}
        document["modbus"] |= {"retry_first": "200ms", "retry_cap": "1s"}
        loop = {
            "device": CDU, "set_point_celsius": 40, "pumps_installed": 2, "pumps_needed": 1,
            "dew_point": {"celsius": 12},
        }  # fmt: skip
        document["safety"] = {
            "alertmanagers": [{"url": server.url} for server in self.alertmanagers],
            "resend_every": "2s",
            "limits": {"clear_after": "3s"},
            "loops": [loop],
        }
        self.config.write_text(yaml.safe_dump(document), encoding="utf-8")

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "NO_PROXY": "*"},
            )  # fmt: skip
        self._processes.append(process)
        return process

    def start_agent(self) -> None:
        self.agent = self.spawn("rackwatt.agents.cli", "run", str(self.config))

    def start(self) -> None:
        self.broker.start()
        for server in self.alertmanagers:
            server.start()
        self.spawn("rackwatt.collector.cli", "twin", "run", "--data", str(self.kit.data_dir))
        wait_for(f"twin (see {self.log})", control_file(self.kit.data_dir).exists, 90)
        self.start_agent()

    def break_(self, fault: str, value: float | None = None) -> float:
        """Inject a fault; returns when its register had changed."""
        inject(self.kit.data_dir, fault, CDU, value=value)
        return time.monotonic()

    def mend(self, fault: str | None = None) -> float:
        clear(self.kit.data_dir, fault, CDU)
        return time.monotonic()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rackwatt.agents.cli", "safety", str(self.config), *arguments],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def told(self, name: str, since: float, status: str = "firing", seconds: float = 30) -> Notice:
        """The notice of an alert, and how long it took."""
        notice = self.webhook.wait(lambda n: n.name == name and n.status == status, seconds, since)
        print(f"{name} {status}: {notice.at - since:.2f} s from register to webhook")
        return notice

    def on(self, server: Alertmanager) -> set[str]:
        return {alert["labels"]["alertname"] for alert in server.alerts()}

    def has(self, server: Alertmanager, names: set[str]) -> bool:
        return names <= self.on(server)

    def events(self) -> set[str]:
        """Codes of the events in the outbox."""
        with contextlib.closing(sqlite3.connect(self.outbox)) as db:
            rows = db.execute("SELECT payload FROM messages WHERE kind = 'event'").fetchall()
        return {r["code"] for (payload,) in rows for r in json.loads(payload)["readings"]}

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)
        for server in (*self.alertmanagers, self.broker):
            server.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Webhook() as webhook:
        made = Stack(tmp_path_factory.mktemp("safety"), webhook)
        try:
            made.start()
            yield made
        finally:
            made.close()


def test_the_shipped_configuration_is_right() -> None:
    check = subprocess.run(
        [require("amtool"), "check-config", str(SHIPPED)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert check.returncode == 0, check.stderr


def test_the_path_says_that_it_lives(stack: Stack) -> None:
    notice = stack.webhook.wait(lambda n: n.name == "SafetyPathAlive", 30)
    assert notice.path == "/heartbeat"
    assert notice.labels["agent"] == "modbus-hall-a"


def test_a_leak_reaches_the_webhook_with_the_broker_up(stack: Stack) -> None:
    broken = stack.break_("leak")
    notice = stack.told("SafetyLeak", broken)
    assert notice.at - broken < AT_MOST
    assert notice.path == "/on-call"
    assert notice.labels["device"] == CDU
    assert notice.labels["severity"] == "critical"
    assert notice.annotations["summary"] == f"{CDU}: leak detected"


def test_all_alertmanagers_are_told(stack: Stack) -> None:
    for server in stack.alertmanagers:
        wait_for("alert in each", partial(stack.has, server, {"SafetyLeak"}), 10)


def test_the_same_goes_as_an_event(stack: Stack) -> None:
    wait_for("event", lambda: "safety_leak" in stack.events(), 15)


def test_a_mended_leak_holds_until_somebody_has_looked(stack: Stack) -> None:
    refused = stack.command("--reset", f"{CDU}/leak", "--by", "A. Nejjar")
    assert refused.returncode == 1
    assert "the newest value is bad or missing" in refused.stderr
    stack.mend("leak")
    shown = stack.command()
    assert f"{CDU}/leak" in shown.stdout
    since = time.monotonic()
    wait_for(
        "reset", lambda: stack.command("--reset", f"{CDU}/leak", "--by", "me").returncode == 0, 30
    )
    stack.told("SafetyLeak", since, "resolved")
    wait_for("event", lambda: "safety_leak_reset" in stack.events(), 15)


def test_a_leak_reaches_the_webhook_with_the_broker_killed(stack: Stack) -> None:
    os.kill(stack.broker.pid, signal.SIGKILL)
    broken = stack.break_("leak")
    assert stack.told("SafetyLeak", broken).at - broken < AT_MOST


def test_a_lost_pump_and_lost_facility_water_too(stack: Stack) -> None:
    broken = stack.break_("pump")
    assert stack.told("SafetyPumpRedundancyLost", broken).at - broken < AT_MOST
    broken = stack.break_("flow")
    assert stack.told("SafetyFacilityFlowLost", broken).at - broken < AT_MOST


def test_a_silent_device_and_a_killed_agent_end_nothing(stack: Stack) -> None:
    stack.break_("dead")
    stack.mend("leak")
    begun = time.monotonic()
    stack.told("SafetyBlind", begun, seconds=40)
    assert stack.agent is not None
    stack.agent.kill()
    stack.agent.wait(10)
    # A heartbeat that ends is how a dead agent is seen: three times 2 s after its last one.
    killed = time.monotonic()
    stack.told("SafetyPathAlive", killed, "resolved", seconds=60)
    held = {"SafetyLeak", "SafetyPumpRedundancyLost", "SafetyFacilityFlowLost", "SafetyBlind"}
    for server in stack.alertmanagers:
        server.restart()  # it forgets all alerts
        assert not stack.on(server)
    stack.start_agent()
    for server in stack.alertmanagers:
        wait_for("what was on", partial(stack.has, server, held), 30)
    since = time.monotonic()
    ended = [n for n in stack.webhook.notices if n.status == "resolved" and n.at > killed]
    assert {n.name for n in ended} == {"SafetyPathAlive"}, ended
    stack.mend()
    stack.told("SafetyFacilityFlowLost", since, "resolved", seconds=40)
    stack.told("SafetyPumpRedundancyLost", since, "resolved", seconds=40)
    assert "SafetyLeak" in stack.on(stack.alertmanagers[0])


def test_a_drill_reaches_the_webhook(stack: Stack) -> None:
    begun = time.monotonic()
    done = stack.command("--drill")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("taken in") == 2
    stack.told("SafetyDrill", begun)
