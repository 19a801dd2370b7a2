# SPDX-License-Identifier: Apache-2.0
"""What the collector refuses by itself, behind a broker whose rules are wrong or missing."""

import logging

import pytest
from collector.bench import Bench, bench, message

from rackwatt.wire.codec import Reason

__all__ = ["bench"]  # a fixture

ROOT = "rackwatt/v1/demo"


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        (f"{ROOT}/hall-b/snmp-a/power", Reason.WRONG_HALL),  # a known name from another's hall
        (f"{ROOT}/hall-z/stranger/power", Reason.WRONG_HALL),
        (f"{ROOT}/hall-z/stranger/status", Reason.WRONG_HALL),
        (f"{ROOT}/hall-z/stranger/inventory", Reason.WRONG_HALL),
        ("rackwatt/v1/elsewhere/hall-a/snmp-a/power", Reason.WRONG_SITE),
        ("rackwatt/v2/demo/hall-a/snmp-a/power", Reason.BAD_TOPIC),
        (f"{ROOT}/hall-a/snmp-a/../power", Reason.BAD_TOPIC),
        (f"{ROOT}/hall-a/+/power", Reason.BAD_TOPIC),
    ],
)
async def test_a_flood_from_a_place_that_is_not_the_site_files(
    bench: Bench, topic: str, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    count = 300
    await bench.take(*(message(number + 1, topic=topic) for number in range(count)))
    good = message(1)
    await bench.take(good)
    assert await bench.kept() == [(good.topic, good.payload)]
    assert bench.ingest.counts.rejected == {reason: count}
    lines = [record for record in caplog.records if reason.value in record.getMessage()]
    assert 1 <= len(lines) < 30, "said, and not once for each"
    assert len(bench.acknowledged) == count + 1, "it does not come again"
    names = [agent.name for agent in bench.ingest.watch]
    assert names == ["snmp-a"], "nobody waits for messages of who was refused"


async def test_an_agent_does_not_report_the_device_of_another(bench: Bench) -> None:
    own = {"device": "grid-1", "power_watts": 5.0}
    await bench.take(message(1, own))
    forged = message(1, {**own, "power_watts": 9.0}, topic=f"{ROOT}/hall-b/node-7/power")
    await bench.take(forged)
    assert [topic for topic, _ in await bench.kept()] == [f"{ROOT}/hall-a/snmp-a/power"]
    assert bench.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 1}
