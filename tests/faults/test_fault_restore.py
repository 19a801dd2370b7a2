# SPDX-License-Identifier: Apache-2.0
"""A collector's machine is gone; an empty one takes its backup, and agents bring the rest."""

import shutil
from pathlib import Path

import pytest
from faults_kit.compare import difference, stored_in
from faults_kit.fleet import fleet
from faults_kit.processes import QUICK, CollectorProcess, lifeline, rackwatt
from faults_kit.table import Line
from faults_kit.traffic import Traffic, outboxes

from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

AGENTS = 4


async def test_a_backup_on_an_empty_machine(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """Made in full traffic; what came after it is asked for again."""
    archive = tmp_path / "backup.tar.gz"
    with lifeline() as life:
        async with fleet(mosquitto.url, tmp_path, AGENTS) as senders:
            collector = CollectorProcess(tmp_path, mosquitto.url, life, module=QUICK)
            await collector.start()
            async with Traffic(senders) as traffic:
                await traffic.grown(100)
                await rackwatt("backup", "--data", str(collector.data), "--out", str(archive),
                               "--with-store")  # fmt: skip
                at_backup = senders.messages
                await traffic.grown(100)
                await collector.kill()
                shutil.rmtree(collector.data)
                await traffic.grown(40)
                at_restore = senders.messages
                await rackwatt("restore", str(archive), "--data", str(collector.data))
                await collector.start()
                await traffic.grown(40)
            await collector.settle(outboxes(tmp_path, senders), 120)
            lost = await collector.metric("rackwatt_messages_lost_total")
            await collector.stop()
            sent = senders.sent()
            found = difference(sent, stored_in(collector.store(), "power"))
            line.note(
                "a collector's disk gone, its backup on an empty one",
                messages=senders.messages, values=len(sent), at_backup=at_backup,
                at_restore=at_restore, lost=len(found.lost), changed=len(found.changed),
            )  # fmt: skip
            assert not found, str(found)
            assert lost == 0
