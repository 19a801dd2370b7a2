# SPDX-License-Identifier: Apache-2.0
"""The embedded store's files: `raw-2026-09-21.db` per UTC day, `rollups-2026-09.db` per UTC month.

Raw readings are many and short-lived, so a whole day goes at once by deleting its file; rollups
and the ledger's copy are few and kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from rackwatt.wire.readings import KINDS

DAY_MS: Final = 86_400_000
MAX_TIME_MS: Final = 4_102_444_800_000
"""2100-01-01: a later time is a broken clock, and would make a file that never goes."""
_NAME: Final = re.compile(r"(raw|rollups)-([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?\.db")
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class StoreFile:
    """One file; `start_ms` and `end_ms` bound the times in it, the end excluded."""

    start_ms: int
    end_ms: int
    raw: bool
    path: Path

    def size(self) -> int:
        """Bytes on the disk, its write-ahead log included."""
        return sum(part.stat().st_size for part in self.parts() if part.exists())

    def parts(self) -> tuple[Path, Path, Path]:
        """The file and its companions."""
        name = self.path.name
        return self.path, self.path.with_name(f"{name}-wal"), self.path.with_name(f"{name}-shm")

    def delete(self) -> None:
        """Remove it; a reader that has it open reads on."""
        for part in self.parts():
            part.unlink(missing_ok=True)


def file_for(directory: Path, measurement: str, time_ms: int) -> StoreFile:
    """The file in which a row stands. `time_ms` must lie in 0..MAX_TIME_MS."""
    day = _EPOCH + timedelta(days=time_ms // DAY_MS)
    raw = measurement in KINDS
    name = f"raw-{day.isoformat()}.db" if raw else f"rollups-{day.isoformat()[:7]}.db"
    found = _parse(directory / name)
    if found is None:
        msg = f"time {time_ms} ms has no file"
        raise ValueError(msg)
    return found


def files_in(directory: Path, *, raw: bool | None = None) -> Iterator[StoreFile]:
    """The store's files, oldest first; with `raw` only those (or the others)."""
    found = (_parse(path) for path in directory.glob("r*.db"))
    yield from sorted(
        item for item in found if item is not None and (raw is None or item.raw == raw)
    )


def _parse(path: Path) -> StoreFile | None:
    match = _NAME.fullmatch(path.name)
    if match is None or (match[1] == "raw") != (match[4] is not None):
        return None
    try:
        start = date(int(match[2]), int(match[3]), int(match[4] or 1))
    except ValueError:
        return None
    if match[4] is not None:
        end = start + timedelta(days=1)
    else:
        end = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    return StoreFile(_ms(start), _ms(end), match[1] == "raw", path)


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
