# SPDX-License-Identifier: Apache-2.0
"""Marks on the time axis of every dashboard: events, restatements, maintenance."""

from dataclasses import dataclass
from typing import Final

from rackwatt.dashboards.influxql import FIGURES, in_place, select
from rackwatt.dashboards.palette import BAD, NEUTRAL, SERIES, WARN
from rackwatt.dashboards.sdk import Dataquery, common, dashboard
from rackwatt.dashboards.sources import RAW, ROLLUPS, TYPES
from rackwatt.dashboards.texts import Speaker

_GRAFANA: Final = "-- Grafana --"
_AT_MOST: Final = "ORDER BY time DESC LIMIT 300"


@dataclass(frozen=True, slots=True)
class Marks(Dataquery):
    """A query of marks: rows with a text."""

    text: str
    text_column: str
    tags_column: str = ""

    def to_json(self) -> dict[str, object]:
        """As Grafana's editor of InfluxQL annotations writes it."""
        return {
            "refId": "Anno",
            "query": self.text,
            "rawQuery": True,
            "fromAnnotations": True,
            "textEditor": True,
            "textColumn": self.text_column,
            "tagsColumn": self.tags_column,
            "timeEndColumn": "",
            "titleColumn": "",
        }


def _query(
    name: str, source: str, color: str, marks: Marks, *, shown: bool = True
) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery(
        name=name,
        datasource=common.DataSourceRef(TYPES[source], source),
        enable=shown,
        icon_color=color,
        target=marks,
    )


def annotations(speaker: Speaker) -> dashboard.AnnotationContainer:
    """Those of every dashboard."""
    restated = select(
        '"flags", "revision"', FIGURES, [*in_place(), '"revision" > 1'], tail=_AT_MOST
    )
    maintained = select('"flags"', FIGURES, [*in_place(), '"flags" =~ /maintenance/'],
                        tail=_AT_MOST)  # fmt: skip
    happened = select('"text", "code", "device"', "event", in_place(), tail=_AT_MOST)
    return dashboard.AnnotationContainer(
        [
            dashboard.AnnotationQuery(
                name=speaker.name("annotations"),
                datasource=common.DataSourceRef("grafana", _GRAFANA),
                hide=True,
                icon_color=SERIES[0],
                type_val="dashboard",
                built_in=1,
            ),
            _query(speaker.name("events"), RAW, BAD, Marks(happened, "text", "code,device")),
            _query(speaker.name("restatements"), ROLLUPS, WARN, Marks(restated, "flags"),
                   shown=False),
            _query(speaker.name("maintenance"), ROLLUPS, NEUTRAL, Marks(maintained, "flags")),
        ]
    )  # fmt: skip
