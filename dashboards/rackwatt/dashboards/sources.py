# SPDX-License-Identifier: Apache-2.0
"""The data sources that the dashboards name, by uids that are ours: nothing needs choosing."""

from typing import Final

ROLLUPS: Final = "rackwatt-influx"
"""InfluxQL on the bucket of rollups and of the ledger's copy."""
RAW: Final = "rackwatt-influx-raw"
"""InfluxQL on the bucket of readings."""
PROMETHEUS: Final = "rackwatt-prometheus"
ALERTMANAGER: Final = "rackwatt-alertmanager"
MIXED: Final = "-- Mixed --"
"""Grafana's own: each target names its own source."""

TYPES: Final = {
    ROLLUPS: "influxdb",
    RAW: "influxdb",
    PROMETHEUS: "prometheus",
    ALERTMANAGER: "alertmanager",
    MIXED: "datasource",
}
"""Uid to Grafana's type."""
