# SPDX-License-Identifier: Apache-2.0
"""Metrics as text: what prometheus-client would write."""

from collections.abc import Sequence
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from rackwatt.wire.metrics import Family, MetricSpec

TEXT = st.text(st.sampled_from('ab-."\\\n é{}='), max_size=6)
VALUES = st.floats() | st.integers(-(10**9), 10**18) | st.booleans().map(float)


class Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self.families = families

    def collect(self) -> Sequence[Metric]:
        return self.families


def written(family: Family) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families([family]))
    return generate_latest(registry).decode()


@st.composite
def made(draw: st.DrawFn) -> Family:
    kind: Literal["counter", "gauge"] = draw(st.sampled_from(["counter", "gauge"]))
    name = "rackwatt_messages_total" if kind == "counter" else "rackwatt_power_watts"
    labels = tuple(draw(st.lists(st.sampled_from(["rack", "agent", "b"]), unique=True)))
    spec = MetricSpec(name, kind, draw(TEXT), labels)
    rows = st.tuples(st.tuples(*(TEXT for _ in labels)), VALUES)
    return spec.family(draw(st.lists(rows, max_size=4)))


@given(made())
def test_the_text_is_that_of_the_library(family: Family) -> None:
    assert family.text() == written(family)


def test_a_family_without_series_is_described() -> None:
    spec = MetricSpec("rackwatt_store_up", "gauge", "1 when the store took the last batch.")
    assert spec.family().text() == (
        "# HELP rackwatt_store_up 1 when the store took the last batch.\n"
        "# TYPE rackwatt_store_up gauge\n"
    )
    assert spec.of(1.0).text().endswith("\nrackwatt_store_up 1.0\n")
