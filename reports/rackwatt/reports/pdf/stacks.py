# SPDX-License-Identifier: Apache-2.0
"""Stacked bars: parts of a whole, and energies by day, or by month in the report of a year."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.reports.pdf.blocks import Bars, Legend, Share, Shares
from rackwatt.reports.pdf.numbers import energy_unit, number, ticks
from rackwatt.reports.pdf.palette import SINKS, SOURCES
from rackwatt.reports.pdf.teller import Teller

LOADS: Final = ("it", "cooling", "losses", "other")
_ORIGINS: Final = ("pv", "wind", "hydro", "grid", "genset", "unknown")
_NEAR: Final = 0.001
"""Parts that differ more from the whole are not all that there is: no bar is drawn."""
_MANY: Final = 12
"""More bars than that, and only every fifth has its label."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is stacked: a name of the texts' group `flows`, a figure of the document, a colour."""

    name: str
    figure: str
    color: str


def loads() -> list[Series]:
    """What the data center uses."""
    return [Series(name, f"load_{name}_watt_hours", SINKS[name]) for name in LOADS]


def sources(tell: Teller) -> list[Series]:
    """The sources that gave anything in the period, or may have."""
    found = [Series(name, f"source_{name}_watt_hours", color) for name, color in SOURCES.items()]
    return [one for one in found if tell.has(one.figure)]


def shares(tell: Teller) -> list[Shares]:
    """Where the consumption came from and where it went; nothing where it is not known whole."""
    origins = [Series(name, f"origin_{name}_watt_hours", SOURCES[name]) for name in _ORIGINS]
    found = [_whole(tell, "origins", origins), _whole(tell, "loads", loads())]
    return [one for one in found if one is not None]


def _whole(tell: Teller, key: str, series: Sequence[Series]) -> Shares | None:
    known = {one: value for one in series if (value := tell.figure(one.figure) or 0.0) > 0}
    whole, consumed = sum(known.values()), tell.figure("load_watt_hours")
    if not consumed or abs(whole / consumed - 1.0) > _NEAR:
        return None
    title = tell.words(f"charts.{key}")
    return parts(tell, title, {one: value / whole for one, value in known.items()})


def parts(tell: Teller, title: str, found: Mapping[Series, float]) -> Shares:
    """Parts of a whole, 0..1, as one bar."""
    words = tell.words
    return Shares(
        title,
        words("charts.shares_alt", count=tell.number(len(found))),
        tuple(
            Share(words.name("flows", one.name), tell.ratio(share), share, one.color)
            for one, share in found.items()
        ),
    )


def by_day(tell: Teller, key: str, series: Sequence[Series]) -> Bars | None:
    """A bar for each day or month; ``None`` where the books hold nothing of it.

    Args:
        tell: The report and its language.
        key: `sources` or `loads`: which title.
        series: From the bottom.
    """
    words, report = tell.words, tell.report
    spans = report.days or report.months
    sums = [[one.figures.get(each.figure) for each in series] for one in spans]
    largest = max((sum(value or 0.0 for value in row) for row in sums), default=0.0)
    if not largest:
        return None
    unit, size = energy_unit(largest)
    marks = ticks(largest / size)
    top = marks[-1] * size
    every = "days" if report.days else "months"
    labels = (
        day_label(one.label) if len(spans) <= _MANY or at % 5 == 0 else ""
        for at, one in enumerate(spans)
    )
    return Bars(
        words(f"charts.{key}_{every}"),
        words("charts.stacks_alt", count=tell.number(len(spans))),
        tuple(tell.plain(label) if label else "" for label in labels),
        tuple(tuple(None if v is None else max(v, 0.0) / top for v in row) for row in sums),
        tuple(Legend(words.name("flows", one.name), one.color) for one in series),
        tuple((mark / marks[-1], number(mark, words.language, digits(marks))) for mark in marks),
        unit,
        words("charts.unknown") if any(None in row for row in sums) else "",
    )


def day_label(text: str) -> str:
    """The day of a date, or the month of a year: `2026-10-05` is 5."""
    return str(int(text.rpartition("-")[2]))


def digits(marks: Sequence[float]) -> int:
    """How many decimals the marks of an axis need."""
    return 0 if all(float(mark).is_integer() for mark in marks) else 1
