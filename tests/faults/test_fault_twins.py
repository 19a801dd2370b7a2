# SPDX-License-Identifier: Apache-2.0
"""Two of one name: it is said whose name it is, nothing is lost, and they do nothing in haste."""

import asyncio
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from doubles import Running, until
from faults_kit.chain import Chain, chain, embedded
from faults_kit.compare import Values, difference, outbox_messages, values_of
from faults_kit.fleet import begun, fleet, make_agent
from faults_kit.table import FULL, Line

from rackwatt.wire import session as session_module
from rackwatt.wire.codec import reading_of
from rackwatt.wire.sample import Sample
from servers.fixtures import Mosquitto

pytestmark = pytest.mark.e2e

SECONDS = 30.0 if FULL else 4.0
NAME = "agent-0"


@pytest.fixture(autouse=True)
def stable(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the back-off, a twentieth."""
    monkeypatch.setattr(session_module, "_STABLE_SECONDS", 0.5)


def most_takeovers(seconds: float) -> float:
    """Of two clients: some soon, then each waits 15 s to 30 s, a twentieth of it here.

    One that was left alone for 10 s comes back at once, and is not left alone then.
    """
    return 2 * (8 + 2 * seconds / 0.75)


async def has_all(made: Chain, sent: Values, seconds: float) -> None:
    """Wait until all of it is stored; none of it may differ."""
    found = difference(sent, {})
    try:
        async with asyncio.timeout(seconds):
            while found.lost:
                await asyncio.sleep(0.1)
                found = difference(sent, await made.stored())
    except TimeoutError:
        raise AssertionError(str(found)) from None
    assert not found, str(found)


async def test_two_agents_of_one_name(
    mosquitto: Mosquitto, tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder was copied to a second machine, outbox and all but what came since."""
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    twins = [make_agent(mosquitto.url, path, NAME) for path in paths]
    sent: Values = {}
    async with chain(mosquitto.url, tmp_path, embedded(tmp_path)) as made, AsyncExitStack() as both:
        for agent in twins:
            await both.enter_async_context(Running(agent.run()))
        await until(lambda: all(begun(agent) for agent in twins))
        began, number = time.monotonic(), 0
        while time.monotonic() - began < SECONDS:
            for agent, letter in zip(twins, "ab", strict=True):
                at = time.time_ns() // 1_000_000
                values = {"power_watts": float(number)}
                reading = reading_of(Sample("power", f"twin-{letter}", values), at)
                await agent.outbox.put([("power", at, [reading])])
                agent.sender.wake()
                number += 1
            await asyncio.sleep(0.05)
        takeovers = sum(agent.session.reconnects for agent in twins)
        for path in paths:
            sent |= values_of(outbox_messages(path))
        await has_all(made, sent, 60)  # while both go on
        lasted = time.monotonic() - began
        line.note(
            "two agents of one name, each its outbox",
            messages=number, values=len(sent), takeovers=takeovers,
            within=f"{SECONDS:.0f} s (back-off 1/20)", lost=made.spool.lost,
            all_stored_after=f"{lasted:.1f} s", replay_requests=made.requests,
        )  # fmt: skip
        assert made.spool.lost == 0
    assert 6 <= takeovers <= most_takeovers(SECONDS)
    assert f"does another client call itself {NAME}?" in caplog.text
    assert f"{NAME}: two agents call themselves so" in caplog.text


async def test_two_collectors_of_one_name(
    mosquitto: Mosquitto, tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """Each gets a part, and asks for the other; the one that stays has all."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    async with (
        chain(mosquitto.url, folders[0], embedded(folders[0])) as stays,
        fleet(mosquitto.url, tmp_path, 4) as senders,
    ):
        at = time.time_ns() // 1_000_000
        async with chain(mosquitto.url, folders[1], embedded(folders[1])) as goes:
            began, count = time.monotonic(), 0
            while time.monotonic() - began < SECONDS:
                await senders.put(at + count * 50)
                count += 1
                await asyncio.sleep(0.05)
            sessions = [stays.ingest.session, goes.ingest.session]
            takeovers = sum(session.reconnects for session in sessions)
            shares = [made.spool.last_id for made in (stays, goes)]
        begun_alone = time.monotonic()
        await stays.settle(senders, 60)
        settled = time.monotonic() - begun_alone
        sent = await stays.check(senders)
        line.note(
            "two collectors of one name, each its data",
            messages=senders.messages, values=len(sent), lost=stays.spool.lost, takeovers=takeovers,
            within=f"{SECONDS:.0f} s (back-off 1/20)", had_each="/".join(map(str, shares)),
            replayed=senders.replayed, settled_in=f"{settled:.1f} s",
        )  # fmt: skip
        assert all(shares)
        assert stays.asked + goes.asked <= 4 * senders.messages
    assert 4 <= takeovers <= most_takeovers(SECONDS)
    assert "does another client call itself rackwatt-collector-demo-all?" in caplog.text


async def test_one_outbox_has_one_agent(mosquitto: Mosquitto, tmp_path: Path, line: Line) -> None:
    """The same file is started twice: the second one says what is wrong, and ends."""
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"""\
agent: {{site: demo, hall: hall-a, name: {NAME}, node: node-0, sample_every: 1s, send_every: 1s}}
broker: {{url: "{mosquitto.url}"}}
outbox: {{path: a.db}}
source: host
host: {{}}
""",
        encoding="utf-8",
    )
    agent = make_agent(mosquitto.url, tmp_path / "a.db", NAME)
    async with Running(agent.run()):
        await until(agent.session.connected.is_set)
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rackwatt.agents.cli", "run", str(config), stderr=subprocess.PIPE
        )
        _, error = await asyncio.wait_for(second.communicate(), 20)
        assert second.returncode == 1, error.decode()
        assert b"a.db is in use by another agent: stop that one" in error
        assert agent.session.reconnects == 0
    line.note("one outbox, two agents", exit_code=1, takeovers=0)
