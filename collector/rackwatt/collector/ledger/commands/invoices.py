# SPDX-License-Identifier: Apache-2.0
"""What a utility charged: rows of `from,to,kwh`, judged line by line."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Final

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.wire.config import ConfigError, ConfigErrors, nearest

COLUMNS: Final = ("from", "to", "kwh")


@dataclass(frozen=True, slots=True)
class Charged:
    """One row of an invoice: a half-open span, ms since 1970 UTC, and its energy."""

    start_ms: int
    end_ms: int
    watt_hours: float


def read_invoice(path: Path, month: Span) -> list[Charged]:
    """Read an invoice of one month.

    Args:
        path: CSV with the columns from, to and kwh; others are passed over.
        month: all rows must lie in it.

    Raises:
        ConfigErrors: with all that is wrong, each with its line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
        raise ConfigErrors([ConfigError(str(path), 1, "", f"cannot be read: {reason}")]) from error
    reader = csv.DictReader(text.splitlines())
    heads = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in heads]
    if missing:
        hint = nearest(missing[0], heads)
        message = f"column {missing[0]!r} is missing: an invoice has from,to,kwh"
        raise ConfigErrors([ConfigError(str(path), 1, missing[0], message, hint)])
    reader.fieldnames = heads
    errors: list[ConfigError] = []
    found: list[Charged] = []
    for row in reader:
        line = _Line(str(path), reader.line_num, errors)
        charged = line.read({name: (row.get(name) or "").strip() for name in COLUMNS})
        if charged is not None and line.fits(charged, found, month):
            found.append(charged)
    if not found and not errors:
        errors.append(ConfigError(str(path), 1, "", "holds no row"))
    if errors:
        raise ConfigErrors(errors)
    return found


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the file, and where its errors go."""

    file: str
    number: int
    errors: list[ConfigError]

    def wrong(self, column: str, message: str) -> None:
        self.errors.append(ConfigError(self.file, self.number, column, message))

    def read(self, cells: dict[str, str]) -> Charged | None:
        start, end = self._time("from", cells["from"]), self._time("to", cells["to"])
        energy = self._energy(cells["kwh"])
        if start is None or end is None or energy is None:
            return None
        return Charged(start, end, energy)

    def fits(self, charged: Charged, before: Sequence[Charged], month: Span) -> bool:
        """Whether a row is a span of the month behind the rows before it."""
        if charged.start_ms >= charged.end_ms:
            self.wrong("to", "is not later than 'from'")
        elif before and charged.start_ms < before[-1].end_ms:
            self.wrong("from", "begins before the row above ends")
        elif charged.start_ms < month.start_ms or charged.end_ms > month.end_ms:
            self.wrong("from", f"the row does not lie in {month.label} by the site's clocks")
        else:
            return True
        return False

    def _time(self, column: str, text: str) -> int | None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.wrong(column, f"expects a time like 2026-10-01T00:00:00+01:00, not {text!r}")
            return None
        if moment.tzinfo is None:
            self.wrong(
                column, f"{text!r} has no offset: write {_whole(moment)}+01:00, or Z for UTC"
            )
            return None
        at = round(moment.timestamp() * 1000)
        if at % INTERVAL_MS:
            self.wrong(column, "the books know whole minutes only")
            return None
        return at

    def _energy(self, text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not isfinite(value) or value < 0.0:
            comma = " (a decimal point, no comma)" if "," in text else ""
            self.wrong("kwh", f"expects kWh, a number from 0 on, not {text!r}{comma}")
            return None
        return value * 1000.0


def _whole(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def gaps(rows: Sequence[Charged], month: Span) -> Iterator[tuple[int, int]]:
    """The parts of a month that no row covers."""
    at = month.start_ms
    for row in rows:
        if row.start_ms > at:
            yield at, row.start_ms
        at = row.end_ms
    if at < month.end_ms:
        yield at, month.end_ms
