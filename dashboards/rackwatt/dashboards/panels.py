# SPDX-License-Identifier: Apache-2.0
"""The kinds of panels, with the defaults that all dashboards share.

Unknown is shown as a gap, or as "-": never as 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from rackwatt.dashboards import sdk
from rackwatt.dashboards.palette import ACCENT, NEUTRAL
from rackwatt.dashboards.sdk import common, common_builders, dashboard
from rackwatt.dashboards.thresholds import plain, steps

UNKNOWN: Final = "-"
Draw = Literal["line", "area", "bars"]


def stat(
    unit: str,
    *,
    limit: str = "",
    decimals: int | None = None,
    color: str = ACCENT,
    graph: bool = False,
    words: Mapping[int, str] | None = None,
    names: bool = False,
    of: str = "",
) -> dashboard.Panel:
    """One number, or one per series.

    Args:
        unit: Grafana's.
        limit: colours by this threshold; empty: none.
        decimals: how many; None: as Grafana thinks.
        color: without a limit.
        graph: whether a small curve stands behind it.
        words: texts instead of numbers.
        names: whether the series' names stand beside the numbers.
        of: the field that is shown, as a regular expression; empty: the numbers.
    """
    mode = common.BigValueTextMode.VALUE_AND_NAME if names else common.BigValueTextMode.VALUE
    panel = (
        sdk.stat.Panel()
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields(of))
        .text_mode(mode)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA if graph else common.BigValueGraphMode.NONE)
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .orientation(common.VizOrientation.AUTO)
        .build()
    )
    return _field(panel, unit, limit, decimals, color, words)


def bars(
    unit: str, *, limit: str = "", decimals: int | None = None, most: float | None = None
) -> dashboard.Panel:
    """A bar per series, of its newest value.

    Args:
        unit: Grafana's.
        limit: colours by this threshold; empty: none.
        decimals: how many; None: as Grafana thinks.
        most: where the bars end; None: at the largest.
    """
    panel = (
        sdk.bargauge.Panel()
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .value_mode(common.BarGaugeValueMode.COLOR)
        .show_unfilled(True)
        .build()
    )
    _field(panel, unit, limit, decimals, ACCENT)
    _defaults(panel).min_val, _defaults(panel).max_val = 0, most
    return panel


def lines(
    unit: str,
    *,
    draw: Draw = "line",
    stack: bool = False,
    limit: str = "",
    decimals: int | None = None,
    least: float | None = None,
    most: float | None = None,
) -> dashboard.Panel:
    """Series over time; where a value is unknown the line is broken.

    Args:
        unit: Grafana's.
        draw: how.
        stack: one on the other.
        limit: drawn as a line across; empty: none.
        decimals: how many; None: as Grafana thinks.
        least: where the axis begins; None: at the values.
        most: where it ends, likewise.
    """
    style = common.GraphDrawStyle.BARS if draw == "bars" else common.GraphDrawStyle.LINE
    mode = common.StackingMode.NORMAL if stack else common.StackingMode.NONE
    panel = (
        sdk.timeseries.Panel()
        .draw_style(style)
        .fill_opacity({"line": 0, "area": 55, "bars": 80}[draw])
        .line_width(1)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .line_interpolation(common.LineInterpolation.LINEAR)
        .stacking(common_builders.StackingConfig().mode(mode).group("A"))
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .build()
    )
    _field(panel, unit, limit, decimals, NEUTRAL)
    defaults = _defaults(panel)
    defaults.min_val, defaults.max_val = least, most
    defaults.color = dashboard.FieldColor(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    if limit:
        custom: Any = defaults.custom
        custom.thresholds_style = common.GraphThresholdsStyleConfig(
            common.GraphThresholdsStyleMode.DASHED
        )
    return panel


def table(
    units: Mapping[str, tuple[str, str]],
    *,
    hidden: Sequence[str] = (),
    transformations: Sequence[dashboard.DataTransformerConfig] = (),
    limit: str = "",
    limited: str = "",
) -> dashboard.Panel:
    """A table.

    Args:
        units: column to its name to show and its unit; an empty unit: a text.
        hidden: columns that are not shown.
        transformations: before it is shown.
        limit: a threshold that colours a column; empty: none.
        limited: the column.
    """
    panel = sdk.table.Panel().show_header(True).cell_height(common.TableCellHeight.SM).build()
    _field(panel, "none", limit, None, NEUTRAL)
    overrides = [
        dashboard.DashboardFieldConfigSourceOverrides(
            matcher=dashboard.MatcherConfig("byName", name),
            properties=[
                dashboard.DynamicConfigValue("displayName", text),
                *([dashboard.DynamicConfigValue("unit", unit)] if unit else []),
                *(
                    [dashboard.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})]
                    if limit and name == limited
                    else []
                ),
            ],
        )
        for name, (text, unit) in units.items()
    ]
    override(panel, overrides)
    organize = dashboard.DataTransformerConfig(
        "organize", options={"excludeByName": dict.fromkeys(hidden, True)}
    )
    panel.transformations = [*transformations, *([organize] if hidden else [])]
    return panel


def matrix(rows: str, columns: str, value: str, unit: str, *, corner: str) -> dashboard.Panel:
    """A table of two dimensions, coloured by value, from a table of three columns.

    Args:
        rows: the column whose values become rows.
        columns: the one whose values become columns.
        value: the one that fills them.
        unit: of the values.
        corner: the heading of the rows.
    """
    panel = sdk.table.Panel().show_header(True).cell_height(common.TableCellHeight.SM).build()
    _field(panel, unit, "", 0, NEUTRAL)
    defaults = _defaults(panel)
    defaults.min_val, defaults.max_val = 0, 1
    defaults.color = dashboard.FieldColor(dashboard.FieldColorModeId.CONTINUOUS_BLUES)
    custom: Any = defaults.custom
    custom.cell_options = common.TableColoredBackgroundCellOptions(
        common.TableCellBackgroundDisplayMode.BASIC
    )
    head = f"{rows}\\{columns}"
    plain_text = dashboard.DynamicConfigValue("custom.cellOptions", {"type": "auto"})
    override(
        panel,
        [
            dashboard.DashboardFieldConfigSourceOverrides(
                matcher=dashboard.MatcherConfig("byName", head),
                properties=[
                    plain_text,
                    dashboard.DynamicConfigValue("displayName", corner),
                    dashboard.DynamicConfigValue("unit", "string"),
                ],
            )
        ],
    )
    panel.transformations = [
        transform("sortBy", fields={}, sort=[{"field": columns}]),
        transform("groupingToMatrix", columnField=columns, emptyValue="null",
                  rowField=rows, valueField=value),
        transform("sortBy", fields={}, sort=[{"field": head}]),
    ]  # fmt: skip
    return panel


def grid(unit: str, *, limit: str) -> dashboard.Panel:
    """A cell per series and span of time, coloured by a threshold: many racks at one look.

    Args:
        unit: Grafana's.
        limit: of the colours.
    """
    panel = (
        sdk.statushistory.Panel()
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.9)
        .col_width(0.95)
        .legend(common_builders.VizLegendOptions().show_legend(False))
        .build()
    )
    return _field(panel, unit, limit, 1, NEUTRAL)


def alerts() -> dashboard.Panel:
    """What fires: Grafana's list of alerts, of Prometheus rules and its own."""
    return dashboard.Panel(
        type_val="alertlist",
        options={
            "alertInstanceLabelFilter": "",
            "alertName": "",
            "dashboardAlerts": False,
            "groupBy": [],
            "groupMode": "default",
            "maxItems": 20,
            "sortOrder": 3,
            "stateFilter": {
                "error": True,
                "firing": True,
                "noData": False,
                "normal": False,
                "pending": True,
            },
            "viewMode": "list",
        },
    )


def override(
    panel: dashboard.Panel, more: Sequence[dashboard.DashboardFieldConfigSourceOverrides]
) -> None:
    """Dress some of a panel's fields otherwise than the rest."""
    config = panel.field_config or dashboard.FieldConfigSource()
    config.overrides = [*(config.overrides or ()), *more]
    panel.field_config = config


def transform(kind: str, **options: object) -> dashboard.DataTransformerConfig:
    """A transformation of Grafana's."""
    return dashboard.DataTransformerConfig(kind, options=options)


def _defaults(panel: dashboard.Panel) -> dashboard.FieldConfig:
    config = panel.field_config = panel.field_config or dashboard.FieldConfigSource()
    return config.defaults


def _field(
    panel: dashboard.Panel,
    unit: str,
    limit: str,
    decimals: int | None,
    color: str,
    words: Mapping[int, str] | None = None,
) -> dashboard.Panel:
    defaults = _defaults(panel)
    defaults.unit, defaults.decimals, defaults.no_value = unit, decimals, UNKNOWN
    defaults.thresholds = steps(limit) if limit else plain(color)
    defaults.color = dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS)
    if words:
        options = {
            str(value): dashboard.ValueMappingResult(text=text) for value, text in words.items()
        }
        defaults.mappings = [dashboard.ValueMap(options)]
    return panel
