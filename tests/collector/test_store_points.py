# SPDX-License-Identifier: Apache-2.0
"""Points: the same rows as objects would be, the same lines, the same rollups, to the bit."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.site import Placement
from rackwatt.collector.store.gathering import Gathered, Layout
from rackwatt.collector.store.lines import LineEncoder, encode_points
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.rollups import MINUTE_MS, MINUTE_RULES, ROLLED, fold
from rackwatt.collector.store.series import Series
from rackwatt.collector.store.sorting import parts_of

NAMES = ["power_watts", "power_min_watts", "temperature_celsius", "energy_import_watt_hours"]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WHERE = ("demo", Placement("hall-a", "row 1", "r=1"))
SERIES = [Series("gpu", f"n,{n}/GPU", n, WHERE) for n in range(4)]
VALUES = st.dictionaries(st.sampled_from(NAMES), FLOATS | st.none(), max_size=4)


def parsed(line: bytes) -> tuple[bytes, dict[str, float], int]:
    """Head, fields and time; tags here hold no bare space."""
    rest, _, time_ms = line.rpartition(b" ")
    head, _, fields = rest.rpartition(b" ")
    pairs = (each.split(b"=") for each in fields.split(b","))
    return head, {name.decode(): float(value) for name, value in pairs}, int(time_ms)


@given(st.lists(st.tuples(st.integers(0, 3), VALUES, st.integers(0, 2**45)), max_size=20))
def test_lines_read_back_as_the_same_rows(
    rows: Sequence[tuple[int, dict[str, float | None], int]],
) -> None:
    points = Points([SERIES[n] for n, _, _ in rows], [v for _, v, _ in rows], [t for *_, t in rows])
    lines, kept, refused = encode_points(points)
    full = [row for row in points if row.fields]
    late = [row for row in full if row.time_ms >= 2**63 // 10**6]
    assert sorted(row.time_ms for row, _ in refused) == sorted(row.time_ms for row in late)
    sound = [row for row in full if row not in late]
    assert list(kept) == sound
    encoder = LineEncoder()
    for line, row in zip(lines, sound, strict=True):
        assert parsed(line) == parsed(encoder.line(row).encode())


@pytest.mark.parametrize("number", [1e22, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 2.0**53])
def test_floats_stay_what_they_are(number: float) -> None:
    ((line,), _, _) = encode_points(Points([SERIES[0]], [{"power_watts": number}], [1]))
    ((_, fields, _),) = [parsed(line)]
    assert repr(fields["power_watts"]) == repr(number)


def test_a_device_whose_name_no_line_can_carry_is_refused_alone() -> None:
    bad = Series("gpu", "back\\slash", 9, WHERE)
    points = Points([SERIES[0], bad, SERIES[1]], [{"power_watts": 1.0}] * 3, [1, 2, 3])
    lines, kept, ((row, reason),) = encode_points(points)
    assert len(lines) == 2
    assert [each.time_ms for each in kept] == [1, 3]
    assert (row.time_ms, "backslash" in reason) == (2, True)


def test_rollups_are_written_under_their_own_names() -> None:
    points = Points([SERIES[0]], [{"power_watts": 1.0}], [60_000], "_1m")
    ((line,), _, _) = encode_points(points)
    assert line.startswith(b"gpu_1m,device=n\\,0/GPU,hall=hall-a,")
    assert points[0].measurement == "gpu_1m"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1e9) | st.none(), min_size=1),
        ),
        max_size=30,
    ),
    st.integers(1, 30),
)
def test_what_is_gathered_is_what_is_folded(
    rows: Sequence[tuple[int, dict[str, float | None]]], size: int
) -> None:
    gathered = Gathered(Layout(MINUTE_RULES["gpu"]), 1)
    points = Points([SERIES[n] for n, _ in rows], [v for _, v in rows], list(range(len(rows))))
    for start in range(0, len(rows), size):
        # One shape at a time keeps the order of time, which is what a device's own rows have.
        for number in range(start, min(start + size, len(rows))):
            for part in parts_of(points[number : number + 1]):
                assert part.minute == 0
                assert not gathered.add(
                    part.names, part.series, part.numbers, part.times, part.values
                )
    found = {
        row.tags: dict(row.fields)
        for part, _ in gathered.parts(3, "_1m", 0)
        for row in part
        if row.fields
    }
    folded = {
        series.tags(): fold(
            MINUTE_RULES["gpu"],
            [(row.time_ms, row.fields) for row in points if row.tags == series.tags()],
        )
        for series in SERIES
    }
    assert found == {tags: made for tags, made in folded.items() if made}


def test_rows_that_are_not_newer_are_left_to_be_read_back() -> None:
    gathered = Gathered(Layout(MINUTE_RULES["gpu"]), 1)
    times = [10, 20, 20, 15, 30]
    points = Points([SERIES[1]] * 5, [{"power_watts": float(t)} for t in times], times)
    (part,) = parts_of(points)
    old = gathered.add(part.names, part.series, part.numbers, part.times, part.values)
    assert old == [SERIES[1], SERIES[1]]
    gathered.left.add(SERIES[1].device)
    assert [len(made) for made, _ in gathered.parts(5, "_1m", 0)] == [0]


def test_many_devices_and_minutes_are_sorted_and_kept_apart() -> None:
    chance = random.Random(3)  # noqa: S311 - repeatable
    series = [Series("climate", f"probe-{n}", n, WHERE) for n in range(3000)]
    picked = [chance.choice(series) for _ in range(5000)]
    times = [chance.randrange(3 * MINUTE_MS) for _ in picked]
    points = Points(picked, [{"temperature_celsius": float(t)} for t in times], times)
    parts = parts_of(points)
    assert sum(len(part.series) for part in parts) == 5000
    for part in parts:
        assert (part.times - part.times % MINUTE_MS == part.minute).all()
        assert [one.number for one in part.series] == part.numbers.tolist()
        assert (part.values[:, 0] == part.times).all()
        assert isinstance(part.values, np.ndarray)


def test_every_kind_can_be_gathered() -> None:
    for kind in ROLLED:
        layout = Layout(MINUTE_RULES[kind])
        made = [name for results in MINUTE_RULES[kind].values() for name, _ in results]
        assert sorted(layout.names) == sorted(made)
