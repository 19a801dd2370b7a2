# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics, each described once: exposition and `docs/metrics.md` use the same row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Family = CounterMetricFamily | GaugeMetricFamily
Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its full name, `_total` included, what it means, and its labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()

    def family(self, samples: Iterable[Sample] = ()) -> Family:
        """The metric with these samples, each its label values and its value."""
        if self.kind == "counter":
            name = self.name.removesuffix("_total")
            family: Family = CounterMetricFamily(name, self.help, labels=self.labels)
        else:
            family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        return family

    def of(self, value: float) -> Family:
        """The metric, which has no labels, with this value."""
        return self.family([((), value)])
