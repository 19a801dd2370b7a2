# SPDX-License-Identifier: Apache-2.0
"""What the accountant tells of demand, of the running year and month, and of what it holds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from collecting import LOADS, SITE_TEXT, TOKEN, message
from collector.house import House, minutes
from doubles import START_MS, Running, until

from rackwatt.collector.roles import collect as collect_module
from rackwatt.collector.roles import following as following_module
from rackwatt.collector.roles.account import Accountant, AccountOptions
from rackwatt.collector.site import site_of
from rackwatt.wire.config import Document

MORE = """\
settlement: {window: 30m, subscribed_watts: 100}
supply: {export_cap_ratio: 0.2}
"""


@pytest.fixture(autouse=True)
def _short_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_module, "_LONG_POLL_SECONDS", 0.05)
    monkeypatch.setattr(following_module, "_POLL_PAUSE_SECONDS", 0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.stack:
        yield made


def accountant(house: House, url: str) -> Accountant:
    options = AccountOptions([url], house.folder, "127.0.0.1", house.port, TOKEN)
    site = site_of(Document("site.yaml", SITE_TEXT + MORE))
    return Accountant(site, house.store(), options, house.clock)


async def frame(house: House, **wanted: object) -> Mapping[str, Any]:
    """The first frame whose data quality says so."""
    async with asyncio.timeout(15):
        while True:
            found: Mapping[str, Any] = {}
            with contextlib.suppress(httpx.ConnectError):
                answer = await house.get("/api/frame")
                found = answer.json() if answer.is_success else {}
            if wanted.items() <= found.get("quality", {}).items():
                return found
            await asyncio.sleep(0.05)


async def test_demand_year_and_month_as_metrics(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(32))
    own = accountant(house, url)
    async with Running(own.run()):
        await until(lambda: house.count("latest") >= 25)
        await frame(house)
        await house.metric("rackwatt_settlement_window_seconds", 1800.0)
        await house.metric("rackwatt_settlement_subscribed_watts", 100.0)
        await house.metric("rackwatt_export_cap_ratio", 0.2)
        await until(lambda: own._standings.now.month_flagged is not None, 20)
        await house.metric("rackwatt_balance_month_flagged", 0.0)
        text = (await house.get("/metrics")).text
        shown = await frame(house, held_readings=0)
    values = {
        name.partition("{")[0]: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines())
        if "{site=" in name
    }
    assert values["rackwatt_settlement_projected_watts"] == pytest.approx(90.0)
    assert values["rackwatt_balance_month_residual_ratio"] == pytest.approx(0.0, abs=1e-9)
    assert shown["demand"]["subscribed_watts"] == 100.0
    assert shown["demand"]["window_minutes"] == 30.0


async def test_the_page_says_what_is_held(house: House) -> None:
    kit, url = await house.collector()
    kit.seen("meters", "site", 600.0)
    await kit.put(message(START_MS - 600_000, LOADS, received_ms=START_MS))
    async with Running(accountant(house, url).run()):
        shown = await frame(house, held_readings=len(LOADS))
    (agent,) = (agent for agent in shown["agents"] if agent["name"] == "meters")
    assert agent["clock_offset_seconds"] == 600.0


async def test_a_restart_knows_half_an_hours_window_again(house: House) -> None:
    """The window's readings come back from the ledger's inputs."""
    kit, url = await house.collector()
    await kit.put(*minutes(32))
    async with Running(accountant(house, url).run()):
        await until(lambda: house.count("latest") >= 25)
    again = accountant(house, "http://127.0.0.1:9")
    async with Running(again.run()):
        await until(lambda: again._figures is not None and again._figures.demand is not None)
        assert again._figures is not None
        demand = again._figures.demand
    assert demand is not None
    assert demand.watt_hours is not None
