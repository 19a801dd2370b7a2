# SPDX-License-Identifier: Apache-2.0
"""InfluxDB as the store, when it fails: a server that answers as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rackwatt.collector.store import InfluxStore, Row, StoreRefused, StoreUnavailable

NOW = 1_790_000_000_000


def row(number: int, time_ms: int = NOW, **fields: float | str) -> Row:
    tags = (("device", f"node-{number // 8}/GPU-{number}"), ("hall", "hall-a"))
    return Row("gpu", tags, fields or {"power_watts": float(number)}, time_ms)


class Failing:
    """Answers writes as told; keeps the lines that it accepted."""

    def __init__(self) -> None:
        self.answer: Callable[[list[str]], web.Response] = lambda _: web.Response(status=204)
        self.gate: Callable[[], Awaitable[object]] | None = None
        self.lines: list[str] = []
        self.requests = 0
        self.running = 0
        self.most = 0
        self.query: dict[str, str] = {}

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def write(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.query = dict(request.query)
        lines = (await request.text()).split("\n")
        if self.gate is not None:
            await self.gate()
        self.running -= 1
        answer = self.answer(lines)
        if answer.status == 204:
            self.lines += lines
        return answer


@pytest.fixture
async def failing(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Failing, InfluxStore]]:
    """The parameter, if any: seconds that the store waits for an answer."""
    patience = getattr(request, "param", 30.0)
    server = Failing()
    app = web.Application(client_max_size=2**26)
    app.router.add_get("/ping", server.ping)
    app.router.add_post("/api/v2/write", server.write)
    async with TestServer(app) as running:
        url = str(running.make_url("")).rstrip("/")
        store = InfluxStore(url=url, org="o", bucket="b", token="secret", timeout_seconds=patience)
        await store.start()
        yield server, store
        await store.aclose()


Pair = tuple[Failing, InfluxStore]


async def test_batches_have_5000_lines_and_4_go_at_once(failing: Pair) -> None:
    server, store = failing
    together = asyncio.Barrier(4)
    server.gate = together.wait  # answers only when four requests are there at once
    sizes: list[int] = []

    def accept(lines: list[str]) -> web.Response:
        sizes.append(len(lines))
        return web.Response(status=204)

    server.answer = accept
    assert (await store.write([row(n) for n in range(40_000)])).written == 40_000
    assert sizes == [5_000] * 8
    assert server.most == 4
    assert server.query == {"org": "o", "bucket": "b", "precision": "ms"}
    assert len(set(server.lines)) == 40_000


@pytest.mark.parametrize(
    ("status", "headers", "retry_after"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (500, {}, None),
    ],
)
async def test_a_server_in_trouble_is_tried_again_later(
    failing: Pair, status: int, headers: dict[str, str], retry_after: float | None
) -> None:
    server, store = failing
    server.answer = lambda _: web.Response(status=status, headers=headers, text="busy")
    with pytest.raises(StoreUnavailable, match=f"{status}: busy") as caught:
        await store.write([row(n) for n in range(30_000)])
    assert caught.value.retry_after == retry_after
    assert server.requests <= 4  # the rest is not thrown after it
    server.answer = lambda _: web.Response(status=204)
    assert (await store.write([row(1)])).written == 1


@pytest.mark.parametrize("failing", [0.5], indirect=True)
async def test_a_silent_server_is_given_up_on(failing: Pair) -> None:
    server, store = failing
    silence = asyncio.Event()
    server.gate = silence.wait
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.write([row(1)])
    silence.set()


@pytest.mark.parametrize("status", [301, 302, 418])
async def test_an_answer_that_is_none_is_refused(failing: Pair, status: int) -> None:
    server, store = failing
    server.answer = lambda _: web.Response(status=status, headers={"Location": "/ping"})
    with pytest.raises(StoreRefused):
        await store.write([row(1)])


async def test_a_line_at_fault_is_found_by_halving(failing: Pair) -> None:
    """As 3.x and a parser's error are: all or nothing, and no count of what was dropped."""
    server, store = failing

    def answer(lines: list[str]) -> web.Response:
        if any("GPU-1234," in line for line in lines):
            body = {"error": "partial write", "data": [{"error_message": "no such thing"}]}
            return web.json_response(body, status=400)
        return web.Response(status=204)

    server.answer = answer
    result = await store.write([row(n) for n in range(5_000)])
    ((rejected, reason),) = result.rejected
    assert dict(rejected.tags)["device"].endswith("GPU-1234")
    assert reason == "partial write: no such thing"
    assert len(server.lines) == 4_999
    assert server.requests < 30


async def test_a_batch_that_is_too_large_is_halved(failing: Pair) -> None:
    server, store = failing
    server.answer = lambda lines: web.Response(status=204 if len(lines) <= 1_250 else 413)
    assert (await store.write([row(n) for n in range(5_000)])).written == 5_000
    assert len(server.lines) == 5_000


async def test_when_all_are_dropped_the_server_is_asked_once(failing: Pair) -> None:
    server, store = failing
    body = {"message": "partial write: points beyond retention policy dropped=5000"}
    server.answer = lambda _: web.json_response(body, status=422)
    result = await store.write([row(n) for n in range(5_000)])
    assert (result.written, len(result.rejected)) == (0, 5_000)
    assert server.requests == 1


async def test_rows_that_cannot_be_encoded_never_leave(failing: Pair) -> None:
    server, store = failing
    result = await store.write([row(1, power_watts=float("nan")), row(2)])
    assert (result.written, len(result.rejected)) == (1, 1)
    assert len(server.lines) == 1
    assert (await store.write([])).written == 0
    assert server.requests == 1


async def test_a_cancelled_write_leaves_no_request_behind(failing: Pair) -> None:
    server, store = failing
    entered = asyncio.Event()

    async def hold() -> None:
        entered.set()
        await asyncio.Event().wait()

    server.gate = hold
    task = asyncio.create_task(store.write([row(1)]))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    names = [t.get_name() for t in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith("influx-write")]


async def test_nobody_there_is_a_reason_to_try_again() -> None:
    store = InfluxStore(url="http://127.0.0.1:1", org="o", bucket="b", token="t")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.start()
    await store.aclose()
    with pytest.raises(StoreUnavailable, match="not started"):
        await store.write([row(1)])
