# SPDX-License-Identifier: Apache-2.0
"""What long-running commands share: they stop when told, and serve while they live."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from doubles import until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from rackwatt.collector.service import authorised, run_until_stopped, serve_http
from rackwatt.wire.lifeline import VARIABLE
from servers.fixtures import free_port


@pytest.fixture(autouse=True)
def _no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_work_and_lets_it_clean_up(number: signal.Signals) -> None:
    trace: list[str] = []

    async def work() -> None:
        trace.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            trace.append("cleaned up")

    task = asyncio.ensure_future(run_until_stopped(work))
    await until(lambda: bool(trace))
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await task
    assert trace == ["begun", "cleaned up"]


async def test_it_ends_with_the_work() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await run_until_stopped(work)


async def test_what_the_work_raises_comes_out() -> None:
    async def work() -> None:
        raise OSError("address in use")

    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup) as caught:
            await run_until_stopped(work)
    assert caught.group_contains(OSError, match="address in use")


async def test_it_stops_when_its_supervisor_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(VARIABLE, str(reading))
    with caplog.at_level(logging.INFO):
        task = asyncio.ensure_future(run_until_stopped(lambda: asyncio.sleep(60)))
        os.write(writing, b"still here")
        await asyncio.sleep(0.05)
        assert not task.done()
        os.close(writing)
        async with asyncio.timeout(5):
            await task
    os.close(reading)
    assert "the supervisor is gone" in caplog.text


async def hello(request: Request) -> Response:
    text = "yes" if authorised(request, "s3cret") else "no"
    return PlainTextResponse(text)


async def stream(_: Request) -> Response:
    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(forever())


APP = Starlette(routes=[Route("/", hello), Route("/stream", stream)])


def _no_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(_no_ipv6(), reason="no IPv6"))],
)
async def test_it_serves_and_asks_for_the_token(host: str) -> None:
    port = free_port()
    task = asyncio.ensure_future(serve_http(APP, host, port))
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(200):
            try:
                assert (await client.get(url)).text == "no"
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                break
        for given, answer in (("Bearer s3cret", "yes"), ("Bearer s3cre", "no"), ("s3cret", "no")):
            assert (await client.get(url, headers={"Authorization": given})).text == answer
        foreign = await client.get(url, headers={b"Authorization": "Bearer é".encode()})
        assert foreign.text == "no"
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def test_stopping_cuts_open_streams() -> None:
    port = free_port()
    task = asyncio.ensure_future(serve_http(APP, "127.0.0.1", port))
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(200):
            try:
                await client.get(f"http://127.0.0.1:{port}/")
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                break
        async with client.stream("GET", f"http://127.0.0.1:{port}/stream") as response:
            await anext(response.aiter_bytes())
            task.cancel()
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()


async def test_a_port_that_is_taken_says_so() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            await serve_http(APP, "127.0.0.1", port)
