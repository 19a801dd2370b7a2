# SPDX-License-Identifier: Apache-2.0
"""Certificates, and then the authority itself, are replaced while an agent goes on sending."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from doubles import FakeSource, Running, until

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings
from servers.fixtures import HOST
from servers.mutual import MutualMosquitto, pki

pytestmark = pytest.mark.e2e

NAME = "host-1"
CA, REVOKED = "ca.crt", "revoked.crl"


@asynccontextmanager
async def sending(settings: BrokerSettings, folder: Path) -> AsyncIterator[Agent]:
    """An agent that samples five times a second."""
    own = AgentSettings(site="demo", hall="hall-a", name=NAME, sample_every=0.2, send_every=0.2)
    config = Config(agent=own, broker=settings, source="fake")
    outbox = Outbox(folder / "o.db", keep_seconds=86_400, max_bytes=10**8, clock=SYSTEM_CLOCK)
    source = FakeSource(lambda _: [Sample("power", "pdu-1", {"power_watts": 1.0})])
    agent = Agent(config, source, outbox, ErrorCounter())
    async with Running(agent.run()):
        yield agent


def refused(broker: MutualMosquitto, settings: BrokerSettings) -> bool:
    """Whether the broker hangs up on who shows these; its own are believed."""
    context = settings.tls()
    assert context is not None
    with (
        socket.create_connection((HOST, broker.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as made,
    ):
        try:
            made.sendall(b"\x10")  # the first byte of a CONNECT
            return made.recv(1) == b""
        except TimeoutError:
            return False
        except (ssl.SSLError, ConnectionError):
            return True


async def goes_on(broker: MutualMosquitto, agent: Agent) -> None:
    """Restart the broker, as a change of its files asks for; the agent comes back and is heard."""
    await asyncio.to_thread(broker.restart)
    here, sent = broker.said(f"u'{NAME}'"), agent.counts.sent
    await until(lambda: broker.said(f"u'{NAME}'") > here, 60)
    await until(lambda: agent.counts.sent > sent + 3, 60)


def put(source: Path, target: Path) -> None:
    """Put a copy in the place of a file, at once."""
    partial = target.with_name(target.name + ".new")
    shutil.copyfile(source, partial)
    partial.replace(target)


def both(name: str, first: Path, second: Path) -> bytes:
    return (first / name).read_bytes() + (second / name).read_bytes()


async def test_certificates_and_the_authority_are_replaced(tmp_path: Path) -> None:
    """Step by step as in docs/operations.md; old certificates come in until the last one."""
    broker = MutualMosquitto(tmp_path, NAME)
    home, new = broker.pki, tmp_path / "pki-new"
    certificate, key = broker.key(NAME)
    trust, files = tmp_path / "trust.crt", home / "broker"
    put(broker.authority, trust)
    settings = BrokerSettings(
        url=broker.url, ca_file=trust, certificate_file=certificate, key_file=key
    )
    old_pair = {"certificate_file": tmp_path / "old.crt", "key_file": tmp_path / "old.key"}
    old = settings.model_copy(update=old_pair)
    with broker:
        async with sending(settings, tmp_path) as agent:
            await until(lambda: agent.counts.sent > 3, 60)
            put(certificate, tmp_path / "old.crt")
            put(key, tmp_path / "old.key")
            pki(home, "agent", NAME)
            broker.sign()
            await goes_on(broker, agent)

            pki(new, "init", "--site", "demo")
            for name in (CA, REVOKED):
                (files / name).write_bytes(both(name, home, new))
            trust.write_bytes(both(CA, home, new))
            await goes_on(broker, agent)

            pki(new, "agent", NAME)
            pki(new, "broker", "--site", "demo", HOST)
            put(new / "agents" / f"{NAME}.key", key)
            put(new / "agents" / f"{NAME}.crt", certificate)
            for name in ("broker.crt", "broker.key"):
                put(new / "broker" / name, files / name)
            await goes_on(broker, agent)
            assert not refused(broker, old), "until the old authority is taken away"

            for name in (CA, REVOKED):
                put(new / name, files / name)
            put(new / CA, trust)
            await goes_on(broker, agent)
            assert refused(broker, old)
            assert not refused(broker, settings)
