# SPDX-License-Identifier: Apache-2.0
"""What all rows come to: sums, ratios of sums, and what was odd."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from math import fsum
from operator import itemgetter
from typing import Final, cast

from rackwatt.collector.accounting.calendar import Span, span_at
from rackwatt.collector.accounting.vocabulary import RENEWABLE
from rackwatt.collector.ledger.importing.booking import BookedRow
from rackwatt.collector.ledger.importing.sheet import COLUMNS
from rackwatt.collector.ledger.importing.typist import Cell

LISTED: Final = 20
"""Gaps and changes of the offset that are named one by one."""

RATIOS: Final = {
    "pue": ("facility_wh", "it_wh"),
    "load_per_it": ("load_wh", "it_wh"),
    "renewable_share": ("renewable_wh", "load_wh"),
    "grid_share": ("grid_wh", "load_wh"),
    "carbon_free_share": ("carbon_free_wh", "load_wh"),
    "unknown_share": ("unknown_wh", "load_wh"),
    "contracted_share": ("contracted_wh", "facility_wh"),
    "life_cycle_g_per_wh": ("carbon_life_cycle_g", "load_wh"),
    "operational_g_per_wh": ("carbon_operational_g", "load_wh"),
    "residual_ratio": ("residual_wh", "supplied_wh"),
}
"""Ratios of sums over the rows in which both terms are known."""

_MORE: Final = ("supplied_wh", "import_wh", "export_wh", "renewable_wh", "carbon_free_wh")
SUMS: Final = (
    "load_wh",
    "it_wh",
    "facility_wh",
    "pv_wh",
    "wind_wh",
    "hydro_wh",
    "grid_wh",
    "genset_wh",
    "unknown_wh",
    "carbon_life_cycle_g",
    "carbon_operational_g",
    "scope_2_g",
    "contracted_wh",
    "surplus_wh",
    "residual_wh",
    "unmetered_wh",
    "beyond_wh",
    "battery_losses_wh",
    *_MORE,
)
_INDEX: Final = {name: index for index, name in enumerate((*COLUMNS, *_MORE))}
_RENEWABLE: Final = itemgetter(*RENEWABLE)
_SECONDS: Final = _INDEX["interval_seconds"]
_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A sum over the rows in which a figure is known.

    Attributes:
        value: The sum.
        seconds: How long these rows are, together.
    """

    value: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PeriodRatio:
    """A ratio of sums over the rows in which both terms are known, with their time."""

    over: float
    under: float
    seconds: float

    @property
    def value(self) -> float | None:
        """The ratio, ``None`` without a denominator."""
        return self.over / self.under if self.under > 0.0 else None


@dataclass(slots=True)
class Month:
    """One local month's balance, over the rows whose residual is known."""

    residual: float = 0.0
    supplied: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that no row covers, before a row."""

    line: int
    time: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """A row whose time has another offset than the one before."""

    line: int
    time: str
    before: timedelta
    after: timedelta


class Tally:
    """Adds up rows as they come.

    Args:
        zone: Whose clocks tell months.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._block: list[list[Cell]] = []
        self._parts: dict[str, list[float]] = {name: [] for name in SUMS}
        self._known_seconds = dict.fromkeys(SUMS, 0.0)
        self._over: dict[str, list[float]] = {name: [] for name in RATIOS}
        self._under: dict[str, list[float]] = {name: [] for name in RATIOS}
        self._both_seconds = dict.fromkeys(RATIOS, 0.0)
        self._month: Span | None = None
        self.months: dict[str, Month] = {}
        self.flags: Counter[str] = Counter()
        self.gaps: list[Gap] = []
        self.gap_count = 0
        self.gap_seconds = 0.0
        self.offsets: list[OffsetChange] = []
        self.offset_count = 0
        self.rows = 0
        self.seconds = 0.0
        self.first: BookedRow | None = None
        self.last: BookedRow | None = None

    def add(self, booked: BookedRow, line: Sequence[Cell]) -> None:
        """Add a row and its line of the sheet."""
        row, done = booked.row, booked.account
        if self.first is None:
            self.first = booked
        self.last = booked
        self.rows += 1
        if booked.flags:
            self._odd(booked)
        flows = row.flows
        supplied = _summed([*flows.sources.values(), flows.discharge])
        if supplied is not None and done.residual is not None:
            self._monthly(booked, done.residual, supplied)
        renewable = None if done.origins is None else fsum(_RENEWABLE(done.origins))
        bought, sold = flows.sources["grid"], flows.sinks["export"]
        self._block.append([*line, supplied, bought, sold, renewable, done.carbon_free])
        if len(self._block) >= _BLOCK:
            self._flush()

    def _odd(self, booked: BookedRow) -> None:
        row = booked.row
        self.flags.update(booked.flags)
        if row.gap_us:
            self.gap_count += 1
            self.gap_seconds += row.gap_us / 1e6
            if len(self.gaps) < LISTED:
                self.gaps.append(Gap(row.line, row.time, row.gap_us / 1e6))
        if row.offset_before is not None:
            self.offset_count += 1
            if len(self.offsets) < LISTED:
                change = OffsetChange(row.line, row.time, row.offset_before, row.offset)
                self.offsets.append(change)

    def _monthly(self, booked: BookedRow, residual: float, supplied: float) -> None:
        start_ms = booked.row.start_us // 1000
        if self._month is None or not self._month.start_ms <= start_ms < self._month.end_ms:
            self._month = span_at(start_ms, "1mo", self._zone)
        month = self.months.setdefault(self._month.label, Month())
        month.residual += residual
        month.supplied += supplied
        month.seconds += booked.row.seconds

    def finish(self) -> None:
        """That was the last row: :meth:`sums` and :meth:`ratios` may be asked for."""
        self._flush()

    def _flush(self) -> None:
        if not self._block:
            return
        columns: list[tuple[float | None, ...]] = list(zip(*self._block, strict=True))
        self._block = []
        seconds = columns[_SECONDS]
        whole = fsum(value or 0.0 for value in seconds)
        self.seconds += whole
        sums = {name: _summed(columns[_INDEX[name]]) for name in SUMS}
        for name, value in sums.items():
            if value is not None:
                self._parts[name].append(value)
                self._known_seconds[name] += whole
                continue
            known = _where_known(columns[_INDEX[name]], seconds)
            self._parts[name].append(fsum([row[0] for row in known]))
            self._known_seconds[name] += fsum([row[1] for row in known])
        for name, (over, under) in RATIOS.items():
            first, second, length = sums[over], sums[under], whole
            if first is None or second is None:
                both = _where_known(columns[_INDEX[over]], columns[_INDEX[under]], seconds)
                first, second = fsum([row[0] for row in both]), fsum([row[1] for row in both])
                length = fsum([row[2] for row in both])
            self._over[name].append(first)
            self._under[name].append(second)
            self._both_seconds[name] += length

    def sums(self) -> dict[str, Known]:
        """The sums."""
        return {
            name: Known(fsum(parts), self._known_seconds[name])
            for name, parts in self._parts.items()
        }

    def ratios(self) -> dict[str, PeriodRatio]:
        """The ratios of sums."""
        return {
            name: PeriodRatio(
                fsum(self._over[name]), fsum(self._under[name]), self._both_seconds[name]
            )
            for name in RATIOS
        }


def _summed(column: Sequence[float | None]) -> float | None:
    """Sum a column; ``None`` if something in it is unknown."""
    try:
        return fsum(column)  # type: ignore[arg-type]
    except TypeError:
        return None


def _where_known(*columns: Sequence[float | None]) -> list[tuple[float, ...]]:
    """The rows in which all of some columns are known."""
    rows = zip(*columns, strict=True)
    return [cast("tuple[float, ...]", row) for row in rows if None not in row]
