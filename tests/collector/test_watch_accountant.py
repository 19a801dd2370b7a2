# SPDX-License-Identifier: Apache-2.0
"""Maintenance with an accountant at work: shown at once, kept over a restart, booked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from collector.house import House, minutes
from doubles import START_MS, Running, until

from rackwatt.collector.ledger.orders import ACT, look_up, place_order
from rackwatt.collector.ledger.upkeep import ENDED, STARTED
from rackwatt.collector.roles import collect as collect_module
from rackwatt.collector.roles import following as following_module
from rackwatt.collector.watchkeeping.log import ACK

HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _short_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_module, "_LONG_POLL_SECONDS", 0.05)
    monkeypatch.setattr(following_module, "_POLL_PAUSE_SECONDS", 0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.stack:
        yield made


async def said(house: House, name: str, data: Mapping[str, Any]) -> str:
    """Have an act recorded as a command does; what came of it."""
    path = house.folder / "ledger.db"
    order = {"name": name, "data": data}
    number = place_order(path, ACT, order, "N. Idrissi", "filter", START_MS)
    await until(lambda: getattr(look_up(path, number), "state", "waiting") != "waiting")
    return getattr(look_up(path, number), "state", "")


async def shown(house: House, assets: list[str]) -> list[dict[str, Any]]:
    """Wait until the page shows these as out."""
    found: list[dict[str, Any]] | None = None
    try:
        async with asyncio.timeout(30):
            while found is None or [one["asset"] for one in found] != assets:
                with contextlib.suppress(httpx.TransportError):  # it is not up yet
                    answer = await house.get("/api/frame")
                    found = answer.json().get("maintenance") if answer.is_success else None
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the page shows {found}, not {assets}") from None
    return found


def marked(house: House) -> list[int]:
    """Minutes before the start that bear the flag."""
    rows = house.query(
        "SELECT l.start_ms, j.row FROM latest AS l JOIN journal AS j USING (seq)"
        " WHERE l.kind = 'interval'"
    )
    flagged = [at for at, row in rows if "maintenance" in json.loads(row)["metering"]]
    return [(START_MS - at) // 60_000 for at in flagged]


async def test_it_is_on_the_page_until_somebody_ends_it(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(6))
    start = START_MS - 4 * 60_000
    out = {"asset": "cdu-a1", "start_ms": start, "until_ms": START_MS + HOUR}
    later = {"asset": "cdu-a2", "start_ms": START_MS + HOUR, "until_ms": START_MS + 2 * HOUR}
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count("latest") >= 5)
        assert await shown(house, []) == []
        assert await said(house, STARTED, out) == "done"
        assert await said(house, STARTED, out) == "refused", "it is out already"
        assert await said(house, STARTED, later) == "done"
        (row,) = await shown(house, ["cdu-a1"])
        assert row == {
            "asset": "cdu-a1", "since": start, "until": START_MS + HOUR,
            "author": "N. Idrissi", "reason": "filter", "overdue": False,
        }  # fmt: skip
        await until(lambda: 4 in marked(house))
        assert not {5, 6} & set(marked(house))
    again = house.accountant(url)
    async with Running(again.run()):
        await shown(house, ["cdu-a1"])
        assert list(again._maintenance()) == ["cdu-a1"], "what the chains are told"
        await said(house, ENDED, {"asset": "cdu-a1", "end_ms": start})
        await shown(house, [])
        await until(lambda: 4 not in marked(house))


async def test_an_acknowledgement_is_on_the_page_until_it_ends(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(6))
    overdue = {"asset": "cdu-a1", "start_ms": START_MS - HOUR, "until_ms": START_MS - 60_000}
    ack = {"alert": "SafetyLeak", "labels": {"device": "cdu-a1"}, "until_ms": START_MS + HOUR}
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count("latest") >= 5)
        assert await said(house, STARTED, overdue) == "done"
        assert await said(house, ACK, ack) == "done"
        frame: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while not frame.get("acks"):
                frame = (await house.get("/api/frame")).json()
                await asyncio.sleep(0.05)
        (shown_ack,) = frame["acks"]
        assert shown_ack["alert"] == "SafetyLeak{device=cdu-a1}"
        assert (shown_ack["author"], shown_ack["note"]) == ("N. Idrissi", "filter")
        assert 0 < shown_ack["until"] - shown_ack["since"] <= 30 * 60_000, "half an hour at most"
        text = (await house.get("/metrics")).text
        assert 'rackwatt_maintenance_overdue_number{site="demo"} 1.0' in text
