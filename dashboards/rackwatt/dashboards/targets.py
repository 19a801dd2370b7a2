# SPDX-License-Identifier: Apache-2.0
"""What a panel asks of a data source: an InfluxQL or a PromQL query."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from rackwatt.dashboards.sdk import Builder, Dataquery
from rackwatt.dashboards.sources import PROMETHEUS, ROLLUPS, TYPES

Shape = Literal["time_series", "table"]


@dataclass(frozen=True, slots=True)
class Target(Builder[Dataquery], Dataquery):
    """A query, which the sheet gives its letter.

    Attributes:
        text: the query.
        alias: the name of its series, `$tag_rack` or `{{agent}}`; empty: Grafana's own.
        source: uid of the data source.
        shape: rows over time, or a table.
        instant: of Prometheus: the newest value only.
        letter: A, B, …
    """

    text: str
    alias: str = ""
    source: str = ROLLUPS
    shape: Shape = "time_series"
    instant: bool = False
    letter: str = "A"

    def lettered(self, letter: str) -> Self:
        """The same as letter."""
        return replace(self, letter=letter)

    def build(self) -> Dataquery:
        """Itself: it needs no building."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana's dashboards have it."""
        shared: dict[str, object] = {
            "refId": self.letter,
            "datasource": {"type": TYPES[self.source], "uid": self.source},
        }
        if self.source == PROMETHEUS:
            return shared | {
                "editorMode": "code",
                "expr": self.text,
                "format": self.shape,
                "instant": self.instant,
                "legendFormat": self.alias or "__auto",
                "range": not self.instant,
            }
        found: dict[str, Any] = {"query": self.text, "rawQuery": True, "resultFormat": self.shape}
        if self.alias:
            found["alias"] = self.alias
        return shared | found


def metric(
    expression: str, alias: str = "", *, instant: bool = False, shape: Shape = "time_series"
) -> Target:
    """A PromQL query."""
    return Target(expression, alias, PROMETHEUS, shape, instant)
