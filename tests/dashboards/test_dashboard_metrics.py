# SPDX-License-Identifier: Apache-2.0
"""What the dashboards ask of Prometheus exists: names, labels, and rates only of counters."""

import json
import re

import pytest

import rackwatt.agents.metrics
import rackwatt.collector.ingest.metrics
import rackwatt.collector.live.metrics
import rackwatt.collector.refusals
import rackwatt.collector.roles.metrics
from rackwatt.dashboards.editions import all_boards, as_text
from rackwatt.dashboards.sources import PROMETHEUS

CATALOGUE = {
    spec.name: spec
    for part in (
        rackwatt.agents.metrics.CATALOGUE,
        rackwatt.collector.ingest.metrics.CATALOGUE,
        rackwatt.collector.live.metrics.CATALOGUE,
        rackwatt.collector.refusals.CATALOGUE,
        rackwatt.collector.roles.metrics.CATALOGUE,
    )
    for spec in part
}
OF_PROMETHEUS = {"instance", "job"}
ASKED = [
    (board.key, panel["title"], target["expr"], target["legendFormat"])
    for board in all_boards()
    for panel in json.loads(as_text(board.edition("en")[0]))["panels"]
    for target in panel.get("targets", ())
    if target["datasource"]["uid"] == PROMETHEUS
]


@pytest.mark.parametrize(("key", "title", "expression", "legend"), ASKED)
def test_names_and_labels_exist(key: str, title: str, expression: str, legend: str) -> None:
    names = set(re.findall(r"rackwatt_\w+", expression))
    assert names
    assert names <= set(CATALOGUE), (key, title)
    labels = set(re.findall(r"(\w+)\s*=~?", re.sub(r"==", "", expression)))
    labels |= {
        label.strip() for group in re.findall(r"by \(([\w, ]+)\)", expression)
        for label in group.split(",")
    }  # fmt: skip
    labels |= set(re.findall(r"\{\{(\w+)\}\}", legend))
    allowed = {label for name in names for label in CATALOGUE[name].labels} | OF_PROMETHEUS
    assert labels <= allowed, (key, title)
    for name in re.findall(r"(?:rate|increase)\((rackwatt_\w+)", expression):
        assert CATALOGUE[name].kind == "counter", (key, title)
