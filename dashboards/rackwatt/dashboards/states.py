# SPDX-License-Identifier: Apache-2.0
"""InfluxQL for what the accountant looks at once a minute: chains, racks, halls.

Rows of instants, never revised, without `_known`: what is unknown is no field of a row. A long
range is folded by hour or by day from the same rows; measurements of thousands of series are asked
for with a short time of the panel's own.
"""

from collections.abc import Sequence
from typing import Final, Literal

from rackwatt.dashboards.influxql import (
    HOURS_THROUGH_MS,
    MINUTES_THROUGH_MS,
    Level,
    in_place,
    select,
)
from rackwatt.dashboards.targets import Target

SITE: Final = "chain_site"
FEED: Final = "chain_feed"
GROUP: Final = "chain_group"
CHAIN_RACK: Final = "chain_rack"
RACK: Final = "rack_state"
HALL: Final = "hall_state"
LEVELS: Final = (
    Level("", "1m", None, MINUTES_THROUGH_MS),
    Level("", "1h", MINUTES_THROUGH_MS, HOURS_THROUGH_MS),
    Level("", "1d", HOURS_THROUGH_MS, None),
)
QUARTERS: Final = (Level("", "15m", None, None),)
"""For panels with a time of their own."""
TENS: Final = (Level("", "10m", None, None),)
"""The same, for what a large site says every 10 minutes."""


def state(
    measurement: str,
    field: str,
    *,
    fold: str = "mean",
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    where: Sequence[str] = (),
    alias: str = "",
    levels: Sequence[Level] = LEVELS,
) -> list[Target]:
    """A field over time.

    Args:
        measurement: of instants.
        field: of it.
        fold: how the rows of a bucket become one: `mean`, `max`, `min`.
        group: tags that make series.
        places: tags whose variables choose.
        where: further conditions.
        alias: of the series.
        levels: how long a bucket is.
    """
    conditions = [*in_place(*places), *where]
    return [
        Target(
            select(f'{fold}("{field}")', measurement, conditions, level, group, "fill(null)"), alias
        )
        for level in levels
    ]


def added(
    measurement: str,
    field: str,
    *,
    across: str,
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    alias: str = "",
    times: float = 1.0,
) -> list[Target]:
    """A field over time, summed over the series that a tag makes: halls to a site.

    Args:
        measurement: of instants.
        field: of it.
        across: the tag whose series are summed; each counts with its mean of the bucket.
        group: tags that stay.
        places: tags whose variables choose.
        alias: of the series.
        times: a factor.
    """
    factor = f" * {times:g}" if times != 1.0 else ""
    found = []
    for level in LEVELS:
        inner = select(
            f'mean("{field}") AS "v"', measurement, in_place(*places), level, [across, *group]
        )
        text = select(f'sum("v"){factor}', f"({inner})", [], level, group, "fill(null)")
        found.append(Target(text, alias))
    return found


def now(
    measurement: str,
    field: str,
    *,
    how: str = "last",
    group: Sequence[str] = (),
    places: Sequence[str] = (),
    alias: str = "",
) -> Target:
    """The newest value, or the extreme of a panel's own short time.

    Args:
        measurement: of instants.
        field: of it.
        how: `last`, `max`, `min`.
        group: tags that make series.
        places: tags whose variables choose.
        alias: of the series.
    """
    text = select(f'{how}("{field}")', measurement, in_place(*places), None, group)
    return Target(text, alias)


def summed(
    measurement: str, field: str, across: str, *, places: Sequence[str] = (), alias: str = ""
) -> Target:
    """The newest value of each series, added: halls to a site."""
    inner = select(f'last("{field}") AS "v"', measurement, in_place(*places), None, [across])
    return Target(select('sum("v")', f"({inner})", []), alias)


def ranked(
    measurement: str,
    field: str,
    tag: str,
    *,
    which: Literal["top", "bottom"] = "top",
    count: int = 20,
    places: Sequence[str] = (),
    where: Sequence[str] = (),
) -> Target:
    """A table of the series that have the most, or the least: columns `Time`, `which`, the tag.

    Args:
        measurement: of instants.
        field: of it.
        tag: whose series are ranked.
        which: the largest, or the smallest.
        count: how many.
        places: tags whose variables choose.
        where: further conditions.
    """
    what = f'{which}("{field}", "{tag}", {count})'
    return Target(select(what, measurement, [*in_place(*places), *where]), shape="table")


def per(
    measurement: str, numerator: str, denominator: str, *, places: Sequence[str] = ()
) -> Target:
    """A ratio of two sums over the range; the second may be a product, like `"a" * "b"`."""
    inner = select(
        f'"{numerator}" AS "part", {denominator} AS "whole"', measurement, in_place(*places)
    )
    return Target(select('sum("part") / sum("whole")', f"({inner})", []))


def energy(measurement: str, power: str, *, places: Sequence[str] = ()) -> Target:
    """The energy of a power over the range, Wh: its minutes, each a sixtieth of an hour."""
    return Target(select(f'sum("{power}") / 60', measurement, in_place(*places)))
