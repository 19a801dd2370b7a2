# SPDX-License-Identifier: Apache-2.0
"""The site's figures as Prometheus metrics. What is unknown is absent, never 0."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.live.figures import Figures
from rackwatt.wire.metrics import MetricSpec

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
RESTATEMENTS: Final = MetricSpec(
    "rackwatt_ledger_restatements_total", "counter", "Ledger rows revised by late data."
)
CLOSED: Final = MetricSpec(
    "rackwatt_ledger_closed_timestamp_seconds",
    "gauge",
    "End of the last closed interval, seconds since 1970 UTC.",
)

CATALOGUE: Final[Sequence[MetricSpec]] = (
    PUE, LOAD, SOURCE, SOURCE_SHARE, RENEWABLE, GRID, CARBON_FREE, CARBON, CONTRACTED, INTENSITY,
    RESIDUAL, COMPLETENESS, BATTERY_STOCK, FIGURES_TIME, RESTATEMENTS, CLOSED,
)  # fmt: skip
