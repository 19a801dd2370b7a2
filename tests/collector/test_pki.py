# SPDX-License-Identifier: Apache-2.0
"""Certificates and broker rules: what the folder holds, and whom a real broker lets speak."""

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from typer.testing import CliRunner

from rackwatt.collector.pki.authority import LEAF_DAYS
from rackwatt.collector.pki.broker import acl, configuration
from rackwatt.collector.pki.cli import pki_app
from rackwatt.collector.pki.folder import Folder, PkiError
from rackwatt.wire.session import BrokerSettings
from servers.mosquitto import Mosquitto
from servers.programs import HOST, free_port

NOW = datetime.now(UTC)
ROOT = "rackwatt/v1/demo"


def run(*arguments: str | Path, code: int = 0) -> str:
    found = CliRunner().invoke(pki_app, [str(argument) for argument in arguments])
    assert found.exit_code == code, found.output
    return found.output


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "pki")
    made.create("demo", NOW)
    return made


def test_private_keys_are_for_their_owner_alone(folder: Folder) -> None:
    _, key = folder.client("agent", "a1", NOW, LEAF_DAYS)
    for path in (key, folder.path / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_agents_certificate_bears_its_name_and_serves_clients_only(folder: Folder) -> None:
    file, _ = folder.client("agent", "r1-01-n1", NOW, 10)
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=r1-01-n1"
    assert certificate.not_valid_after_utc - NOW <= timedelta(days=10)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [use._name for use in usage] == ["clientAuth"]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_a_second_authority_does_not_replace_the_first(folder: Folder) -> None:
    before = folder.certificate_file.read_bytes()
    said = run("init", "--site", "demo", "--dir", folder.path, code=2)
    assert "holds an authority already: nothing was changed" in said
    assert folder.certificate_file.read_bytes() == before


def test_commands_without_an_authority_say_what_to_do(tmp_path: Path) -> None:
    for command in (["agent", "a1"], ["list"], ["revoke", "a1"], ["broker", "--site", "s", HOST]):
        said = run(*command, "--dir", tmp_path, code=2)
        assert "run 'rackwatt pki init' first" in said


def test_a_name_that_no_topic_can_hold_is_refused(folder: Folder) -> None:
    assert "a/b" in run("agent", "a/b", "--dir", folder.path, code=2)
    assert run("list", "--dir", folder.path) == ""


def test_a_collectors_name_is_no_agents(folder: Folder) -> None:
    folder.client("collector", "c1", NOW, LEAF_DAYS)
    with pytest.raises(PkiError, match="'c1' is taken"):
        folder.client("agent", "c1", NOW, LEAF_DAYS)


def test_the_list_tells_what_holds(folder: Folder) -> None:
    run("agent", "a1", "a2", "--dir", folder.path)
    run("revoke", "a1", "--dir", folder.path)
    shown = run("list", "--dir", folder.path).splitlines()
    assert len(shown) == 2
    assert shown[0].split()[:3] == ["agent", "a1", "revoked"]
    assert shown[1].split()[:3] == ["agent", "a2", "until"]
    assert "holds no certificate" in run("revoke", "a9", "--dir", folder.path, code=2)


def test_what_the_commands_write_is_what_the_broker_reads(tmp_path: Path) -> None:
    path = tmp_path / "pki"
    run("init", "--site", "demo", "--dir", path)
    run("broker", "--site", "demo", "--collector", "c1", "--dir", path, HOST, "localhost")
    assert (path / "broker" / "acl").read_text() == acl("demo", ["c1"])
    assert (path / "broker" / "mosquitto.conf").read_text() == configuration(
        path / "broker", 8883, "127.0.0.1"
    )
    given = {file.name for file in (path / "broker").iterdir()}
    assert given == {"acl", "broker.crt", "broker.key", "ca.crt", "mosquitto.conf", "revoked.crl"}


class Site:
    """A broker that only knows our authority, and its clients."""

    def __init__(self, folder: Folder, directory: Path) -> None:
        self.folder = folder
        folder.server([HOST, "localhost"], NOW, LEAF_DAYS)
        (folder.path / "broker" / "acl").write_text(acl("demo", ["collector-1", "collector-2"]))
        self.port = free_port()
        lines = configuration(folder.path / "broker", self.port, HOST).splitlines()[2:]
        # The listener's own settings; what the test's broker has already is left out.
        wanted = ("cafile", "certfile", "keyfile", "crlfile", "require", "use_", "acl_file",
                  "tls_version", "message_size_limit")  # fmt: skip
        listener = [f"listener {self.port} {HOST}"]
        extra = [line for line in lines if line.startswith(wanted)]
        self.server = Mosquitto(directory, extra=[*listener, *extra])
        folder.client("collector", "collector-1", NOW, LEAF_DAYS)
        folder.client("collector", "collector-2", NOW, LEAF_DAYS)
        folder.client("agent", "a1", NOW, LEAF_DAYS)

    def settings(self, name: str, purpose: str = "agent") -> BrokerSettings:
        keys = self.folder.path / f"{purpose}s"
        return BrokerSettings(
            url=f"mqtts://{HOST}:{self.port}",
            ca_file=self.folder.certificate_file,
            certificate_file=keys / f"{name}.crt",
            key_file=keys / f"{name}.key",
        )

    def client(
        self,
        settings: BrokerSettings,
        seconds: float = 5.0,
        identifier: str | None = None,
        will: aiomqtt.Will | None = None,
    ) -> aiomqtt.Client:
        host, port = settings.address
        return aiomqtt.Client(
            host,
            port,
            identifier=identifier,
            will=will,
            clean_session=identifier is None,
            tls_context=settings.tls(),
            protocol=aiomqtt.ProtocolVersion.V311,
            timeout=seconds,
        )


@pytest.fixture
def site(folder: Folder, tmp_path: Path) -> Iterator[Site]:
    made = Site(folder, tmp_path / "broker")
    with made.server:
        yield made


async def arrived(site: Site, sender: BrokerSettings, topics: list[str]) -> list[str]:
    """What of these topics reaches the collector; the last one must, as the end of the test.

    Each goes over a connection of its own: Mosquitto 2.0 also hangs up on whom it refuses.
    """
    found: list[str] = []
    async with site.client(site.settings("collector-1", "collector")) as collector:
        await collector.subscribe("rackwatt/v1/demo/+/+/+", qos=1)
        for topic in topics:
            with contextlib.suppress(aiomqtt.MqttError):
                async with site.client(sender) as agent:
                    await agent.publish(topic, b"x", qos=1)
        async for message in collector.messages:
            found.append(str(message.topic))
            if found[-1] == topics[-1]:
                break
    return found


async def test_an_agent_speaks_under_its_own_name_only(site: Site) -> None:
    good = [f"{ROOT}/hall-a/a1/power", f"{ROOT}/hall-a/a1/status"]
    forged = [
        f"{ROOT}/hall-a/a2/power",
        f"{ROOT}/hall-a/a1/replay",
        f"{ROOT}/hall-a/collector-1/power",
        "rackwatt/v1/other/hall-a/a1/power",
    ]
    topics = [good[0], *forged, good[1]]
    assert await arrived(site, site.settings("a1"), topics) == good


async def test_an_agent_reads_its_own_replay_requests_only(site: Site) -> None:
    site.folder.client("agent", "a2", NOW, LEAF_DAYS)
    found: list[str] = []
    async with site.client(site.settings("a1")) as agent:
        for topic in (f"{ROOT}/+/+/power", f"{ROOT}/+/a2/replay", f"{ROOT}/+/a1/replay"):
            await agent.subscribe(topic, qos=1)
        async with site.client(site.settings("a2")) as other:
            await other.publish(f"{ROOT}/hall-a/a2/power", b"x", qos=1)
        async with site.client(site.settings("collector-1", "collector")) as collector:
            await collector.publish(f"{ROOT}/hall-a/a2/replay", b"x", qos=1)
            await collector.publish(f"{ROOT}/hall-a/a1/replay", b"x", qos=1)
        async for message in agent.messages:
            found.append(str(message.topic))
            break
    assert found == [f"{ROOT}/hall-a/a1/replay"]


async def test_a_collector_reports_nothing_itself(site: Site) -> None:
    collector = site.settings("collector-2", "collector")
    topics = [
        f"{ROOT}/hall-a/collector-2/power",
        f"{ROOT}/hall-a/a1/power",
        f"{ROOT}/hall-a/a1/replay",
    ]
    assert await arrived(site, collector, topics) == topics[2:]


async def refused(site: Site, settings: BrokerSettings) -> None:
    with pytest.raises((aiomqtt.MqttError, OSError)):
        async with site.client(settings, 1.0) as client:
            await client.publish(f"{ROOT}/hall-a/a1/power", b"x", qos=1)


async def test_a_client_without_a_certificate_is_refused(site: Site) -> None:
    anonymous = site.settings("a1").model_copy(update={"certificate_file": None, "key_file": None})
    await refused(site, anonymous)


async def test_a_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other")
    other.create("demo", NOW)
    certificate, key = other.client("agent", "a1", NOW, LEAF_DAYS)
    stranger = site.settings("a1").model_copy(
        update={"certificate_file": certificate, "key_file": key}
    )
    await refused(site, stranger)


async def test_a_broker_of_another_authority_is_not_believed(site: Site, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other")
    other.create("demo", NOW)
    fooled = site.settings("a1").model_copy(update={"ca_file": other.certificate_file})
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(*fooled.address, ssl=fooled.tls())


async def test_an_expired_certificate_is_refused(site: Site) -> None:
    site.folder.client("agent", "a1", NOW - timedelta(days=30), 10)
    await refused(site, site.settings("a1"))


async def test_a_revoked_certificate_is_refused(folder: Folder, tmp_path: Path) -> None:
    made = Site(folder, tmp_path / "broker")
    folder.client("agent", "a2", NOW, LEAF_DAYS)
    folder.revoke("a1", NOW)
    with made.server:
        await refused(made, made.settings("a1"))
        topic = f"{ROOT}/hall-a/a2/power"
        assert await arrived(made, made.settings("a2"), [topic]) == [topic]


async def test_the_brokers_own_certificate_opens_nothing(site: Site) -> None:
    keys = site.folder.path / "broker"
    thief = site.settings("a1").model_copy(
        update={"certificate_file": keys / "broker.crt", "key_file": keys / "broker.key"}
    )
    await refused(site, thief)


async def test_an_agents_certificate_makes_no_broker(site: Site) -> None:
    """Even one whose agent has the name of the broker's host."""
    certificate, key = site.folder.client("agent", "localhost", NOW, LEAF_DAYS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda *_: None, HOST, 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    for host in (HOST, "localhost"):
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                HOST, port, ssl=site.settings("a1").tls(), server_hostname=host
            )
    server.close()
    await server.wait_closed()


async def test_nobody_takes_over_anothers_session_by_its_client_id(site: Site) -> None:
    collector = site.settings("collector-1", "collector")
    async with site.client(collector, identifier="collector-1") as kept:
        await kept.subscribe(f"{ROOT}/+/+/power", qos=1)
        async with site.client(site.settings("a1"), identifier="collector-1") as thief:
            await thief.publish(f"{ROOT}/hall-a/a1/power", b"x", qos=1)
        async for message in kept.messages:
            assert str(message.topic) == f"{ROOT}/hall-a/a1/power"
            break


async def test_a_last_will_is_no_way_round(site: Site) -> None:
    """The broker publishes it, under the rules of who left it."""
    async with site.client(site.settings("collector-1", "collector")) as collector:
        await collector.subscribe(f"{ROOT}/+/+/status", qos=1)
        for name in ("a2", "a1"):  # the forged one first, its own as the end of the test
            will = aiomqtt.Will(f"{ROOT}/hall-a/{name}/status", b"x", qos=1)
            client = site.client(site.settings("a1"), will=will)
            with contextlib.suppress(aiomqtt.MqttError):
                await client.__aenter__()
                connection = client._client.socket()
                assert isinstance(connection, socket.socket)
                connection.shutdown(socket.SHUT_RDWR)
                await client.__aexit__(None, None, None)
        async for message in collector.messages:
            assert str(message.topic) == f"{ROOT}/hall-a/a1/status"
            break


def test_a_server_of_its_own_is_signed_and_is_no_client(folder: Folder) -> None:
    run("server", "page", HOST, "page.example.org", "--dir", folder.path)
    file = folder.path / "servers" / "page.crt"
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [use._name for use in usage] == ["serverAuth"]
    assert stat.S_IMODE(file.with_suffix(".key").stat().st_mode) == 0o600
    assert "'page' is taken" in run("agent", "page", "--dir", folder.path, code=2)
    assert "pki broker" in run("server", "broker", HOST, "--dir", folder.path, code=2)
    assert "is no host name" in run("server", "p2", "a b", "--dir", folder.path, code=2)
    run("revoke", "page", "--dir", folder.path)


def test_an_agent_named_as_a_collector_is_not_signed(folder: Folder) -> None:
    run("broker", "--site", "demo", "--collector", "c1", "--dir", folder.path, HOST)
    assert "a collector in the broker's rules" in run("agent", "c1", "--dir", folder.path, code=2)
    run("collector", "c1", "--dir", folder.path)
    run("agent", "a1", "--dir", folder.path)
    rules = (folder.path / "broker" / "acl").read_bytes()
    said = run("broker", "--site", "demo", "--collector", "a1", "--dir", folder.path, HOST, code=2)
    assert "'a1' is taken" in said
    assert (folder.path / "broker" / "acl").read_bytes() == rules


@pytest.mark.parametrize("host", ["h\u00e9llo", "a b", "x\nuser collector", "-x", "*", "", "a..b"])
def test_a_host_that_is_none_is_refused(folder: Folder, host: str) -> None:
    said = run("broker", "--site", "demo", "--dir", folder.path, "--", host, code=2)
    assert "is no host name or IP address" in said


def test_names_that_no_certificate_can_hold_are_refused(folder: Folder, tmp_path: Path) -> None:
    long = "x" * 65
    assert "at most 64 letters" in run("agent", long, "--dir", folder.path, code=2)
    assert "too long" in run("init", "--site", long, "--dir", tmp_path / "other", code=2)


def test_a_folder_into_which_others_may_write_is_not_used(folder: Folder) -> None:
    folder.path.chmod(0o770)
    for command in (["agent", "a1"], ["revoke", "a1"], ["broker", "--site", "demo", HOST]):
        assert "chmod 700" in run(*command, "--dir", folder.path, code=2)
    assert folder.issued() == []


def test_what_two_commands_sign_at_once_can_be_revoked(folder: Folder) -> None:
    def sign(name: str) -> None:
        made = Folder(folder.path)
        with made.locked():
            made.client("agent", name, NOW, LEAF_DAYS)

    names = [f"a{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sign, names))
    assert sorted(item.name for item in folder.issued()) == sorted(names)


def test_no_certificate_outlives_its_authority(folder: Folder) -> None:
    file, _ = folder.client("agent", "a1", NOW + timedelta(days=3000), 3650)
    leaf = x509.load_pem_x509_certificate(file.read_bytes())
    root = x509.load_pem_x509_certificate(folder.certificate_file.read_bytes())
    assert leaf.not_valid_after_utc == root.not_valid_after_utc


def test_revoking_reaches_the_folder_that_the_broker_is_given(folder: Folder) -> None:
    run("broker", "--site", "demo", "--dir", folder.path, HOST)
    run("agent", "a1", "--dir", folder.path)
    run("revoke", "a1", "--dir", folder.path)
    given = x509.load_pem_x509_crl((folder.path / "broker" / "revoked.crl").read_bytes())
    assert len(list(given)) == 1
    keys = [path for path in (folder.path / "broker").iterdir() if b"PRIVATE" in path.read_bytes()]
    assert [path.name for path in keys] == ["broker.key"]
