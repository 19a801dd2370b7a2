# SPDX-License-Identifier: Apache-2.0
"""The agent's loop with safety rules: what it feeds them, and what may not hold them up."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from doubles import FakeSource, Running, until
from prometheus_client import CollectorRegistry, generate_latest

from rackwatt.agents.agent import Agent
from rackwatt.agents.aside import Aside
from rackwatt.agents.metrics import CATALOGUE, AgentCollector
from rackwatt.agents.safety import metrics
from rackwatt.agents.safety.courier import Identity
from rackwatt.agents.safety.settings import SafetySettings
from rackwatt.agents.safety.watch import Safety
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings


class Bench:
    """An agent on a source whose leak can be switched on; no broker is there."""

    def __init__(self, folder: Path, alertmanager: str | None = None) -> None:
        self.leak = 0.0
        self.file = folder / "outbox.db"
        config = Config(
            agent=AgentSettings(site="demo", name="a", sample_every=0.05, send_every=0.1),
            broker=BrokerSettings(url="mqtt://127.0.0.1:1"),
            source="fake",
        )
        settings = SafetySettings.model_validate(
            {
                "loops": [{"device": "cdu", "rules": ["leak"]}],
                "alertmanagers": [{"url": alertmanager}] if alertmanager else [],
            }
        )
        identity = Identity("demo", "site", "a")
        safety = Safety(settings, identity, folder, folder / "a.safety.json")
        outbox = Outbox(self.file, keep_seconds=60, max_bytes=10**6, clock=SYSTEM_CLOCK)
        source = FakeSource(self.round)
        self.agent = Agent(config, source, outbox, ErrorCounter(), safety=safety)

    def round(self, number: int) -> Sequence[Sample]:
        return [Sample("coolant", "cdu", {"leak_ratio": self.leak})]

    @property
    def on(self) -> int:
        assert self.agent.safety is not None
        return len(self.agent.safety.active)

    def kept(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.file)) as db:
            return [json.loads(row[0]) for row in db.execute("SELECT payload FROM messages")]


async def test_an_alarm_goes_into_the_outbox_as_an_event(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with Running(bench.agent.run()):
        await until(lambda: bench.agent.counts.rounds >= 2)
        bench.leak = 1.0
        await until(lambda: bench.on == 1)
    readings = [reading for message in bench.kept() for reading in message["readings"]]
    (event,) = [reading for reading in readings if "code" in reading]
    assert (event["device"], event["code"]) == ("cdu", "safety_leak")
    assert event["severity"] == "critical"


async def test_a_disk_that_hangs_holds_up_no_judgement_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    real = bench.agent.outbox.put
    free = asyncio.Event()

    async def hang(messages: Any) -> Any:
        await free.wait()
        return await real(messages)

    async with Running(bench.agent.run()):
        await until(lambda: bench.agent.counts.sent == 0 and bench.agent.counts.rounds >= 2)
        monkeypatch.setattr(bench.agent.outbox, "put", hang)
        rounds = bench.agent.counts.rounds
        await until(lambda: bench.agent.counts.rounds > rounds + 2)
        bench.leak = 1.0
        await until(lambda: bench.on == 1, 3)
        free.set()
    readings = [reading for message in bench.kept() for reading in message["readings"]]
    assert [r["code"] for r in readings if "code" in r] == ["safety_leak"]
    assert max(r.get("leak_ratio", 0.0) for r in readings) == 1.0


async def test_its_metrics(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "http://127.0.0.1:1")
    bench.leak = 1.0
    async with Running(bench.agent.run()):
        await until(lambda: bench.on == 1)
        assert bench.agent.safety is not None
        tally = bench.agent.safety.couriers[0].tally
        await until(lambda: tally.failed > 0)
        registry = CollectorRegistry()
        registry.register(AgentCollector(bench.agent))
        text = generate_latest(registry).decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['rackwatt_safety_alerts_total{rule="leak"}']) == 1
    assert float(lines['rackwatt_safety_alerts_active{severity="critical"}']) == 1
    assert float(lines["rackwatt_safety_alive"]) == 1
    url = 'alertmanager="http://127.0.0.1:1"'
    assert float(lines[f"rackwatt_safety_alertmanager_up{{{url}}}"]) == 0
    assert float(lines[f'rackwatt_safety_messages_total{{{url},result="failed"}}']) >= 1
    names = {name.partition("{")[0] for name in lines}
    known = {spec.name for spec in (*CATALOGUE, *metrics.CATALOGUE)}
    assert names <= known
    assert {spec.name for spec in metrics.CATALOGUE} <= names


class TestAside:
    async def test_what_takes_too_long_goes_on_beside(self) -> None:
        free, begun, done = asyncio.Event(), 0, 0

        async def work() -> None:
            nonlocal begun, done
            begun += 1
            await free.wait()
            done += 1

        aside = Aside(work, 0.01)
        await aside.go()
        await aside.go()
        assert (begun, done) == (1, 0)
        free.set()
        await aside.go()
        assert (begun, done) == (1, 1)
        await aside.go()
        await aside.finish()
        assert (begun, done) == (3, 3)

    async def test_a_bug_is_not_swallowed(self) -> None:
        async def work() -> None:
            raise ZeroDivisionError

        for patience in (None, 1.0):
            with pytest.raises(ZeroDivisionError):
                await Aside(work, patience).go()
