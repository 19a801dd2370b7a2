# SPDX-License-Identifier: Apache-2.0
"""What listeners of HTTP do not serve is counted by reason, on both of them and on the page's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from collecting import TOKEN, collector_kit
from doubles import Running, until
from starlette.applications import Starlette

from rackwatt.collector import connections
from rackwatt.collector.access import Access
from rackwatt.collector.connections import HEADER_BYTES
from rackwatt.collector.live.page import LivePage, routes
from rackwatt.collector.refusals import REASONS, Refusals, without_refusals
from rackwatt.collector.service import serve_http
from servers.fixtures import HOST, free_port

SECRET = "a-long-web-token"


@contextlib.asynccontextmanager
async def served(refusals: Refusals, app: Starlette) -> AsyncIterator[int]:
    port = free_port()
    async with Running(serve_http(app, HOST, port, access=Access((SECRET,)), refusals=refusals)):
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
        yield port


async def send(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_every_refusal_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)
    refusals, page = Refusals(), LivePage(history=dict, max_listeners=0)
    good = f"Host: localhost\r\nAuthorization: Bearer {SECRET}\r\n"
    async with served(refusals, Starlette(routes=list(routes(page)))) as port:
        for request in (
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
            f"POST / HTTP/1.1\r\n{good}\r\n",
            f"GET / HTTP/1.1\r\n{good}Content-Length: 3\r\n\r\nabc",
            f"GET / HTTP/1.1\r\n{good}X: {'x' * HEADER_BYTES}",
            "no such thing\r\n\r\n",
            "GET / HT",
            f"GET /events HTTP/1.1\r\n{good}Connection: close\r\n\r\n",
        ):
            await send(port, request.encode())
        assert await send(port, b"") == b"", "a spare connection, cut without a word"
        monkeypatch.setattr(connections, "MAX_CONNECTIONS", 0)
        assert await send(port, b"GET / HTTP/1.1\r\n\r\n") == b""
        await until(lambda: len(refusals.counts) == len(REASONS))
    assert refusals.counts == {
        "token": 1, "host": 1, "method": 1, "too_large": 2, "malformed": 1, "timeout": 1,
        "streams": 1, "connections": 1,
    }  # fmt: skip
    said = [line for line in caplog.messages if line.startswith("HTTP from 127.0.0.1 refused, ")]
    assert len(said) == len(REASONS), "each reason once in a minute"
    assert SECRET not in caplog.text
    samples = {one.labels["reason"]: one.value for one in refusals.family().samples}
    assert samples == refusals.counts


async def test_a_wrong_internal_token_is_counted_by_the_collector(tmp_path: Path) -> None:
    port = free_port()
    async with collector_kit(tmp_path / "spool.db") as kit:
        door = kit.door
        work = serve_http(door.app(), HOST, port, door.close, refusals=door.refusals)
        async with Running(work), httpx.AsyncClient(trust_env=False) as client:
            url = f"http://{HOST}:{port}"
            await until_answered(client, url)
            wrong = {"Authorization": "Bearer a-guess-of-some-length"}
            assert (await client.get(f"{url}/internal/state", headers=wrong)).status_code == 401
            right = {"Authorization": f"Bearer {TOKEN}"}
            assert (await client.get(f"{url}/internal/state", headers=right)).status_code == 200
            text = (await client.get(f"{url}/metrics")).text
    assert 'rackwatt_http_refused_total{reason="token"} 1.0' in text
    assert 'rackwatt_http_refused_total{reason="streams"} 0.0' in text


async def until_answered(client: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(httpx.TransportError):
                await client.get(f"{url}/healthz")
                return
            await asyncio.sleep(0.01)


def test_two_listeners_on_one_page_are_one_metric() -> None:
    text = (
        b"# HELP other_total Else.\nother_total 1.0\n"
        b"# HELP rackwatt_http_refused_total Refused.\n"
        b"# TYPE rackwatt_http_refused_total counter\n"
        b'rackwatt_http_refused_total{reason="token"} 3.0\n'
        b'rackwatt_http_refused_total{reason="host"} 0.0\n'
        b"last 2.0\n"
    )
    rest, refused = without_refusals(text)
    assert rest == b"# HELP other_total Else.\nother_total 1.0\nlast 2.0\n"
    assert refused == {"token": 3.0, "host": 0.0}
    here = Refusals()
    here.note("token", HOST, "401")
    samples = {one.labels["reason"]: one.value for one in here.family(refused).samples}
    assert samples["token"] == 4.0
    assert samples["host"] == 0.0
    assert without_refusals(b"") == (b"", {})
