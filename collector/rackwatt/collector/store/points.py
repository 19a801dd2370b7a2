# SPDX-License-Identifier: Apache-2.0
"""Points: rows as three lists instead of an object each, for what comes by the hundred thousand.

A store may take them as the sequence of rows that they are, or, faster, by their lists.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from rackwatt.collector.store.base import Row
from rackwatt.collector.store.series import Series

Values = Mapping[str, float | None]
"""Names of the contract's fields, and floats; what is unknown may be there as None."""


class Points(Sequence[Row]):
    """Rows of readings, or of their rollups.

    Args:
        series: of each row.
        values: of each row.
        times: of each row, ms since 1970 UTC.
        suffix: what follows the kind in the measurement's name.
    """

    __slots__ = ("series", "suffix", "times", "values")

    def __init__(
        self, series: list[Series], values: list[Values], times: list[int], suffix: str = ""
    ) -> None:
        self.series = series
        self.values = values
        self.times = times
        self.suffix = suffix

    def __len__(self) -> int:
        """How many."""
        return len(self.times)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> "Points": ...

    def __getitem__(self, index: int | slice) -> "Row | Points":
        """One row, made now, or a part."""
        if isinstance(index, slice):
            parts = self.series[index], self.values[index], self.times[index]
            return Points(*parts, self.suffix)
        return self._row(self.series[index], self.values[index], self.times[index])

    def __iter__(self) -> Iterator[Row]:
        """Each row, made now."""
        return map(self._row, self.series, self.values, self.times)

    def plus(self, more: "Points") -> "Points":
        """These and others of the same suffix."""
        series, values = self.series + more.series, self.values + more.values
        return Points(series, values, self.times + more.times, self.suffix)

    def only(self, wanted: Sequence[bool]) -> "Points":
        """Those that are wanted."""
        picked = [number for number, want in enumerate(wanted) if want]
        return Points(
            [self.series[n] for n in picked],
            [self.values[n] for n in picked],
            [self.times[n] for n in picked],
            self.suffix,
        )

    def _row(self, series: Series, values: Values, time_ms: int) -> Row:
        fields = values
        if None in values.values():
            fields = {name: value for name, value in values.items() if value is not None}
        return Row(series.kind + self.suffix, series.named or series.tags(), fields, time_ms)  # type: ignore[arg-type]
