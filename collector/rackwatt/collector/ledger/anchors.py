# SPDX-License-Identifier: Apache-2.0
"""Anchors: what the chain ended with on each day, to be kept where the operator cannot change it.

A line of ``anchors.txt`` is ``YYYY-MM-DD seq hash``: on that day (UTC) entry ``seq`` was the last
one and had that hash. A chain that somebody rebuilds from its beginning is sound by itself, but
does not hold the hashes that an auditor has been sent.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from rackwatt.collector.ledger.reading import Books

FILE_NAME: Final = "anchors.txt"

_LINE: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d{1,18}) ([0-9a-f]{64})")


class BadAnchors(ValueError):  # noqa: N818 - bad input
    """An anchor file does not read as one; the text says where."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The chain's end on one day.

    Attributes:
        day: The day (UTC).
        seq: The last entry.
        hash: Its hash.
    """

    day: date
    seq: int
    hash: str

    def __str__(self) -> str:
        """The line of an anchor file."""
        return f"{self.day.isoformat()} {self.seq} {self.hash}"


def anchor_of(books: Books, now_ms: int) -> Anchor:
    """Return the anchor of a ledger as it stands."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return Anchor(day, books.head_seq(), books.head())


def write_anchor(path: Path, books: Books, now_ms: int) -> Anchor | None:
    """Append the day's anchor to a file, durably, unless the day has one.

    Returns:
        What was written, ``None`` if there was nothing to write.

    Raises:
        OSError: The file cannot be written.
        BadAnchors: What is in it is no anchor.
    """
    anchor = anchor_of(books, now_ms)
    known = read_anchors(path) if path.exists() else []
    if anchor.seq == 0 or (known and known[-1].day >= anchor.day):
        return None
    # Somebody's editor may have left the last line without its end.
    cut = bool(known) and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="ascii") as file:
        file.write(f"\n{anchor}\n" if cut else f"{anchor}\n")
        file.flush()
        os.fsync(file.fileno())
    return anchor


def read_anchors(path: Path) -> list[Anchor]:
    """Read an anchor file.

    Raises:
        OSError: It cannot be read.
        BadAnchors: A line is no anchor.
    """
    return parse_anchors(path.read_text(encoding="ascii", errors="replace").splitlines(), str(path))


def parse_anchors(lines: Iterable[str], name: str) -> list[Anchor]:
    """Read the lines of an anchor file; empty ones and ``#`` comments are passed over.

    Args:
        lines: The lines.
        name: What to call the file in an error.

    Raises:
        BadAnchors: A line is no anchor.
    """
    found: list[Anchor] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _LINE.fullmatch(text)
        try:
            day = None if parts is None else date.fromisoformat(parts[1])
        except ValueError:
            day = None
        if parts is None or day is None:
            raise BadAnchors(
                f"{name}:{number}: not an anchor: a line is 'YYYY-MM-DD NUMBER HASH', "
                "the hash with 64 hexadecimal digits"
            )
        found.append(Anchor(day, int(parts[2]), parts[3]))
    return found
