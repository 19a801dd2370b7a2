# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics, each described once: exposition and `docs/metrics.md` use the same row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import Metric
from prometheus_client.core import Sample as Line
from prometheus_client.utils import floatToGoString

Sample = tuple[tuple[str, ...], float]
"""Label values and value."""


class Family(Metric):
    """A metric with its values: all series of a collector that are called alike.

    To prometheus-client it is what it expects. `text` writes the same lines in a tenth of the
    time: a campus has 14,000.

    Args:
        spec: what the metric is.
        rows: its series.
    """

    def __init__(self, spec: "MetricSpec", rows: Iterable[Sample]) -> None:
        self._spec = spec
        self._rows = list(rows)
        counter = spec.kind == "counter"
        name = spec.name.removesuffix("_total") if counter else spec.name
        super().__init__(name, spec.help, spec.kind)

    @property
    def samples(self) -> list[Line]:
        """The series as prometheus-client has them."""
        spec = self._spec
        return [
            Line(spec.name, dict(zip(spec.labels, labels, strict=True)), value)
            for labels, value in self._rows
        ]

    @samples.setter
    def samples(self, _: list[Line]) -> None:
        """The base class begins with none; they come from the rows."""

    def text(self) -> str:
        """The metric in Prometheus' text format."""
        spec = self._spec
        told = spec.help.replace("\\", "\\\\").replace("\n", "\\n")
        lines = [f"# HELP {spec.name} {told}\n# TYPE {spec.name} {spec.kind}\n"]
        order = sorted(range(len(spec.labels)), key=spec.labels.__getitem__)
        if not order:
            lines += [f"{spec.name} {_number(value)}\n" for _, value in self._rows]
            return "".join(lines)
        for labels, value in self._rows:
            pairs = ",".join([f'{spec.labels[at]}="{_escaped(labels[at])}"' for at in order])
            lines.append(f"{spec.name}{{{pairs}}} {_number(value)}\n")
        return "".join(lines)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its full name, `_total` included, what it means, and its labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()

    def family(self, samples: Iterable[Sample] = ()) -> Family:
        """The metric with these samples, each its label values and its value."""
        return Family(self, samples)

    def of(self, value: float) -> Family:
        """The metric, which has no labels, with this value."""
        return self.family([((), value)])


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _escaped(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
