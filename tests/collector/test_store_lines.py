# SPDX-License-Identifier: Apache-2.0
"""Line protocol: golden lines, and what any row becomes."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.store import Row
from rackwatt.collector.store.lines import LineEncoder, Unencodable

TAGS = (("device", "r1-01-n1/GPU-9f"), ("hall", "hall-a"), ("site", "demo"))


def row(fields: dict[str, float | str], tags: tuple[tuple[str, str], ...] = TAGS) -> Row:
    return Row("gpu", tags, fields, 1_790_000_000_000)


@pytest.mark.parametrize(
    ("given_row", "line"),
    [
        (
            row({"power_watts": 312.5, "utilization_ratio": 1.0}),
            ("gpu,device=r1-01-n1/GPU-9f,hall=hall-a,site=demo"
            " power_watts=312.5,utilization_ratio=1.0 1790000000000"),
        ),
        (
            Row("event", (("code", "xid_79"), ("device", "n/G")), {"text": 'a "b" \\ c'}, 5),
            'event,code=xid_79,device=n/G text="a \\"b\\" \\\\ c" 5',
        ),
        (
            Row("my kind", (("a b", "c,d=e f"), ("empty", "")), {"x y": 0.0, "%d": -1e300}, -1),
            "my\\ kind,a\\ b=c\\,d\\=e\\ f x\\ y=0.0,%d=-1e+300 -1",
        ),
        (row({"a": math.nan, "b": 2.0, "c": math.inf}, ()), "gpu b=2.0 1790000000000"),
        (row({"a": 1.7e308, "b": 1.7e308}, ()), "gpu a=1.7e+308,b=1.7e+308 1790000000000"),
        (row({"whole": 3, "truth": True, "zero": -0.0}, ()),
         "gpu whole=3.0,truth=1.0,zero=-0.0 1790000000000"),
    ],
)  # fmt: skip
def test_golden_lines(given_row: Row, line: str) -> None:
    encoder = LineEncoder()
    assert encoder.line(given_row) == line
    assert encoder.line(given_row) == line  # from what it remembers


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row({}), "no value"),
        (row({"a": math.nan}), "no finite value"),
        (row({"a\\": 1.0}), "backslash"),
        (row({"": 1.0}), "cannot be written"),
        (row({"a": 1.0}, (("device", "a\nb"),)), "control character"),
        (row({"a": 1.0}, (("device", "a\\"),)), "backslash"),
        (Row("#x", (), {"a": 1.0}, 0), "measurement"),
        (Row("", (), {"a": 1.0}, 0), "measurement"),
        (Row("x", (), {"a": 1.0}, 2**60), "64-bit"),
    ],
)
def test_what_cannot_be_carried_is_rejected_alone(bad: Row, reason: str) -> None:
    good = row({"a": 1.0})
    encoded = LineEncoder().encode([bad, good])
    assert encoded.rows == [good]
    assert len(encoded.lines) == 1
    ((rejected, said),) = encoded.rejected
    assert rejected is bad
    assert reason in said


def parse(line: str) -> tuple[str, dict[str, str], dict[str, float | str], int]:
    """A line taken apart by the rules of the protocol, without looking at the encoder."""

    def split(text: str, mark: str) -> list[str]:
        parts, part, quote, i = [], "", False, 0
        while i < len(text):
            if text[i] == "\\" and i + 1 < len(text):
                part += text[i : i + 2]
                i += 2
                continue
            if text[i] == '"' and mark != "=":
                quote = not quote
            if text[i] == mark and not quote:
                parts.append(part)
                part = ""
            else:
                part += text[i]
            i += 1
        return [*parts, part]

    def plain(text: str) -> str:
        return text.replace("\\,", ",").replace("\\ ", " ").replace("\\=", "=")

    head, fields, moment = split(line, " ")
    measurement, *tags = split(head, ",")
    values: dict[str, float | str] = {}
    for item in split(fields, ","):
        name, value = split(item, "=")[0], item[len(split(item, "=")[0]) + 1 :]
        if value.startswith('"'):
            assert value.endswith('"')
            values[plain(name)] = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        else:
            assert not value.endswith(("i", "u", "t", "f")) or value in {"inf", "nan"}
            values[plain(name)] = float(value)
    named = dict(split(tag, "=") for tag in tags)
    return plain(measurement), {plain(k): plain(v) for k, v in named.items()}, values, int(moment)


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters='\\"'), min_size=1, max_size=12
).filter(lambda text: text.isprintable() and not text.startswith("#"))
tag_lists = st.dictionaries(names, names, max_size=4).map(lambda tags: tuple(sorted(tags.items())))
numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\\'), max_size=9)


@given(
    names,
    tag_lists,
    st.dictionaries(names, numbers | texts, min_size=1, max_size=5),
    st.integers(0, 4_000_000_000_000),
)
def test_what_is_written_can_be_read_back(
    measurement: str,
    tags: tuple[tuple[str, str], ...],
    fields: dict[str, float | str],
    time_ms: int,
) -> None:
    line = LineEncoder().line(Row(measurement, tags, fields, time_ms))
    found, found_tags, found_fields, found_time = parse(line)
    assert (found, found_tags, found_time) == (measurement, dict(tags), time_ms)
    assert found_fields.keys() == fields.keys()
    for name, value in fields.items():
        other = found_fields[name]
        if isinstance(value, str):
            assert other == value
        else:
            assert isinstance(other, float)
            assert struct.pack("d", other) == struct.pack("d", value)  # to the last bit


@given(st.dictionaries(names, st.floats() | st.booleans() | st.integers(-5, 5), max_size=5))
def test_nan_and_infinity_are_never_written(fields: dict[str, float]) -> None:
    finite = {name: value for name, value in fields.items() if math.isfinite(value)}
    try:
        line = LineEncoder().line(Row("m", (), dict(fields), 0))
    except Unencodable:
        assert not finite
        return
    assert parse(line)[2] == {name: float(value) for name, value in finite.items()}
