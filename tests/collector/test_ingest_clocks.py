# SPDX-License-Identifier: Apache-2.0
"""Clock offsets over a real broker: what waited there is told from a clock that is slow."""

import asyncio
import math
from pathlib import Path

from doubles import FakePlaces, Running, session, until

from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.spool import Spool
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.status import EpochState, Status
from servers.fixtures import Mosquitto

EPOCH = 1_790_000_000_000 * 4096


def status(last: int, late_seconds: float) -> bytes:
    """A status, made that long ago or by a clock that is that slow."""
    epoch = EpochState(epoch=EPOCH, oldest=1, last=last, sent_through=last)
    time_ms = SYSTEM_CLOCK.now_ms() - round(late_seconds * 1000)
    made = Status(state="online", session=1, time=time_ms, epochs=(epoch,))
    return made.model_dump_json().encode()


async def test_what_the_broker_kept_for_an_hour_makes_no_clock_slow(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool.db", max_bytes=10**8, clock=SYSTEM_CLOCK)
    await spool.start()
    broker = BrokerSettings(url=mosquitto.url)
    seen: list[float | None] = []

    def made() -> Ingest:
        ingest = Ingest(broker, FakePlaces(), spool, SYSTEM_CLOCK)
        real = ingest.clocks.told

        def told(agent: str, *rest: object) -> float | None:
            seen.append(real(agent, *rest))  # type: ignore[arg-type]
            return seen[-1]

        ingest.clocks.told = told  # type: ignore[method-assign,assignment]
        return ingest

    agent = session(mosquitto.url, "snmp-a")
    topics = [f"rackwatt/v1/demo/hall-a/{name}/status" for name in ("snmp-a", "node-2")]
    async with Running(agent.run()):
        await agent.connected.wait()
        first = made()
        async with Running(first.run()):
            await first.session.connected.wait()  # the broker keeps for it from here on
        for number in range(60):
            await agent.publish(topics[0], status(number, 3600.0 - number))
        ingest = made()
        async with Running(ingest.run()):
            await until(lambda: len(seen) == 60)
            assert seen == [None] * 60
            await agent.publish(topics[0], status(61, 0.0))
            await until(lambda: len(seen) == 61)
            assert abs(math.inf if (last := seen[-1]) is None else last) < 1.0
            await until(lambda: ingest.checks.echo.behind(SYSTEM_CLOCK.monotonic()) < 30.0)
            async with asyncio.timeout(5):
                while seen[-1] is None or abs(seen[-1] - 600.0) > 1.0:
                    await agent.publish(topics[1], status(1, 600.0))
            assert ingest.clocks.doubtful().keys() == {"node-2"}
    await spool.aclose()
