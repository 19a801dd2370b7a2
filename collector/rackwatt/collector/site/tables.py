# SPDX-License-Identifier: Apache-2.0
"""CSV files that a site file names: read once, errors with file, line and column."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from rackwatt.collector.site.problems import Problems
from rackwatt.wire.config import ConfigError, Key, nearest


@dataclass(frozen=True, slots=True)
class Cells:
    """One line of a table: its texts by column, and a way to say what is wrong with one.

    Args:
        problems: Where errors go.
        file: The file as the site file names it.
        line: Counted from 1, the header being 1.
        texts: By column; stripped.
    """

    problems: Problems
    file: str
    line: int
    texts: dict[str, str]

    def wrong(self, column: str, message: str, hint: str = "") -> None:
        """Report what is wrong in a column."""
        self.problems.errors.append(ConfigError(self.file, self.line, column, message, hint))

    def choice(self, column: str, valid: Sequence[str], default: str = "") -> str:
        """One of several words."""
        text = self.texts[column] or default
        if text not in valid:
            self.wrong(column, f"unknown {column} {text!r}", nearest(text, valid))
        return text

    def moment(self, column: str) -> int:
        """A time with its offset, as ms since 1970 UTC; 0 when it is reported as wrong."""
        text = self.texts[column]
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.wrong(column, f"no time: {text!r}", "like 2026-01-01T00:00:00+01:00")
            return 0
        if found.tzinfo is None:
            self.wrong(column, f"{text!r} has no offset", f"did you mean {text}Z for UTC?")
            return 0
        return round(found.timestamp() * 1000)

    def span(self, first: str, last: str) -> tuple[int, int]:
        """Two times, the second one later than the first, as ms since 1970 UTC."""
        before = len(self.problems.errors)
        start, end = self.moment(first), self.moment(last)
        if end <= start and len(self.problems.errors) == before:
            self.wrong(last, f"must be later than {first}")
        return start, end

    def number(self, column: str, low: float, high: float) -> float:
        """A finite number within bounds; 0 when it is reported as wrong."""
        text = self.texts[column]
        try:
            value = float(text)
        except ValueError:
            self.wrong(column, f"no number: {text!r}")
            return 0.0
        if not math.isfinite(value) or not low <= value <= high:
            self.wrong(column, f"must be from {low:g} to {high:g}, not {text}")
        return value

    def yes(self, column: str) -> bool:
        """`yes` or `no`; empty is no."""
        return self.choice(column, ("yes", "no"), "no") == "yes"


def read_table(
    problems: Problems, key: Key, name: str, needed: Sequence[str], optional: Sequence[str]
) -> Iterator[Cells]:
    """Read a CSV file beside the site file; what is wrong with it as a whole is reported.

    Args:
        problems: Of the site file; knows where that is.
        key: Where the site file names the table.
        name: As written there.
        needed: Columns that must be there.
        optional: Columns that may be.
    """
    path = problems.path.parent / name
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        problems.add(key, f"{path}: {reason}")
        return
    problems.files[name] = sha256(raw).hexdigest()
    rows = csv.reader(text.splitlines())
    header = [cell.strip() for cell in next(rows, [])]
    known = (*needed, *optional)
    missing = [column for column in needed if column not in header]
    for column in missing:
        problems.errors.append(
            ConfigError(str(path), 1, column, "column is missing", nearest(column, header))
        )
    for column in header:
        if column not in known:
            problems.errors.append(
                ConfigError(str(path), 1, column, "unknown column", nearest(column, known))
            )
    if missing or set(header) - set(known) or len(set(header)) != len(header):
        return
    for cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            message = f"has {len(cells)} cells, the header {len(header)}"
            problems.errors.append(ConfigError(str(path), rows.line_num, "", message))
            continue
        texts = dict.fromkeys(known, "") | {
            column: cell.strip() for column, cell in zip(header, cells, strict=True)
        }
        yield Cells(problems, str(path), rows.line_num, texts)
