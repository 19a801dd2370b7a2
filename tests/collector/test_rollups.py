# SPDX-License-Identifier: Apache-2.0
"""Rollups of readings: what minutes and hours are, and that no order of delivery changes them."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import pytest
from collecting import collector_kit, message
from doubles import Running, until
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.site import Placement
from rackwatt.collector.store import EmbeddedStore, InfluxStore, Row, StoreRefused, StoreUnavailable
from rackwatt.collector.store.base import WriteResult
from rackwatt.collector.store.drain import Drain
from rackwatt.collector.store.marks import Marks
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.rolling import Rollups
from rackwatt.collector.store.rollups import HOUR_RULES, MINUTE_RULES, Point, fold
from rackwatt.collector.store.series import Series
from rackwatt.wire.clock import ManualClock
from servers.fixtures import InfluxBucket, influx_bucket, influxdb

__all__ = ["influx_bucket", "influxdb"]  # fixtures

MINUTE = 60_000
HOUR = 60 * MINUTE
BEGIN = 1_790_000_000_000 // HOUR * HOUR
Fields = Mapping[str, float | str]
Contents = dict[tuple[str, int, str], dict[str, float | str]]


def points(*found: tuple[int, Fields]) -> list[Point]:
    return list(found)


def test_each_field_carries_what_its_specification_says() -> None:
    made = fold(
        MINUTE_RULES["power"],
        points(
            (0, {"power_watts": 10.0, "power_min_watts": 1.0, "energy_import_watt_hours": 5.0}),
            (1, {"power_watts": 20.0, "power_max_watts": 99.0, "energy_import_watt_hours": 6.0}),
            (2, {"power_watts": 60.0, "power_min_watts": 2.0, "temperature_celsius": 30.0}),
            (3, {"temperature_celsius": 40.0, "not_a_field": 1.0}),
        ),
    )
    assert made == {
        "power_watts": 30.0,
        "power_min_watts": 1.0,
        "power_max_watts": 99.0,
        "energy_import_watt_hours": 6.0,
        "temperature_celsius": 35.0,
        "temperature_celsius_min": 30.0,
        "temperature_celsius_max": 40.0,
    }
    assert fold(MINUTE_RULES["power"], []) == {}


def test_an_hour_weighs_its_minutes_equally_and_keeps_extremes() -> None:
    made = fold(
        HOUR_RULES["gpu"],
        points(
            (0, {"temperature_celsius": 30.0, "temperature_celsius_max": 70.0, "power_watts": 1.0}),
            (60, {"temperature_celsius": 40.0, "temperature_celsius_max": 41.0}),
        ),
    )
    assert made == {
        "temperature_celsius": 35.0,
        "temperature_celsius_max": 70.0,
        "power_watts": 1.0,
    }


READINGS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.dictionaries(
            st.sampled_from(["power_watts", "temperature_celsius", "energy_import_watt_hours"]),
            st.floats(0, 1e6),
            min_size=1,
        ),
    ),
    max_size=12,
    unique_by=lambda item: item[0],
)


@given(READINGS, st.randoms())
@settings(max_examples=50, deadline=None)
def test_order_and_repetition_change_no_bit(
    readings: list[tuple[int, dict[str, float]]], chance: random.Random
) -> None:
    once = sorted(points(*readings), key=lambda item: item[0])
    again = [*once, *chance.sample(once, len(once) // 2)]
    chance.shuffle(again)
    made = fold(MINUTE_RULES["power"], once)
    assert fold(MINUTE_RULES["power"], again) == made
    watts = [values["power_watts"] for _, values in sorted(readings) if "power_watts" in values]
    assert made.get("power_watts") == (reduce(add, watts) / len(watts) if watts else None)


# -- with a store ----------------------------------------------------------------------------


def row(device: str, time_ms: int, fields: Fields, kind: str = "gpu") -> Row:
    return Row(kind, (("device", device), ("hall", "hall-a"), ("site", "demo")), fields, time_ms)


class Names:
    """Series of devices, as the drain's book has them."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}

    def points(self, rows: Sequence[Row]) -> Points:
        found = []
        for item in rows:
            key = item.measurement, dict(item.tags)["device"]
            if key not in self.series:
                number = len(self.series)
                self.series[key] = Series(*key, number, ("demo", Placement("hall-a")))
            found.append(self.series[key])
        values = [{n: float(v) for n, v in item.fields.items()} for item in rows]
        return Points(found, list(values), [item.time_ms for item in rows])


def two_hours(devices: int = 3, step_s: int = 20) -> list[Row]:
    chance = random.Random(5)  # noqa: S311 - repeatable
    found = []
    for time in range(BEGIN, BEGIN + 2 * HOUR, step_s * 1000):
        for number in range(devices):
            fields = {"power_watts": chance.uniform(0, 700)}
            if chance.random() < 0.9:
                fields |= {"temperature_celsius": chance.uniform(20, 90)}
            fields |= {"energy_import_watt_hours": (time - BEGIN) / 7 + number}
            found.append(row(f"n1/GPU-{number}", time + number, fields))
    return found


def expected(rows: Iterable[Row]) -> Contents:
    """By the definition, without any of the machinery."""
    minutes: dict[tuple[str, int], list[Row]] = {}
    for item in sorted(rows, key=lambda each: each.time_ms):
        minutes.setdefault((dict(item.tags)["device"], item.time_ms // MINUTE), []).append(item)
    found: Contents = {}
    hours: dict[tuple[str, int], list[tuple[int, dict[str, float]]]] = {}
    for (device, minute), part in minutes.items():
        made = fold(
            MINUTE_RULES["gpu"],
            points(*((each.time_ms, each.fields) for each in part)),
        )
        found["gpu_1m", minute * MINUTE, device] = dict(made)
        hours.setdefault((device, minute // 60), []).append((minute * MINUTE, made))
    for (device, hour), part_of in hours.items():
        found["gpu_1h", hour * HOUR, device] = dict(fold(HOUR_RULES["gpu"], points(*part_of)))
    return found


def contents(store: EmbeddedStore | InfluxStore) -> Contents:
    return {
        (name, item.time_ms, device): dict(item.fields)
        for name in ("gpu_1m", "gpu_1h")
        for device, rows in store.history(name, BEGIN - HOUR, BEGIN + 9 * HOUR)
        for item in rows
    }


class Delivery:
    """Rows into a store and its rollups, as the drain does it, with restarts."""

    def __init__(self, store: EmbeddedStore | InfluxStore, folder: Path, limit: int = 10**6):
        self.store = store
        self.path = folder / "rollups.db"
        self.limit = limit
        self.names = Names()
        self.clock = ManualClock(BEGIN)
        self.rollups: Rollups | None = None

    async def begin(self) -> Rollups:
        if self.rollups is None:
            self.rollups = Rollups(self.store, Marks(self.path), self.clock, max_lines=self.limit)
            await self.rollups.start()
        return self.rollups

    async def put(self, rows: Sequence[Row]) -> None:
        rollups = await self.begin()
        await self.store.write(rows)
        await rollups.take(self.names.points(rows))

    async def flush(self) -> None:
        await (await self.begin()).flush()

    async def restart(self) -> None:
        if self.rollups is not None:
            await self.rollups.aclose()
        self.rollups = None

    async def disturbed(self, rows: Sequence[Row], chance: random.Random) -> None:
        """Some on time, some late, some twice, in any order, with restarts in between."""
        late = [item for item in rows if chance.random() < 0.3]
        on_time = [item for item in rows if item not in late]
        for start in range(0, len(on_time), 40):
            part = on_time[start : start + 40]
            self.clock.time_ms = max(self.clock.time_ms, part[-1].time_ms)
            again = chance.sample(part, 5)
            chance.shuffle(part)
            await self.put([*part, *again, *late[:3]])
            late = late[3:]
            if chance.random() < 0.3:
                await self.flush()
            if chance.random() < 0.2:
                await self.restart()
        self.clock.time_ms = BEGIN + 3 * HOUR
        await self.flush()
        chance.shuffle(late)
        for start in range(0, len(late), 50):
            await self.put([*late[start : start + 50], *chance.sample(on_time, 5)])
            await self.restart()
        await self.flush()


async def embedded(folder: Path) -> EmbeddedStore:
    store = EmbeddedStore(folder / "store", clock=ManualClock(BEGIN))
    await store.start()
    return store


async def influx(bucket: InfluxBucket) -> InfluxStore:
    store = InfluxStore(url=bucket.url, org=bucket.org, bucket=bucket.bucket, token=bucket.token)
    await store.start()
    return store


@pytest.mark.parametrize(("seed", "limit"), [(1, 10**6), (2, 10**6), (3, 4)])
async def test_disturbed_delivery_gives_the_undisturbed_rollups(
    tmp_path: Path, seed: int, limit: int
) -> None:
    store = await embedded(tmp_path)
    rows = two_hours()
    chance = random.Random(seed)  # noqa: S311 - repeatable
    await Delivery(store, tmp_path, limit).disturbed(rows, chance)
    assert contents(store) == expected(rows)
    await store.aclose()


async def test_disturbed_delivery_into_influxdb(
    tmp_path: Path, influx_bucket: InfluxBucket
) -> None:
    store = await influx(influx_bucket)
    rows = two_hours()
    delivery = Delivery(store, tmp_path)
    await delivery.disturbed(rows, random.Random(4))  # noqa: S311 - repeatable
    assert await asyncio.to_thread(contents, store) == expected(rows)
    (found,) = influx_bucket.query_influxql(
        "SELECT mean(power_watts) FROM gpu_1h WHERE device = 'n1/GPU-0'"
    )
    assert found["mean"] == pytest.approx(350, rel=0.05)
    await store.aclose()


async def test_minutes_wait_a_minute_and_hours_for_their_last(tmp_path: Path) -> None:
    store = await embedded(tmp_path)
    delivery = Delivery(store, tmp_path)
    rollups = await delivery.begin()
    await delivery.put([row("n1/GPU-0", BEGIN + 59 * MINUTE, {"power_watts": 1.0})])
    for seconds, made in ((119, 0), (1, 2)):
        delivery.clock.time_ms = delivery.clock.time_ms if made else BEGIN + 59 * MINUTE
        delivery.clock.advance(seconds)
        await rollups.flush()
        assert rollups.written == made, seconds
    assert rollups.pending == 0
    await store.aclose()


async def test_many_late_devices_are_read_back_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await embedded(tmp_path)
    delivery = Delivery(store, tmp_path)
    delivery.clock.time_ms = BEGIN + 3 * HOUR
    await delivery.flush()
    asked: list[int] = []
    history = store.history

    def spying(name: str, start: int, end: int, devices: frozenset[str] = frozenset()) -> object:
        asked.append(len(devices))
        return history(name, start, end, devices)

    monkeypatch.setattr(store, "history", spying)
    rows = [
        row(f"n/{n}", BEGIN + k * MINUTE, {"power_watts": n}) for n in range(250) for k in (1, 2)
    ]
    await delivery.put([item for item in rows if int(dict(item.tags)["device"][2:]) < 150])
    await delivery.flush()
    assert asked == [150, 150], "two minutes at once, then the hour"
    asked.clear()
    await delivery.put(rows)
    await delivery.flush()
    assert asked == [0, 0, 0], "more than 200: all, each minute by itself, then the hour"
    assert contents(store) == expected(rows)
    await store.aclose()


class Trouble:
    """A store that fails as it is told to."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.store = store
        self.write_error: Exception | None = None
        self.read_error: Exception | None = None

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        if self.write_error is not None:
            raise self.write_error
        return await self.store.write(rows)

    def history(self, *asked: object) -> object:
        if self.read_error is not None:
            raise self.read_error
        return self.store.history(*asked)  # type: ignore[arg-type]


async def test_a_store_that_is_down_or_may_not_be_read_gets_its_rollups_later(
    tmp_path: Path,
) -> None:
    store = await embedded(tmp_path)
    trouble = Trouble(store)
    delivery = Delivery(trouble, tmp_path)  # type: ignore[arg-type]
    rollups = await delivery.begin()
    rows = [row("n1/GPU-0", BEGIN + k * 1000, {"power_watts": float(k)}) for k in range(3600)]
    await delivery.put(rows)
    await delivery.put(rows[:1])  # a second time: its minute is read back
    delivery.clock.time_ms = BEGIN + 2 * HOUR
    trouble.write_error = StoreUnavailable("down")
    with pytest.raises(StoreUnavailable):
        await rollups.flush()
    assert rollups.pending == 61, "the minutes, and the hour"
    trouble.write_error, trouble.read_error = None, StoreRefused("the token may not read")
    with pytest.raises(StoreRefused):
        await rollups.flush()
    assert rollups.written == 59, "those in memory; one is to be read back, and so the hour"
    assert rollups.pending == 2
    trouble.read_error = None
    await rollups.flush()
    assert rollups.pending == 0
    assert contents(store) == expected(rows)
    await store.aclose()


async def test_the_drain_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rackwatt.collector.store.rolling.EVERY_SECONDS", 0.01)
    clock = ManualClock(BEGIN + 2 * MINUTE)
    async with collector_kit(tmp_path / "spool.db", clock) as kit:
        store = EmbeddedStore(tmp_path / "store", clock=clock)
        rollups = Rollups(store, Marks(tmp_path / "rollups.db"), clock)
        drain = Drain(kit.spool, store, kit.site, clock, rollups)
        for second in range(0, 60, 10):
            await kit.put(message(BEGIN + second * 1000, {"r1-pdu": {"power_watts": second}}))
        async with Running(drain.run()):
            await until(lambda: rollups.written == 1)
    ((_, (found,)),) = store.history("power_1m", BEGIN, BEGIN + MINUTE)
    assert (found.time_ms, found.fields) == (BEGIN, {"power_watts": 25.0})
    assert found.tags == {
        "device": "r1-pdu", "hall": "hall-a", "rack": "r1", "row": "row-1", "site": "demo",
    }  # fmt: skip
