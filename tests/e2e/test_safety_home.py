# SPDX-License-Identifier: Apache-2.0
"""The default site at home: a leak that somebody makes shows on the page, and rings a phone."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.whole import Whole, wait_for

from servers.alertmanager import Alertmanager, Webhook

pytestmark = pytest.mark.e2e

CDU = "cdu-a1"
AT_MOST = 5.0
"""Seconds from the order to break to the webhook, whatever machine this runs on."""


class Home:
    """`rackwatt up` as the README says, with an Alertmanager beside it."""

    def __init__(self, folder: Path, webhook: Webhook) -> None:
        self.webhook = webhook
        self.alertmanager = Alertmanager(folder / "alertmanager", webhook.url)
        arguments = ("--alertmanager", self.alertmanager.url)
        self.system = Whole(folder / "data", *arguments)

    def command(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"rackwatt.{module}", *arguments],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def twin(self, order: str) -> None:
        folder = str(self.system.folder)
        done = self.command("collector.cli", "twin", order, "leak", CDU, "--data", folder)
        assert done.returncode == 0, done.stderr

    def safety(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (agent,) = self.system.folder.rglob("modbus-hall-a.yaml")
        return self.command("agents.cli", "safety", str(agent), *arguments)

    def reset(self) -> subprocess.CompletedProcess[str]:
        return self.safety("--reset", f"{CDU}/leak", "--by", "somebody")

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.system.frame()["events"]
        return [event for event in found if event["device"] == CDU]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Webhook() as webhook:
        made = Home(tmp_path_factory.mktemp("home"), webhook)
        try:
            made.alertmanager.start()
            made.system.start()
            yield made
        finally:
            made.system.close()
            made.alertmanager.stop()


def test_the_site_of_the_first_start_is_watched_and_quiet(home: Home) -> None:
    home.webhook.wait(lambda notice: notice.name == "SafetyPathAlive", 60)
    wait_for("figures", lambda: home.system.frame()["agents"], 60)
    assert home.events() == []


def test_a_leak_rings_and_stands_on_the_page(home: Home) -> None:
    home.twin("break")
    broken = time.monotonic()
    notice = home.webhook.wait(lambda n: n.name == "SafetyLeak" and n.status == "firing", 30)
    print(f"leak: {notice.at - broken:.2f} s from the twin's order to the webhook")
    assert notice.at - broken < AT_MOST
    assert notice.labels["device"] == CDU
    wait_for("leak on the page", home.events, 30)
    print(f"leak: {time.monotonic() - broken:.2f} s to the page")
    (event,) = home.events()
    assert (event["code"], event["severity"]) == ("safety_leak", "critical")
    assert f"{CDU}/leak" in home.safety().stdout


def test_it_stays_on_until_the_floor_is_dry_and_somebody_has_looked(home: Home) -> None:
    wet = home.reset()
    assert wet.returncode == 1
    assert "refused" in wet.stderr
    home.twin("mend")
    wait_for("dry floor", lambda: home.reset().returncode == 0, 60)
    home.webhook.wait(lambda n: n.name == "SafetyLeak" and n.status == "resolved", 60)
    wait_for("its end on the page", lambda: len(home.events()) == 2, 30)
    assert home.events()[0]["code"] == "safety_leak_reset"
