# SPDX-License-Identifier: Apache-2.0
"""HTTP to a Redfish service: sessions, busy and hostile services, and that nothing is written."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from agents.test_redfish_service import PATIENCE, SESSIONS, Seen, row, settings_of, source_of

from rackwatt.agents.redfish.client import Client, GetFailed
from rackwatt.agents.redfish.settings import Credentials, DeviceRow
from rackwatt.twin.servers.redfish import FakeRedfish
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock, ManualClock
from rackwatt.wire.readings import Quality


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("made-up\n")
    return tmp_path


@contextlib.asynccontextmanager
async def client_of(fake: FakeRedfish, folder: Path, clock: Clock) -> AsyncIterator[Client]:
    settings = settings_of([row(fake)])
    credentials = Credentials(user="monitor", password_file=Path("password"))
    client = Client(settings.devices[0], settings, credentials, folder, clock)
    try:
        yield client
    finally:
        await client.aclose()


async def test_a_busy_service_is_left_alone_as_long_as_it_asks(folder: Path) -> None:
    clock = ManualClock()
    with FakeRedfish() as fake:
        async with client_of(fake, folder, clock) as client:
            assert "Members" in await client.get("/redfish/v1/Chassis")
            fake.inject("busy", "30")
            with pytest.raises(GetFailed, match="asks to be left alone for 30 s") as caught:
                await client.get("/redfish/v1/Chassis")
            assert caught.value.quality is Quality.TIMEOUT
            fake.clear()
            asked = len(fake.requests)
            clock.advance(29.0)
            for _ in range(5):
                with pytest.raises(GetFailed):
                    await client.get("/redfish/v1/Systems")
            assert len(fake.requests) == asked
            clock.advance(2.0)
            assert "Members" in await client.get("/redfish/v1/Systems")


async def test_what_seldom_changes_is_asked_by_its_tag(folder: Path) -> None:
    with FakeRedfish() as fake:
        async with client_of(fake, folder, SYSTEM_CLOCK) as client:
            first = await client.get("/redfish/v1/Chassis", fixed=True)
            assert await client.get("/redfish/v1/Chassis", fixed=True) is first
            assert "If-None-Match" in fake.requests[-1][2]
            await client.get("/redfish/v1/Chassis")
            assert "If-None-Match" not in fake.requests[-1][2], "never for readings"


@pytest.mark.parametrize("name", ["nvl72-rack", "plain"])
async def test_nothing_but_get_and_the_session_leaves(folder: Path, name: str) -> None:
    with FakeRedfish("plain" if name == "plain" else "rack") as fake:
        parts = {"with": ["gpus"]} if name == "nvl72-rack" else {}
        async with source_of(folder, [row(fake, "r1", name) | parts]) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: len(s.values) == (1 if name == "plain" else 118))
            for fault in (("expire", "all"), ("psu", "PowerShelf_1/PS1"), ("garbled", "all")):
                fake.inject(*fault)
                seen.values.clear()
                await seen.until(lambda s: s.values)
            await source.probe()
            source.inventory()
        kinds = {(method, path) for method, path, _ in fake.requests if method != "GET"}
        assert kinds, "nothing was sent"
        for method, path in kinds:
            posts = method == "POST" and path == SESSIONS
            assert posts or (method == "DELETE" and path.startswith(f"{SESSIONS}/"))


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST", "DELETE"])
async def test_a_write_would_be_seen(method: str) -> None:
    with FakeRedfish(user=None) as fake:
        async with httpx.AsyncClient() as client:
            answer = await client.request(method, f"{fake.url}/redfish/v1/Chassis/Rack1", json={})
        assert answer.status_code == 405
        assert [(kind, path) for kind, path, _ in fake.requests] == [
            (method, "/redfish/v1/Chassis/Rack1")
        ]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """As a controller makes its own: for no name that anybody uses."""
    paths = str(tmp_path / "bmc.pem"), str(tmp_path / "bmc.key")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=made-up-bmc", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    return paths


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_that_is_not_known_is_refused(
    folder: Path, certificate: tuple[str, str], trusted: bool
) -> None:
    with FakeRedfish(certificate=certificate) as fake:
        trust = {"ca_file": "bmc.pem", "check_name": False} if trusted else {}
        async with source_of(folder, [row(fake) | trust], events="off") as (source, _):
            rows = await source.probe()
        assert any(item.value is not None for item in rows) == trusted
        assert trusted or not fake.requests, "no password went to a stranger"


async def test_basic_login_where_there_are_no_sessions(folder: Path) -> None:
    row_of = DeviceRow.model_validate({"device": "a", "map": "plain", "url": "http://127.0.0.1:1"})
    with FakeRedfish(user=None) as fake:
        settings = settings_of([row(fake)])
        credentials = Credentials(user="monitor", password_file=Path("password"), login="basic")
        client = Client(
            row_of.model_copy(update={"url": fake.url}), settings, credentials, folder, SYSTEM_CLOCK
        )
        await client.get("/redfish/v1/Chassis")
        await client.aclose()
        assert fake.requests[-1][2]["Authorization"].startswith("Basic ")
        assert {method for method, _, _ in fake.requests} == {"GET"}


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"what?\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 100\r\n\r\n{",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\n\r\n[]",
        OK + b"Content-Length: 2\r\n\r\n\xff\xff",
        OK + b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
        OK + b"Content-Length: 9000000\r\n\r\n" + b" " * 9_000_000,
    ],
    ids=range(11),
)
async def test_a_hostile_service_is_an_exception(folder: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    row_of = DeviceRow.model_validate({"device": "a", "map": "plain", "url": url})
    client = Client(row_of, settings_of([row_of]), None, folder, SYSTEM_CLOCK)
    try:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(GetFailed) as caught:
                await client.get("/redfish/v1/Chassis")
        assert caught.value.quality is Quality.EXCEPTION
    finally:
        await client.aclose()
        server.close()
        await server.wait_closed()
