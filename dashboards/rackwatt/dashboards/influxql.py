# SPDX-License-Identifier: Apache-2.0
"""InfluxQL as the dashboards ask it: known figures only, at the level that fits the range.

One panel asks at up to four levels, one target each: readings, minutes, hours, days. Each target
carries a condition on the length of the range that is shown, and the database drops those whose
condition is false before it reads anything; so exactly one answers. The levels of the ledger's
copy have one row per span and series: nothing is averaged that was a ratio.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rackwatt.collector.store.rollups import MINUTE_RULES
from rackwatt.dashboards.sources import RAW, ROLLUPS
from rackwatt.dashboards.targets import Shape, Target

_HOUR_MS: Final = 3_600_000
RAW_THROUGH_MS: Final = 2 * _HOUR_MS
"""Ranges up to this are shown from readings."""
MINUTES_THROUGH_MS: Final = 26 * _HOUR_MS
"""Ranges up to this are shown by minute: a day, and what one scrolls around it."""
HOURS_THROUGH_MS: Final = 62 * 24 * _HOUR_MS
"""Ranges up to this are shown by hour, longer ones by day."""

BALANCE: Final = "energy_balance"
FIGURES: Final = "site_figures"
"""What the ledger's copy has by minute; the rest of it is by quarter hour."""
PLACES: Final = ("hall", "row", "rack")
"""Tags of a place; each is the name of its variable, too."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution.

    Attributes:
        suffix: of the measurement.
        bucket: what `time()` groups by; empty: rows as they are.
        above_ms, through_ms: the lengths of range for which it is used; None: unbounded.
        per_hour: spans in an hour, which makes W of Wh.
        source: uid of the data source.
    """

    suffix: str
    bucket: str
    above_ms: int | None
    through_ms: int | None
    per_hour: float = 1.0
    source: str = ROLLUPS

    @property
    def guard(self) -> str:
        """The condition on the range; empty: for any."""
        length = "${__to} - ${__from}"
        parts = []
        if self.above_ms is not None:
            parts.append(f"{length} > {self.above_ms}")
        if self.through_ms is not None:
            parts.append(f"{length} <= {self.through_ms}")
        return " AND ".join(parts)


_MINUTES: Final = Level("", "1m", None, MINUTES_THROUGH_MS, 60.0)
_QUARTERS: Final = Level("", "15m", None, MINUTES_THROUGH_MS, 4.0)
_HOURS: Final = Level("_1h", "1h", MINUTES_THROUGH_MS, HOURS_THROUGH_MS)
_HOURS_OR_LONGER: Final = replace(_HOURS, through_ms=None)
_DAYS: Final = Level("_1d", "", HOURS_THROUGH_MS, None)
_DAYS_OF_HOURS: Final = Level("_1h", "1d", HOURS_THROUGH_MS, None)

ANY_MINUTES: Final = replace(_MINUTES, through_ms=None)
"""Minutes, whatever the dashboard's range: of panels that have a short one of their own."""
ANY_HOURS: Final = replace(_HOURS, above_ms=None, through_ms=None)
"""Hours, likewise."""
ANY_MONTHS: Final = Level("_1mo", "", None, None)
"""Local months, likewise."""
READINGS: Final = (
    Level("", "$__interval", None, RAW_THROUGH_MS, source=RAW),
    Level("_1m", "1m", RAW_THROUGH_MS, MINUTES_THROUGH_MS),
    Level("_1h", "1h", MINUTES_THROUGH_MS, HOURS_THROUGH_MS),
    Level("_1h", "1d", HOURS_THROUGH_MS, None),
)
"""Levels of readings of some thousand devices at most: meters, PDUs, sensors."""
FLEET_MINUTES_THROUGH_MS: Final = 3 * _HOUR_MS
FLEET: Final = (
    Level("_1m", "1m", None, FLEET_MINUTES_THROUGH_MS),
    Level("_1h", "1h", FLEET_MINUTES_THROUGH_MS, HOURS_THROUGH_MS),
    Level("_1h", "1d", HOURS_THROUGH_MS, None),
)
"""Levels of readings of a hundred thousand devices, asked for all at once: GPUs."""


def base(measurement: str) -> Level:
    """The finest level of a measurement of the ledger's copy."""
    return _MINUTES if measurement in {BALANCE, FIGURES} else _QUARTERS


def in_place(*tags: str) -> list[str]:
    """Conditions that rows are of the chosen site, and of the chosen places or tenants."""
    return [f'"{tag}" =~ /^${{{tag}:regex}}$/' for tag in ("site", *tags)]


def known(*figures: str) -> list[str]:
    """Conditions that these figures are known."""
    return [f'"{figure}_known" = 1' for figure in figures]


def select(
    what: str,
    source: str,
    where: Sequence[str],
    level: Level | None = None,
    group: Sequence[str] = (),
    tail: str = "",
) -> str:
    """A statement over the range that is shown.

    Args:
        what: what is selected.
        source: a measurement, or a statement in brackets.
        where: conditions.
        level: adds its guard and its bucket of time.
        group: tags.
        tail: what follows `GROUP BY`, like `fill(null)`.
    """
    conditions = [*where, "$timeFilter"]
    buckets = [f'"{tag}"' for tag in group]
    if level is not None:
        if level.guard:
            conditions.append(level.guard)
        if level.bucket:
            buckets.insert(0, f"time({level.bucket})")
    grouped = f" GROUP BY {', '.join(buckets)}" if buckets else ""
    name = source if source.startswith("(") else f'"{source}"'
    end = f" {tail}" if tail else ""
    return f"SELECT {what} FROM {name} WHERE {' AND '.join(conditions)}{grouped}{end}"  # noqa: S608


def figure(
    measurement: str,
    name: str,
    *,
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    where: Sequence[str] = (),
    alias: str = "",
    scale: float = 1.0,
    by_hour: bool = False,
) -> list[Target]:
    """A figure of the ledger over time, as it is booked: ratios, energies and masses of a span.

    Args:
        measurement: of the ledger's copy.
        name: of the figure, which must have a `_known`.
        group: tags that make series; they must tell the measurement's series apart.
        places: tags whose variables choose.
        where: further conditions.
        alias: of the series.
        scale: a factor.
        by_hour: short ranges, too, show whole hours: of figures that minutes do not have.
    """
    times = f" * {scale:g}" if scale != 1.0 else ""
    conditions = [*in_place(*places), *known(name), *where]
    made = []
    short = [replace(_HOURS, above_ms=None)] if by_hour else [base(measurement), _HOURS]
    for level in (*short, _DAYS):
        what = f'last("{name}"){times}' if level.bucket else f'"{name}"{times}'
        tail = "fill(null)" if level.bucket else ""
        text = select(what, measurement + level.suffix, conditions, level, group, tail)
        made.append(Target(text, alias))
    return made


def power(
    measurement: str,
    name: str,
    *,
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    where: Sequence[str] = (),
    alias: str = "",
    sign: int = 1,
) -> list[Target]:
    """A booked energy as the mean power of each span, W.

    Args:
        measurement: of the ledger's copy.
        name: of the energy.
        group: tags that make series.
        places: tags whose variables choose.
        where: further conditions.
        alias: of the series.
        sign: -1 draws it below zero.
    """
    conditions = [*in_place(*places), *known(name), *where]
    made = []
    for level in (base(measurement), _HOURS, _DAYS_OF_HOURS):
        how = "mean" if level is _DAYS_OF_HOURS else "last"
        factor = sign * level.per_hour
        times = f" * {factor:g}" if factor != 1.0 else ""
        what = f'{how}("{name}"){times}'
        text = select(what, measurement + level.suffix, conditions, level, group, "fill(null)")
        made.append(Target(text, alias))
    return made


def total(
    measurement: str,
    name: str,
    *,
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    where: Sequence[str] = (),
    alias: str = "",
    shape: Shape = "time_series",
    by_hour: bool = False,
) -> list[Target]:
    """The sum of a booked figure over the range that is shown.

    Args:
        measurement: of the ledger's copy.
        name: of the figure: an energy, a mass.
        group: tags that make series.
        places: tags whose variables choose.
        where: further conditions.
        alias: of the series.
        shape: rows over time, or a table.
        by_hour: also short ranges sum whole hours: of figures that minutes do not have.
    """
    conditions = [*in_place(*places), *known(name), *where]
    levels = [ANY_HOURS] if by_hour else [base(measurement), _HOURS_OR_LONGER]
    return [
        Target(
            select(
                f'sum("{name}")',
                measurement + level.suffix,
                conditions,
                replace(level, bucket=""),
                group,
            ),
            alias,
            shape=shape,
        )
        for level in levels
    ]


def quotient(
    numerator: str,
    denominator: str,
    *,
    also: Sequence[str] = (),
    alias: str = "",
    levels: Sequence[Level] | None = None,
    scale: float = 1.0,
) -> list[Target]:
    """A ratio of sums of `site_figures` over the range, of spans in which both are known.

    Args:
        numerator: a figure.
        denominator: another.
        also: figures that must be known, too.
        alias: of the series.
        levels: which spans; None: minutes, or hours where the range is long.
        scale: a factor.
    """
    times = f" * {scale:g}" if scale != 1.0 else ""
    what = f'sum("{numerator}") / sum("{denominator}"){times}'
    conditions = [*in_place(), *known(numerator, denominator, *also)]
    return [
        Target(select(what, FIGURES + level.suffix, conditions, replace(level, bucket="")), alias)
        for level in levels or (_MINUTES, _HOURS_OR_LONGER)
    ]


def weighed(ratio: str, weight: str, level: Level, *, alias: str = "") -> Target:
    """A ratio over the range, of spans' ratios that are weighed by their denominators.

    Args:
        ratio: a figure of `site_figures`.
        weight: what it is a ratio of: an energy of `site_figures`.
        level: which spans.
        alias: of the series.
    """
    inner = select(
        f'"{ratio}" * "{weight}" AS "part", "{weight}" AS "whole"',
        FIGURES + level.suffix,
        [*in_place(), *known(ratio, weight)],
    )
    return Target(select('sum("part") / sum("whole")', f"({inner})", []), alias)


def column(
    measurement: str, name: str, title: str, *, places: Sequence[str] = (), always: bool = False
) -> Target:
    """A column of a table of spans, to be joined with others by time.

    Args:
        measurement: of the ledger's copy, with its suffix.
        name: of the figure.
        title: of the column, as the panel knows it.
        places: tags whose variables choose.
        always: whether it is never unknown and has no `_known`.
    """
    conditions = [*in_place(*places), *([] if always else known(name))]
    return Target(select(f'"{name}" AS "{title}"', measurement, conditions), shape="table")


def newest(
    measurement: str,
    name: str,
    *,
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    where: Sequence[str] = (),
    alias: str = "",
    scale: float = 1.0,
    always: bool = False,
) -> Target:
    """The newest known value in the range: of panels with a short time of their own.

    Args:
        measurement: of the ledger's copy, with its suffix.
        name: of the figure.
        group: tags that make series.
        places: tags whose variables choose.
        where: further conditions.
        alias: of the series.
        scale: a factor.
        always: whether it is never unknown and has no `_known`.
    """
    times = f" * {scale:g}" if scale != 1.0 else ""
    conditions = [*in_place(*places), *([] if always else known(name)), *where]
    return Target(select(f'last("{name}"){times}', measurement, conditions, None, group), alias)


def readings(
    kind: str,
    field: str,
    *,
    fold: str = "mean",
    across: str = "",
    group: Sequence[str] = (),
    places: Sequence[str] = PLACES,
    where: Sequence[str] = (),
    alias: str = "",
    levels: Sequence[Level] = READINGS,
) -> list[Target]:
    """A field of readings over time, from readings or their rollups.

    Args:
        kind: `power`, `gpu`, …
        field: of the kind.
        fold: how a device's values become one of a bucket: `mean`, `max`, `min`, `last`, …
        across: how the devices of a series become one, like `sum`; empty: all values as one, by
            `fold`.
        group: tags that make series.
        places: tags whose variables choose.
        where: further conditions.
        alias: of the series.
        levels: `READINGS`, or `FLEET`.
    """
    conditions = [*in_place(*places), *where]
    made = []
    for level in levels:
        stored = field
        if level.suffix and f"{field}_{fold}" in _rolled(kind, field):
            stored = f"{field}_{fold}"
        measurement = kind + level.suffix
        if across and not _one_row_each(level):
            what = f'{fold}("{stored}") AS "v"'
            inner = select(what, measurement, conditions, level, ["device", *group])
            text = select(f'{across}("v")', f"({inner})", [], level, group, "fill(null)")
        else:
            what = f'{across or fold}("{stored}")'
            text = select(what, measurement, conditions, level, group, "fill(null)")
        made.append(Target(text, alias, level.source))
    return made


def _one_row_each(level: Level) -> bool:
    """Whether a bucket holds one row of each device: then no inner query is needed (8 times)."""
    return level.suffix == f"_{level.bucket}"


def _rolled(kind: str, field: str) -> set[str]:
    """The fields that a kind's minutes have of a field."""
    for name, rules in MINUTE_RULES.items():
        if name == kind:
            return {made for made, _ in rules.get(field, ())}
    return set()
