# SPDX-License-Identifier: Apache-2.0
"""The ledger as a sheet: one line per row, an empty cell for what is unknown."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.ledger.importing.adding import Added
from rackwatt.collector.ledger.importing.lines import COLUMNS, Line
from rackwatt.collector.ledger.importing.typist import SecondTypist, Typist

STDOUT: Final = "-"

_BLOCK: Final = 200


class Sheet:
    """The file that is written: whole or not at all.

    Args:
        target: A path, or ``-`` for standard output. A file is written beside its place and takes
            it when all is well; what is no file (a pipe, a terminal) is given the lines at the end.
        second: Whether a process of its own shall write and add up.

    Raises:
        OSError: It cannot be written there.
    """

    def __init__(self, target: str, *, second: bool = False) -> None:
        self._target: Path | None = None
        self._beside: Path | None = None
        place = None if target == STDOUT else Path(target)
        self._file: IO[str]
        if place is not None and (place.is_file() or not place.exists()):
            self._target = place.resolve()
            self._beside = self._target.with_name(f".{self._target.name}.{os.getpid()}.part")
            self._file = self._beside.open("w", encoding="utf-8", newline="")
        else:
            self._pipe = place
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115
        self._file.write(",".join(COLUMNS) + "\n")
        self._block: list[Line] = []
        self._factors: IntervalFactors | None = None
        self._typist = SecondTypist(self._file) if second else Typist(self._file)

    def write(self, line: Line, factors: IntervalFactors) -> None:
        """Write a line, and add it up.

        Raises:
            OSError: The file cannot be written.
        """
        if len(self._block) >= _BLOCK or factors is not self._factors:
            self._flush()
            self._factors = factors
        self._block.append(line)

    def _flush(self) -> None:
        block, self._block = self._block, []
        if block and self._factors is not None:
            self._typist.take(block, self._factors.intensity)

    def finish(self) -> Added:
        """All lines are written: put them where they belong, and return what they come to.

        Raises:
            OSError: That fails.
        """
        self._flush()
        added = self._typist.finish()
        if self._beside is not None and self._target is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.replace(self._target)
            return added
        self._file.seek(0)
        if self._pipe is None:
            shutil.copyfileobj(self._file, sys.stdout)
            sys.stdout.flush()
            return added
        with self._pipe.open("w", encoding="utf-8", newline="") as pipe:
            shutil.copyfileobj(self._file, pipe)
        return added

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._typist.abandon()
        self._file.close()
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
