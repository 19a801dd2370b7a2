# SPDX-License-Identifier: Apache-2.0
"""The HTTP server itself, seen from outside: headers, limits, TLS, clients that hang."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from doubles import Running, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from rackwatt.collector import connections, service
from rackwatt.collector.access import Access
from rackwatt.collector.headers import SECURITY_HEADERS
from rackwatt.collector.pki.folder import Folder
from rackwatt.collector.service import serve_http
from servers.fixtures import HOST, free_port

ANY = "0.0.0.0"  # noqa: S104
SECRET = "a-long-web-token"
CHANGING = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X")


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def broken(_: Request) -> Response:
    raise RuntimeError("a fault in the page")


APP = Starlette(
    routes=[
        Route("/", hello),
        Route("/healthz", hello),
        Route("/broken", broken),
    ]
)


@contextlib.asynccontextmanager
async def served(access: Access | None = None, app: Starlette = APP) -> AsyncIterator[int]:
    port = free_port()
    async with Running(serve_http(app, HOST, port, access=access)):
        await until(lambda: _answers(port))
        yield port


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


# -- headers ---------------------------------------------------------------------------------


def protected(headers: httpx.Headers) -> None:
    for name, value in SECURITY_HEADERS:
        assert headers.get_list(name) == [value]
    assert "server" not in headers


async def test_every_answer_of_the_server_is_protected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    statuses = []
    async with served(Access((SECRET,))) as port, httpx.AsyncClient(trust_env=False) as client:
        base, good = f"http://{HOST}:{port}", {"Authorization": f"Bearer {SECRET}"}
        for method, path, headers in (
            ("GET", "/", good),
            ("HEAD", "/", good),
            ("GET", "/nothing", good),
            ("GET", "/broken", good),
            ("GET", "/", {}),
            ("POST", "/", good),
            ("GET", "/", {**good, "Host": "evil.example.org"}),
        ):
            answer = await client.request(method, base + path, headers=headers)
            protected(answer.headers)
            statuses.append(answer.status_code)
            assert "Traceback" not in answer.text
        for junk in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n"):
            raw = await _raw(port, junk)
            assert raw.startswith(b"HTTP/1.1 400 ")
            assert b"content-security-policy: default-src 'none'" in raw.lower()
    assert statuses == [200, 200, 404, 500, 401, 405, 421]


async def _raw(port: int, sent: bytes, seconds: float = 5.0) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(sent)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


# -- limits ----------------------------------------------------------------------------------


async def test_headers_without_end_are_refused() -> None:
    async with served() as port:
        endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * connections.HEADER_BYTES
        assert (await _raw(port, endless)).startswith(b"HTTP/1.1 400 ")
        long = b"GET /" + b"x" * connections.HEADER_BYTES
        assert (await _raw(port, long)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx",
    ],
)
async def test_a_client_that_never_finishes_is_cut(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    async with served() as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(begun)
        drip = asyncio.ensure_future(_drip(writer))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        drip.cancel()
        await asyncio.wait([drip])
        writer.close()
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{HOST}:{port}/")).text == "hello"


async def _drip(writer: asyncio.StreamWriter) -> None:
    """One letter of a header after the other, so that the connection is never idle."""
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(0.02)
            writer.write(b"x")
            await writer.drain()


async def test_a_stream_outlives_the_limit_for_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.05)

    async def ticks(_: Request) -> Response:
        async def some() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"tick\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(some())

    app = Starlette(routes=[Route("/ticks", ticks)])
    async with served(app=app) as port, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{HOST}:{port}/ticks")).text == "tick\n" * 5


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux")
async def test_a_client_that_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    gone = asyncio.Event()

    async def endless(_: Request) -> Response:
        async def some() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(65536)
                    await asyncio.sleep(0)
            finally:
                gone.set()

        return StreamingResponse(some())

    async with served(app=Starlette(routes=[Route("/", endless)])) as port:
        with socket.create_connection((HOST, port)) as deaf:
            deaf.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(10):
                await gone.wait()


async def test_the_number_of_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    async with served() as port:
        kept = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        assert await _closed_at_once(port)
        for _, writer in kept:
            writer.close()
        await until(lambda: True)
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(5):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    assert (await client.get(f"http://{HOST}:{port}/")).text == "hello"
                    break


async def _closed_at_once(port: int) -> bool:
    try:
        return await _raw(port, b"") == b""
    except ConnectionError:
        return True


# -- TLS -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "pki")
    now = datetime.now(UTC)
    made.create("demo", now)
    made.server([HOST], now, 10)
    return made


async def test_over_tls(folder: Folder) -> None:
    certificate, key = folder.path / "broker" / "broker.crt", folder.path / "broker" / "broker.key"
    trusting = ssl.create_default_context(cafile=folder.certificate_file)
    async with served(Access((SECRET,), certificate, key)) as port:
        url = f"https://{HOST}:{port}/"
        async with httpx.AsyncClient(trust_env=False, verify=trusting) as client:
            assert (await client.get(url)).status_code == 401
            answer = await client.get(url, headers={"Authorization": f"Bearer {SECRET}"})
            assert answer.text == "hello"
            protected(answer.headers)
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await client.get(url)
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://{HOST}:{port}/")
        old = ssl.create_default_context(cafile=folder.certificate_file)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(HOST, port, ssl=old)


async def test_without_a_usable_certificate_nothing_listens(folder: Folder) -> None:
    wrong = Access((), folder.certificate_file, folder.path / "broker" / "broker.key")
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
        await serve_http(APP, HOST, free_port(), access=wrong)
    assert service.server_context(Access()) is None
