# SPDX-License-Identifier: Apache-2.0
"""The choices at the head of a dashboard: site, hall, row, rack, tenant, each within the last.

All of them but the site allow several values and All; All is `.*`, so that a query for two
thousand racks stays short.
"""

from collections.abc import Sequence
from typing import Final

from rackwatt.dashboards.influxql import FIGURES
from rackwatt.dashboards.sdk import common, dashboard
from rackwatt.dashboards.sources import ROLLUPS, TYPES
from rackwatt.dashboards.texts import Speaker

SITE: Final = ("site",)
PLACE: Final = ("site", "hall", "row", "rack")
TENANT: Final = ("site", "tenant")
ONE_RACK: Final = ("site", "hall", "row", "one_rack")
"""The last is `rack` with one value only: of a dashboard that looks into it."""
_FROM: Final = {
    "site": FIGURES,
    "hall": "hall_energy",
    "row": "rack_energy",
    "rack": "rack_energy",
    "tenant": "tenant_energy",
}
"""Where the values of a variable stand: measurements with few series."""
_WITHIN: Final = {"hall": ("site",), "row": ("site", "hall"), "rack": ("site", "hall", "row"),
                  "tenant": ("site",)}  # fmt: skip
ALL: Final = ".*"


def variable(name: str, speaker: Speaker) -> dashboard.VariableModel:
    """One of them."""
    several = name not in {"site", "one_rack"}
    name = name.removeprefix("one_")
    where = " AND ".join(f'"{tag}" =~ /^${{{tag}:regex}}$/' for tag in _WITHIN.get(name, ()))
    query = f'SHOW TAG VALUES FROM "{_FROM[name]}" WITH KEY = "{name}"'
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=speaker.name(name),
        query=query + (f" WHERE {where}" if where else ""),
        datasource=common.DataSourceRef(TYPES[ROLLUPS], ROLLUPS),
        current=everything if several else None,
        multi=several,
        include_all=several,
        all_value=ALL if several else None,
        refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
        sort=dashboard.VariableSort.NATURAL_ASC,
        options=[],
    )


def templating(names: Sequence[str], speaker: Speaker) -> dashboard.DashboardDashboardTemplating:
    """The variables of a dashboard, in this order."""
    return dashboard.DashboardDashboardTemplating([variable(name, speaker) for name in names])
