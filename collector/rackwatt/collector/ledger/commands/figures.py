# SPDX-License-Identifier: Apache-2.0
"""Sums of ledger rows over spans of time, under the names that the rows have."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import fsum
from typing import Any, Final, TypeVar

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.accounting.vocabulary import RENEWABLE, normalised, total
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.records import INTERVAL_MS

T = TypeVar("T")
_SUMMED: Final = ("charge", "discharge", "load", "it", "boundary", "residual", "unmetered")
_SUMMED_TOO: Final = ("unknown", "beyond", "scope_2", "carbon_free", "stock_change")
_BY_NAME: Final = ("sources", "sinks", "claims", "origins", "carbon", "losses")


def in_spans(
    items: Iterable[T], spans: Iterable[Span], start_of: Callable[[T], int]
) -> Iterator[tuple[Span, list[T]]]:
    """Sort items in order of time into spans in order of time; a span without any is left out."""
    coming = iter(items)
    item = next(coming, None)
    for span in spans:
        inside: list[T] = []
        while item is not None and start_of(item) < span.end_ms:
            inside.append(item)
            item = next(coming, None)
        if inside:
            yield span, inside
        if item is None:
            return


def figures(span: Span, rows: Sequence[LedgerRow]) -> dict[str, Any]:
    """What the rows of a span say together.

    Every sum is ``None`` if one of its terms is unknown; a ratio is the ratio of sums. What the
    battery holds is that of the last row.

    Args:
        span: which span.
        rows: the latest revisions of its intervals, at least one.
    """
    expected = (span.end_ms - span.start_ms) // INTERVAL_MS
    found: dict[str, Any] = {"intervals": len(rows)}
    for name in (*_SUMMED, *_SUMMED_TOO):
        found[name] = total([row.data.get(name) for row in rows])
    for name in _BY_NAME:
        found[name] = _by_name([row.data.get(name) for row in rows])
    found["shares"] = None if found["origins"] is None else normalised(found["origins"])
    found["renewable_share"] = _renewable(found["shares"])
    found["intensity"] = {
        series: None if mass is None or not found["load"] else mass / found["load"] * 1000.0
        for series, mass in (found["carbon"] or {}).items()
    }
    found["pue"] = _ratio(found["boundary"], found["it"])
    battery = rows[-1].data["battery"]
    found["battery"] = {
        "stock": fsum(battery["stock"].values()),
        "carbon": dict(battery["carbon"]),
        "stale": battery["stale"],
    }
    found["completeness"] = fsum(row.data["completeness"] for row in rows) / max(expected, 1)
    found["restated"] = sum(row.revision > 1 for row in rows)
    found["flags"] = _flags(rows)
    return found


def _by_name(parts: Sequence[Mapping[str, float | None] | None]) -> dict[str, float | None] | None:
    """Sums by name; ``None`` altogether if one part is unknown altogether."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    names = dict.fromkeys(name for part in known for name in part)
    return {name: total([part.get(name, 0.0) for part in known]) for name in names}


def _renewable(shares: Mapping[str, float] | None) -> float | None:
    return None if shares is None else fsum(shares.get(name, 0.0) for name in RENEWABLE)


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under


def _flags(rows: Sequence[LedgerRow]) -> dict[str, int]:
    """How many intervals carry each flag."""
    counts: dict[str, int] = {}
    for row in rows:
        for flag in {*row.data["flags"], *row.data["metering"]}:
            counts[flag] = counts.get(flag, 0) + 1
    return dict(sorted(counts.items()))
