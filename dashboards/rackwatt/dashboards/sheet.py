# SPDX-License-Identifier: Apache-2.0
"""A dashboard being laid out: from left to right, in rows, with ids and letters of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.dashboards.annotations import annotations
from rackwatt.dashboards.links import bar, tags_of, uid_of
from rackwatt.dashboards.panels import override
from rackwatt.dashboards.sdk import Dataquery, common, dashboard
from rackwatt.dashboards.sources import MIXED, TYPES
from rackwatt.dashboards.targets import Target
from rackwatt.dashboards.texts import Language, Speaker, board_words
from rackwatt.dashboards.variables import SITE, templating

WIDTH: Final = 24
SCHEMA_VERSION: Final = 39
"""Grafana refuses a dashboard newer than itself: 11.3 knows this one."""
_FINEST: Final = "10s"
"""The least `$__interval` of panels that show readings."""


class Sheet:
    """Panels of one dashboard in one language.

    Args:
        speaker: its texts.
    """

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.panels: list[dashboard.Panel | dashboard.RowPanel] = []
        self._x = self._y = self._deep = 0

    def row(self, key: str) -> None:
        """Begin a row with a heading: its text is `rows.KEY`."""
        self._wrap()
        self.panels.append(
            dashboard.RowPanel(
                title=self.speaker.row(key),
                grid_pos=dashboard.GridPos(1, WIDTH, 0, self._y),
                id_val=len(self.panels) + 1,
                panels=[],
            )
        )
        self._y += 1

    def add(
        self,
        key: str,
        panel: dashboard.Panel,
        targets: Sequence[Target],
        *,
        width: int,
        height: int,
        span: str = "",
        colors: Mapping[str, str] | None = None,
        links: Sequence[dashboard.DashboardLink] = (),
    ) -> None:
        """Place a panel right of the last, or below where there is no room.

        Args:
            key: its texts are `panels.KEY`.
            panel: as `rackwatt.dashboards.panels` makes it.
            targets: what it shows.
            width: of 24.
            height: in Grafana's units.
            span: a time of its own that ends now, like `15m`; empty: what the dashboard shows.
            colors: of its series, whose names are translated, too: `names.KEY`.
            links: where a click on a series leads.
        """
        if self._x + width > WIDTH:
            self._wrap()
        panel.id_val = len(self.panels) + 1
        panel.title, panel.description = self.speaker.panel(key)
        panel.grid_pos = dashboard.GridPos(height, width, self._x, self._y)
        panel.time_from = span or None
        if targets:
            panel.datasource = _source(targets)
            letters: list[Dataquery] = [
                target.lettered(chr(ord("A") + number)) for number, target in enumerate(targets)
            ]
            panel.targets = letters
            if any("$__interval" in target.text for target in targets):
                panel.interval = _FINEST
        if colors or links:
            self._dress(panel, colors or {}, links)
        self.panels.append(panel)
        self._x += width
        self._deep = max(self._deep, height)

    def _dress(
        self,
        panel: dashboard.Panel,
        colors: Mapping[str, str],
        links: Sequence[dashboard.DashboardLink],
    ) -> None:
        override(panel, [_named(name, self.speaker.name(name), colors[name]) for name in colors])
        if links and panel.field_config:
            panel.field_config.defaults.links = [*links]

    def _wrap(self) -> None:
        self._x, self._y, self._deep = 0, self._y + self._deep, 0


def _source(targets: Sequence[Target]) -> common.DataSourceRef:
    uids = {target.source for target in targets}
    uid = uids.pop() if len(uids) == 1 else MIXED
    return common.DataSourceRef(TYPES[uid], uid)


def _named(name: str, text: str, color: str) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig("byName", name),
        properties=[
            dashboard.DynamicConfigValue("displayName", text),
            dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color}),
        ],
    )


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    Attributes:
        key: names it: in its uid, and in the file of its texts.
        order: its place among the others.
        lay: places its panels.
        span: what it shows at first: this long until now.
        refresh: how often it asks anew; empty: never by itself.
        variables: its choices.
    """

    key: str
    order: int
    lay: Callable[[Sheet], None]
    span: str = "6h"
    refresh: str = "1m"
    variables: Sequence[str] = SITE

    def edition(self, language: Language) -> tuple[dashboard.Dashboard, Speaker]:
        """It in one language, and what of its texts was used.

        Raises:
            KeyError: a text is missing.
        """
        speaker = Speaker(board_words(self.key), language)
        sheet = Sheet(speaker)
        self.lay(sheet)
        made = dashboard.Dashboard(
            uid=uid_of(self.key, language),
            title=f"Rackwatt · {speaker.title()}",
            description=speaker.about(),
            tags=tags_of(language),
            timezone="",
            editable=True,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            time=dashboard.DashboardDashboardTime(f"now-{self.span}", "now"),
            refresh=self.refresh,
            schema_version=SCHEMA_VERSION,
            panels=[*sheet.panels],
            templating=templating(self.variables, speaker),
            annotations=annotations(speaker),
            links=bar(self.key, speaker),
        )
        return made, speaker
