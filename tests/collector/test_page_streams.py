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


def event(data: str, name: str = "frame") -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


async def test_a_listener_gets_the_current_frame_and_then_the_next() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish({"n": 1})
    frames = broadcaster.subscribe()
    assert await anext(frames) == event('{"n":1}')
    following = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    assert not following.done()
    broadcaster.publish({"n": 2})
    assert await following == event('{"n":2}')


async def test_a_slow_listener_skips_to_the_newest_frame() -> None:
    broadcaster = Broadcaster()
    frames = broadcaster.subscribe()
    for n in range(1000):
        broadcaster.publish({"n": n})
    assert await anext(frames) == event('{"n":999}')


async def test_all_listeners_share_one_serialisation() -> None:
    broadcaster = Broadcaster()
    listeners = [broadcaster.subscribe() for _ in range(5)]
    broadcaster.publish({"n": 1})
    received = [await anext(listener) for listener in listeners]
    assert all(frame is received[0] for frame in received)
    assert broadcaster.listeners == 5


def racks(*powers: float) -> dict[str, Any]:
    return {"racks": [{"id": f"r{n}", "power_watts": power} for n, power in enumerate(powers)]}


async def test_who_wants_changes_gets_a_frame_first_and_after_a_gap() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish({"n": 1, **racks(1.0, 2.0)})
    stream = broadcaster.subscribe(changes_only=True)
    whole = broadcaster.subscribe()
    assert (await anext(stream)).startswith(b"event: frame\n")
    assert (await anext(whole)).startswith(b"event: frame\n")
    broadcaster.publish({"n": 2, **racks(1.0, 3.0)})
    new = '{"n":2,"changed":{"racks":{"at":[1],"set":{"power_watts":[3.0]}}}}'
    assert await anext(stream) == event(new, "changes")
    assert (await anext(whole)).startswith(b"event: frame\n")
    for power in (4.0, 5.0):
        broadcaster.publish({"n": 3, **racks(1.0, power)})
    assert (await anext(stream)).startswith(b"event: frame\n")
    broadcaster.publish({"n": 4, **racks(1.0, 5.0, 6.0)})
    assert (await anext(stream)).startswith(b"event: frame\n")


async def test_a_thousand_listeners_are_woken_a_few_at_a_time() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish({"n": 1})
    listeners = [broadcaster.subscribe() for _ in range(1000)]
    for listener in listeners:
        await anext(listener)
    waiting = [asyncio.ensure_future(anext(listener)) for listener in listeners]
    await asyncio.sleep(0)
    broadcaster.publish({"n": 2})
    turns = 0
    while not all(one.done() for one in waiting):
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 20
    assert {one.result() for one in waiting} == {event('{"n":2}')}


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
    broadcaster = Broadcaster(heartbeat_seconds=0.001)
    stream = event_stream(broadcaster.subscribe())
    assert await anext(stream) == b"retry: 2000\n\n"
    assert await anext(stream) == b": waiting\n\n"
    assert await anext(stream) == b": waiting\n\n"
    broadcaster.publish({"n": 1})
    while (shown := await anext(stream)) == b": waiting\n\n":
        pass
    assert shown == event('{"n":1}')


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

        def subscribe(self, *, changes_only: bool = False) -> AsyncIterator[bytes]:
            raise TooManyListenersError(7)

    transport = httpx.ASGITransport(Starlette(routes=routes(Full())))
    async with httpx.AsyncClient(transport=transport, base_url="http://rackwatt") as client:
        answer = await client.get("/events")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
