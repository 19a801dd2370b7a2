# SPDX-License-Identifier: Apache-2.0
"""The ledger as a sheet: one line per row, an empty cell for what is unknown."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from math import fsum
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from rackwatt.collector.accounting.vocabulary import ORIGINS, RENEWABLE
from rackwatt.collector.ledger.importing.booking import BookedRow, Claimed
from rackwatt.collector.ledger.importing.typist import Cell, Line, Typist, text_of

STDOUT: Final = "-"

COLUMNS: Final = (
    "time",
    "load_wh",
    *(f"{origin}_wh" for origin in ORIGINS),
    "renewable_share",
    "carbon_life_cycle_g",
    "carbon_operational_g",
    "pue",
    "battery_stock_wh",
    "battery_carbon_g",
    "residual_wh",
    "completeness",
    "interval_seconds",
    "it_wh",
    "facility_wh",
    "grid_share",
    "carbon_free_share",
    "intensity_life_cycle_g_per_kwh",
    "intensity_operational_g_per_kwh",
    "scope_2_g",
    "contracted_wh",
    "surplus_wh",
    "unmetered_wh",
    "beyond_wh",
    "battery_losses_wh",
    "battery_carbon_operational_g",
    *(f"battery_{origin}_wh" for origin in ORIGINS),
    "flags",
)

_BY_ORIGIN: Final = itemgetter(*ORIGINS)
_RENEWABLE: Final = itemgetter(*RENEWABLE)
_NOTHING: Final = [0.0] * len(ORIGINS)
_UNKNOWN: Final[list[float | None]] = [None] * len(ORIGINS)
_BLOCK: Final = 200


def cells(booked: BookedRow, claims: Claimed) -> list[Cell]:
    """One line of the sheet, in the order of :data:`COLUMNS`."""
    row, done = booked.row, booked.account
    load, it, shares, battery = done.load, done.it, done.shares, done.battery
    known = shares is not None or booked.traceable
    origins: Sequence[float | None] = _UNKNOWN
    if done.origins is not None:
        origins = _BY_ORIGIN(done.origins)
    elif load == 0.0 and known:
        origins = _NOTHING  # no load has no shares, but it certainly has no energy
    closed = done.residual is not None
    stock = _BY_ORIGIN(battery.stock)
    return [
        row.time,
        load,
        *origins,
        None if shares is None else fsum(_RENEWABLE(shares)),
        done.carbon["life_cycle"] if known else None,
        done.carbon["operational"] if known else None,
        load / it if load is not None and it else None,
        fsum(stock),
        battery.carbon["life_cycle"],
        done.residual,
        done.completeness,
        row.seconds,
        it,
        done.boundary,
        None if shares is None else shares["grid"],
        done.carbon_free / load if load and done.carbon_free is not None else None,
        done.intensity["life_cycle"],
        done.intensity["operational"],
        done.scope_2,
        claims.matched,
        claims.surplus,
        done.unmetered if closed else None,
        None if row.flows.discharge is None else done.beyond,
        fsum(done.losses.values()),
        battery.carbon["operational"],
        *stock,
        " ".join(booked.flags),
    ]


class Sheet:
    """The file that is written: whole or not at all.

    Args:
        target: A path, or ``-`` for standard output. A file is written beside its place and takes
            it when all is well; what is no file (a pipe, a terminal) is given the lines at the end.
        typist: Whether a process of its own shall write.

    Raises:
        OSError: It cannot be written there.
    """

    def __init__(self, target: str, *, typist: bool = False) -> None:
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
        self._typist = Typist(self._file) if typist else None

    def write(self, line: Line) -> None:
        """Write a line.

        Raises:
            OSError: The file cannot be written.
        """
        self._block.append(line)
        if len(self._block) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        block, self._block = self._block, []
        if self._typist is None:
            self._file.write(text_of(block))
        else:
            self._typist.write(block)

    def finish(self) -> None:
        """All lines are written: put them where they belong.

        Raises:
            OSError: That fails.
        """
        self._flush()
        if self._typist is not None:
            self._typist.finish()
            self._file.seek(0, os.SEEK_END)
        self._file.flush()
        if self._beside is not None and self._target is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.replace(self._target)
            return
        self._file.seek(0)
        if self._pipe is None:
            shutil.copyfileobj(self._file, sys.stdout)
            sys.stdout.flush()
            return
        with self._pipe.open("w", encoding="utf-8", newline="") as pipe:
            shutil.copyfileobj(self._file, pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._typist is not None and kind is not None:
            with contextlib.suppress(OSError):
                self._typist.finish()
        self._file.close()
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
