# SPDX-License-Identifier: Apache-2.0
"""What was closed as lost can be looked up: by the command, newest first, by agent."""

import json
from pathlib import Path

from typer.testing import CliRunner

from rackwatt.collector.cli import app
from rackwatt.collector.ingest.spool import STORE, Batch, Spool
from rackwatt.collector.ingest.watch import Loss, LossReason
from rackwatt.wire.clock import ManualClock


async def spool_with(folder: Path, *losses: Loss) -> None:
    clock = ManualClock()
    spool = Spool(folder / "spool.db", max_bytes=10**6, clock=clock, consumers=(STORE,))
    await spool.start()
    try:
        for loss in losses:
            await spool.append(Batch(losses=[loss]))
            clock.advance(1.0)
    finally:
        await spool.aclose()


def lost(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["deadletter", "lost", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


async def test_lost_ranges_are_listed_with_agent_epoch_range_and_reason(tmp_path: Path) -> None:
    await spool_with(
        tmp_path,
        Loss("snmp-a", 4096, 10, 49, LossReason.EPOCH_GONE),
        Loss("meters", 8192, 3, 3, LossReason.EVICTED),
    )
    head, first, second = lost("--data", str(tmp_path)).splitlines()
    assert head.split() == ["agent", "epoch", "first", "last", "count", "reason", "closed"]
    assert first.split()[:6] == ["meters", "8192", "3", "3", "1", "evicted"]
    assert second.split()[:6] == ["snmp-a", "4096", "10", "49", "40", "epoch_gone"]
    (row,) = json.loads(lost("--data", str(tmp_path), "--agent", "snmp-a", "--json"))
    assert (row["first"], row["last"], row["count"]) == (10, 49, 40)


async def test_nothing_lost_is_said_so(tmp_path: Path) -> None:
    await spool_with(tmp_path)
    assert lost("--data", str(tmp_path)) == "nothing is lost\n"
