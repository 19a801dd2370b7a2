# SPDX-License-Identifier: Apache-2.0
"""The embedded store: what is written can be read, once, and goes when it is old."""

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.store import (
    EmbeddedSpec,
    EmbeddedStore,
    Row,
    StoreRefused,
    StoreUnavailable,
    measurements,
    open_store,
    read,
)
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.database import connect

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
DAY = 86_400_000
HOUR = 3_600_000


def row(device: str, time_ms: int = NOW, kind: str = "power", **fields: float | str) -> Row:
    return row_with(device, time_ms, kind, fields)


def row_with(device: str, time_ms: int, kind: str, fields: Mapping[str, float | str]) -> Row:
    tags = (("device", device), ("hall", "hall-a"), ("site", "demo"))
    return Row(kind, tags, fields or {"power_watts": 1.0}, time_ms)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[EmbeddedStore]:
    opened = EmbeddedStore(tmp_path / "store", clock=clock)
    await opened.start()
    yield opened
    await opened.aclose()


def stored(
    store: EmbeddedStore, measurement: str = "power"
) -> list[tuple[int, str, dict[str, float | str]]]:
    return [
        (item.time_ms, item.tags["device"], dict(item.fields))
        for item in read(store.directory, measurement)
    ]


async def test_what_is_written_can_be_read(store: EmbeddedStore) -> None:
    result = await store.write([row("a", power_watts=5.0), row("b", NOW + 1, voltage_volts=230.0)])
    assert (result.written, result.rejected) == (2, ())
    assert stored(store) == [
        (NOW, "a", {"power_watts": 5.0}),
        (NOW + 1, "b", {"voltage_volts": 230.0}),
    ]
    (first, _) = read(store.directory, "power")
    assert first.tags == {"device": "a", "hall": "hall-a", "site": "demo"}


async def test_a_replay_overwrites_itself_and_keeps_other_fields(store: EmbeddedStore) -> None:
    await store.write([row("a", power_watts=5.0, voltage_volts=230.0)])
    await store.write([row("a", power_watts=6.0)])
    await store.write([row("a", frequency_hertz=50.0)])
    assert stored(store) == [
        (NOW, "a", {"power_watts": 6.0, "voltage_volts": 230.0, "frequency_hertz": 50.0})
    ]


async def test_two_events_of_one_instant_both_stay(store: EmbeddedStore) -> None:
    events = [
        Row("event", (("code", code), ("device", "a")), {"text": code, "severity": "info"}, NOW)
        for code in ("xid_79", "lost", "xid_79")
    ]
    assert (await store.write(events)).written == 3
    assert [dict(item.tags)["code"] for item in read(store.directory, "event")] == [
        "lost",
        "xid_79",
    ]


async def test_reading_is_bounded_by_device_and_time(store: EmbeddedStore) -> None:
    await store.write([row(d, NOW + i * 1000) for i in range(5) for d in "ab"])
    found = list(read(store.directory, "power", "b", NOW + 1000, NOW + 3000))
    assert [item.time_ms - NOW for item in found] == [1000, 2000]
    assert list(read(store.directory, "nothing")) == []
    assert list(read(store.directory / "nowhere", "power")) == []


async def test_a_row_stands_in_the_file_of_its_day(store: EmbeddedStore) -> None:
    midnight = NOW - NOW % DAY
    await store.write([row("a", midnight), row("a", midnight - 1)])
    files = sorted(path.name for path in store.directory.glob("*.db"))
    assert files == ["raw-2026-09-20.db", "raw-2026-09-21.db"]
    assert [time for time, _, _ in stored(store)] == [midnight - 1, midnight]


async def test_reading_goes_on_over_many_pages(store: EmbeddedStore) -> None:
    rows = [row(f"d{i % 7}", NOW + i // 7) for i in range(12_345)]
    await store.write(rows)
    found = [(time, device) for time, device, _ in stored(store)]
    assert len(found) == 12_345
    assert found == sorted((r.time_ms, dict(r.tags)["device"]) for r in rows)


async def test_a_bad_row_goes_alone(store: EmbeddedStore) -> None:
    await store.write([row("a", power_watts=1.0)])
    bad = [
        row("x", power_watts="much"),
        row("x", power_watts=math.nan),
        row("x", -1),
        row("x", 5_000_000_000_000),
        row("x", NOW - 4 * DAY),
        row("x", hall=1.0),
        row("x", DEVICE=1.0),
        Row("power", (("site", "demo"),), {"power_watts": 1.0}, NOW),
    ]
    result = await store.write([*bad, row("b", power_watts=2.0, voltage_volts=math.inf)])
    assert [rejected for rejected, _ in result.rejected]
    assert len(result.rejected) == len(bad)
    assert all(reason for _, reason in result.rejected)
    assert result.written == 1
    assert stored(store) == [(NOW, "a", {"power_watts": 1.0}), (NOW, "b", {"power_watts": 2.0})]


async def test_days_go_when_they_are_old_and_rollups_stay(
    store: EmbeddedStore, clock: ManualClock
) -> None:
    await store.write([row("a"), row("a", kind="power_1h")])
    clock.advance(2 * 86400)
    await store.write([row("b", NOW + 2 * DAY)])
    assert len(stored(store)) == 2  # the first day still ends within 48 hours
    clock.advance(86400)
    await store.write([row("c", NOW + 3 * DAY)])
    assert [device for _, device, _ in stored(store)] == ["b", "c"]
    assert len(stored(store, "power_1h")) == 1
    assert not list(store.directory.glob("raw-2026-09-21*"))


async def test_the_oldest_days_go_when_there_is_too_much(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = EmbeddedStore(tmp_path, max_bytes=150_000, clock=clock)
    await store.start()
    for day in (2, 1, 0):
        await store.write([row(f"d{i}", NOW - day * DAY) for i in range(800)])
    clock.advance(61)
    await store.write([row("last", NOW + 1)])
    names = sorted(path.name for path in tmp_path.glob("raw*.db"))
    assert names[-1] == "raw-2026-09-21.db"
    assert len(names) < 3
    await store.aclose()


async def test_the_oldest_rows_go_when_one_day_is_too_much(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = EmbeddedStore(tmp_path, max_bytes=400_000, clock=clock)
    await store.start()
    sizes = []
    for minute in range(60):
        await store.write([row(f"d{i}", clock.now_ms()) for i in range(200)])
        clock.advance(61)
        sizes.append(sum(path.stat().st_size for path in tmp_path.glob("raw-*.db")))
        assert stored(store)[-1][0] == NOW + minute * 61_000  # the newest is never lost
    assert stored(store)[0][0] > NOW
    assert max(sizes) < 600_000
    await store.aclose()


async def test_a_reader_beside_the_writer_sees_whole_batches(store: EmbeddedStore) -> None:
    await store.write([row("a")])
    reader = read(store.directory, "power")
    assert next(reader).tags["device"] == "a"
    await store.write([row("b", NOW + 1)])
    assert len(stored(store)) == 2
    assert list(reader) == []  # a page is one view


async def test_readers_cannot_write(store: EmbeddedStore) -> None:
    await store.write([row("a")])
    connection = connect(next(store.directory.glob("raw-*.db")), read_only=True)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM power")
    connection.close()


async def test_a_locked_file_is_a_reason_to_try_again(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write([row("a")])

    def locked(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    monkeypatch.setattr("rackwatt.collector.store.embedded.connect", locked)
    other = connect(store.directory / "raw-2026-09-20.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.write([row("b", NOW - DAY)])
    other.execute("COMMIT")
    other.close()
    assert (await store.write([row("b", NOW - DAY)])).written == 1


async def test_a_damaged_file_is_for_a_person(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "raw-2026-09-21.db").write_bytes(b"this is no database" * 100)
    store = EmbeddedStore(tmp_path, clock=clock)
    await store.start()
    with pytest.raises(StoreRefused, match="not a database"):
        await store.write([row("a")])
    await store.aclose()


async def test_a_store_that_is_not_started_says_so(tmp_path: Path) -> None:
    store = open_store(EmbeddedSpec(tmp_path / "s"))
    with pytest.raises(StoreUnavailable, match="not started"):
        await store.write([row("a")])
    await store.aclose()


async def test_it_can_be_started_twice_and_reopened(tmp_path: Path, clock: ManualClock) -> None:
    for device in "ab":
        store = EmbeddedStore(tmp_path, clock=clock)
        await store.start()
        await store.start()
        await store.write([row(device)])
        await store.aclose()
        await store.aclose()
    assert [item.tags["device"] for item in read(tmp_path, "power")] == ["a", "b"]


async def test_other_files_in_the_folder_are_left_alone(
    store: EmbeddedStore, clock: ManualClock
) -> None:
    for name in ("raw-2020-13-01.db", "rollups-2020-01-01.db", "readme.db", "raw-2020-01.db"):
        (store.directory / name).write_bytes(b"mine")
    clock.advance(10 * 86400)
    await store.write([row("a", clock.now_ms())])
    assert len(list(store.directory.glob("r*.db"))) == 5
    assert list(measurements(store.directory)) == ["power"]


names = st.sampled_from(["a", "b", "c"])
writes = st.lists(
    st.lists(
        st.tuples(
            names,
            st.integers(-2, 2),
            st.dictionaries(st.sampled_from("xyz"), st.floats(allow_nan=False), min_size=1),
        ),
        max_size=6,
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=25)
@given(writes)
def test_it_behaves_like_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[str, int, dict[str, float]]]],
) -> None:
    """(time, device) to fields, later writes over earlier ones: nothing more."""
    directory = tmp_path_factory.mktemp("store")
    model: dict[tuple[int, str], dict[str, float]] = {}

    async def scenario() -> None:
        store = EmbeddedStore(directory, clock=ManualClock(NOW), keep_seconds=1e9)
        await store.start()
        for batch in batches:
            for device, days, fields in batch:
                finite = {k: v for k, v in fields.items() if math.isfinite(v)}
                if finite:
                    model.setdefault((NOW + days * DAY, device), {}).update(finite)
            rows = [row_with(d, NOW + days * DAY, "power", f) for d, days, f in batch]
            await store.write(rows)
        await store.aclose()

    asyncio.run(scenario())
    found = {(r.time_ms, r.tags["device"]): dict(r.fields) for r in read(directory, "power")}
    assert found == model


async def test_of_one_batch_the_later_row_counts_whatever_its_fields(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, clock=ManualClock(NOW), keep_seconds=1e9)
    await store.start()
    nan = float("nan")
    for fields in (
        [{"x": 0.0}, {"x": 0.0}, {"x": 1.0, "y": 0.0}, {"x": 2.0}],
        [{"x": 2.0, "y": 2.0}, {"x": nan, "y": 1.0}, {"x": 3.0, "y": 3.0}],
    ):
        await store.write([row_with("a", NOW, "power", one) for one in fields])
        (found,) = read(tmp_path, "power", "a")
        assert found.fields["x"] == fields[-1]["x"]
    await store.aclose()
    assert found.fields == {"x": 3.0, "y": 3.0}


async def test_no_write_waits_on_the_loop(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocking work is another thread's."""
    import threading

    seen: list[threading.Thread] = []
    original: Callable[..., object] = EmbeddedStore._write

    def watched(self: EmbeddedStore, rows: list[Row]) -> object:
        seen.append(threading.current_thread())
        return original(self, rows)

    monkeypatch.setattr(EmbeddedStore, "_write", watched)
    await store.write([row("a")])
    await store.write([row("b")])
    assert len(set(seen)) == 1
    assert seen[0] is not threading.main_thread()
