# SPDX-License-Identifier: Apache-2.0
"""Who may read over HTTP, seen from outside: a real server, real applications, hostile clients."""

import asyncio
import base64
import contextlib
import hmac
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from collecting import TOKEN, collector_kit
from collector.house import House
from doubles import Running, until
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from rackwatt.collector import connections, service
from rackwatt.collector.access import Access, Guard, is_loopback, shown_token, warn_of_exposure
from rackwatt.collector.headers import SECURITY_HEADERS, SecurityHeaders
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


def client_of(
    access: Access, host: str = HOST, app: Starlette = APP, base: str = f"http://{HOST}:8400"
) -> httpx.AsyncClient:
    guarded = SecurityHeaders(Guard(app, access, host))
    transport = httpx.ASGITransport(guarded, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=base)


def basic(password: str, user: str = "anyone") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


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


# -- tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [f"Bearer {SECRET}", f"bearer {SECRET}", basic(SECRET)])
async def test_a_token_opens(shown: str) -> None:
    async with client_of(Access((SECRET,))) as client:
        assert (await client.get("/", headers={"Authorization": shown})).text == "hello"


@pytest.mark.parametrize(
    "shown",
    [
        None, "", "Bearer", "Bearer ", f"Bearer {SECRET[:-1]}", f"Bearer {SECRET}x", SECRET,
        basic(""), basic("x"), basic("", user=SECRET), "Basic !", "Basic", f"Basic {SECRET}",
        f"Digest {SECRET}", "Bearer \xe9",
    ],
)  # fmt: skip
async def test_without_it_nothing_is_said(shown: str | None) -> None:
    headers = {} if shown is None else {b"authorization": shown.encode("latin-1")}
    async with client_of(Access((SECRET,))) as client:
        for path in ("/", "/broken", "/nothing", "/healthz/", "//healthz", "/healthz/../"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith('Basic realm="Rackwatt"')
            assert answer.headers["cache-control"] == "no-store"
            assert "hello" not in answer.text


async def test_two_authorizations_are_none() -> None:
    twice = [("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer x")]
    async with client_of(Access((SECRET,))) as client:
        assert (await client.get("/", headers=twice)).status_code == 401


async def test_probes_need_no_token_and_say_nothing_else() -> None:
    async with client_of(Access((SECRET,))) as client:
        assert (await client.get("/healthz")).status_code == 200


def test_the_time_of_a_comparison_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token is compared as a whole, by the function made for it, also after a hit."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(mine: bytes, given: bytes) -> bool:
        compared.append((mine, given))
        return mine == given

    monkeypatch.setattr(hmac, "compare_digest", compare)
    guard = Guard(APP, Access((SECRET, "another-long-token")), HOST)
    scope = {"headers": [(b"authorization", f"Bearer {SECRET}".encode())]}
    assert guard._shows_token(Headers(scope=scope))
    assert len(compared) == 2
    assert shown_token("Bearer  x ") == b"x"


def test_a_token_never_shows_in_a_text_form() -> None:
    assert SECRET not in repr(Access((SECRET,)))


# -- methods, bodies, names ------------------------------------------------------------------


@pytest.mark.parametrize("method", CHANGING)
async def test_nothing_but_reading(method: str) -> None:
    async with client_of(Access()) as client:
        for path in ("/", "/healthz", "/nothing"):
            answer = await client.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, HEAD"


async def test_every_route_of_every_application_only_reads(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    applications: list[tuple[Starlette, dict[str, str]]] = []
    async with house.stack, collector_kit(tmp_path / "spool.db") as kit:
        applications.append((house.accountant("http://127.0.0.1:1").app(), {}))
        applications.append((kit.door.app(), {"Authorization": f"Bearer {TOKEN}"}))
        seen = 0
        for app, headers in applications:
            paths = [route.path for route in app.routes if isinstance(route, Route | Mount)]
            assert len(paths) == len(app.routes), "a route of a kind that this test does not know"
            paths += ["/static/js/page.js", "/static/"]
            for bare in (True, False):  # also without our guard in front
                asked = _bare(app) if bare else client_of(Access(), app=app)
                async with asked as client:
                    for path in paths:
                        for method in CHANGING:
                            answer = await client.request(method, path, headers=headers)
                            # 307: a folder without its last slash; there it is a 405 again.
                            assert answer.status_code in {404, 405} or (
                                bare and path == "/static" and answer.status_code == 307
                            ), (method, path)
                            _changes_nothing(answer)
                            seen += 1
                        if path not in {"/events", "/internal/spool"}:
                            _changes_nothing(await client.get(path, headers=headers))
    assert seen >= 2 * len(CHANGING) * 14


def _bare(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}")


def _changes_nothing(answer: httpx.Response) -> None:
    assert "set-cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_body_is_refused_unread() -> None:
    async with client_of(Access()) as client:
        for more in ({"content": b"x"}, {"headers": {"Transfer-Encoding": "chunked"}}):
            answer = await client.request("GET", "/", **more)
            assert answer.status_code == 413
            assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("names", "given", "status"),
    [
        ([], "127.0.0.1:8400", 200),
        ([], "localhost", 200),
        ([], "LocalHost.:8400", 200),
        ([], "[::1]:8400", 200),
        ([], "evil.example.org", 421),
        ([], "127.0.0.1.evil.example.org:8400", 421),
        ([], "localhost.evil.example.org", 421),
        ([], "", 421),
        (["rackwatt.example.org"], "rackwatt.example.org:443", 200),
        (["Rackwatt.example.org"], "rackwatt.example.ORG", 200),
        (["rackwatt.example.org"], "evil.example.org", 421),
    ],
)
async def test_a_name_that_was_made_to_point_here_is_not_answered(
    names: list[str], given: str, status: int
) -> None:
    async with client_of(Access(names=names)) as client:
        assert (await client.get("/", headers={"Host": given})).status_code == status


async def test_on_a_network_any_name_does_unless_some_are_given() -> None:
    for names, status in (((), 200), (("good.example.org",), 421)):
        async with client_of(Access(names=names), host=ANY) as client:
            answer = await client.get("/", headers={"Host": "other.example.org"})
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     (ANY, False), ("::", False), ("10.0.0.5", False), ("rackwatt.example.org", False)],
)  # fmt: skip
def test_what_is_reached_from_elsewhere(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


def test_an_open_page_on_a_network_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tls = Access((SECRET,), Path("c"), Path("k"))
    cases = [
        (HOST, Access(), ""),
        (ANY, Access(), "whoever reaches this address may read"),
        (ANY, Access((SECRET,)), "the token crosses the network in the clear"),
        (ANY, tls, ""),
    ]
    for host, access, expected in cases:
        caplog.clear()
        warn_of_exposure(host, 8400, access)
        assert expected in caplog.text
        assert bool(expected) == bool(caplog.records)
        assert SECRET not in caplog.text


async def test_refusals_are_logged_once_and_then_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    async with client_of(Access((SECRET,))) as client:
        for _ in range(20):
            await client.get("/", headers={"Authorization": "Bearer guess-guess-guess"})
        assert len(caplog.records) == 1
        now += 61
        await client.get("/")
    assert [record.getMessage() for record in caplog.records] == [
        "HTTP from 127.0.0.1 refused, 401: show the token (1)",
        "HTTP from 127.0.0.1 refused, 401: show the token (20)",
    ]
    assert "guess" not in caplog.text


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
