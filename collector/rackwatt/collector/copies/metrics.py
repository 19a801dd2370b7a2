# SPDX-License-Identifier: Apache-2.0
"""Metrics of the ledger's copy."""

from collections.abc import Sequence
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.copies.copier import Copier
from rackwatt.wire.metrics import MetricSpec

COPY_UP: Final = MetricSpec(
    "rackwatt_ledger_copy_up", "gauge", "1 when the store took the ledger's last points."
)
COPY_LAG: Final = MetricSpec(
    "rackwatt_ledger_copy_lag_entries", "gauge", "Journal entries that are not in the store."
)
SUMS_LAG: Final = MetricSpec(
    "rackwatt_ledger_copy_lag_sums",
    "gauge",
    "Hours, days and months whose sums in the store are to be made again.",
)
COPY_POINTS: Final = MetricSpec(
    "rackwatt_ledger_copy_points_total", "counter", "Points of the ledger written to the store."
)
COPY_REFUSED: Final = MetricSpec(
    "rackwatt_ledger_copy_refused_total", "counter", "Points of the ledger that the store refused."
)
COPY_FAILED: Final = MetricSpec(
    "rackwatt_ledger_copy_failed_timestamp_seconds",
    "gauge",
    "When copying last failed, seconds since 1970 UTC; the log says why.",
)

CATALOGUE: Final[Sequence[MetricSpec]] = (
    COPY_UP, COPY_LAG, SUMS_LAG, COPY_POINTS, COPY_REFUSED, COPY_FAILED,
)  # fmt: skip


def copy_families(copier: Copier) -> list[Metric]:
    """What a copier tells of itself."""
    failed = copier.failed_ms
    return [
        COPY_UP.of(float(copier.up)),
        COPY_LAG.of(copier.lag_entries),
        SUMS_LAG.of(copier.lag_sums),
        COPY_POINTS.of(copier.points),
        COPY_REFUSED.of(copier.refused),
        COPY_FAILED.family([] if failed is None else [((), failed / 1000)]),
    ]
