# SPDX-License-Identifier: Apache-2.0
"""A rolling upgrade: collectors one after the other, then agents; each stopped in order."""

from pathlib import Path

import pytest
from faults_kit.compare import difference, stored_in
from faults_kit.fleet import fleet
from faults_kit.processes import QUICK, CollectorProcess, lifeline
from faults_kit.table import Line
from faults_kit.traffic import Traffic, outboxes

from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

AGENTS = 3
"""Of each hall."""


async def test_a_rolling_upgrade_loses_nothing(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """What comes while a collector is away waits for it; agents go on with their outboxes."""
    url = mosquitto.url
    with lifeline() as life:
        a = CollectorProcess(tmp_path, url, life, ["--hall", "hall-a"], QUICK, "a")
        b = CollectorProcess(tmp_path, url, life, ["--hall", "hall-b"], QUICK, "b")
        await a.start()
        await b.start()
        async with fleet(url, tmp_path, AGENTS, "hall-b", "b") as in_b:
            async with (
                fleet(url, tmp_path, AGENTS, "hall-a", "a") as in_a,
                Traffic(in_a, in_b) as traffic,
            ):
                for one in (a, b):
                    await traffic.grown(20)
                    await one.stop()
                    await traffic.grown(20)  # they wait at the broker
                    await one.start()
                await traffic.grown(20)
            first = in_a.sent()
            async with fleet(url, tmp_path, AGENTS, "hall-a", "a") as in_a:
                async with Traffic(in_a, in_b) as traffic:
                    await traffic.grown(30)
                await a.settle(outboxes(tmp_path, in_a), 60)
                await b.settle(outboxes(tmp_path, in_b), 60)
        sent_a, sent_b = in_a.sent(), in_b.sent()
        lost = [await one.metric("rackwatt_messages_lost_total") for one in (a, b)]
        await a.stop()
        await b.stop()
        found_a = difference(sent_a, stored_in(a.store(), "power"))
        found_b = difference(sent_b, stored_in(b.store(), "power"))
        line.note(
            "collectors, then agents stopped and started in turn, as in a rolling upgrade",
            values=len(sent_a) + len(sent_b), lost=len(found_a.lost) + len(found_b.lost),
            changed=len(found_a.changed) + len(found_b.changed),
        )  # fmt: skip
    assert not found_a, str(found_a)
    assert not found_b, str(found_b)
    assert lost == [0, 0]
    assert first.keys() < sent_a.keys()
