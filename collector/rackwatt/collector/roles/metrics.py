# SPDX-License-Identifier: Apache-2.0
"""The accountant's metrics beside the figures: what the ledger holds back, and its copy."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.copies.copier import Copier
from rackwatt.collector.copies.metrics import CATALOGUE as COPY_CATALOGUE
from rackwatt.collector.copies.metrics import copy_families
from rackwatt.collector.ledger.held import Held
from rackwatt.wire.metrics import MetricSpec

HELD: Final = MetricSpec(
    "rackwatt_ledger_held_readings",
    "gauge",
    "Readings that are kept and not booked until someone releases them, by agent.",
    ("agent",),
)

CATALOGUE: Final[Sequence[MetricSpec]] = (HELD, *COPY_CATALOGUE)


def book_families(held: Iterable[Held], copier: Copier) -> list[Metric]:
    """What the accountant tells of its books."""
    counts: Counter[str] = Counter()
    for item in held:
        counts[item.agent] += item.readings
    agents = [((agent,), float(count)) for agent, count in sorted(counts.items())]
    return [HELD.family(agents), *copy_families(copier)]
