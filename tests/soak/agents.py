# SPDX-License-Identifier: Apache-2.0
"""A process of agents: the real loop, outbox and session; only the devices are made up.

Started by the soak with one argument, a JSON file. Takes orders on standard input, a line each:
`step NAME MS` sets an agent's clock wrong, `quiet` ends the sampling while sending goes on.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soak.places import SITE, Member
from soak.source import SoakSource, SteppedClock

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.lifeline import parent_gone
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.session import BrokerSettings


@dataclass(frozen=True, slots=True)
class One:
    """An agent and what of it can be set."""

    agent: Agent
    source: SoakSource
    clock: SteppedClock


def make(settings: Mapping[str, Any], member: Member) -> One:
    name = AgentSettings(
        site=SITE,
        hall=member.hall,
        name=member.name,
        sample_every=member.every,
        send_every=member.every,
    )
    config = Config(agent=name, broker=BrokerSettings(url=settings["broker"]), source="soak")
    clock, source = SteppedClock(), SoakSource(member, settings["seed"], settings["load"])
    path = Path(settings["folder"]) / f"{member.name}.db"
    outbox = Outbox(path, keep_seconds=86_400, max_bytes=4 * 10**9, clock=clock)
    return One(Agent(config, source, outbox, ErrorCounter(), clock), source, clock)


async def obey(fleet: Mapping[str, One]) -> None:
    """Do what standard input says."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order, *rest = line.decode().split()
        if order == "step":
            fleet[rest[0]].clock.offset_ms = int(rest[1])
        elif order == "quiet":
            for one in fleet.values():
                one.source.quiet = True


async def run(settings: Mapping[str, Any]) -> None:
    members = [Member(**item) for item in settings["members"]]
    fleet = {member.name: make(settings, member) for member in members}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one.agent.run()) for one in fleet.values()]
        running += [tasks.create_task(obey(fleet)), tasks.create_task(_orphaned(stop))]
        await stop.wait()
        for task in running:
            task.cancel()


async def _orphaned(stop: asyncio.Event) -> None:
    await parent_gone()
    stop.set()


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("mqtt").setLevel(logging.ERROR)
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
