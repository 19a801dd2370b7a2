# SPDX-License-Identifier: Apache-2.0
"""From a leak contact on a building controller to the webhook: real agent, real Alertmanager."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from e2e.whole import wait_for

from rackwatt.twin.servers.bacnet import FakeBacnet, enumerated
from servers.alertmanager import Alertmanager, Webhook
from servers.fixtures import free_port

pytestmark = pytest.mark.e2e

AT_MOST = 5.0
PATIENCE = 60.0


def _document(fake: FakeBacnet, alertmanager: str) -> dict[str, object]:
    place = {"host": "127.0.0.1", "port": fake.port}
    return {
        "agent": {"site": "demo", "hall": "site", "name": "plant", "send_every": "10s"},
        # Nothing listens there: the way of an alarm needs no broker.
        "broker": {"url": f"mqtt://127.0.0.1:{free_port()}"},
        "source": "bacnet",
        "bacnet": {
            "every": "1s",
            "devices": [{"device": "room-leaks", "map": "leak-contacts", **place}],
        },
        "safety": {
            "alertmanagers": [{"url": alertmanager}],
            "loops": [{"device": "room-leaks", "rules": ["leak"]}],
        },
    }


def _started(config: Path) -> subprocess.Popen[bytes]:
    with config.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rackwatt.agents.cli", "run", str(config)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip


async def test_a_wet_contact_reaches_the_webhook(tmp_path: Path) -> None:
    with Webhook() as webhook:
        alertmanager = Alertmanager(tmp_path / "am", webhook.url)
        await asyncio.to_thread(alertmanager.start)
        agent: subprocess.Popen[bytes] | None = None
        try:
            async with FakeBacnet() as fake:
                config = tmp_path / "plant.yaml"
                config.write_text(yaml.safe_dump(_document(fake, alertmanager.url)))
                agent = await asyncio.to_thread(_started, config)
                await asyncio.to_thread(
                    wait_for, "readings", lambda: len(fake.requests) >= 6, PATIENCE
                )
                begun = time.monotonic()
                fake.put("binary-input,31", enumerated(1))
                notice = await asyncio.to_thread(
                    webhook.wait, lambda n: n.name == "SafetyLeak", 30, begun
                )
                print(f"{notice.at - begun:.2f} s to the webhook")
                assert notice.labels["device"] == "room-leaks"
                assert notice.at - begun < AT_MOST
        finally:
            if agent is not None:
                agent.kill()
                agent.wait(10)
            await asyncio.to_thread(alertmanager.stop)
