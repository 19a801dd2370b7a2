# SPDX-License-Identifier: Apache-2.0
"""What the accountant does beside booking: clocks, orders, anchors, counters, copies."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from collecting import EPOCH, LOADS, message, payload
from collector.house import House, minutes
from doubles import START_MS, Running, until

from rackwatt.collector.ingest.spool import ACCOUNTANT
from rackwatt.collector.ledger.anchors import read_anchors
from rackwatt.collector.ledger.orders import look_up, place_order
from rackwatt.collector.roles import collect as collect_module
from rackwatt.collector.roles import following as following_module
from rackwatt.collector.store import read
from rackwatt.wire.status import EpochState


@pytest.fixture(autouse=True)
def _short_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_module, "_LONG_POLL_SECONDS", 0.05)
    monkeypatch.setattr(following_module, "_POLL_PAUSE_SECONDS", 0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.stack:
        yield made


LATEST_INTERVALS = (
    "SELECT j.row FROM latest AS l JOIN journal AS j USING (seq) WHERE l.kind = 'interval'"
)
ATTRIBUTIONS = "SELECT 1 FROM journal WHERE kind = 'attribution'"


async def test_a_clock_wrong_by_ten_minutes_is_shown_and_held_until_it_is_released(
    house: House,
) -> None:
    kit, url = await house.collector()
    kit.seen("meters", "site", 600.0)
    shift = 600_000
    steps = range(START_MS - 4 * 60_000, START_MS + 1, 10_000)
    await kit.put(*(message(at - shift, LOADS, received_ms=at) for at in steps))
    path = house.folder / "ledger.db"
    async with Running(house.accountant(url).run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 25)
        assert (await house.agent("meters"))["clock_offset_seconds"] == 600.0
        await house.metric("rackwatt_ledger_held_readings", 25 * len(LOADS))
        assert (house.count(), house.count("latest")) == (0, 0), "nothing is booked"
        order = {
            "agent": "meters", "start_ms": 0, "end_ms": START_MS, "shift_ms": shift,
        }  # fmt: skip
        number = place_order(path, "release", order, "operator", "its clock was read", START_MS)
        await until(lambda: getattr(look_up(path, number), "state", "") == "done")
        await until(lambda: house.count("latest") >= 3)
        await house.metric("rackwatt_ledger_held_readings", None)
    loads = [json.loads(row)["load"] for (row,) in house.query(LATEST_INTERVALS)]
    known = [load for load in loads if load is not None]
    assert known == [pytest.approx(2.0)] * len(known)
    assert len(known) >= 2, "the first and the newest minute are not whole"


async def test_a_backlog_of_a_wrong_clock_is_held_though_the_clock_is_right_by_now(
    house: House,
) -> None:
    """The agent was cut off with a wrong clock; it was put right before the backlog came."""
    kit, url = await house.collector()
    epochs = [EpochState(epoch=EPOCH, oldest=1, last=last, sent_through=0) for last in (2, 25)]
    kit.ingest.clocks.told("meters", epochs[:1], -300.0, 0.0)
    kit.ingest.clocks.told("meters", epochs[1:], 0.0, 0.0)
    kit.seen("meters", "site", 0.0)
    topic = "rackwatt/v1/demo/site/meters/power"
    await kit.put(
        *((START_MS, topic, payload(START_MS - 600_000 + n, LOADS, n)) for n in range(1, 26)),
        *((START_MS, topic, payload(START_MS - n, LOADS, 25 + n)) for n in range(1, 11)),
    )
    async with Running(house.accountant(url).run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 35)
        await house.metric("rackwatt_ledger_held_readings", 25 * len(LOADS))
        times = [time for (time,) in house.query("SELECT DISTINCT time_ms FROM inputs")]
        assert sorted(times) == [START_MS - n for n in range(10, 0, -1)]


async def test_the_chains_end_is_noted_once_a_day(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(3))
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count("latest") >= 2)
        await until((house.folder / "anchors.txt").exists)
    (anchor,) = read_anchors(house.folder / "anchors.txt")
    ((digest,),) = house.query(f"SELECT hash FROM journal WHERE seq = {anchor.seq}")  # noqa: S608
    assert anchor.hash == digest


async def test_gpu_counters_are_kept_by_quarter_hour_and_attributed(house: House) -> None:
    kit, url = await house.collector()
    quarter = START_MS // 900_000 * 900_000
    house.clock.start_ms = quarter + 16 * 60_000
    for at in range(quarter - 60_000, quarter + 15 * 60_000 + 1, 10_000):
        counted = {"r1-n1/GPU-0": {"energy_import_watt_hours": (at - quarter) / 1e5 + 50.0}}
        await kit.put(message(at, LOADS))
        await kit.put(message(at, counted, kind="gpu", agent="r1-n1", hall="hall-a"))
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count("counters") >= 2)
        await until(lambda: bool(house.query(ATTRIBUTIONS)))
        folder = house.folder / "books"
        await until(lambda: any(row.time_ms == quarter for row in read(folder, "rack_energy")))
    rows = {row.tags["rack"]: row for row in read(folder, "rack_energy") if row.time_ms == quarter}
    assert rows["r1"].fields["it_watt_hours"] == pytest.approx(15.0)
    assert rows["r1"].tags["hall"] == "hall-a"
