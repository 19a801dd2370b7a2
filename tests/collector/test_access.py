# SPDX-License-Identifier: Apache-2.0
"""Who may read over HTTP, seen from outside: a real server, real applications, hostile clients."""

import base64
import contextlib
import hmac
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from collecting import TOKEN, collector_kit
from collector.house import House
from doubles import Running, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from rackwatt.collector.access import Access, Guard, warn_of_exposure
from rackwatt.collector.headers import SecurityHeaders
from rackwatt.collector.service import serve_http
from rackwatt.wire.listening import is_loopback, opens, shown_token
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
    tokens = [SECRET.encode(), b"another-long-token"]
    assert opens(tokens, [f"Bearer {SECRET}"])
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
