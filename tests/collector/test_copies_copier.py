# SPDX-License-Identifier: Apache-2.0
"""The ledger's copy in both stores: complete, idempotent, and unknown where the ledger is."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from collecting import small_site
from collector.books import BEGIN, HOUR, MINUTE, PLAIN, hour_of, ledger, record
from doubles import Running, until

from rackwatt.collector.copies.copier import Copier
from rackwatt.collector.copies.spans import Spans
from rackwatt.collector.ledger import InputRecord, Ledger
from rackwatt.collector.store import EmbeddedStore, InfluxStore, Row, StoreUnavailable, read
from rackwatt.collector.store.base import WriteResult
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import ManualClock
from servers.fixtures import InfluxBucket, influx_bucket, influxdb

__all__ = ["influx_bucket", "influxdb"]  # fixtures

HOURS = 2
FIGURE = "residual_watt_hours"


class Desk:
    """A ledger of two hours and copiers of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(BEGIN + HOURS * HOUR + 40_000)
        self.book: Ledger = ledger(folder / "ledger.db", PLAIN, 100.0)
        self.cursors: dict[str, int] = {}

    def take(self, records: Sequence[InputRecord]) -> None:
        self.book.apply(records, 1)
        self.book.close_intervals(self.clock.now_ms())

    async def save(self, name: str, number: int) -> None:
        self.cursors[name.partition(":")[0]] = number
        self.book.apply((), number, name)

    def copier(self, store: EmbeddedStore | InfluxStore) -> Copier:
        return Copier(small_site(), self.folder / "ledger.db", store, self.save, self.clock)

    async def copy(self, store: EmbeddedStore | InfluxStore) -> None:
        copier = self.copier(store)
        await copier.open()
        await copier.finish()
        await copier.aclose()

    def embedded(self) -> EmbeddedStore:
        return EmbeddedStore(self.folder / "books", clock=self.clock)

    def expected(self) -> dict[int, float | None]:
        return {row.start_ms: row.data["residual"] for row in self.book.rows(0, 2**60)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def minutes(first: int, last: int, step: int = 20) -> list[InputRecord]:
    return hour_of(range(first * 60, last * 60 + 1, step))


def known(rows: Sequence[Mapping[str, Any]], figure: str) -> dict[int, float | None]:
    """As a reader must: a figure counts only while its `_known` is 1."""
    return {row["time"]: row[figure] if row[f"{figure}_known"] == 1.0 else None for row in rows}


def in_embedded(desk: Desk, name: str = "site_figures") -> list[dict[str, Any]]:
    return [
        {"time": row.time_ms, **row.tags, **row.fields} for row in read(desk.folder / "books", name)
    ]


async def test_the_copy_says_what_the_ledger_says(desk: Desk) -> None:
    desk.take(minutes(0, 120))
    await desk.copy(desk.embedded())
    found = in_embedded(desk)
    assert len(found) == 120
    assert known(found, FIGURE) == desk.expected()
    assert {row["revision"] for row in found} <= {1.0, 2.0}
    assert desk.cursors["copy"] == desk.cursors["sums"] == desk.book.head_seq()


async def test_known_unknown_known_reads_so_in_the_embedded_store(desk: Desk) -> None:
    await known_unknown_known(desk, desk.embedded, lambda: in_embedded(desk))


async def test_known_unknown_known_reads_so_in_influxdb(
    desk: Desk, influx_bucket: InfluxBucket
) -> None:
    def store() -> InfluxStore:
        place = influx_bucket
        return InfluxStore(url=place.url, org=place.org, bucket=place.bucket, token=place.token)

    def rows() -> list[dict[str, Any]]:
        return influx_bucket.query_influxql("SELECT * FROM site_figures")

    await known_unknown_known(desk, store, rows)
    # As a dashboard asks: what became known again counts, nothing stale does.
    query = f"SELECT sum({FIGURE}) FROM site_figures WHERE {FIGURE}_known = 1"  # noqa: S608
    (found,) = influx_bucket.query_influxql(query)
    assert found["sum"] == pytest.approx(sum(v for v in desk.expected().values() if v is not None))


async def known_unknown_known(desk: Desk, store: Any, rows: Any) -> None:
    """The grid meter turns out to count export, which nobody has read yet; then it is read."""
    desk.take(minutes(0, 30))
    await desk.copy(store())
    first = known(await asyncio.to_thread(rows), FIGURE)
    assert first == desk.expected()
    at = BEGIN + 10 * MINUTE
    assert first[at] is not None

    desk.take([record("g", 1800, power_export_watts=0.0, energy_export_watt_hours=5.0)])
    assert desk.expected()[at] is None
    await desk.copy(store())
    second = await asyncio.to_thread(rows)
    assert known(second, FIGURE) == desk.expected()
    stale = {row["time"]: row for row in second}[at]
    assert stale[FIGURE] == first[at], "the old value is still there"
    assert stale[f"{FIGURE}_known"] == 0.0, "and is said to be unknown"

    desk.take(
        [
            record("g", s, power_export_watts=0.0, energy_export_watt_hours=5.0)
            for s in range(0, 1800, 20)
        ]
    )
    assert desk.expected()[at] is not None
    await desk.copy(store())
    third = await asyncio.to_thread(rows)
    assert known(third, FIGURE) == desk.expected()
    assert {row["time"]: row["revision"] for row in third}[at] >= 3.0


async def test_a_restart_copies_nothing_twice_and_another_store_gets_all(
    desk: Desk, tmp_path: Path
) -> None:
    desk.take(minutes(0, 60))
    await desk.copy(desk.embedded())
    copier = desk.copier(desk.embedded())
    await copier.open()
    await copier.finish()
    assert copier.points == 0
    await copier.aclose()
    fresh = EmbeddedStore(tmp_path / "another", clock=desk.clock)
    await desk.copy(fresh)
    assert list(read(tmp_path / "another", "energy_balance")) == list(
        read(desk.folder / "books", "energy_balance")
    )


class Flaky:
    """A store that is down for a while, and dies in the middle of a write."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.store = store
        self.failures = 0
        self.writes = 0

    def identity(self) -> str:
        return self.store.identity()

    async def start(self) -> None:
        await self.store.start()

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        self.writes += 1
        if self.failures:
            self.failures -= 1
            await self.store.write(rows[: len(rows) // 2])
            raise StoreUnavailable("the store is down")
        return await self.store.write(rows)

    async def aclose(self) -> None:
        await self.store.aclose()


async def test_a_store_that_is_down_gets_all_later_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.001)
    monkeypatch.setattr("rackwatt.collector.copies.copier.PAUSE_SECONDS", 0.001)
    caplog.set_level(logging.WARNING)
    desk.take(minutes(0, 60))
    store = Flaky(desk.embedded())
    store.failures = 5
    copier = desk.copier(store)  # type: ignore[arg-type]
    async with Running(copier.run()):
        await until(lambda: bool(copier.error))
        assert not copier.up
        await until(lambda: copier.up and copier.lag_entries == 0 and copier.lag_sums == 0)
        desk.take(minutes(60, 62))
        await until(lambda: copier.lag_entries == 0 and copier._copied == desk.book.head_seq())
    assert known(in_embedded(desk), FIGURE) == desk.expected()
    assert caplog.text.count("the store is down") == 1, "said once, not at each attempt"
    assert (copier.error, copier.refused) == ("", 0)
    assert copier.failed_ms is not None


async def test_a_crash_between_store_and_cursor_repeats_harmlessly(desk: Desk) -> None:
    desk.take(minutes(0, 60))

    class Killed(Exception):  # noqa: N818
        pass

    async def crash(name: str, number: int) -> None:
        raise Killed

    copier = Copier(small_site(), desk.folder / "ledger.db", desk.embedded(), crash, desk.clock)
    await copier.open()
    with pytest.raises(Killed):
        await copier.finish()
    await copier.aclose()
    await desk.copy(desk.embedded())
    assert known(in_embedded(desk), FIGURE) == desk.expected()


# -- when sums are made ------------------------------------------------------------------------


def test_a_span_that_goes_on_changing_is_summed_now_and_then() -> None:
    spans = Spans(small_site().timezone)
    spans.touch("interval", BEGIN, 1)
    first = spans.due(0.0, BEGIN + MINUTE)
    assert [item.every for item, _ in first] == ["1h", "1d", "1mo"]
    assert len(spans) == 0
    made: dict[str, int] = {}
    for second in range(1, 1800):
        if second % 60 == 0:
            spans.touch("interval", BEGIN + second // 60 * MINUTE, 1 + second // 60)
        for item, _ in spans.due(float(second), BEGIN + second * 1000):
            made[item.every] = made.get(item.every, 0) + 1
    assert made == {"1h": 29, "1d": 2}
    assert spans.passed(99) == 1, "the month has waited since the second entry"


def test_a_span_that_is_over_is_summed_at_once_and_for_good() -> None:
    spans = Spans(small_site().timezone)
    spans.touch("interval", BEGIN + HOUR - 2 * MINUTE, 1)
    spans.due(0.0, BEGIN + HOUR - MINUTE)
    spans.touch("interval", BEGIN + HOUR - MINUTE, 2)
    due = spans.due(1.0, BEGIN + HOUR)
    assert [(item.every, item.start_ms) for item, _ in due] == [("1h", BEGIN)]


def test_a_backlog_is_summed_in_bounded_turns_and_what_failed_again() -> None:
    spans = Spans(small_site().timezone)
    for hour in range(24 * 70):
        spans.touch("interval", BEGIN + hour * HOUR, hour + 1)
    waiting = len(spans)
    due = spans.due(0.0, BEGIN + 2000 * HOUR)
    assert [sum(item.every == every for item, _ in due) for every in ("1h", "1d", "1mo")] == [
        60, 5, 1,
    ]  # fmt: skip
    assert len(spans) == waiting - 66
    spans.back(due)
    assert len(spans) == waiting
    assert spans.passed(24 * 70) == 0
    turns = 0
    while len(spans):
        spans.due(0.0, BEGIN + 2000 * HOUR)
        turns += 1
    assert turns == 28
    assert spans.passed(24 * 70) == 24 * 70
