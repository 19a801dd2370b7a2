# SPDX-License-Identifier: Apache-2.0
"""Factor series: `carbon.series` names CSV files with factors over time.

Columns: `item,from,to,value` and, where they differ from what is usual, `scope` (`direct`,
`life_cycle`; default `life_cycle`), `type` (`average`, `marginal`), `estimated` (`yes`, `no`),
`source`. `item` is one of `pv wind hydro grid genset residual grid_carbon_free`; `value` is in
g CO2e/kWh, for `grid_carbon_free` a ratio 0..1.
"""

from typing import Final, cast, get_args

from rackwatt.collector.accounting.factor_series import (
    CARBON_FREE,
    FactorLine,
    FactorType,
    Scope,
    SeriesItem,
)
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.tables import Cells, read_table

NEEDED: Final = ("item", "from", "to", "value")
OPTIONAL: Final = ("scope", "type", "estimated", "source")
_HIGHEST: Final = 5000.0
"""g/kWh; refuses a value in mg or per MWh."""


def factor_series_of(problems: Problems, file: SiteFile) -> tuple[FactorLine, ...]:
    """All lines of all series; two that hold at once are reported."""
    result: list[FactorLine] = []
    seen: dict[tuple[str, str], list[tuple[FactorLine, int, str]]] = {}
    for index, name in enumerate(file.carbon.series):
        key = ("carbon", "series", index)
        for cells in read_table(problems, key, name, NEEDED, OPTIONAL):
            before = len(problems.errors)
            line = _line(cells)
            others = seen.setdefault((line.item, line.scope), [])
            clash = next(
                (o for o in others if o[0].start_ms < line.end_ms and line.start_ms < o[0].end_ms),
                None,
            )
            if clash is not None:
                cells.wrong("from", f"overlaps line {clash[1]} of {clash[2]}")
            others.append((line, cells.line, cells.file))
            if len(problems.errors) == before:
                result.append(line)
    return tuple(result)


def _line(cells: Cells) -> FactorLine:
    item = cells.choice("item", get_args(SeriesItem))
    free = item == CARBON_FREE
    scope = cells.choice("scope", get_args(Scope), "direct" if free else "life_cycle")
    if free and scope != "direct":
        cells.wrong("scope", f"{CARBON_FREE} has no scope: leave it empty")
    start, end = cells.span("from", "to")
    return FactorLine(
        item=cast("SeriesItem", item),
        scope=cast("Scope", scope),
        start_ms=start,
        end_ms=end,
        value=cells.number("value", 0.0, 1.0 if free else _HIGHEST),
        type=cast("FactorType", cells.choice("type", get_args(FactorType), "average")),
        estimated=cells.yes("estimated"),
        source=cells.texts["source"],
    )
