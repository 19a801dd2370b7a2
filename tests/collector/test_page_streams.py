# SPDX-License-Identifier: Apache-2.0
"""The page's stream: who gets which frame, and how many may listen."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from rackwatt.collector.live.page import (
    Broadcaster,
    LivePage,
    SecurityHeaders,
    TooManyListenersError,
    routes,
)
from rackwatt.collector.live.page.demo import demo_frame, demo_history
from rackwatt.collector.live.page.routes import event_stream

NOW = 1_790_000_000_000


def app_of(page: LivePage) -> Starlette:
    return Starlette(routes=routes(page), middleware=[Middleware(SecurityHeaders)])


def page_of(frame: Mapping[str, Any] | None) -> LivePage:
    page = LivePage(lambda: demo_history(NOW))
    if frame is not None:
        page.publish(frame)
    return page


async def test_a_listener_gets_the_current_frame_and_then_the_next() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish({"n": 1})
    frames = broadcaster.subscribe()
    assert await anext(frames) == b'{"n":1}'
    following = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    assert not following.done()
    broadcaster.publish({"n": 2})
    assert await following == b'{"n":2}'


async def test_a_slow_listener_skips_to_the_newest_frame() -> None:
    broadcaster = Broadcaster()
    frames = broadcaster.subscribe()
    for n in range(1000):
        broadcaster.publish({"n": n})
    assert await anext(frames) == b'{"n":999}'


async def test_all_listeners_share_one_serialisation() -> None:
    broadcaster = Broadcaster()
    listeners = [broadcaster.subscribe() for _ in range(5)]
    broadcaster.publish({"n": 1})
    received = [await anext(listener) for listener in listeners]
    assert all(frame is received[0] for frame in received)
    assert broadcaster.listeners == 5


async def test_the_number_of_listeners_is_bounded() -> None:
    broadcaster = Broadcaster(max_listeners=1)
    broadcaster.publish({})
    first = broadcaster.subscribe()
    await anext(first)
    with pytest.raises(TooManyListenersError, match="1 event streams"):
        broadcaster.subscribe()


async def test_closing_ends_every_stream() -> None:
    broadcaster = Broadcaster()
    waiting = asyncio.ensure_future(anext(broadcaster.subscribe()))
    await asyncio.sleep(0)
    broadcaster.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert broadcaster.listeners == 0


async def test_an_idle_stream_gives_a_heartbeat() -> None:
    broadcaster = Broadcaster()
    stream = event_stream(broadcaster.subscribe(), heartbeat_seconds=0.001)
    assert await anext(stream) == b"retry: 2000\n\n"
    assert await anext(stream) == b": waiting\n\n"
    assert await anext(stream) == b": waiting\n\n"
    broadcaster.publish({"n": 1})
    while (event := await anext(stream)) == b": waiting\n\n":
        pass
    assert event == b'event: frame\ndata: {"n":1}\n\n'


async def test_a_client_that_goes_frees_its_place() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish({})
    stream = event_stream(broadcaster.subscribe())
    await anext(stream)
    await anext(stream)
    assert broadcaster.listeners == 1
    assert hasattr(stream, "aclose")
    await stream.aclose()
    assert broadcaster.listeners == 0


async def test_the_event_stream_over_http() -> None:
    page = page_of(demo_frame(NOW))
    sent: list[dict[str, Any]] = []
    arrived = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await arrived.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if b"event: frame" in message.get("body", b""):
            arrived.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/events",
        "raw_path": b"/events",
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    await asyncio.wait_for(app_of(page)(scope, receive, send), 5)
    headers = dict(sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    body = b"".join(message.get("body", b"") for message in sent[1:])
    assert body.startswith(b"retry: 2000\n\nevent: frame\ndata: {")


async def test_a_full_house_is_said_and_not_hung() -> None:
    class Full:
        def frame(self) -> Mapping[str, Any]:
            return {}

        def history(self) -> Mapping[str, Any]:
            return {}

        def subscribe(self) -> AsyncIterator[bytes]:
            raise TooManyListenersError(7)

    transport = httpx.ASGITransport(Starlette(routes=routes(Full())))
    async with httpx.AsyncClient(transport=transport, base_url="http://rackwatt") as client:
        answer = await client.get("/events")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
