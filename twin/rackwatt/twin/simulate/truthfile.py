# SPDX-License-Identifier: Apache-2.0
"""What the twin knows to be true, minute by minute, as CSV or JSON lines.

Energies in Wh. `load` is the data center's consumption, `origin_*` the same by origin, traced by
the twin's own reckoning with its own battery at its own step; `battery_stock_wh` is exact. `pue`
is the minute's; that of a period is the ratio of sums: boundary / load_it.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from rackwatt.twin.simulate.motion import Minutes
from rackwatt.twin.simulate.problems import SimulationProblem
from rackwatt.twin.simulate.span import MINUTE_MS
from rackwatt.twin.world.origin import ORIGINS

_FLOWS: Final[Mapping[str, str]] = {
    "pv": "pv", "wind": "wind", "genset": "genset", "grid_import": "grid_import",
    "battery_discharge": "discharge", "battery_charge": "charge", "grid_export": "grid_export",
    "load_it": "it", "load_cooling": "cooling", "load_losses": "losses",
}  # fmt: skip


def check_truth_file(path: Path) -> None:
    """See that the truth can be written there.

    Raises:
        SimulationProblem: it cannot.
    """
    if path.suffix not in {".csv", ".jsonl"}:
        raise SimulationProblem(f"--truth: expects a file .csv or .jsonl, not {path.name!r}")
    if not path.parent.is_dir():
        raise SimulationProblem(f"--truth: there is no folder {path.parent}")


class TruthFile:
    """Writes the truth and adds it up.

    Args:
        path: Where; None: only add up.
        totals: The world's flows, in the order of `Minutes.totals`.
        contracts: Those of them that are contracts' plants.
        capacity: What the battery held at first, Wh.
        campus_ratio: The part of the other loads that is no data center.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(
        self,
        path: Path | None,
        totals: Sequence[str],
        contracts: Sequence[str],
        opening: float,
        campus_ratio: float,
    ) -> None:
        self._at = {name: index for index, name in enumerate(totals)}
        self._contracts = tuple(contracts)
        self._stock = opening
        self._campus = campus_ratio
        self.sums: dict[str, float] = {}
        """Of every energy so far."""
        self._file: IO[str] | None = None
        self._csv: csv.DictWriter[str] | None = None
        if path is not None:
            self._file = path.open("w", encoding="utf-8", newline="")
            self._lines = path.suffix == ".jsonl"

    def add(self, minutes: Minutes) -> None:
        """Take minutes in."""
        columns = self._columns(minutes)
        for name, values in columns.items():
            if not name.startswith("battery_stock"):
                self.sums[name] = self.sums.get(name, 0.0) + float(values.sum())
        if self._file is not None:
            self._write(minutes, columns)

    def _columns(self, minutes: Minutes) -> dict[str, Any]:
        totals, at = minutes.totals, self._at
        found: dict[str, Any] = {name: totals[:, at[flow]] for name, flow in _FLOWS.items()}
        other = totals[:, at["other"]]
        found["load_other"] = other * (1.0 - self._campus)
        found["load_campus"] = other * self._campus
        loads = ("load_it", "load_cooling", "load_losses", "load_other")
        load = sum(found[name] for name in loads)
        found["load"] = load
        whole = load + found["load_campus"]
        part = np.divide(load, whole, out=np.ones_like(load), where=whole > 0)
        found |= {f"origin_{n}": minutes.origins[:, i] * part for i, n in enumerate(ORIGINS)}
        before = np.concatenate([[self._stock], minutes.stock[:-1]])
        self._stock = float(minutes.stock[-1])
        given = found["pv"] + found["wind"] + found["genset"] + found["grid_import"]
        gained = minutes.stock - before
        found["boundary"] = given - found["grid_export"] - gained - found["load_campus"]
        found |= {name: totals[:, at[name]] for name in self._contracts}
        found["battery_stock_wh"] = minutes.stock
        for index, name in enumerate(ORIGINS):
            found[f"battery_stock_{name}_wh"] = minutes.stock_origins[:, index]
        return found

    def _write(self, minutes: Minutes, columns: Mapping[str, Any]) -> None:
        values = [values.tolist() for values in columns.values()]
        names = list(columns)
        rows: Iterable[dict[str, Any]] = (
            {
                "time": _iso(minutes.start_ms + MINUTE_MS * index),
                "interval_seconds": 60,
                **dict(zip(names, numbers, strict=True)),
            }
            for index, numbers in enumerate(zip(*values, strict=True))
        )
        for row in rows:
            row["pue"] = row["boundary"] / row["load_it"] if row["load_it"] > 0 else None
            self._put(row)

    def _put(self, row: dict[str, Any]) -> None:
        file = self._file
        if file is None:
            return
        if self._lines:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
            return
        if self._csv is None:
            self._csv = csv.DictWriter(file, list(row), lineterminator="\n")
            self._csv.writeheader()
        self._csv.writerow(row)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
