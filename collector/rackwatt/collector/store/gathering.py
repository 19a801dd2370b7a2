# SPDX-License-Identifier: Apache-2.0
"""Sums, extremes and last values of the rows of a span, column by column, a line per device.

What `fold` makes of all points of a span is made here while they come, in a fixed number of bytes
per device however often it is read, to the same bit: values are added in order of time. A row that
is not newer than the one before is not taken: the span of its device is left to be read back.
"""

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rackwatt.collector.store.points import Points, Values
from rackwatt.collector.store.rollups import Rules
from rackwatt.collector.store.series import ALWAYS, Series
from rackwatt.wire.readings import Aggregate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
_Columns = tuple[Any, Any]
"""Which columns of the rows go to which of the state: slices, or lists of numbers."""

_FIRST_ROWS: Final = 64
_HOWS: Final[tuple[Aggregate, ...]] = ("mean", "last", "min", "max")


class Layout:
    """Where each result of some rules stands; shared by all spans of a kind.

    Args:
        rules: what becomes of each field: a sum does not occur.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        made = [result for results in rules.values() for result in results]
        self.columns: dict[Aggregate, list[str]] = {
            how: [name for name, each in made if each == how] for how in _HOWS
        }
        if sum(map(len, self.columns.values())) != len(made):
            msg = "only means, last values and extremes can be gathered"
            raise ValueError(msg)
        self.names = [name for how in _HOWS for name in self.columns[how]]
        """Of the results, in the order in which they are given out."""
        self._plans: dict[tuple[str, ...], dict[Aggregate, _Columns]] = {}

    def plan(self, names: tuple[str, ...]) -> dict[Aggregate, _Columns]:
        """Where the columns of rows with these fields go; a field without a rule goes nowhere."""
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = {}
            for how, columns in self.columns.items():
                pairs = [
                    (number, columns.index(result))
                    for number, name in enumerate(names)
                    for result, each in self._rules.get(name, ())
                    if each == how
                ]
                if pairs:
                    come, go = (_sliced(list(each)) for each in zip(*pairs, strict=True))
                    plan[how] = come, go
        return plan


def _sliced(numbers: list[int]) -> slice | list[int]:
    """A slice, which is quicker, where the numbers follow each other."""
    if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return slice(numbers[0], numbers[0] + len(numbers))
    return numbers


class Gathered:
    """The rows of a span of time.

    Args:
        layout: of its kind.
        mark: what stands for it on the disk.
        expected: so many devices; room for them takes no memory before they come.
    """

    def __init__(self, layout: Layout, mark: int, expected: int = 0) -> None:
        self._layout = layout
        self.mark = mark
        self.written = 0
        """Devices, in the order in which they came, whose results are in the store."""
        self.left: set[str] = set()
        """Devices that are to be read back: nothing is given out of them."""
        self.series: list[Series] = []
        self._lines = np.zeros(_FIRST_ROWS, np.int32)
        """Number of a series to its line, counted from 1."""
        columns, rows = layout.columns, max(_FIRST_ROWS, expected)
        self._ready = 0
        """Lines that were set to nothing."""
        self._newest = np.empty(rows, np.int64)
        self._sums = np.empty((rows, len(columns["mean"])))
        self._counts = np.empty((rows, len(columns["mean"])), np.uint16)
        self._last = np.empty((rows, len(columns["last"])))
        self._low = np.empty((rows, len(columns["min"])))
        self._high = np.empty((rows, len(columns["max"])))

    def __len__(self) -> int:
        """How many devices."""
        return len(self.series)

    def add(
        self,
        names: tuple[str, ...],
        series: Sequence[Series],
        numbers: Integers,
        times: Integers,
        values: Floats,
    ) -> list[Series]:
        """Take rows that have the same fields.

        Args:
            names: the fields.
            series: of each row.
            numbers: theirs.
            times: of each row, in ms.
            values: a line per row, a column per field; NaN: unknown.

        Returns:
            Series that had a row which was not newer than the one before.
        """
        lines = self._lines_of(series, numbers)
        plan = self._layout.plan(names)
        old: list[Series] = []
        for part in _rounds(lines):
            at, when = (lines, times) if part is None else (lines[part], times[part])
            rows = values if part is None else values[part]
            newer = when > self._newest[at]
            if not newer.all():
                numbered = np.arange(len(lines)) if part is None else part
                old += [series[n] for n in numbered[~newer].tolist()]
                at, when, rows = at[newer], when[newer], rows[newer]
            self._newest[at] = when
            self._add(plan, at, rows)
        return old

    def _add(self, plan: dict[Aggregate, _Columns], at: Integers, rows: Floats) -> None:
        unknown = np.isnan(rows)
        whole = not unknown.any()
        lines = at[:, None]
        for how, (come, go) in plan.items():
            new = rows[:, come]
            where = (at, go) if isinstance(go, slice) else (lines, go)
            if how == "mean":
                self._sums[where] += new if whole else np.nan_to_num(new, nan=0.0)
                self._counts[where] += np.uint16(1) if whole else ~unknown[:, come]
            elif how == "last":
                if not whole:
                    new = np.where(unknown[:, come], self._last[where], new)
                self._last[where] = new
            elif how == "min":
                self._low[where] = np.fmin(self._low[where], new)
            else:
                self._high[where] = np.fmax(self._high[where], new)

    def _lines_of(self, series: Sequence[Series], numbers: Integers) -> Integers:
        most = int(numbers.max())
        if most >= len(self._lines):
            lines = np.zeros(max(most + 1, 2 * len(self._lines)), np.int32)
            lines[: len(self._lines)] = self._lines
            self._lines = lines
        found = self._lines[numbers]
        if not found.all():
            for number in np.flatnonzero(found == 0).tolist():
                one = series[number]
                if not self._lines[one.number]:
                    self.series.append(one)
                    self._lines[one.number] = len(self.series)
            self._make_room()
            found = self._lines[numbers]
        return found.astype(np.int64) - 1

    def _make_room(self) -> None:
        wanted, ready = len(self.series), self._ready
        if wanted > len(self._newest):
            self._newest = _grown(self._newest, wanted, ready)
            self._sums = _grown(self._sums, wanted, ready)
            self._counts = _grown(self._counts, wanted, ready)
            self._last = _grown(self._last, wanted, ready)
            self._low = _grown(self._low, wanted, ready)
            self._high = _grown(self._high, wanted, ready)
        new = slice(ready, wanted)
        self._newest[new] = ALWAYS
        self._sums[new] = self._counts[new] = 0
        self._last[new] = self._low[new] = self._high[new] = np.nan
        self._ready = wanted

    def results(self, start: int, stop: int) -> Floats:
        """The results of some devices, a line each; NaN: unknown."""
        part = slice(start, min(stop, len(self.series)))
        sums, counts = self._sums[part], self._counts[part]
        means = np.full(sums.shape, np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return np.hstack([means, self._last[part], self._low[part], self._high[part]])

    def parts(self, size: int, suffix: str, start_ms: int) -> Iterator[tuple[Points, Floats]]:
        """What is not written yet, in parts: as points, and as numbers."""
        names = self._layout.names
        while self.written < len(self.series):
            stop = min(self.written + size, len(self.series))
            numbers = self.results(self.written, stop)
            series = self.series[self.written : stop]
            if self.left:
                wanted = [one.device not in self.left for one in series]
                series = [one for one, want in zip(series, wanted, strict=True) if want]
                numbers = numbers[np.array(wanted, bool)]
            yield (
                Points(series, _dictionaries(names, numbers), [start_ms] * len(series), suffix),
                (numbers),
            )
            self.written = stop

    @property
    def names(self) -> tuple[str, ...]:
        """Of the results."""
        return tuple(self._layout.names)


def _dictionaries(names: Sequence[str], numbers: Floats) -> list[Values]:
    known: Bits = ~np.isnan(numbers)
    used: Bits = np.logical_or.reduce(known)
    kept = [name for name, use in zip(names, list(used), strict=True) if use]
    lines = numbers[:, used].tolist()
    if known[:, used].all():
        return [dict(zip(kept, line, strict=True)) for line in lines]
    return [
        {name: value for name, value in zip(kept, line, strict=True) if not isnan(value)}
        for line in lines
    ]


def _rounds(lines: Integers) -> Iterator[Integers | None]:
    """Rows in parts in which no device stands twice, in order; None: all of them."""
    if len(np.unique(lines)) == len(lines):
        yield None
        return
    left = np.arange(len(lines))
    while len(left):
        first = np.sort(np.unique(lines[left], return_index=True)[1])
        yield left[first]
        left = np.delete(left, first)


def _grown(array: npt.NDArray[Any], rows: int, used: int) -> npt.NDArray[Any]:
    """At least twice as long; what is not used yet takes no memory."""
    grown = np.empty((max(rows, 2 * len(array)), *array.shape[1:]), array.dtype)
    grown[:used] = array[:used]
    return grown
