# SPDX-License-Identifier: Apache-2.0
"""Meters' states and calibrations as Prometheus metrics: some few series, however many meters."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.meters.register import USED, Status
from rackwatt.wire.metrics import MetricSpec

METERS: Final = MetricSpec(
    "rackwatt_meters_number",
    "gauge",
    "Physical meters by state; only those in service enter signed figures.",
    ("site", "state"),
)
OVERDUE: Final = MetricSpec(
    "rackwatt_meters_calibration_overdue_number",
    "gauge",
    "Meters in use whose calibration has run out; 'rackwatt meter list --overdue' names them.",
    ("site",),
)
NEXT_DUE: Final = MetricSpec(
    "rackwatt_meters_calibration_due_timestamp_seconds",
    "gauge",
    "When the first calibration of a meter in use runs out.",
    ("site",),
)
CATALOGUE: Final[Sequence[MetricSpec]] = (METERS, OVERDUE, NEXT_DUE)

STATES: Final = ("planned", "installed", "commissioned", "in_service", "out")


def meter_families(site: str, known: Collection[Status], today: date, zone: tzinfo) -> list[Metric]:
    """The metrics of a site's meters."""
    counts = Counter(str(one.meter.state) for one in known)
    dues = [one.due for one in known if one.due is not None and one.meter.state in USED]
    found: list[Metric] = [
        METERS.family([((site, state), float(counts[state])) for state in STATES]),
        OVERDUE.family([((site,), float(sum(one.overdue(today) for one in known)))]),
    ]
    if dues:
        end = datetime.combine(min(dues) + timedelta(days=1), time(), zone)
        found.append(NEXT_DUE.family([((site,), end.timestamp())]))
    return found
