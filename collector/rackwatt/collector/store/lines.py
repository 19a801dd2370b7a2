# SPDX-License-Identifier: Apache-2.0
"""Rows to InfluxDB line protocol.

A row becomes one line. The part before the fields is remembered per device, and the fields are
put into a template that is made once per set of field names: several times as fast as the client
library's `Point` (`benchmarks/store_encode.py`). Points take half of that: a JSON encoder writes
the floats of thousands of rows at once (the shortest text that reads back as the same number), and
what makes it line protocol is done to the whole text.

Rules: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from rackwatt.collector.store.base import Row
from rackwatt.collector.store.points import Points, Values
from rackwatt.collector.store.series import Series, Tags, tags_of

_KEPT: Final = 500_000
_ONLY_FLOATS: Final = frozenset({float})
_NAME: Final = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_MEASUREMENT: Final = str.maketrans({",": "\\,", " ": "\\ "})
_STRING: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_LOW, _HIGH = -(2**63) // 10**6, 2**63 // 10**6 - 1  # a time is kept as 64-bit nanoseconds


_TO_LINES: Final = bytes.maketrans(b":", b"=")
_json: Final = msgspec.json.Encoder().encode


class Unencodable(ValueError):  # noqa: N818
    """A row that line protocol cannot carry."""


@dataclass(slots=True)
class Encoded:
    """Lines with the rows that they came from, and rows that gave none."""

    lines: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    rejected: list[tuple[Row, str]] = field(default_factory=list)


class LineEncoder:
    """Encodes rows, times in milliseconds. Not thread-safe."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
        self._templates: dict[tuple[str, ...], str] = {}

    def encode(self, rows: Iterable[Row]) -> Encoded:
        """Encode what can be encoded."""
        result = Encoded()
        for row in rows:
            try:
                line = self.line(row)
            except Unencodable as error:
                result.rejected.append((row, str(error)))
            else:
                result.lines.append(line)
                result.rows.append(row)
        return result

    def line(self, row: Row) -> str:
        """One row as one line, without the line feed.

        Raises:
            Unencodable: a name holds what cannot be escaped, or nothing finite is left.
        """
        key = (row.measurement, row.tags)
        head = self._heads.get(key)
        if head is None:
            head = self._head(row)
        if not _LOW <= row.time_ms <= _HIGH:
            raise Unencodable(f"time {row.time_ms} ms is beyond 64-bit nanoseconds")
        values = tuple(row.fields.values())
        # One sum finds a NaN or an infinity; an overflow of it only costs the slower way.
        if _ONLY_FLOATS.issuperset(map(type, values)) and math.isfinite(sum(values)):  # type: ignore[arg-type]
            if not values:
                raise Unencodable("no value")
            names = tuple(row.fields)
            template = self._templates.get(names)
            if template is None:
                template = self._template(names)
            return template % (head, *values, row.time_ms)
        return f"{head} {_mixed(row)} {row.time_ms}"

    def _head(self, row: Row) -> str:
        head = _head(row.measurement, row.tags)
        if len(self._heads) >= _KEPT:
            self._heads.clear()
        self._heads[(row.measurement, row.tags)] = head
        return head

    def _template(self, names: tuple[str, ...]) -> str:
        keys = [_checked(name).translate(_NAME).replace("%", "%%") for name in names]
        if len(self._templates) >= _KEPT:
            self._templates.clear()
        template = self._templates[names] = "%s " + ",".join(f"{k}=%r" for k in keys) + " %d"
        return template


def _head(measurement: str, tags: Tags) -> str:
    if not measurement or measurement.startswith("#"):
        raise Unencodable(f"measurement {measurement!r} cannot be written")
    parts = [_checked(measurement).translate(_MEASUREMENT)]
    for name, value in tags:
        if value:  # the protocol has no empty tag
            parts.append(f"{_checked(name).translate(_NAME)}={_checked(value).translate(_NAME)}")
    return ",".join(parts)


def encode_points(points: Points) -> tuple[list[bytes], Points, list[tuple[Row, str]]]:
    """Lines, the points that they came from, and the rows that gave none.

    A point without any value gives no line and is not refused either.
    """
    if not points.times:
        return [], points, []
    refused: list[tuple[Row, str]] = []
    heads = [series.head or _head_of(series) for series in points.series]
    if b"" in heads or not _LOW <= min(points.times) <= max(points.times) <= _HIGH:
        points, refused = _sound(points, heads)
        if not points.times:
            return [], points, refused
        heads = [series.head or b"" for series in points.series]
    fields = _fields(points.values)
    if not all(fields):
        wanted = [bool(each) for each in fields]
        points = points.only(wanted)
        heads = [head for head, want in zip(heads, wanted, strict=True) if want]
        fields = [each for each in fields if each]
    if points.suffix:
        suffix = points.suffix.encode()
        parts = [(head.split(b",", 1)) for head in heads]
        heads = [b"%b%b,%b" % (kind, suffix, tags) for kind, tags in parts]
    ends = {time_ms: b" %d" % time_ms for time_ms in set(points.times)}
    return (
        [
            head + b" " + each + ends[time_ms]
            for head, each, time_ms in zip(heads, fields, points.times, strict=True)
        ],
        points,
        refused,
    )


def _fields(values: Sequence[Values]) -> list[bytes]:
    """`name=number,…` of each; empty where there is no number.

    The names are the contract's: letters, digits and `_`. So every `"` and `:` of the JSON is the
    encoder's own, and `null` can only be a value.
    """
    text = _json(values)[2:-2]
    fields = text.translate(_TO_LINES, b'"').split(b"},{")
    if b":null" in text:
        fields = [_without_nulls(each) if b"=null" in each else each for each in fields]
    return fields


def _without_nulls(fields: bytes) -> bytes:
    return b",".join([each for each in fields.split(b",") if not each.endswith(b"=null")])


def _head_of(series: Series) -> bytes:
    """Its head, made once; empty when line protocol cannot carry it."""
    try:
        series.head = _head(series.kind, tags_of(*series.where, series.device)).encode()
    except Unencodable:
        series.head = b""
    return series.head


def _sound(points: Points, heads: Sequence[bytes]) -> tuple[Points, list[tuple[Row, str]]]:
    """The points that can be encoded, and the others with the reason."""
    refused: list[tuple[Row, str]] = []
    wanted: list[bool] = []
    encoder = LineEncoder()
    for head, time_ms, number in zip(heads, points.times, range(len(heads)), strict=True):
        sound = bool(head) and _LOW <= time_ms <= _HIGH
        wanted.append(sound)
        if not sound:
            row = points[number]
            try:
                encoder.line(row)
            except Unencodable as error:
                if row.fields:
                    refused.append((row, str(error)))
    return points.only(wanted), refused


def _mixed(row: Row) -> str:
    """The fields of a row that holds more than finite floats."""
    parts: list[str] = []
    for name, value in row.fields.items():
        key = _checked(name).translate(_NAME)
        if isinstance(value, str):
            parts.append(f'{key}="{value.translate(_STRING)}"')
        elif math.isfinite(value):
            parts.append(f"{key}={float(value)!r}")
    if not parts:
        raise Unencodable("no finite value")
    return ",".join(parts)


def _checked(name: str) -> str:
    """`name`, if escaping can carry it.

    A backslash in a name is ambiguous (it is its own escape, but only before some characters),
    and a control character ends the line or worse.
    """
    if not name or "\\" in name or not name.isprintable():
        raise Unencodable(f"name {name[:100]!r} cannot be written: backslash or control character")
    return name
