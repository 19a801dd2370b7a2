# SPDX-License-Identifier: Apache-2.0
"""The parts of grafana-foundation-sdk that we use, imported in one place.

Its module of dashboards warns, when it is imported, that a second model is on its way. Grafana
11.3 reads only the first one, which we therefore write.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        heatmap,
        piechart,
        stat,
        statushistory,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common, dashboard

__all__ = [
    "Builder",
    "Dataquery",
    "JSONEncoder",
    "bargauge",
    "common",
    "common_builders",
    "dashboard",
    "heatmap",
    "piechart",
    "stat",
    "statushistory",
    "table",
    "timeseries",
]
