# SPDX-License-Identifier: Apache-2.0
"""Two collectors share a site by halls; one is killed for good, and the other takes its hall."""

import asyncio
from pathlib import Path

import aiomqtt
import pytest
from collecting import TOKEN
from faults_kit.compare import difference, stored_in
from faults_kit.fleet import fleet
from faults_kit.processes import QUICK, REAL, CollectorProcess, lifeline, rackwatt
from faults_kit.table import Line
from faults_kit.traffic import Traffic, outboxes
from soak.parts import Lifeline, Part

from servers.fixtures import HOST, Mosquitto, free_port

pytestmark = pytest.mark.e2e

AGENTS = 3
"""Of each hall."""
OLD_SESSION = "rackwatt-collector-demo-hall-a"


def retiring(folder: Path, broker: str, life: Lifeline) -> Part:
    """The dead collector's folder once more: takes nothing, hands on what it holds, ends."""
    return Part(
        "a-retired", REAL,
        ["collect", "--site", str(folder / "site.yaml"), "--broker", broker,
         "--data", str(folder / "a"), "--port", str(free_port()), "--no-accountant", "--retire"],
        folder, life, {"RACKWATT_INTERNAL_TOKEN": TOKEN},
    )  # fmt: skip


async def has_session(mosquitto: Mosquitto, name: str) -> bool:
    """Whether the broker holds a session of that name; leaves none behind."""
    seen: list[bool] = []
    client = aiomqtt.Client(
        HOST, mosquitto.port, identifier=name, clean_session=False,
        protocol=aiomqtt.ProtocolVersion.V311,
    )  # fmt: skip
    before = client._client.on_connect
    assert before is not None

    def connected(*answer: object) -> None:
        seen.append(bool(getattr(answer[2], "session_present", False)))
        before(*answer)  # type: ignore[arg-type]

    client._client.on_connect = connected
    async with client:
        pass
    async with aiomqtt.Client(
        HOST, mosquitto.port, identifier=name, clean_session=True,
        protocol=aiomqtt.ProtocolVersion.V311,
    ):  # fmt: skip
        pass
    return seen[0]


async def test_a_collector_is_killed_and_its_hall_moves(
    mosquitto: Mosquitto, tmp_path: Path, line: Line
) -> None:
    """What the dead one had is handed on from its folder; what it had not, is asked for again."""
    url = mosquitto.url
    with lifeline() as life:
        async with (
            fleet(url, tmp_path, AGENTS, "hall-a", "a") as in_a,
            fleet(url, tmp_path, AGENTS, "hall-b", "b") as in_b,
        ):
            a = CollectorProcess(tmp_path, url, life, ["--hall", "hall-a"], QUICK, "a")
            b = CollectorProcess(tmp_path, url, life, ["--hall", "hall-b"], QUICK, "b")
            await a.start()
            await b.start()
            async with Traffic(in_a, in_b) as traffic:
                await traffic.grown(60)
                await a.kill()
                at_kill = in_a.messages
                await traffic.grown(60)
                state = tmp_path / "hall-a.json"
                print(await rackwatt("hall", "export", "hall-a", "--data", str(a.data),
                                     "--out", str(state)))  # fmt: skip
                await b.stop()
                print(await rackwatt("hall", "import", str(state), "--data", str(b.data)))
                both = ["--hall", "hall-b", "--hall", "hall-a", "--backfill", "none"]
                b = CollectorProcess(tmp_path, url, life, both, QUICK, "b")
                await b.start()
                rest = retiring(tmp_path, url, life)
                rest.spawn()
                await traffic.grown(60)
            await b.settle(outboxes(tmp_path, in_a, in_b), 120)
            lost = await b.metric("rackwatt_messages_lost_total")
            recovered = await b.metric("rackwatt_messages_recovered_total")
            missing = [row for row in (await b.state())["watch"] if row["missing"]]
            process = rest._process
            assert process is not None
            assert await asyncio.to_thread(process.wait, 60) == 0, rest.tail()
            rest.stop()
            await b.stop()
            sent = in_a.sent() | in_b.sent()
            stored = stored_in(b.store(), "power")
            kept = stored_in(a.store(), "power")
            found = difference(sent, kept | stored)
            line.note(
                "a collector of one hall killed for good, its hall moved",
                messages=in_a.messages + in_b.messages, values=len(sent), at_kill=at_kill,
                recovered=int(recovered), lost=len(found.lost), changed=len(found.changed),
                in_the_dead_ones_store=len(kept),
            )  # fmt: skip
            assert not found, str(found)
            assert lost == 0
            assert not missing
            assert kept.keys() - stored.keys()  # it was not all asked for again
    assert not await has_session(mosquitto, OLD_SESSION)
    assert await has_session(mosquitto, "rackwatt-collector-demo-hall-b-hall-a")
    assert not await has_session(mosquitto, "rackwatt-collector-demo-hall-b")
