# SPDX-License-Identifier: Apache-2.0
"""Read a file of flows row by row, strictly: what is wrong names its line and column."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from rackwatt.collector.accounting.flows import Flows
from rackwatt.collector.ledger.importing.columns import INTERVAL, REQUIRED, TIME
from rackwatt.collector.ledger.importing.complaints import Complaints
from rackwatt.collector.ledger.importing.header import Layout, layout_of

MOST_WATT_HOURS: Final = 1e18
"""Above any energy; keeps sums finite."""

MOST_SECONDS: Final = 1e9
TIME_EXAMPLE: Final = "like 2026-10-01T00:00:00+01:00"
_YEARS: Final = range(1970, 2200)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PROGRESS_ROWS: Final = 2000
_NO_HOLE_US: Final = 1000
"""Less than this between two rows is rounding."""


class FlowRow(NamedTuple):
    """One row: one interval. A tuple, because half a million of them are made.

    Attributes:
        line: Where it stands in the file.
        time: Its time as written.
        start_us: Its start, microseconds since 1970 UTC.
        end_us: Its end.
        seconds: Its length as written.
        flows: Its energies.
        claims: Claims on the import, Wh; ``None`` = unknown; empty if the file has none.
        missing: An energy on the bus is unknown.
        gap_us: Time since the end of the row before.
        offset: From UTC to the time as written.
        offset_before: That of the row before, where it differs.
    """

    line: int
    time: str
    start_us: int
    end_us: int
    seconds: float
    flows: Flows
    claims: Mapping[str, float | None]
    missing: bool
    gap_us: int
    offset: timedelta
    offset_before: timedelta | None


class _WrongCellError(Exception):
    """What is wrong with a cell, and what belongs there."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class _Instant(NamedTuple):
    us: int
    offset: timedelta


class FlowsReader:
    """A file of flows, read once from its beginning to its end.

    Args:
        path: The file.
        progress: Called now and then with how many bytes have been read.

    Attributes:
        layout: Known once the first row is asked for.
        unknown: How many cells of each column are empty.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None = None) -> None:
        self._path = path
        self._progress = progress
        self._complaints = Complaints(str(path))
        self.layout: Layout | None = None
        self.unknown: dict[str, int] = {}
        self._end: tuple[int, int, int] | None = None
        """Start, end and line of the row before."""
        self._offset: timedelta | None = None

    def rows(self) -> Iterator[FlowRow]:
        """All rows in order; after the first error none, but the rest is checked.

        Raises:
            FlowsError: Something is wrong with the file.
            OSError: It cannot be read.
        """
        complaints = self._complaints
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = self._lines(file)
            line, header = next(lines, (1, []))
            if not any(header):
                hint = "its first line must be " + ",".join(REQUIRED)
                complaints.add(1, "", "is empty", hint)
                complaints.end()
            layout = self.layout = layout_of(header, line, complaints)
            if layout is None:
                complaints.end()
                return
            self.unknown = dict.fromkeys(layout.energies, 0)
            for line, cells in lines:
                row = self._row(layout, line, cells)
                if row is not None and not complaints:
                    yield row
        if self._end is None and not complaints:
            complaints.add(line + 1, "", "there are no rows below the header")
        complaints.end()

    def _lines(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(file, strict=True)
        count = 0
        while True:
            try:
                for cells in reader:
                    if cells:
                        yield reader.line_num, cells
                    count += 1
                    if self._progress is not None and count % _PROGRESS_ROWS == 0:
                        self._progress(file.buffer.tell())
            except csv.Error as error:
                hint = "is a quotation mark not closed?"
                self._complaints.add(reader.line_num, "", f"broken CSV: {error}", hint)
                if "end of data" not in str(error):
                    continue
            return

    def _row(self, layout: Layout, line: int, cells: Sequence[str]) -> FlowRow | None:
        if len(cells) != layout.width:
            hint = "is a comma missing or too many, or a decimal comma in a number?"
            message = f"has {len(cells)} cells, the header has {layout.width}"
            self._complaints.add(line, "", message, hint)
            return None
        whole = "".join(cells)
        texts = layout.pick(cells)
        time = cells[layout.time]
        # What float() and fromisoformat() would take too kindly goes the slow way.
        if whole.isascii() and "_" not in whole and time[10:11] in {"T", " "}:
            try:
                values = [float(text) if text else None for text in texts]
                seconds = float(cells[layout.interval])
                moment = datetime.fromisoformat(time)
            except ValueError:
                return self._slowly(layout, line, cells)
            offset = moment.utcoffset()
            if offset is not None and 0.0 < seconds < MOST_SECONDS and moment.year in _YEARS:
                for value in values:
                    if value is not None and not 0.0 <= value < MOST_WATT_HOURS:
                        return self._slowly(layout, line, cells)
                instant = _Instant((moment - _EPOCH) // _MICROSECOND, offset)
                return self._made(layout, line, time, instant, seconds, values)
        return self._slowly(layout, line, cells)

    def _slowly(self, layout: Layout, line: int, cells: Sequence[str]) -> FlowRow | None:
        """Read a row cell by cell and say all that is wrong with it."""
        wrong = 0
        values: dict[str, float | None] = {}
        named = {INTERVAL: cells[layout.interval]}
        named |= zip(layout.energies, layout.pick(cells), strict=True)
        instant = self._instant(line, cells[layout.time].strip())
        for column, text in named.items():
            try:
                values[column] = _length(text) if column == INTERVAL else _energy(text)
            except _WrongCellError as error:
                self._complaints.add(line, column, error.message, error.hint)
                wrong += 1
        if wrong or instant is None:
            return None
        seconds = values.pop(INTERVAL) or 0.0
        time = cells[layout.time]
        return self._made(layout, line, time, instant, seconds, list(values.values()))

    def _instant(self, line: int, text: str) -> _Instant | None:
        if not text:
            self._complaints.add(line, TIME, "is empty", TIME_EXAMPLE)
            return None
        separator = text[10:11] if text[4:5] == "-" else text[8:9]
        try:
            moment = datetime.fromisoformat(text) if separator in {"T", "t", " ", ""} else None
        except ValueError:
            moment = None
        if moment is None:
            self._complaints.add(line, TIME, f"no time of ISO 8601: {text!r}", TIME_EXAMPLE)
            return None
        offset = moment.utcoffset()
        if offset is None:
            message = f"{text!r} has no offset from UTC"
            self._complaints.add(line, TIME, message, f"{TIME_EXAMPLE}; a Z at its end for UTC")
            return None
        if moment.year not in _YEARS:
            message = f"the year {moment.year} is not from {_YEARS[0]} to {_YEARS[-1]}"
            self._complaints.add(line, TIME, message, TIME_EXAMPLE)
            return None
        return _Instant((moment - _EPOCH) // _MICROSECOND, offset)

    def _made(
        self,
        layout: Layout,
        line: int,
        time: str,
        instant: _Instant,
        seconds: float,
        values: Sequence[float | None],
    ) -> FlowRow | None:
        """Put a row together whose cells are right; ``None`` if it stands in the wrong place."""
        start = instant.us
        end = start + max(round(seconds * 1e6), 1)
        before, self._end = self._end, (start, end, line)
        previous, self._offset = self._offset, instant.offset
        gap = 0 if before is None else start - before[1]
        if before is not None and gap < 0:
            self._misplaced(line, start, before)
            return None
        first, second = len(layout.sources), len(layout.sources) + len(layout.sinks)
        missing = None in values
        if missing:
            for column, value in zip(layout.energies, values, strict=True):
                self.unknown[column] += value is None
            missing = None in values[: second + 2]
        return FlowRow(
            line,
            time,
            start,
            end,
            seconds,
            Flows(
                dict(zip(layout.sources, values, strict=False)),
                dict(zip(layout.sinks, values[first:second], strict=True)),
                values[second],
                values[second + 1],
            ),
            dict(zip(layout.claims, values[second + 2 :], strict=True)),
            missing,
            gap if gap >= _NO_HOLE_US else 0,
            instant.offset,
            previous if previous != instant.offset else None,
        )

    def _misplaced(self, line: int, start: int, before: tuple[int, int, int]) -> None:
        if start == before[0]:
            message = f"{utc(start)} is also the time of the row before it (line {before[2]})"
        else:
            message = (
                f"starts at {utc(start)}, before the row before it (line {before[2]}) "
                f"ends at {utc(before[1])}"
            )
        hint = "rows must follow each other in UTC, each time once"
        self._complaints.add(line, TIME, message, hint)


def _length(text: str) -> float:
    """Return the length of a row, s."""
    hint = "how long the row is, in seconds"
    seconds = _number(text, hint)
    if seconds is None:
        raise _WrongCellError("is empty", hint)
    if seconds <= 0.0:
        raise _WrongCellError(f"must be more than 0, not {text.strip()}", hint)
    if seconds >= MOST_SECONDS:
        raise _WrongCellError(f"is more than {MOST_SECONDS:,.0f}: {text.strip()}", hint)
    return seconds


def _energy(text: str) -> float | None:
    """Return an energy, Wh; ``None`` for an empty cell."""
    value = _number(text, "Wh with a decimal point, or nothing for unknown")
    if value is None:
        return None
    if value < 0.0:
        hint = "what flows the other way has a column of its own"
        raise _WrongCellError(f"is negative: {text.strip()}", hint)
    if value >= MOST_WATT_HOURS:
        raise _WrongCellError(f"is more than {MOST_WATT_HOURS:g}: {text.strip()}", "is it in Wh?")
    return value + 0.0  # no -0.0


def _number(text: str, hint: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise _WrongCellError(f"is no number: {text!r}", hint)
    return float(text)


def utc(us: int) -> str:
    """A time in UTC for people, from microseconds since 1970."""
    text = (_EPOCH + timedelta(microseconds=us)).isoformat()
    return text.replace("+00:00", "Z")
