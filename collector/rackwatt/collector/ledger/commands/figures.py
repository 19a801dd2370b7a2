# SPDX-License-Identifier: Apache-2.0
"""The books over spans of time: key figures under the names that the ledger's rows have."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from rackwatt.collector.accounting.accumulator import Accumulator
from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.accounting.claims import HourMatch
from rackwatt.collector.accounting.figures import Figure, PeriodFigures
from rackwatt.collector.accounting.period import figures, ups_open_at
from rackwatt.collector.accounting.rules import Outside, Rules
from rackwatt.collector.ledger.by_meter import MeterSums
from rackwatt.collector.ledger.journal import HEAT_REUSED, WATER_DISCHARGE, WATER_LITERS, LedgerRow
from rackwatt.collector.ledger.view import booked

T = TypeVar("T")
_NAMES: Final = {"scope_2_location": "scope_2", "heat_reused": HEAT_REUSED,
          "water_discharge": WATER_DISCHARGE}  # fmt: skip
"""What a row of the ledger calls a figure."""


def in_spans(
    items: Iterable[T], spans: Iterable[Span], start_of: Callable[[T], int]
) -> Iterator[tuple[Span, Iterator[T]]]:
    """Sort items in order of time into spans in order of time; a span without any is left out.

    Each span's items must be taken before the next span is asked for.
    """
    coming = iter(items)
    waiting = next(coming, None)
    for span in spans:
        if waiting is None:
            return
        if start_of(waiting) >= span.end_ms:
            continue

        def inside(end_ms: int = span.end_ms) -> Iterator[T]:
            nonlocal waiting
            while waiting is not None and start_of(waiting) < end_ms:
                yield waiting
                waiting = next(coming, None)

        yield span, inside()


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one span.

    Attributes:
        span: which; ``None`` for the sum of all.
        figures: its figures.
        battery: what the battery holds at its end, as the last row says.
    """

    span: Span | None
    figures: PeriodFigures
    battery: Mapping[str, Any]


def lines(
    rows: Iterable[LedgerRow],
    spans: Iterable[Span],
    rules: Rules,
    whole_hours: Mapping[int, HourMatch] | None = None,
    before: Iterable[LedgerRow] = (),
    meters: Callable[[int, int], MeterSums] = lambda _start, _end: MeterSums(),
) -> Iterator[Line]:
    """The figures of each span in which something is booked, and behind them those of all.

    Args:
        rows: the latest revisions, in order.
        spans: in order.
        rules: what the site says of its figures.
        whole_hours: matches of claims in the hours that a span cuts.
        before: the rows of the quarter hour before the first span.
        meters: energies by meter over a span, for the uncertainty of its PUE.
    """
    metered = MeterSums()
    everything = Accumulator(booked(row) for row in before)
    start = end = None
    whole = Accumulator()
    battery: Mapping[str, Any] = {}
    for span, inside in in_spans(rows, spans, lambda row: row.start_ms):
        own = Accumulator()
        for row in inside:
            own.add(booked(row))
            battery = row.data["battery"]
        ups = ups_open_at(everything, span.start_ms)
        by_meter = meters(span.start_ms, span.end_ms)
        metered.merge(by_meter)
        outside = Outside(
            span.start_ms,
            span.end_ms,
            ups,
            whole_hours,
            by_meter=by_meter.over(span.start_ms, span.end_ms),
        )
        yield Line(span, figures(own, rules, outside), battery)
        if start is None:
            start, first_ups = span.start_ms, ups
        end = span.end_ms
        everything.merge(own)
        whole.merge(own)
    if start is not None and end is not None:
        outside = Outside(start, end, first_ups, whole_hours, by_meter=metered.over(start, end))
        yield Line(None, figures(whole, rules, outside), battery)


def as_dict(line: Line) -> dict[str, Any]:
    """A line's figures, nested as the ledger's rows are; ``None`` = unknown."""
    period, found = line.figures, dict[str, Any]()
    coverage: dict[str, float] = {}
    for one in fields(period):
        value = getattr(period, one.name)
        if isinstance(value, Figure):
            found[_NAMES.get(one.name, one.name)] = value.value
            if value.coverage < 1.0:
                coverage[_NAMES.get(one.name, one.name)] = value.coverage
        elif isinstance(value, Mapping):
            found[one.name] = {name: _plain(part) for name, part in value.items()}
        elif isinstance(value, int | float | bool) or value is None:
            found[one.name] = value
    del found["start_ms"], found["end_ms"], found["shares_coverage"]
    if water := found.pop("water"):
        found[WATER_LITERS] = water
    found.pop("water_discharge", None)
    found.pop("heat_reused", None)  # not metered: not there, as in a row
    shares = period.shares
    found["shares"] = {one.name: getattr(shares, one.name) for one in fields(shares)}
    found["pue"] = {one.name: getattr(period.pue, one.name) for one in fields(period.pue)}
    found["export_ratio"] = period.export.ratio
    found["market_note"] = period.market.note
    stock: Mapping[str, float] = line.battery["stock"]
    found["battery"] = {**line.battery, "stock": dict(stock)}
    found["signable"] = period.signable
    found["coverage"] = coverage
    return found


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Figure) else value
