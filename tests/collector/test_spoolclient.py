# SPDX-License-Identifier: Apache-2.0
"""The accountant's way to a collector, over HTTP."""

import gc

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rackwatt.collector.live.spoolclient import CollectorClient, CollectorUnavailable

LARGE = b"rackwatt 1\n" * 100_000


async def large(_: web.Request) -> web.Response:
    return web.Response(body=LARGE)


async def test_what_was_read_is_not_kept_until_the_next_search_for_cycles() -> None:
    app = web.Application()
    app.router.add_get("/metrics", large)
    async with TestServer(app) as server, httpx.AsyncClient() as client:
        collector = CollectorClient(str(server.make_url("")), "token", client)
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert await collector.metrics() == LARGE
            answers = [each for each in gc.get_objects() if isinstance(each, httpx.Response)]
            assert all(not hasattr(each, "_content") for each in answers)
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [(503, b"", "503"), (200, b"no JSON", "state"), (200, b"[]", "no collector's answer")],
)
async def test_what_is_no_answer_is_said_so(status: int, body: bytes, told: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_get("/internal/state", answer)
    async with TestServer(app) as server, httpx.AsyncClient() as client:
        collector = CollectorClient(str(server.make_url("")), "token", client)
        with pytest.raises(CollectorUnavailable, match=told):
            await collector.state()
