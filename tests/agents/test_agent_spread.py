# SPDX-License-Identifier: Apache-2.0
"""When agents send: all at once, or each at a turn of its own."""

from collections import Counter
from pathlib import Path

import pytest
from agents.test_agent import listening, steady
from doubles import FakeSource, Running

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import decode_envelope
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.session import BrokerSettings
from servers.fixtures import Mosquitto


def config(url: str, name: str, source: str = "nvml", *, spread: bool | None = None) -> Config:
    agent = AgentSettings(
        site="demo", hall="hall-a", name=name, sample_every=0.1, send_every=1.0, spread=spread
    )
    return Config(agent=agent, broker=BrokerSettings(url=url), source=source)


def test_nodes_are_spread_over_the_turns() -> None:
    names = [f"r{rack:03d}-{tray:02d}" for rack in range(254) for tray in range(18)]
    found = Counter(config("mqtt://b", name).phase_ms for name in names)
    assert sorted(found) == list(range(0, 1000, 100))
    assert max(found.values()) < 1.15 * len(names) / 10


@pytest.mark.parametrize(
    ("source", "spread", "expected"),
    [("modbus", None, False), ("modbus", True, True), ("host", None, True), ("nvml", False, False)],
)
def test_meters_stay_on_the_whole_turn_unless_asked(
    source: str, spread: bool | None, expected: bool
) -> None:
    phases = {config("mqtt://b", f"n{i}", source, spread=spread).phase_ms for i in range(50)}
    assert (phases != {0}) == expected


async def test_messages_go_out_at_that_turn(mosquitto: Mosquitto, tmp_path: Path) -> None:
    made = config(mosquitto.url, "snmp-a", "fake", spread=True)
    assert made.phase_ms > 0
    outbox = Outbox(tmp_path / "outbox.db", keep_seconds=60, max_bytes=10**6, clock=SYSTEM_CLOCK)
    agent = Agent(made, FakeSource(steady), outbox, ErrorCounter())
    async with listening(mosquitto.url, "power") as inbox, Running(agent.run()):
        await inbox.wait(lambda messages: len(messages) >= 3, 15.0)
    first, *whole = [decode_envelope(message.payload) for message in inbox.messages[:3]]
    del first  # a part of a window: the agent began within it
    late = [(message.time_ms - made.phase_ms) % 1000 for message in whole]
    assert max(late) < 600, "a machine under load is late, not early"
