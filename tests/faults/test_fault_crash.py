# SPDX-License-Identifier: Apache-2.0
"""A broker dies with the last messages of a node that is off: they come with it, or are told."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doubles import until
from faults_kit.compare import Values, difference, outbox_messages, stored_in, values_of
from faults_kit.processes import QUICK, REAL, CollectorProcess, eventually, lifeline
from faults_kit.table import FULL, Line
from faults_kit.tap import Tap
from soak.backlog import losses
from soak.parts import Part

from rackwatt.wire.codec import decode_envelope
from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

NAME = "agent-0"
LAST = 40
MODULE = REAL if FULL else QUICK
SECONDS = 120.0
CONFIG = """\
agent:
  {{site: demo, hall: hall-a, name: agent-0, node: node-0, sample_every: 50ms, send_every: 50ms}}
broker: {{url: "{url}"}}
outbox: {{path: outbox.db}}
source: host
host: {{timeout: 40ms}}
"""


@dataclass
class Scene:
    """A real agent, a broker with default persistence, a real collector, a link in between."""

    broker: Mosquitto
    tap: Tap
    collector: CollectorProcess
    node: Part
    outbox: Path

    def messages(self) -> int:
        """Durable ones."""
        return sum(1 for _ in outbox_messages(self.outbox)) if self.outbox.exists() else 0

    async def broker_dies(self) -> None:
        await asyncio.to_thread(self.broker.kill)
        await asyncio.to_thread(self.broker.start)
        self.tap.resume()
        await eventually("collector at the broker", self._connected)

    async def _connected(self) -> bool:
        return await asyncio.to_thread(self.collector.get, "/readyz") == "ok\n"

    async def takes_alone(self, count: int) -> None:
        """The broker takes so many messages, and cannot give them to anybody."""
        self.tap.refuse()
        held = self.messages()
        await until(lambda: self.messages() >= held + count + 2)

    async def missing(self) -> float:
        return await self.collector.metric("rackwatt_messages_missing", agent=NAME)

    async def nothing_is_missing(self) -> bool:
        return await self.missing() == 0

    async def told_of_open(self) -> bool:
        """Whether the collector was told of the last messages."""
        state = await self.collector.state()
        told = sum(high - low + 1 for row in state.get("watch", ()) for low, high in row["open"])
        return bool(told >= LAST)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    with lifeline() as life, Mosquitto(folder / "m", autosave_seconds=1800) as broker:
        config, outbox = folder / "agent.yaml", folder / "outbox.db"
        config.write_text(CONFIG.format(url=broker.url), encoding="utf-8")
        async with Tap(broker.port) as tap:
            collector = CollectorProcess(folder, tap.url("mqtt"), life, module=MODULE)
            node = Part("agent", "rackwatt.agents.cli", ["run", str(config)], folder, life)
            made = Scene(broker, tap, collector, node, outbox)
            try:
                await collector.start()
                await asyncio.to_thread(node.start)
                await until(lambda: tap.published >= 10, 20)
                yield made
            finally:
                await asyncio.to_thread(node.kill)
                await collector.stop()


async def test_the_last_messages_of_a_node_that_is_off_come_when_it_is_on_again(
    tmp_path: Path, line: Line
) -> None:
    """Broker and node die at once: nobody can know of them until the node says so."""
    async with scene(tmp_path) as all_of:
        await all_of.takes_alone(LAST)
        await asyncio.to_thread(all_of.node.kill)
        await all_of.broker_dies()
        durable = values_of(outbox_messages(all_of.outbox))
        before = await all_of.collector.metric("rackwatt_messages_recovered_total")
        begun = time.monotonic()
        await asyncio.to_thread(all_of.node.start)

        async def came() -> bool:
            metric = all_of.collector.metric
            return await metric("rackwatt_messages_recovered_total") >= before + LAST

        await eventually("recovered messages", came, SECONDS)
        seconds = time.monotonic() - begun
        await eventually("end of what is missing", all_of.nothing_is_missing, SECONDS)
        await all_of.collector.settle({NAME: all_of.outbox}, SECONDS)
        recovered = int(await all_of.collector.metric("rackwatt_messages_recovered_total"))
        lost = int(await all_of.collector.metric("rackwatt_messages_lost_total"))
        await all_of.collector.stop()
        stored = stored_in(all_of.collector.store(), "host")
    found = difference(durable, stored)
    line.note(
        f"the last {LAST} messages in a crashed broker, the node off and on",
        values=len(durable), recovered=recovered, lost=len(found.lost), changed=len(found.changed),
        recovered_in=f"{seconds:.1f} s", grace="30 s" if FULL else "1 s",
    )  # fmt: skip
    assert durable
    assert recovered >= LAST
    assert not found.lost
    assert not found.changed
    assert lost == 0


async def test_the_last_messages_are_closed_as_lost_when_their_outbox_is_gone(
    tmp_path: Path, line: Line
) -> None:
    """What the collector was told of and nobody has any more is recorded, and shown."""
    old = tmp_path / "gone.db"
    async with scene(tmp_path) as all_of:
        await all_of.takes_alone(LAST)
        await all_of.broker_dies()
        await eventually("word of what was sent", all_of.told_of_open)
        before = all_of.tap.published
        await until(lambda: all_of.tap.published >= before + 2)  # and of what came before these
        await asyncio.to_thread(all_of.node.kill)  # before it could be asked

        async def missing() -> bool:
            return await all_of.missing() >= LAST

        await eventually("missing messages", missing, SECONDS)
        was_missing = int(await all_of.missing())
        assert (await all_of.collector.agent(NAME))["missing"] == was_missing
        for suffix in ("", "-wal", "-shm"):
            if (path := Path(f"{all_of.outbox}{suffix}")).exists():
                shutil.move(path, f"{old}{suffix}")
        begun = time.monotonic()
        await asyncio.to_thread(all_of.node.start)
        await eventually("end of what is missing", all_of.nothing_is_missing, SECONDS)
        seconds = time.monotonic() - begun
        lost = int(await all_of.collector.metric("rackwatt_messages_lost_total"))
        assert (await all_of.collector.agent(NAME))["lost"] == lost
        since = values_of(outbox_messages(all_of.outbox))
        await all_of.collector.settle({NAME: all_of.outbox}, SECONDS)
        shown = deadletter_lost(all_of.collector.data)
        await all_of.collector.stop()
        ranges = losses(all_of.collector.spool)
        stored = stored_in(all_of.collector.store(), "host")
        log = all_of.collector.part.log.read_text(encoding="utf-8")
    assert sum(high - low + 1 for _, _, low, high, _ in ranges) == lost >= was_missing >= LAST
    assert {(agent, reason) for agent, _, _, _, reason in ranges} == {(NAME, "epoch_gone")}
    assert f"{NAME}: " in log
    assert "messages lost (epoch_gone)" in log
    kept, gone = apart(old, ranges)
    found = difference(kept | since, stored)
    line.note(
        f"the last {LAST} messages in a crashed broker, their outbox gone",
        closed_as_lost=lost, ranges=len(ranges), values_kept=len(kept), values_gone=len(gone),
        lost_without_a_word=len(found.lost), changed=len(found.changed),
        closed_in=f"{seconds:.1f} s",
    )  # fmt: skip
    assert kept
    assert gone
    # What is recorded as lost, and nothing else, is not there.
    assert not found.lost, str(found)
    assert not found.changed
    assert not gone.keys() & stored.keys()
    assert {(row["agent"], row["epoch"], row["first"], row["last"]) for row in shown} == {
        (agent, epoch, low, high) for agent, epoch, low, high, _ in ranges
    }


def deadletter_lost(data: Path) -> list[dict[str, Any]]:
    """What `rackwatt deadletter lost` says."""
    command = [sys.executable, "-m", "rackwatt.collector.cli", "deadletter", "lost", "--json"]
    done = subprocess.run([*command, "--data", str(data)], capture_output=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def apart(path: Path, ranges: list[tuple[str, int, int, int, str]]) -> tuple[Values, Values]:
    """The values of an outbox: of messages that are not in these ranges, and of those that are."""
    kept: list[tuple[str, bytes]] = []
    gone: list[tuple[str, bytes]] = []
    for kind, payload in outbox_messages(path):
        envelope = decode_envelope(payload)
        lost = any(
            epoch == envelope.epoch and low <= envelope.seq <= high
            for _, epoch, low, high, _ in ranges
        )
        (gone if lost else kept).append((kind, payload))
    return values_of(kept), values_of(gone)
