# SPDX-License-Identifier: Apache-2.0
"""What the accountant answers about chains, over HTTP."""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from rackwatt.collector.live.devices import Devices
from rackwatt.collector.roles.chains import Chains
from rackwatt.collector.site.loader import load_site
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import ReceivedReading


@pytest.fixture
async def client() -> httpx.AsyncClient:
    site = load_site(Path("docs/examples/site-chains.yaml"))
    devices = Devices(site)
    now = SYSTEM_CLOCK.now_ms()
    for rack in site.racks:
        for pdu in rack.pdus:
            values = {f"current_l{n}_amperes": 10.0 + n for n in (1, 2, 3)}
            devices.observe("power", ReceivedReading(pdu, now, {"power_watts": 8e3, **values}), now)
    chains = Chains(
        site,
        devices,
        SYSTEM_CLOCK,
        asyncio.Lock(),
        lambda: {"ups-b": {"asset": "ups-b", "reason": "batteries"}},
    )
    running = asyncio.create_task(chains.run())
    async with asyncio.timeout(10):
        while chains.time_ms is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    running.cancel()
    names = {family.name for family in chains.families()}
    assert "rackwatt_feed_load_ratio" in names
    transport = httpx.ASGITransport(Starlette(routes=chains.routes()))
    return httpx.AsyncClient(transport=transport, base_url="http://chains")


async def test_the_overview(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/chain")).json()
    assert found["time"] > 0
    assets = {asset["id"]: asset for asset in found["power"]["assets"]}
    assert assets["ups-b"]["maintenance"]
    assert found["maintenance"] == [{"asset": "ups-b", "reason": "batteries"}]
    assert {group["id"]: group["state"] for group in found["groups"]}["ups"] == "N"


async def test_who_has_the_newest_look_gets_nothing(client: httpx.AsyncClient) -> None:
    first = await client.get("/api/chain")
    again = await client.get("/api/chain", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/api/chain", headers={"If-None-Match": '"1"'})
    assert other.json() == first.json()


async def test_racks_below_a_feed_and_a_racks_ways(client: httpx.AsyncClient) -> None:
    racks = (await client.get("/api/chain/feed/busway-b-row-2")).json()["racks"]
    assert [rack["id"] for rack in racks] == [f"r2-0{n}" for n in range(1, 9)]
    below = (await client.get("/api/chain/feed/cdu-a1")).json()["racks"]
    assert len(below) == 8
    ways = (await client.get("/api/chain/rack/r2-03")).json()
    assert ways["watts"] == 16e3


async def test_what_is_not_there_is_a_404(client: httpx.AsyncClient) -> None:
    for path in ("/api/chain/feed/nobody", "/api/chain/rack/nobody"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert "nobody" in answer.text
