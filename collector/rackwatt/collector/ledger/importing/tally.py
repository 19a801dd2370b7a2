# SPDX-License-Identifier: Apache-2.0
"""What all rows come to: sums, ratios of sums, and what was odd."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from math import fsum
from typing import Final

from rackwatt.collector.accounting.calendar import Span, span_at
from rackwatt.collector.accounting.sums import ExactSum
from rackwatt.collector.ledger.importing.booking import BookedRow
from rackwatt.collector.ledger.importing.sheet import COLUMNS, Cell

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
    "unmetered_wh",
    "unexplained_wh",
    "beyond_wh",
    "battery_losses_wh",
    *_MORE,
)
_INDEX: Final = {name: index for index, name in enumerate((*COLUMNS, *_MORE))}
_RENEWABLE: Final = [_INDEX[name] for name in ("pv_wh", "wind_wh", "hydro_wh")]
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


@dataclass(slots=True)
class _Sum:
    exact: ExactSum = field(default_factory=ExactSum)
    seconds: float = 0.0


class Tally:
    """Adds up rows as they come.

    Args:
        zone: Whose clocks tell months.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._block: list[list[Cell]] = []
        self._sums = {name: _Sum() for name in SUMS}
        self._over = {name: _Sum() for name in RATIOS}
        self._under = {name: _Sum() for name in RATIOS}
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
        supplied = None
        if booked.traceable:
            supplied = fsum([*(v or 0.0 for v in flows.sources.values()), flows.discharge or 0.0])
            if done.residual is not None:
                self._monthly(booked, done.residual, supplied)
        renewable = None
        if done.origins is not None:
            renewable = fsum([line[index] for index in _RENEWABLE])  # type: ignore[misc]
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
        columns: list[tuple[float | None, ...]] = list(zip(*self._block, strict=True))
        self._block = []
        if not columns:
            return
        seconds = columns[_SECONDS]
        self.seconds += fsum(value or 0.0 for value in seconds)
        for name, found in self._sums.items():
            values = columns[_INDEX[name]]
            _extend(found, [(v, s) for v, s in zip(values, seconds, strict=True) if v is not None])
        for name, (over, under) in RATIOS.items():
            both = [
                (a, b, s)
                for a, b, s in zip(
                    columns[_INDEX[over]], columns[_INDEX[under]], seconds, strict=True
                )
                if a is not None and b is not None
            ]
            _extend(self._over[name], [(a, s) for a, _, s in both])
            _extend(self._under[name], [(b, s) for _, b, s in both])

    def sums(self) -> dict[str, Known]:
        """The sums."""
        return {name: Known(found.exact.value, found.seconds) for name, found in self._sums.items()}

    def ratios(self) -> dict[str, PeriodRatio]:
        """The ratios of sums."""
        return {
            name: PeriodRatio(
                self._over[name].exact.value,
                self._under[name].exact.value,
                self._over[name].seconds,
            )
            for name in RATIOS
        }


def _extend(found: _Sum, known: Sequence[tuple[float, float | None]]) -> None:
    found.exact.extend([value for value, _ in known])
    found.seconds += fsum([seconds or 0.0 for _, seconds in known])
