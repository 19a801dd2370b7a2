# SPDX-License-Identifier: Apache-2.0
"""The accountant's metrics beside the figures: year and month, what is held, the copy."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.copies.copier import Copier
from rackwatt.collector.copies.metrics import CATALOGUE as COPY_CATALOGUE
from rackwatt.collector.copies.metrics import copy_families
from rackwatt.collector.ledger.held import Held
from rackwatt.collector.live.chain_metrics import CATALOGUE as CHAIN_CATALOGUE
from rackwatt.collector.roles.standing import Standing
from rackwatt.wire.metrics import MetricSpec

HELD: Final = MetricSpec(
    "rackwatt_ledger_held_readings",
    "gauge",
    "Readings that are kept and not booked until someone releases them, by agent.",
    ("agent",),
)

EXPORT: Final = MetricSpec(
    "rackwatt_export_ratio",
    "gauge",
    "Export over own production in the running local year, by the closed books.",
    ("site",),
)
EXPORT_CAP: Final = MetricSpec(
    "rackwatt_export_cap_ratio",
    "gauge",
    "What the law allows of it, as the site file says.",
    ("site",),
)
MONTH_RESIDUAL: Final = MetricSpec(
    "rackwatt_balance_month_residual_ratio",
    "gauge",
    "Residual over sources in the running local month, by the closed books; signed.",
    ("site",),
)
MONTH_AFTER_LOSSES: Final = MetricSpec(
    "rackwatt_balance_month_residual_after_losses_ratio",
    "gauge",
    "The same less modelled losses of transformers and lines; absent where the site names none.",
    ("site",),
)
MONTH_FLAGGED: Final = MetricSpec(
    "rackwatt_balance_month_flagged",
    "gauge",
    "Whether it is beyond the site's limit, after modelled losses, once a day or more is known.",
    ("site",),
)

CATALOGUE: Final[Sequence[MetricSpec]] = (
    EXPORT, EXPORT_CAP, MONTH_RESIDUAL, MONTH_AFTER_LOSSES, MONTH_FLAGGED, HELD, *COPY_CATALOGUE,
    *CHAIN_CATALOGUE,
)  # fmt: skip


def standing_families(site: str, standing: Standing) -> list[Metric]:
    """The running year and month; what is unknown is absent."""
    values = {
        EXPORT: standing.export_ratio,
        EXPORT_CAP: standing.export_cap_ratio,
        MONTH_RESIDUAL: standing.month_residual_ratio,
        MONTH_AFTER_LOSSES: standing.month_after_losses_ratio,
        MONTH_FLAGGED: standing.month_flagged,
    }
    return [
        spec.family([] if value is None else [((site,), float(value))])
        for spec, value in values.items()
    ]


def book_families(held: Iterable[Held], copier: Copier) -> list[Metric]:
    """What the accountant tells of its books."""
    counts: Counter[str] = Counter()
    for item in held:
        counts[item.agent] += item.readings
    agents = [((agent,), float(count)) for agent, count in sorted(counts.items())]
    return [HELD.family(agents), *copy_families(copier)]
