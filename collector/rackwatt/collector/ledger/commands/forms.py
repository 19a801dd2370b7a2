# SPDX-License-Identifier: Apache-2.0
"""How figures are written: JSON and CSV in full precision, tables for people with units."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNKNOWN: Final = "unknown"
_WIDE: Final = 240
"""Columns of a table that goes into a file or a pipe: nothing is cut off there."""


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

    def cells(self) -> tuple[str, list[Text]]:
        """The head with its unit, and the cells."""
        if self.left:
            return self.title, [Text("" if value is None else str(value)) for value in self.values]
        numbers = [value for value in self.values if isinstance(value, int | float)]
        largest = max((abs(number) for number in numbers), default=0.0)
        unit, factor = scale(self.unit, largest)
        digits = self.digits
        if self.unit in {"Wh", "g"}:
            digits = 3 if largest * factor < 10.0 else 2 if largest * factor < 100.0 else 1
        head = f"{self.title}\n{unit}" if unit else self.title
        return head, [_number(value, factor, digits) for value in self.values]


def scale(unit: str, largest: float) -> tuple[str, float]:
    """The unit that fits the largest of some numbers, and what to multiply them by."""
    steps: dict[str, Sequence[tuple[float, str, float]]] = {
        "Wh": [(1e7, "MWh", 1e-6), (0.0, "kWh", 1e-3)],
        "g": [(1e7, "t", 1e-6), (0.0, "kg", 1e-3)],
        "%": [(0.0, "%", 100.0)],
    }
    for least, name, factor in steps.get(unit, [(0.0, unit, 1.0)]):
        if largest >= least:
            return name, factor
    return unit, 1.0


def _number(value: object, factor: float, digits: int) -> Text:
    if value == "":
        return Text()
    if not isinstance(value, int | float):
        return Text(UNKNOWN, style="yellow")
    # Adding 0 takes the sign from a zero.
    return Text(f"{round(value * factor, digits) + 0.0:,.{digits}f}")


def print_table(title: str, columns: Iterable[Column], totals: int = 0) -> None:
    """Print a table.

    Args:
        title: above it.
        columns: its columns.
        totals: so many lines at the end are sums, and set apart.
    """
    table = Table(box=SIMPLE_HEAD)
    bodies: list[list[Text]] = []
    for column in columns:
        head, cells = column.cells()
        table.add_column(head, justify="left" if column.left else "right", no_wrap=True)
        bodies.append(cells)
    lines = list(zip(*bodies, strict=True))
    for number, line in enumerate(lines, 1):
        apart = number == len(lines) - totals and totals > 0
        table.add_row(*line, end_section=apart)
    out = Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=_WIDE)
    out.print(Text(title, style="bold"))
    out.print(table)
