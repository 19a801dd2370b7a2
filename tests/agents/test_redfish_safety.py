# SPDX-License-Identifier: Apache-2.0
"""From a made-up rack's leak detector to the webhook: a real agent, a real Alertmanager."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from e2e.whole import wait_for

from rackwatt.twin.servers.redfish import FakeRedfish
from servers.alertmanager import Alertmanager, Webhook
from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

AT_MOST = 5.0


class Stack:
    """A rack, an agent, a broker, an Alertmanager and what it calls."""

    def __init__(self, folder: Path, webhook: Webhook, fake: FakeRedfish) -> None:
        self.webhook = webhook
        self.fake = fake
        self.broker = Mosquitto(folder / "broker")
        self.alertmanager = Alertmanager(folder / "am", webhook.url)
        self.folder = folder
        self.agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.broker.start()
        self.alertmanager.start()
        config = self.folder / "rack.yaml"
        config.write_text(yaml.safe_dump(self._document()))
        (self.folder / "password").write_text("made-up")
        with (self.folder / "log").open("wb") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "rackwatt.agents.cli", "run", str(config)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_for("readings", lambda: len(self.fake.requests) > 400, 60)

    def _document(self) -> dict[str, object]:
        loops = [
            {"device": "r1-leak", "rules": ["leak"]},
            {"device": "r1-tray-7-leak", "rules": ["leak"]},
            {
                "device": "r1-cdu-1", "rules": ["leak", "pumps", "pump_redundancy"],
                "pumps_installed": 2, "pumps_needed": 1,
            },
            {"device": "r1-lek", "rules": ["leak"]},
        ]  # fmt: skip
        return {
            "agent": {"site": "demo", "hall": "hall-a", "name": "rack-1", "send_every": "10s"},
            "broker": {"url": self.broker.url},
            "source": "redfish",
            "redfish": {
                "retry_cap": "1s",
                "credentials": {"rack": {"user": "monitor", "password_file": "password"}},
                "devices": [
                    {
                        "device": "r1", "map": "nvl72-rack", "url": self.fake.url,
                        "credentials": "rack",
                    }
                ],
            },
            "safety": {"alertmanagers": [{"url": self.alertmanager.url}], "loops": loops},
        }  # fmt: skip

    def seconds(self, fault: str, target: str, alert: str, device: str) -> float:
        """From the fault to the webhook."""
        self.fake.inject(fault, target)
        begun = time.monotonic()
        notice = self.webhook.wait(
            lambda n: n.name == alert and n.labels["device"] == device, 30, begun
        )
        print(f"{fault} {target}: {notice.at - begun:.2f} s to the webhook")
        return notice.at - begun

    def close(self) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(10)
        self.alertmanager.stop()
        self.broker.stop()


@pytest.fixture(scope="module", params=[True, False], ids=["streamed", "polled"])
def stack(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    with Webhook() as webhook, FakeRedfish(streams=request.param) as fake:
        made = Stack(tmp_path_factory.mktemp("rack"), webhook, fake)
        try:
            made.start()
            yield made
        finally:
            made.close()


def test_a_leak_in_the_rack_reaches_the_webhook(stack: Stack) -> None:
    assert stack.seconds("leak", "Rack1", "SafetyLeak", "r1-leak") < AT_MOST


def test_with_the_broker_killed_too(stack: Stack) -> None:
    os.kill(stack.broker.pid, signal.SIGKILL)
    assert stack.seconds("leak", "tray_7", "SafetyLeak", "r1-tray-7-leak") < AT_MOST
    assert stack.seconds("leak", "CDU1", "SafetyLeak", "r1-cdu-1") < AT_MOST
    lost = stack.seconds("pump", "CDU1/2", "SafetyPumpRedundancyLost", "r1-cdu-1")
    assert lost < 2 * AT_MOST, "2 s of them confirm it"


def test_a_misspelt_loop_shows(stack: Stack) -> None:
    stack.webhook.wait(lambda n: n.name == "SafetyBlind" and n.labels["device"] == "r1-lek", 60)


def test_a_service_that_asks_to_be_left_alone_is_told_as_blind(stack: Stack) -> None:
    assert stack.seconds("busy", "60", "SafetyBlind", "r1-leak") < 30
