# SPDX-License-Identifier: Apache-2.0
"""The site's figures as Prometheus metrics. What is unknown is absent, never 0."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.accounting.vocabulary import LOADS, Series
from rackwatt.collector.accounting.vocabulary import SOURCES as BUS_SOURCES
from rackwatt.collector.live.demand import Demand
from rackwatt.collector.live.figures import Figures
from rackwatt.collector.live.frame import LedgerView
from rackwatt.wire.metrics import MetricSpec, Sample

PUE: Final = MetricSpec(
    "rackwatt_pue_ratio",
    "gauge",
    "Interim PUE: energy of the data center over energy of IT in the rolling window.",
    ("site", "window"),
)
LOAD: Final = MetricSpec(
    "rackwatt_load_power_watts", "gauge", "Metered power of a class of loads.", ("site", "role")
)
SOURCE: Final = MetricSpec(
    "rackwatt_source_power_watts",
    "gauge",
    "Metered power of a source, battery discharge included.",
    ("site", "source"),
)
SOURCE_SHARE: Final = MetricSpec(
    "rackwatt_source_share_ratio",
    "gauge",
    "Origin of the data center's consumption, battery traced back; sums to 1.",
    ("site", "source"),
)
RENEWABLE: Final = MetricSpec(
    "rackwatt_renewable_share_ratio",
    "gauge",
    "Physical PV, wind and hydro in the data center's consumption.",
    ("site",),
)
GRID: Final = MetricSpec(
    "rackwatt_grid_share_ratio",
    "gauge",
    "Grid in the data center's consumption, its contracted part included.",
    ("site",),
)
CARBON_FREE: Final = MetricSpec(
    "rackwatt_carbon_free_share_ratio",
    "gauge",
    "Renewable share plus the grid share times the grid's carbon-free fraction.",
    ("site",),
)
CARBON: Final = MetricSpec(
    "rackwatt_carbon_share_ratio", "gauge", "1 minus the carbon-free share.", ("site",)
)
CONTRACTED: Final = MetricSpec(
    "rackwatt_contracted_share_ratio",
    "gauge",
    "Matched contracts over the data center's consumption: a part of the grid share.",
    ("site",),
)
INTENSITY: Final = MetricSpec(
    "rackwatt_carbon_intensity_grams_per_kilowatt_hour",
    "gauge",
    "Carbon of the data center's consumption: series operational or life_cycle.",
    ("site", "series"),
)
RESIDUAL: Final = MetricSpec(
    "rackwatt_balance_residual_ratio",
    "gauge",
    "Sources minus sinks over sources; positive: unmetered, negative: unknown supply.",
    ("site",),
)
AFTER_LOSSES: Final = MetricSpec(
    "rackwatt_balance_residual_after_losses_ratio",
    "gauge",
    "The same less modelled losses of transformers and lines; absent where the site names none.",
    ("site",),
)
COMPLETENESS: Final = MetricSpec(
    "rackwatt_completeness_ratio",
    "gauge",
    "Metered terms with a fresh reading over all terms.",
    ("site",),
)
BATTERY_STOCK: Final = MetricSpec(
    "rackwatt_battery_stock_watt_hours", "gauge", "Stock of the battery ledger.", ("site",)
)
FIGURES_TIME: Final = MetricSpec(
    "rackwatt_figures_timestamp_seconds",
    "gauge",
    "The instant that the figures are for, seconds since 1970 UTC.",
    ("site",),
)
PROJECTED: Final = MetricSpec(
    "rackwatt_settlement_projected_watts",
    "gauge",
    "Mean import that the utility's running window will end with if the power stays as it is.",
    ("site",),
)
SUBSCRIBED: Final = MetricSpec(
    "rackwatt_settlement_subscribed_watts",
    "gauge",
    "Subscribed demand, as the site file says.",
    ("site",),
)
WINDOW: Final = MetricSpec(
    "rackwatt_settlement_window_seconds",
    "gauge",
    "Length of the utility's windows, which begin at whole multiples of it in UTC.",
    ("site",),
)
RESTATEMENTS: Final = MetricSpec(
    "rackwatt_ledger_restatements_total", "counter", "Ledger rows revised by late data."
)
CLOSED: Final = MetricSpec(
    "rackwatt_ledger_closed_timestamp_seconds",
    "gauge",
    "End of the last closed interval, seconds since 1970 UTC.",
)

OVERDUE: Final = MetricSpec(
    "rackwatt_maintenance_overdue_number",
    "gauge",
    "Assets that are out for maintenance past the end that was planned.",
    ("site",),
)

CATALOGUE: Final[Sequence[MetricSpec]] = (
    PUE, LOAD, SOURCE, SOURCE_SHARE, RENEWABLE, GRID, CARBON_FREE, CARBON, CONTRACTED, INTENSITY,
    RESIDUAL, AFTER_LOSSES, COMPLETENESS, BATTERY_STOCK, FIGURES_TIME, PROJECTED, SUBSCRIBED,
    WINDOW, RESTATEMENTS, CLOSED, OVERDUE,
)  # fmt: skip


def families(site: str, figures: Figures, ledger: LedgerView, now_ms: int) -> list[Metric]:
    """The figures as metric families."""
    at, closed = figures.instant_ms, ledger.closed_through_ms
    own = (site,)
    shares = figures.shares
    loads = [(name, figures.sinks.get(name)) for name in (*LOADS, "campus")]
    sources = [(name, figures.sources.get(name)) for name in BUS_SOURCES]
    pue = figures.pue
    return [
        PUE.family(_known([((site, pue.window), pue.value)])),
        LOAD.family(_known(((site, name), value) for name, value in loads)),
        SOURCE.family(_known(((site, name), value) for name, value in sources)),
        SOURCE_SHARE.family(_known(_labelled(site, figures.source_share or {}))),
        RENEWABLE.family(_known([(own, shares.renewable)])),
        GRID.family(_known([(own, shares.grid)])),
        CARBON_FREE.family(_known([(own, shares.carbon_free)])),
        CARBON.family(_known([(own, shares.carbon)])),
        CONTRACTED.family(_known([(own, shares.contracted)])),
        INTENSITY.family(_known(_labelled(site, figures.intensity))),
        RESIDUAL.family(_known([(own, figures.residual_ratio)])),
        AFTER_LOSSES.family(_known([(own, figures.after_losses_ratio)])),
        COMPLETENESS.family([] if at is None else [(own, figures.completeness)]),
        BATTERY_STOCK.family([(own, figures.battery.watt_hours)] if figures.battery_known else []),
        FIGURES_TIME.family(_known([(own, None if at is None else at / 1000)])),
        *_demand(own, figures.demand),
        OVERDUE.family([(own, float(ledger.overdue(now_ms)))]),
        RESTATEMENTS.of(ledger.restatements),
        CLOSED.family(_known([((), None if closed is None else closed / 1000)])),
    ]


def _demand(own: tuple[str, ...], demand: Demand | None) -> list[Metric]:
    """The utility's running window; nothing where the site has none."""
    if demand is None:
        return []
    return [
        PROJECTED.family(_known([(own, demand.projected_watts)])),
        SUBSCRIBED.family(_known([(own, demand.subscribed_watts)])),
        WINDOW.family([(own, demand.window_seconds)]),
    ]


def _labelled(
    site: str, values: Mapping[str, float | None] | Mapping[Series, float | None]
) -> list[tuple[tuple[str, ...], float | None]]:
    return [((site, name), value) for name, value in values.items()]


def _known(values: Iterable[tuple[tuple[str, ...], float | None]]) -> list[Sample]:
    return [(labels, value) for labels, value in values if value is not None]
