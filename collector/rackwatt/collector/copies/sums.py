# SPDX-License-Identifier: Apache-2.0
"""Sums of places and tenants over hours, days and months: pure functions.

A figure of a span is the sum over its quarter hours; one that is known in less than 95 % of them
is unknown. A day is the sum of its quarter hours, a month the sum of its days.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.copies.rows import Figures, Places, Tags, fields_of, place_figures
from rackwatt.collector.copies.spans import Sum
from rackwatt.collector.store.base import Row

Key = tuple[str, Tags]
"""Measurement and tags."""


@dataclass(slots=True)
class Part:
    """One figure of one place.

    Attributes:
        known: what is known, Wh, g or h.
        count: of how many quarter hours.
        all: how many quarter hours the place has.
    """

    known: list[float] = field(default_factory=list)
    count: int = 0
    all: int = 0

    @property
    def total(self) -> float | None:
        """The sum; None when too little is known."""
        if not self.all or self.count / self.all < REPORTED_COVERAGE:
            return None
        return fsum(self.known)


Sums = dict[Key, dict[str, Part]]
_COVERED: Final = "it_watt_hours"
"""The figure whose coverage a row states."""


def sum_quarters(places: Places, quarters: Iterable[Mapping[str, Any]]) -> Sums:
    """The sums over quarter hours, in order."""
    found: Sums = {}
    for data in quarters:
        for key, figures in place_figures(places, data).items():
            _add(found.setdefault(key, {}), figures)
    return found


def _add(parts: dict[str, Part], figures: Figures) -> None:
    for name, value in figures.items():
        part = parts.setdefault(name, Part())
        part.all += 1
        if value is not None:
            part.known.append(value)
            part.count += 1


def sum_days(days: Iterable[Sums]) -> Sums:
    """The sums over days, in order."""
    found: Sums = {}
    for day in days:
        for key, parts in day.items():
            into = found.setdefault(key, {})
            for name, part in parts.items():
                whole = into.setdefault(name, Part())
                whole.known.append(fsum(part.known))
                whole.count += part.count
                whole.all += part.all
    return found


def sum_rows(sums: Sums, gone: Mapping[Key, Iterable[str]], item: Sum, revision: int) -> list[Row]:
    """The sums of a span as points.

    Args:
        sums: of the span.
        gone: places that an earlier revision of a part of it had, with their figures.
        item: the span.
        revision: the newest entry of the journal that is in it.
    """
    found: list[Row] = []
    for (name, tags), parts in sums.items():
        covered = parts[_COVERED]
        always = {"revision": float(revision), "coverage_ratio": covered.count / covered.all}
        figures = {figure: part.total for figure, part in parts.items()}
        found.append(Row(f"{name}_{item.every}", tags, fields_of(figures, always), item.start_ms))
    for key in gone.keys() - sums.keys():
        fields = fields_of(dict.fromkeys(gone[key], 0.0), {"revision": float(revision)})
        found.append(Row(f"{key[0]}_{item.every}", key[1], fields, item.start_ms))
    return found
