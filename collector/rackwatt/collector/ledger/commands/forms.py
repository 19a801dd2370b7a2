# SPDX-License-Identifier: Apache-2.0
"""How figures are written: JSON and CSV in full precision, tables for people with units."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from rackwatt.collector.ledger.units import scale

UNKNOWN: Final = "unknown"
_WIDE: Final = 240
"""Columns of a table that goes into a file or a pipe, unless COLUMNS says otherwise."""
_GAP: Final = 2
"""Blanks between columns."""
_DIGITS: Final = ((1.0, 3), (10.0, 2), (10_000.0, 1))
"""Digits behind the point of energies and masses below a limit; above all of them none."""
_LEAST: Final = 40
"""Columns of the narrowest terminal that tables are fitted to."""


def write_json(value: object) -> None:
    """Write one JSON document to the terminal; unknown is null."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested figures as one level: ``origins.pv``; what is unknown is ``None``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif isinstance(value, list | tuple):
            found[before + name] = " ".join(map(str, value))
        else:
            found[before + name] = value
    return found


def write_csv(rows: Sequence[Mapping[str, Any]], empty: Sequence[str]) -> None:
    """Write rows as CSV to the terminal; unknown is an empty cell.

    Args:
        rows: nested figures.
        empty: the first columns; all of them where there are no rows.
    """
    lines = [flat(row) for row in rows]
    names = list(dict.fromkeys([*empty, *(name for line in lines for name in line)]))
    # A group that is unknown as a whole stands under its own name only then: its parts are empty.
    groups = {name for name in names if any(other.startswith(f"{name}.") for other in names)}
    names = [name for name in names if name not in groups]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for line in lines:
        writer.writerow(["" if line.get(name) is None else _cell(line[name]) for name in names])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table for people.

    Attributes:
        title: what it is.
        values: one for each line; ``None`` = unknown, "" = nothing to be said.
        unit: ``Wh``, ``g``, ``%`` or another one; the first two get the prefix that fits.
        digits: behind the point; of energies and masses, what their size asks for.
        left: words, not numbers.
    """

    title: str
    values: Sequence[object]
    unit: str = ""
    digits: int = 1
    left: bool = False

    def cells(self, totals: int = 0) -> tuple[str, list[Text]]:
        """The head with its unit, and the cells.

        Args:
            totals: so many values at the end are sums: unit and digits are those of the others.
        """
        if self.left:
            return self.title, [Text("" if value is None else str(value)) for value in self.values]
        body = self.values[: len(self.values) - totals]
        largest = _largest(body)
        unit, factor = scale(self.unit, largest)
        digits = self._digits(largest * factor)
        head = f"{self.title}\n{unit}" if unit else self.title
        cells = [_number(value, factor, digits) for value in body]
        for value in self.values[len(body) :]:
            fitting = min(digits, self._digits(_largest([value]) * factor))
            cells += [_number(value, factor, fitting)]
        return head, cells

    def _digits(self, largest: float) -> int:
        if self.unit not in {"Wh", "g"}:
            return self.digits
        return next((digits for limit, digits in _DIGITS if largest < limit), 0)


def _largest(values: Sequence[object]) -> float:
    numbers = [abs(value) for value in values if isinstance(value, int | float)]
    return max(numbers, default=0.0)


def _number(value: object, factor: float, digits: int) -> Text:
    if value == "":
        return Text()
    if not isinstance(value, int | float):
        return Text(UNKNOWN, style="yellow")
    # Adding 0 takes the sign from a zero.
    return Text(f"{round(value * factor, digits) + 0.0:,.{digits}f}")


def print_table(
    title: str, columns: Iterable[Column], totals: int = 0, keys: int = 1, note: str = ""
) -> None:
    """Print a table, in parts below each other where the terminal is too narrow for all of it.

    Args:
        title: above it.
        columns: its columns.
        totals: so many lines at the end are sums, and set apart.
        keys: so many columns at the beginning say what a line is about: each part has them.
        note: below it.
    """
    out = Console(highlight=False, soft_wrap=True)
    limit = max(_width(out), _LEAST)
    drawn = [_Drawn.of(column, totals) for column in columns]
    out.print(Text(title, style="bold"))
    for part in _parts(drawn, keys, limit):
        out.print()
        for line in _lines(part, totals, limit, "-" if out.options.ascii_only else "─"):
            out.print(line)
    if note:
        out.print()
        out.print(Text(note, style="dim"))


def _width(out: Console) -> int:
    return out.width if out.is_terminal or os.environ.get("COLUMNS", "").isdigit() else _WIDE


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A column as it will be printed."""

    head: list[str]
    cells: list[Text]
    left: bool

    @classmethod
    def of(cls, column: Column, totals: int) -> "_Drawn":
        """Draw a column."""
        head, cells = column.cells(totals)
        return cls(head.split("\n"), cells, column.left)

    @property
    def width(self) -> int:
        """Of its widest cell."""
        return max(0, *map(len, self.head), *(cell.cell_len for cell in self.cells))


def _parts(drawn: Sequence[_Drawn], keys: int, limit: int) -> list[list[_Drawn]]:
    """Columns that fit beside each other; each part begins with the keys."""
    key, rest = list(drawn[:keys]), drawn[keys:]
    room = limit - sum(one.width + _GAP for one in key)
    parts: list[list[_Drawn]] = []
    free = 0
    for one in rest:
        if not parts or one.width > free:
            parts.append([])
            free = room
        parts[-1].append(one)
        free -= one.width + _GAP
    return [[*key, *part] for part in parts] or [key]


def _lines(part: Sequence[_Drawn], totals: int, limit: int, rule: str) -> Iterator[Text]:
    """The lines of one part."""
    deep = max(len(one.head) for one in part)
    for level in range(deep):
        heads = [Text(["", *one.head][max(0, level - deep + len(one.head) + 1)]) for one in part]
        yield _joined(part, heads, "bold")
    wide = min(sum(one.width + _GAP for one in part) - _GAP, limit)
    yield Text(rule * wide)
    rows = list(zip(*(one.cells for one in part), strict=True))
    for number, row in enumerate(rows):
        if totals and number == len(rows) - totals:
            yield Text(rule * wide)
        yield _joined(part, row)


def _joined(part: Sequence[_Drawn], cells: Sequence[Text], style: str = "") -> Text:
    line = Text(style=style)
    for one, cell in zip(part, cells, strict=True):
        room = " " * (one.width - cell.cell_len)
        line.append_text(cell if one.left else Text(room) + cell)
        line.append((room if one.left else "") + " " * _GAP)
    line.rstrip()
    return line
