# SPDX-License-Identifier: Apache-2.0
"""Grafana's data sources as we need them: InfluxDB 2 or 3 by InfluxQL, Prometheus, Alertmanager."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rackwatt.dashboards.sources import ALERTMANAGER, PROMETHEUS, RAW, ROLLUPS, TYPES

InfluxVersion = Literal["2", "3"]
_SCHEMES: Final[Mapping[InfluxVersion, str]] = {"2": "Token", "3": "Bearer"}
"""What stands before the token."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the data is; an empty address: no such source.

    Attributes:
        influx: address of InfluxDB, as Grafana reaches it.
        influx_token: may read both buckets.
        influx_version: 2 has buckets mapped as databases, 3 has databases.
        raw, rollups: names of the buckets, or databases.
        prometheus: address of Prometheus.
        alertmanager: address of Alertmanager.
    """

    influx: str = ""
    influx_token: str = ""
    influx_version: InfluxVersion = "2"
    raw: str = "rackwatt_raw"
    rollups: str = "rackwatt_rollups"
    prometheus: str = ""
    alertmanager: str = ""


def data_sources(places: Places) -> list[dict[str, Any]]:
    """As Grafana's API takes them; secrets apart in `secureJsonData`."""
    found = []
    if places.influx:
        found += [_influx(places, ROLLUPS, "Rackwatt", places.rollups),
                  _influx(places, RAW, "Rackwatt readings", places.raw)]  # fmt: skip
    if places.prometheus:
        settings: dict[str, Any] = {
            "httpMethod": "POST",
            "manageAlerts": True,
            "timeInterval": "15s",
        }
        if places.alertmanager:
            settings["alertmanagerUid"] = ALERTMANAGER
        found.append(_source(PROMETHEUS, "Rackwatt metrics", places.prometheus, settings))
    if places.alertmanager:
        settings = {"implementation": "prometheus", "handleGrafanaManagedAlerts": False}
        found.append(_source(ALERTMANAGER, "Rackwatt alerts", places.alertmanager, settings))
    return found


def _source(uid: str, name: str, url: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uid": uid,
        "name": name,
        "type": TYPES[uid],
        "url": url,
        "access": "proxy",
        "isDefault": False,
        "jsonData": dict(settings),
    }


def _influx(places: Places, uid: str, name: str, bucket: str) -> dict[str, Any]:
    settings = {
        "dbName": bucket,
        "httpMode": "POST",
        "httpHeaderName1": "Authorization",
        "timeInterval": "10s",
    }
    scheme = _SCHEMES[places.influx_version]
    return {
        **_source(uid, name, places.influx, settings),
        "secureJsonData": {"httpHeaderValue1": f"{scheme} {places.influx_token}"},
    }
