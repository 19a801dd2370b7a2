# SPDX-License-Identifier: Apache-2.0
"""What an agent tells of itself."""

from pathlib import Path

from doubles import FakeSource
from prometheus_client import CollectorRegistry, generate_latest

from rackwatt.agents.agent import Agent
from rackwatt.agents.metrics import CATALOGUE, AgentCollector
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.readings import Quality
from rackwatt.wire.session import BrokerSettings


async def test_its_own_metrics(tmp_path: Path) -> None:
    config = Config(
        agent=AgentSettings(site="demo", name="a"),
        broker=BrokerSettings(url="mqtt://127.0.0.1"),
        source="fake",
    )
    outbox = Outbox(tmp_path / "outbox.db", keep_seconds=60, max_bytes=10**6, clock=SYSTEM_CLOCK)
    agent = Agent(config, FakeSource(lambda _: []), outbox, ErrorCounter())
    agent.errors.count("m1", Quality.TIMEOUT)
    agent.counts.sent = 7
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    text = generate_latest(registry).decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines["rackwatt_agent_messages_sent_total"]) == 7
    assert float(lines["rackwatt_agent_connected"]) == 0
    assert float(lines['rackwatt_agent_read_errors_total{reason="timeout"}']) == 1
    assert {name.partition("{")[0] for name in lines} == {spec.name for spec in CATALOGUE}
