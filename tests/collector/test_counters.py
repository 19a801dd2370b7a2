# SPDX-License-Identifier: Apache-2.0
"""GPU counters in the ledger: a few numbers a quarter hour, whatever the order of arrival."""

import sqlite3
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.ledger.counters import (
    COUNTERS_SCHEMA,
    QUARTER_MS,
    Counted,
    CounterEvent,
    CounterRecord,
    Counters,
)

Q0 = 1_780_000_000_000 // QUARTER_MS * QUARTER_MS
CADENCE = 10_000
GPU = "n1/GPU-a"


def opened() -> Counters:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(COUNTERS_SCHEMA)
    return Counters(database)


def reading(
    seconds: float, value: float, device: str = GPU, *, trusted: bool = True
) -> CounterRecord:
    at = Q0 + round(seconds * 1000)
    return CounterRecord(device, at, value, at + 500, trusted=trusted)


def steady(
    seconds: Iterable[int], watts: float = 360.0, start: float = 5000.0
) -> list[CounterRecord]:
    return [reading(s, start + watts * s / 3600.0) for s in seconds]


def one(counters: Counters, quarter: int = 0) -> Counted:
    (found,) = counters.quarter(Q0 + quarter * QUARTER_MS, ["n1"])["n1"]
    return found


def test_edges_are_interpolated() -> None:
    counters = opened()
    counters.add(steady(range(-5, 3600, 10)))
    for quarter in range(3):
        found = one(counters, quarter)
        assert found.watt_hours == pytest.approx(90.0, rel=1e-9)
        assert found.complete
        assert not found.reset


def test_the_last_quarter_ends_with_the_next_ones_first_reading() -> None:
    counters = opened()
    counters.add(steady(range(0, 895, 10)))
    assert not one(counters).complete
    assert one(counters).watt_hours == pytest.approx(89.0)
    assert counters.add(steady([905])) == {Q0, Q0 + QUARTER_MS}
    assert one(counters).watt_hours == pytest.approx(90.0)
    assert one(counters).complete


def test_a_reading_bears_on_its_own_quarter_and_on_what_it_bridges() -> None:
    counters = opened()
    assert counters.add(steady([10])) == {Q0}
    assert counters.add(steady([20, 30])) == {Q0}
    before = {Q0 + n * QUARTER_MS for n in range(-4, 1)}
    assert counters.add(steady([5])) == before
    assert counters.add(steady([20])) == {Q0}
    assert counters.add(steady([3 * 900 + 5])) == {Q0 + n * QUARTER_MS for n in range(4)}
    assert counters.add(steady([40])) == {Q0 + n * QUARTER_MS for n in range(-4, 5)}
    counters.forget()
    assert counters.add(steady([3 * 900 + 50])) == {Q0 + 3 * QUARTER_MS}
    assert one(counters, 1).watt_hours == pytest.approx(90.0)
    assert one(counters, 1).complete


def test_silence_of_more_than_an_hour_is_not_bridged() -> None:
    counters = opened()
    counters.add(steady([890, 895 + 3600]))
    assert one(counters, 2) == Counted("GPU-a", 0.0, False, False)
    counters = opened()
    counters.add(steady([890, 890 + 3600]))
    assert one(counters, 2).watt_hours == pytest.approx(90.0)


def test_a_counter_that_starts_anew_leaves_a_piece_unknown() -> None:
    counters = opened()
    before = steady(range(-5, 400, 10))
    after = [reading(s, 0.1 * (s - 400)) for s in range(405, 905, 10)]
    counters.add(before + after)
    found = one(counters)
    assert (found.complete, found.reset) == (False, True)
    # Only the edges are known: 5 s of 360 W before it, 5 s at the end.
    assert found.watt_hours == pytest.approx(0.5, abs=1e-6)
    (event,) = counters.events(Q0, Q0 + QUARTER_MS)
    assert event == CounterEvent(Q0, GPU, before[-1].watt_hours, 0.5)


def test_a_restart_that_ends_above_its_start_is_seen_too() -> None:
    counters = opened()
    counters.add([reading(-5, 49.0), reading(5, 50.0), reading(100, 90.0), reading(200, 3.0)])
    counters.add([reading(800, 120.0), reading(905, 130.0)])
    assert one(counters).reset
    assert len(list(counters.events(Q0, Q0 + QUARTER_MS))) == 1


def test_a_restart_between_two_quarters() -> None:
    counters = opened()
    counters.add([*steady(range(-5, 900, 10)), reading(905, 1.0), reading(1700, 80.0)])
    first, second = one(counters), one(counters, 1)
    assert (first.complete, first.reset) == (False, False)
    assert (second.complete, second.reset) == (False, True)
    assert second.watt_hours == pytest.approx(79.0)
    (event,) = counters.events(Q0, Q0 + 2 * QUARTER_MS)
    assert (event.quarter_ms, event.code, event.after) == (Q0 + QUARTER_MS, "driver_reload", 1.0)
    # Between two readings around a silent quarter it is seen as well.
    counters.add([reading(3 * 900 + 5, 2.0)])
    assert one(counters, 2) == Counted("GPU-a", 0.0, False, True)


def test_what_cannot_be_believed_is_not_counted() -> None:
    counters = opened()
    assert counters.add([reading(0, 1.0, trusted=False), reading(0, 1.0, "n1")]) == set()
    late = CounterRecord(GPU, Q0, 1.0, Q0 - 400_000)
    old = CounterRecord(GPU, Q0, 1.0, Q0 + 36 * 86_400_000)
    assert counters.add([late, old]) == set()
    assert counters.gpus("n1", Q0) == []


def test_which_gpus_sit_in_a_node() -> None:
    counters = opened()
    counters.add([reading(0, 1.0, "n1/GPU-a"), reading(0, 1.0, "n1/GPU-b"), reading(0, 1, "n2/x")])
    # Silent, as a node that is switched off: its GPUs are still there.
    assert counters.gpus("n1", Q0 + 9 * QUARTER_MS) == ["GPU-a", "GPU-b"]
    assert counters.gpus("n1", Q0 - QUARTER_MS) == []
    # GPU-b is replaced by GPU-c; GPU-a goes on.
    later = 10 * 900
    counters.add([reading(later, 9.0, "n1/GPU-c"), reading(later, 9.0, "n1/GPU-a")])
    assert counters.gpus("n1", Q0 + 12 * QUARTER_MS) == ["GPU-a", "GPU-c"]
    assert counters.gpus("n1", Q0 + 5 * QUARTER_MS) == ["GPU-a", "GPU-b"]
    counters.forget()
    assert counters.gpus("n1", Q0 + 12 * QUARTER_MS) == ["GPU-a", "GPU-c"]
    assert counters.quarter(Q0, ["n3"]) == {"n3": []}


def test_old_pieces_are_dropped() -> None:
    counters = opened()
    counters.add(steady(range(0, 9 * 900, 300)))
    assert counters.compact(Q0 + 6 * QUARTER_MS) == 2
    assert one(counters, 6).complete
    counters = opened()
    counters.add(steady([0]))
    counters.forget()
    assert counters.compact(Q0 + 99 * QUARTER_MS) == 1
    assert Q0 in counters.add(steady([10]))


def state(counters: Counters) -> list[Sequence[object]]:
    rows = counters._db.execute(
        "SELECT device, first_quarter_ms, last_quarter_ms, counters.* FROM gpus"
        " JOIN counters ON id = series ORDER BY device, quarter_ms"
    ).fetchall()
    return [row[:4] + row[5:] for row in rows]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["n1/a", "n1/b", "n2/a"]), st.integers(-900, 4000), st.floats(0, 900)
        ),
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_order_and_repetition_do_not_matter(
    values: list[tuple[str, int, float]],
    chance: "st.random.Random",  # type: ignore[name-defined]
) -> None:
    records = [reading(seconds, value, device) for device, seconds, value in values]
    straight, shuffled = opened(), opened()
    straight.add(records)
    again = records + records[::2]
    chance.shuffle(again)
    for start in range(0, len(again), 7):
        shuffled.add(again[start : start + 7])
    assert state(straight) == state(shuffled)
    span = range(-1, 5)
    for quarter in span:
        at = Q0 + quarter * QUARTER_MS
        nodes = ["n1", "n2"]
        assert straight.quarter(at, nodes) == shuffled.quarter(at, nodes)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=3, max_size=60))
def test_quarters_add_up_to_the_counter(steps: list[int]) -> None:
    counters = opened()
    at, value, records = -1, 100.0, []
    for step in [*steps, 400, 400, 400]:
        records.append(reading(at, value))
        at, value = at + step + 1, value + step / 7.0
    counters.add(records)
    whole = 0.0
    last = records[-1].time_ms // QUARTER_MS * QUARTER_MS
    quarters = list(range(Q0, last, QUARTER_MS))
    for quarter in quarters:
        (found,) = counters.quarter(quarter, ["n1"])["n1"]
        assert found.complete
        whole += found.watt_hours
    times = [r.time_ms for r in records]

    def shown(instant: int) -> float:
        index = max(i for i, t in enumerate(times) if t <= instant)
        left, right = records[index], records[min(index + 1, len(records) - 1)]
        if right.time_ms == left.time_ms:
            return left.watt_hours
        part = (instant - left.time_ms) / (right.time_ms - left.time_ms)
        return left.watt_hours + part * (right.watt_hours - left.watt_hours)

    if quarters:
        assert whole == pytest.approx(shown(last) - shown(Q0), rel=1e-9, abs=1e-9)


def test_many_gpus_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = opened()
    records = [
        reading(s, 10.0 + s / 10.0, f"n{n}/GPU-{g}")
        for s in range(-5, 920, 300)
        for n in range(6)
        for g in range(4)
    ]
    counters.add(records)
    nodes = [f"n{n}" for n in range(5)]
    slow = counters.quarter(Q0, nodes)
    monkeypatch.setattr("rackwatt.collector.ledger.counters._FEW", 3)
    assert counters.quarter(Q0, nodes) == slow
    assert sum(len(found) for found in slow.values()) == 20
