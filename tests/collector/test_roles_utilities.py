# SPDX-License-Identifier: Apache-2.0
"""Water from the wire to the books and their copy."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from collecting import LOADS, TOKEN, message, small_site
from collector.house import House
from doubles import START_MS, Running, until

from rackwatt.collector.roles import collect as collect_module
from rackwatt.collector.roles import following as following_module
from rackwatt.collector.roles.account import Accountant, AccountOptions
from rackwatt.collector.site.topology import Utility
from rackwatt.collector.store import read

SITE = replace(small_site(), utilities=(Utility("water-1", "water", "fresh", "cooling"),))
LATEST = "SELECT j.row FROM latest AS l JOIN journal AS j USING (seq) WHERE l.kind = 'interval'"


@pytest.fixture(autouse=True)
def _short_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_module, "_LONG_POLL_SECONDS", 0.05)
    monkeypatch.setattr(following_module, "_POLL_PAUSE_SECONDS", 0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.stack:
        yield made


async def test_an_accountant_books_the_water_that_its_site_names(house: House) -> None:
    kit, url = await house.collector()
    for at in range(START_MS - 4 * 60_000, START_MS + 1, 10_000):
        liters = (at - START_MS) / 1e6 + 500.0
        await kit.put(message(at, LOADS))
        for device in ("water-1", "water-9"):
            counted = {device: {"volume_liters": liters}}
            await kit.put(message(at, counted, kind="water"))
    options = AccountOptions((url,), house.folder, "127.0.0.1", house.port, TOKEN)
    folder = house.folder / "books"
    async with Running(Accountant(SITE, house.store(), options, house.clock).run()):
        await until(lambda: house.count("latest") >= 3)
        await until(lambda: len(list(read(folder, "site_figures"))) >= 3)
    rows = [json.loads(row)["water_liters"]["fresh"] for (row,) in house.query(LATEST)]
    known = [liters for liters in rows if liters is not None]
    assert known == [pytest.approx(0.06)] * len(known)
    assert len(known) >= 2, "the first and the newest minute are not whole"
    assert house.query("SELECT 1 FROM series WHERE device = 'water-9'") == []
    points = [row.fields for row in read(folder, "site_figures")]
    assert pytest.approx(0.06) in [fields.get("water_liters") for fields in points]
