# SPDX-License-Identifier: Apache-2.0
"""Who does not belong there: refused by the broker or by the collector, and to be seen there.

The broker runs by the configuration and the rules that `rackwatt pki` writes; agents and collector
are processes with certificates, as at a site.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from faults_kit.compare import difference, outbox_messages, stored_in, values_of
from faults_kit.processes import CollectorProcess, eventually, lifeline
from faults_kit.table import FULL, Line
from soak.backlog import last_id
from soak.parts import Lifeline, Part

from rackwatt.collector.pki.folder import Folder
from rackwatt.wire.readings import KINDS
from servers.mutual import MutualMosquitto, pki

pytestmark = pytest.mark.e2e

TIMES = 5 if FULL else 1
"""How often each starts anew and must have been refused: between its tries it waits longer."""
GOOD = "snmp-a"
DEVICE = "machine-0"
KEY = "r1-n1"
"""Whose key was stolen."""
NO_CERTIFICATE = "peer did not return a certificate"
NOT_BELIEVED = "certificate verify failed"
HUNG_UP = f"Bad socket read/write on client {KEY}"
CONFIG = """\
agent:
  {{site: {site}, hall: {hall}, name: {name}, node: {node}, sample_every: 50ms, send_every: 50ms}}
broker: {{url: "{url}", ca_file: "{authority}"{identity}}}
outbox: {{path: "{outbox}"}}
source: host
host: {{timeout: 40ms}}
"""


@dataclass(frozen=True, slots=True)
class Intruder:
    """An agent that does not say what it may say."""

    what: str
    by: str
    seen: str
    """What the broker's log says, or the collector's reason."""
    key: str = KEY
    foreign: bool = False
    """Whether another authority signed it."""
    site: str = "demo"
    hall: str = "hall-a"
    name: str = KEY
    node: str = "evil"


INTRUDERS = (
    Intruder("anonymous", "broker", NO_CERTIFICATE, key="", name="snmp-b", hall="hall-b"),
    Intruder("a wrong authority", "broker", NOT_BELIEVED, foreign=True),
    Intruder("an expired certificate", "broker", NOT_BELIEVED, key="r2-n1", name="r2-n1"),
    Intruder("a revoked certificate", "broker", NOT_BELIEVED, key="r9-n1", name="r9-n1"),
    Intruder("a stolen name", "broker", HUNG_UP, name=GOOD),
    Intruder("another site's topic", "broker", HUNG_UP, site="other"),
    Intruder("another hall's topic", "collector", "wrong_hall", hall="hall-b"),
    Intruder("a topic of no hall", "collector", "wrong_hall", hall="hall-z"),
    Intruder("a meter nobody reports", "collector", "device_conflict", node="grid-1"),
    Intruder("the good agent's device", "collector", "device_conflict", node=DEVICE),
)


def foreign(folder: Path) -> Path:
    """The folder of another authority."""
    return folder.with_name("other")


def sign_worse(folder: Path) -> None:
    """Certificates that are old, revoked, or of another authority."""
    now = datetime.now(UTC)
    pki(foreign(folder), "init", "--site", "demo")
    pki(foreign(folder), "agent", KEY)
    Folder(folder).client("agent", "r2-n1", now - timedelta(days=30), 10)
    pki(folder, "revoke", "r9-n1")


class Scene:
    """A broker, a collector, a good agent, and whoever else comes."""

    def __init__(self, folder: Path, broker: MutualMosquitto, line: Lifeline) -> None:
        self.folder = folder
        self.broker = broker
        self.line = line
        self.collector = CollectorProcess(folder, broker.url, line, broker.collector_options())
        good = Intruder("nothing", "nobody", "", key=GOOD, name=GOOD, node=DEVICE)
        self.good = self.agent("good", good)

    def agent(self, label: str, who: Intruder) -> Part:
        """A real agent, not started."""
        identity = ""
        if who.key:
            certificate, key = self.broker.key(who.key)
            if who.foreign:
                place = foreign(self.broker.pki) / "agents"
                certificate, key = place / certificate.name, place / key.name
            identity = f', certificate_file: "{certificate}", key_file: "{key}"'
        file = self.folder / f"{label}.yaml"
        text = CONFIG.format(
            site=who.site, hall=who.hall, name=who.name, node=who.node, url=self.broker.url,
            authority=self.broker.authority, identity=identity, outbox=f"{label}.db",
        )  # fmt: skip
        file.write_text(text, encoding="utf-8")
        return Part(label, "rackwatt.agents.cli", ["run", str(file)], self.folder, self.line)

    async def stored(self, more: int = 5) -> None:
        """The good agent's messages go on being taken."""
        before = last_id(self.collector.spool)

        async def grown() -> bool:
            return last_id(self.collector.spool) >= before + more

        await eventually("good message", grown)

    async def refusals(self, who: Intruder) -> float:
        if who.by == "broker":
            return self.broker.said(who.seen)
        return await self.collector.metric("rackwatt_messages_rejected_total", reason=who.seen)

    async def try_in(self, number: int, who: Intruder) -> int:
        """Have one try; returns how often it was refused."""
        before = await self.refusals(who)
        for _ in range(TIMES):
            refused = await self.refusals(who)

            async def once_more(refused: float = refused) -> bool:
                return await self.refusals(who) > refused

            part = self.agent(f"intruder-{number}", who)
            try:
                part.spawn()
                await eventually(f"refusal of {who.what}", once_more)
                await self.stored()
            finally:
                await asyncio.to_thread(part.kill)
        held = sum(1 for _ in outbox_messages(self.folder / f"intruder-{number}.db"))
        assert held > 0, "it had something to say"
        return round(await self.refusals(who) - before)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    broker = MutualMosquitto(tmp_path, GOOD, KEY, "r9-n1", more=sign_worse)
    with broker, lifeline() as line:
        yield Scene(tmp_path, broker, line)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    await scene.collector.start()
    scene.good.spawn()
    try:
        await scene.stored()
        yield
    finally:
        await asyncio.to_thread(scene.good.stop)
        await scene.collector.stop()


async def overhear(scene: Scene) -> int:
    """Listen to others with a stolen key; returns what came, which must not be anything."""
    settings = scene.broker.settings(KEY)
    heard: list[str] = []

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            heard.append(str(message.topic))  # noqa: PERF401 - one by one, while it is cancelled

    async with aiomqtt.Client(
        *settings.address, tls_context=settings.tls(), protocol=aiomqtt.ProtocolVersion.V311
    ) as client:
        for topic in ("#", "rackwatt/v1/demo/+/+/power", f"rackwatt/v1/demo/hall-a/{GOOD}/host"):
            await client.subscribe(topic, qos=1)
        task = asyncio.create_task(listen(client))
        await scene.stored(20)
        task.cancel()
        await asyncio.wait([task])
    assert heard == []
    return len(heard)


def log_of(scene: Scene) -> str:
    return scene.collector.part.log.read_text(encoding="utf-8", errors="replace")


def seen(outcomes: Sequence[tuple[Intruder, int]]) -> dict[str, object]:
    """For the table."""
    return {who.what: f"refused by the {who.by} {count} x" for who, count in outcomes}


async def test_who_does_not_belong_there_gets_nothing_in_and_nothing_out(
    scene: Scene, line: Line
) -> None:
    outcomes: list[tuple[Intruder, int]] = []
    async with running(scene):
        for number, who in enumerate(INTRUDERS):
            outcomes.append((who, await scene.try_in(number, who)))
        heard = await overhear(scene)
        outbox = scene.folder / "good.db"
        await asyncio.to_thread(scene.good.stop)
        sent = values_of(outbox_messages(outbox))
        await scene.collector.settle({GOOD: outbox}, 60)
        for reason, count in Counter(
            who.seen for who in INTRUDERS if who.by == "collector"
        ).items():
            metric = "rackwatt_messages_rejected_total"
            assert await scene.collector.metric(metric, reason=reason) >= count
            assert f"rejected, {reason}" in log_of(scene)
        assert await scene.collector.metric("rackwatt_agent_up", agent="snmp-b") == 0
        assert await scene.collector.metric("rackwatt_deadletter_messages") > 0
    stored = await asyncio.to_thread(stored_in, scene.collector.store(), *KINDS)
    found = difference(sent, stored)
    assert not found, str(found)
    assert {device for _, device, _, _ in stored} == {DEVICE}
    line.note(
        "agents with a stolen name, a forged topic, no, a wrong or an old certificate",
        **seen(outcomes), overheard=heard, stored_of_them=0, good_values=len(sent), lost=0,
    )  # fmt: skip
