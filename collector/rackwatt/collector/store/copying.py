# SPDX-License-Identifier: Apache-2.0
"""An embedded store's rows into an InfluxDB, to move from one to the other.

Measurement by measurement, in order of time. How far each is, is kept in a file: a copy that was
broken off goes on from there, and a later one brings only what is new. A row that is written twice
is the same row, so that going on a little earlier than it ended does no harm.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from rackwatt.collector.store.base import Row, WriteResult
from rackwatt.collector.store.read import measurements, read

MARKS: Final = "store-copy.json"
LATE_MS: Final = 25 * 3_600_000
"""After a whole run, the next one looks so far back for what came late: agents keep a day."""
BATCH: Final = 20_000
"""Rows: four requests at once, of 5,000 lines each."""


class Target(Protocol):
    """The store that takes the rows."""

    def identity(self) -> str:
        """Which one it is."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Write rows.

        Raises:
            StoreUnavailable, StoreRefused: it does not take them.
        """


@dataclass(frozen=True, slots=True)
class Moved:
    """A batch that was copied.

    Attributes:
        measurement: whose rows.
        number, of: the measurement's place among all.
        rows: of this measurement, so far, in this run.
        through_ms: the newest time among them.
    """

    measurement: str
    number: int
    of: int
    rows: int
    through_ms: int


@dataclass(slots=True)
class Copied:
    """What became of a run.

    Attributes:
        rows: that were copied, by measurement.
        refused: that the target did not take, and the first reason.
    """

    rows: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    reason: str = ""


class Marks:
    """How far each measurement is, by target.

    Args:
        path: the file; it need not exist.
        target: the store's identity.

    Raises:
        ValueError: the file is none of ours.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._all: dict[str, dict[str, tuple[int, bool]]] = {}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError(f"{path} does not hold how far a copy is")
            self._all = found

    def begin(self, measurement: str) -> int | None:
        """From which time on to copy; None: all."""
        known = self._all.get(self._target, {}).get(measurement)
        if known is None:
            return None
        through, whole = known
        return through - LATE_MS if whole else through

    def reached(self, measurement: str, time_ms: int, *, whole: bool = False) -> None:
        """Remember, on the disk, how far it is, and whether a run got to the end."""
        before = self._all.setdefault(self._target, {}).get(measurement, (0, False))
        self._all[self._target][measurement] = max(time_ms, before[0]) if whole else time_ms, whole
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(self._all, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)


async def copy_store(
    directories: Sequence[Path], target: Target, marks: Marks, told: Callable[[Moved], None]
) -> Copied:
    """Copy what is there and not copied yet.

    Args:
        directories: of the embedded store, which may be in use.
        target: started.
        marks: how far it is.
        told: hears of each batch.

    Raises:
        StoreUnavailable, StoreRefused: what was copied so far is remembered.
        sqlite3.Error: a file cannot be read.
        OSError: the marks cannot be written.
    """
    done = Copied()
    names = sorted(measurements(directories))
    for number, name in enumerate(names, start=1):
        count = 0
        newest = 0
        for batch in _batches(directories, name, marks.begin(name)):
            result = await target.write(batch)
            if result.rejected and not done.reason:
                row, why = result.rejected[0]
                done.reason = f"{row.measurement} of {row.time_ms}: {why}"
            done.refused += len(result.rejected)
            count += len(batch) - len(result.rejected)
            newest = batch[-1].time_ms
            marks.reached(name, newest)
            told(Moved(name, number, len(names), count, batch[-1].time_ms))
        marks.reached(name, newest, whole=True)
        done.rows[name] = count
    return done


def _batches(directories: Sequence[Path], name: str, through_ms: int | None) -> Iterator[list[Row]]:
    """From the newest time that was copied on: of that time some may be missing."""
    stored = read(list(directories), name, start_ms=through_ms)
    while batch := [
        Row(name, tuple(sorted(row.tags.items())), row.fields, row.time_ms)
        for row in islice(stored, BATCH)
    ]:
        yield batch
