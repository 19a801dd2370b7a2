# SPDX-License-Identifier: Apache-2.0
"""Key figures of hours, days and months as points, by the functions that reports use."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import fsum
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.claims import HourMatch
from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.accounting.period import (
    UPS_REST_MS,
    Accumulator,
    figures,
    hour_matches,
    ups_open_at,
)
from rackwatt.collector.accounting.rules import Outside, Rules
from rackwatt.collector.accounting.vocabulary import HOUR_MS, ORIGINS, SERIES, UNKNOWN
from rackwatt.collector.copies.rows import (
    BALANCE,
    BATTERY,
    FIGURES,
    SITE_SINKS,
    Figures,
    fields_of,
    tags_of,
)
from rackwatt.collector.copies.spans import Sum
from rackwatt.collector.ledger.by_meter import MeterSums
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.view import booked
from rackwatt.collector.store.base import Row

Rows = Callable[[int, int], Iterable[LedgerRow]]
"""The latest revisions of the intervals of a half-open span."""

_ALWAYS: Final = ("completeness_ratio", "pue_coverage_ratio", "shares_coverage_ratio",
                  "restated_intervals")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Books:
    """What is booked.

    Attributes:
        rows: reads intervals.
        first_ms: start of the first one.
        through_ms: end of the last one.
        meters: energies by meter of the span that is asked for.
        zone: the site's, in which hours are named; None: they are not.
    """

    rows: Rows
    first_ms: int
    through_ms: int
    meters: Callable[[], MeterSums] = MeterSums
    zone: ZoneInfo | None = None


@dataclass(slots=True)
class _Last:
    """The newest of the intervals that went by."""

    row: LedgerRow | None = None
    seq: int = 0

    def watch(self, rows: Iterable[LedgerRow]) -> Iterator[BookedInterval]:
        for row in rows:
            self.row, self.seq = row, max(self.seq, row.seq)
            yield booked(row)


def period_rows(site: str, rules: Rules, item: Sum, books: Books) -> list[Row]:
    """The key figures of a span; none when nothing is booked in it.

    A span that is not over, or began before the ledger, is taken as far as it is booked.

    Args:
        site: the site's id.
        rules: the site's.
        item: the span.
        books: what is booked.
    """
    last = _Last()
    accumulator = Accumulator(last.watch(books.rows(item.start_ms, item.end_ms)))
    if last.row is None:
        return []
    start = max(item.start_ms, books.first_ms)
    end = max(min(item.end_ms, books.through_ms), last.row.end_ms)
    outside = Outside(
        start,
        end,
        _ups_open(books, start),
        _cut_hours(books, item),
        by_meter=books.meters().over(start, end),
    )
    found = figures(accumulator, rules, outside)
    data, revision = last.row.data, float(last.seq)
    rows = [
        Row(
            f"{BALANCE}_{item.every}",
            tags_of(origin=origin, site=site),
            fields_of(figures_of, {"revision": revision}),
            item.start_ms,
        )
        for origin, figures_of in _balance(found, data["battery"]["stock"]).items()
    ]
    fields = fields_of(*_site_figures(found, data["battery"], revision))
    fields["flags"] = ",".join(found.flags)
    if item.every == "1h" and books.zone is not None:
        fields |= _by_the_clock(item.start_ms, books.zone)
    rows.append(Row(f"{FIGURES}_{item.every}", tags_of(site=site), fields, item.start_ms))
    return rows


def _by_the_clock(start_ms: int, zone: ZoneInfo) -> dict[str, str]:
    """An hour's local day and hour: no database knows the site's calendar."""
    local = datetime.fromtimestamp(start_ms / 1000, zone)
    return {"local_day": f"{local:%Y-%m-%d}", "local_hour": f"{local:%H}"}


def _ups_open(books: Books, start_ms: int) -> bool:
    before = Accumulator(booked(row) for row in books.rows(start_ms - UPS_REST_MS, start_ms))
    return ups_open_at(before, start_ms)


def _cut_hours(books: Books, item: Sum) -> Mapping[int, HourMatch] | None:
    """Claims are matched per UTC hour, also where a local day begins or ends within one."""
    cut = {at // HOUR_MS * HOUR_MS for at in (item.start_ms, item.end_ms) if at % HOUR_MS}
    found: dict[int, HourMatch] = {}
    for hour in sorted(cut):
        if hour + HOUR_MS <= books.through_ms:
            found |= hour_matches(booked(row) for row in books.rows(hour, hour + HOUR_MS))
    return found or None


def _balance(found: PeriodFigures, stock: Mapping[str, float]) -> dict[str, Figures]:
    """Per origin, as in an interval; the stock is that of the end."""
    balance: dict[str, Figures] = {}
    for origin in ORIGINS:
        source = found.unknown if origin == UNKNOWN else found.sources.get(origin)
        balance[origin] = {
            "energy_watt_hours": found.origins[origin].value,
            "source_watt_hours": 0.0 if source is None else source.value,
            "battery_stock_watt_hours": stock.get(origin, 0.0),
        }
    balance[BATTERY] = {"source_watt_hours": found.discharge.value}
    return balance


def _site_figures(
    found: PeriodFigures, battery: Mapping[str, Mapping[str, float]], revision: float
) -> tuple[Figures, Figures]:
    """Figures that may be unknown, and those that never are."""
    flat: dict[str, float | None] = dict.fromkeys(SITE_SINKS.values(), 0.0)
    flat |= found.flat()
    flat = {name: value for name, value in flat.items() if not _is_of_origin(name)}
    always = {name: flat.pop(name) for name in _ALWAYS}
    always |= {"revision": revision, "residual_month_flag": float(found.residual_month_flag)}
    flat["battery_stock_watt_hours"] = fsum(battery["stock"].values())
    for series in SERIES:
        flat[f"battery_carbon_{series}_grams"] = battery["carbon"][series]
    return flat, always


def _is_of_origin(name: str) -> bool:
    """Whether `energy_balance` has it."""
    return name.startswith(("source_", "origin_"))
