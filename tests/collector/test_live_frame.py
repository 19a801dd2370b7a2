# SPDX-License-Identifier: Apache-2.0
"""Figures as frame, as history and as metrics: what is unknown stays unknown."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from collecting import LOADS, reading, small_site
from doubles import START_MS
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from rackwatt.collector.accounting.battery import initial
from rackwatt.collector.exposition import exposition
from rackwatt.collector.ledger import battery_parameters, site_factors
from rackwatt.collector.live.demand import Demand
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures, LiveFigures
from rackwatt.collector.live.frame import QUALITY, CollectorView, LedgerView, make_frame
from rackwatt.collector.live.history import POINTS, STEP_MS, History, Point
from rackwatt.collector.live.metrics import CATALOGUE, families
from rackwatt.collector.live.pue import LivePue
from rackwatt.collector.watchkeeping.log import Ack

DESIGN = {
    "rackwatt_pue_ratio": {"site", "window"},
    "rackwatt_load_power_watts": {"site", "role"},
    "rackwatt_source_power_watts": {"site", "source"},
    "rackwatt_source_share_ratio": {"site", "source"},
    "rackwatt_renewable_share_ratio": {"site"},
    "rackwatt_grid_share_ratio": {"site"},
    "rackwatt_carbon_free_share_ratio": {"site"},
    "rackwatt_carbon_share_ratio": {"site"},
    "rackwatt_contracted_share_ratio": {"site"},
    "rackwatt_carbon_intensity_grams_per_kilowatt_hour": {"site", "series"},
    "rackwatt_balance_residual_ratio": {"site"},
    "rackwatt_completeness_ratio": {"site"},
    "rackwatt_ledger_restatements_total": set(),
    "rackwatt_ledger_closed_timestamp_seconds": set(),
}
UNKNOWN = Figures(None, LivePue(None, None, reason="starting"))


def figures(seconds: int = 30) -> Figures:
    """The small site's figures after some seconds of steady loads."""
    site = small_site()
    factors = site_factors(site)
    stock = initial(0.0, factors.at(START_MS).initial)
    live = LiveFigures(site, factors, battery_parameters(site), stock, now_ms=START_MS)
    for second in range(seconds + 1):
        for device, values in LOADS.items():
            live.observe(device, START_MS + second * 1000, values)
    return live.figures(START_MS + seconds * 1000)


def series(found: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    result: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for metric in found:
        for sample in metric.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in result
            result[key] = sample.value
    return result


def frame(
    shown: Figures, view: CollectorView | None = None, now_ms: int = START_MS
) -> dict[str, Any]:
    site = small_site()
    made = make_frame(site, shown, Devices(site), view or CollectorView(), LedgerView(), now_ms)
    json.dumps(made, allow_nan=False)
    return made


def summary(agents: list[Mapping[str, Any]], **quality: object) -> dict[str, Any]:
    known = {"missing": 0, "store_up": True, **quality}
    return {"agents": agents, "nodes": {"total": 2, "online": 1}, "quality": known}


def test_metric_names_and_labels_are_those_of_the_design() -> None:
    described = {spec.name: set(spec.labels) for spec in CATALOGUE}
    assert described.items() >= DESIGN.items()
    assert described.keys() - DESIGN.keys() == {
        "rackwatt_balance_residual_after_losses_ratio",
        "rackwatt_battery_stock_watt_hours",
        "rackwatt_figures_timestamp_seconds",
        "rackwatt_maintenance_overdue_number",
        "rackwatt_settlement_projected_watts",
        "rackwatt_settlement_subscribed_watts",
        "rackwatt_settlement_window_seconds",
    }


def test_what_is_unknown_is_absent_from_the_metrics() -> None:
    found = series(families("demo", UNKNOWN, LedgerView(), START_MS))
    assert found == {
        ("rackwatt_ledger_restatements_total", ()): 0.0,
        ("rackwatt_maintenance_overdue_number", (("site", "demo"),)): 0.0,
    }


def test_figures_of_a_steady_site_as_metrics() -> None:
    found = series(families("demo", figures(), LedgerView(START_MS, 3), START_MS))
    site = ("site", "demo")
    assert found["rackwatt_pue_ratio", (site, ("window", "15m"))] == pytest.approx(1.2)
    assert found["rackwatt_load_power_watts", (("role", "it"), site)] == 100.0
    assert found["rackwatt_source_power_watts", (site, ("source", "grid"))] == 90.0
    assert found["rackwatt_source_power_watts", (site, ("source", "battery"))] == 0.0
    assert found["rackwatt_renewable_share_ratio", (site,)] == pytest.approx(0.25)
    assert found["rackwatt_completeness_ratio", (site,)] == 1.0
    assert found["rackwatt_ledger_restatements_total", ()] == 3.0
    assert found["rackwatt_ledger_closed_timestamp_seconds", ()] == START_MS / 1000
    shares = [n for (name, _), n in found.items() if name == "rackwatt_source_share_ratio"]
    assert sum(shares) == pytest.approx(1.0, abs=1e-9)
    sources = {dict(labels)["source"] for name, labels in found if "share" in name and
               "source" in dict(labels)}  # fmt: skip
    assert "battery" not in sources
    sourced = {dict(labels)["source"] for name, labels in found if "source_power" in name}
    assert sourced == {"pv", "grid", "battery"}, "a source that the site has not is absent"
    described = {spec.name: set(spec.labels) for spec in CATALOGUE}
    for name, labels in found:
        assert {label for label, _ in labels} == described[name]
    assert all(value == value and abs(value) != float("inf") for value in found.values())


async def test_a_scrape_is_text_with_each_metric_once() -> None:
    found = families("demo", figures(), LedgerView(), START_MS)
    response = await exposition(found, b"more 1.0\n")
    text = bytes(response.body).decode()
    assert text.endswith("\nmore 1.0\n")
    assert text.count("# TYPE rackwatt_ledger_restatements_total counter\n") == 1
    assert text.count("\nrackwatt_ledger_restatements_total 0.0\n") == 1
    assert "_created" not in text
    CollectorRegistry()  # nothing was registered anywhere else


def test_before_the_first_reading_the_frame_knows_nothing() -> None:
    shown = frame(UNKNOWN)
    assert shown["state"] == "starting"
    assert shown["time"] is None
    assert shown["pue"]["value"] is None
    assert shown["pue"]["reason"] == "starting"
    assert shown["load_watts"] is None
    assert set(shown["shares"].values()) == {None}
    assert set(shown["intensity"].values()) == {None}
    assert shown["sources"] == shown["sinks"] == []
    assert shown["battery"] is None
    assert shown["nodes"] == {"total": None, "online": None}
    assert {name: shown["quality"][name] for name in QUALITY} == dict.fromkeys(QUALITY)
    assert shown["quality"]["delay_seconds"] is None
    assert [rack["power_watts"] for rack in shown["racks"]] == [None] * 3


def test_a_frame_of_a_steady_site() -> None:
    now = START_MS + 31_000
    shown = frame(figures(), now_ms=now)
    assert shown["state"] == "live"
    assert shown["quality"]["delay_seconds"] == 1.0
    assert [item["id"] for item in shown["sources"]] == ["pv", "grid", "battery", "unknown"]
    shares = {item["id"]: item["share"] for item in shown["sources"]}
    assert shares["battery"] is None, "the battery is traced back: it is no origin"
    assert shown["pue"]["category"] == 2
    assert shown["battery"]["stock_wh"] == 0.0
    assert shown["battery"]["state_of_charge"] is None
    assert frame(figures(), now_ms=START_MS + 46_000)["state"] == "stale"


def test_the_frame_has_the_window_and_what_is_held() -> None:
    site, devices = small_site(), Devices(small_site())
    window = Demand(START_MS, START_MS + 600_000, 15e3, 99e3, 95e3, 100e3)
    view = LedgerView(held_readings=7)
    shown = replace(figures(), demand=window)
    made = make_frame(site, shown, devices, CollectorView(), view, START_MS)
    assert made["demand"] == {
        "projected_watts": 95e3,
        "subscribed_watts": 100e3,
        "power_watts": 99e3,
        "energy_wh": 15e3,
        "since": START_MS,
        "until": START_MS + 600_000,
        "window_minutes": 10.0,
    }
    assert made["quality"]["held_readings"] == 7
    assert frame(UNKNOWN)["demand"] is None
    assert frame(UNKNOWN)["quality"]["held_readings"] is None


def test_the_state_of_charge_is_the_meters() -> None:
    site, devices = small_site(), Devices(small_site())
    devices.observe("power", reading("battery-1", state_of_charge_ratio=0.5), START_MS)
    made = make_frame(site, figures(), devices, CollectorView(), LedgerView(), START_MS)
    assert made["battery"]["state_of_charge"] == 0.5


def test_collectors_are_put_together() -> None:
    old = {"name": "meters", "last_seen": None, "state": "offline"}
    new = {"name": "meters", "last_seen": START_MS, "state": "online"}
    other = {"name": "a", "last_seen": None, "state": "offline"}
    view = CollectorView.merge(
        [summary([new], missing=1), summary([old, other], missing=2, store_up=False)]
    )
    assert list(view.agents) == [other, new]
    assert (view.nodes_total, view.nodes_online) == (4, 2)
    assert view.quality == {"missing": 3, "store_up": False}


def test_without_a_collector_nothing_is_known_of_delivery() -> None:
    assert CollectorView.merge([]) == CollectorView()
    assert CollectorView().nodes_total is None


def point(time_ms: int, **sources: float | None) -> Point:
    return Point(time_ms, sources, 1.0, None, None)


def test_the_history_has_one_point_each_ten_seconds_and_keeps_an_hour() -> None:
    history = History()
    for second in range(2 * POINTS * STEP_MS // 1000):
        history.add(point(START_MS + second * 1000, grid=float(second)))
    shown = history.as_dict()
    assert len(shown["times"]) == POINTS
    assert {b - a for a, b in zip(shown["times"], shown["times"][1:], strict=False)} == {STEP_MS}
    assert shown["pue"] == [None] * POINTS


def test_a_source_that_came_later_is_unknown_before() -> None:
    history = History()
    history.add(point(START_MS, grid=1.0))
    history.add(point(START_MS - STEP_MS, grid=9.0))
    history.add(point(START_MS + STEP_MS, grid=2.0, pv=0.0))
    shown = history.as_dict()
    assert shown["sources"] == {"grid": [1.0, 2.0], "pv": [None, 0.0]}
    assert history.as_dict()["step_seconds"] == 10


def test_an_acknowledgement_that_has_ended_is_not_shown() -> None:
    def ack(since: int, until: int) -> Ack:
        return Ack("SafetyLeak", {"device": "cdu-a1"}, "N. Idrissi", "at it", since, until)

    view = LedgerView(acks=[ack(0, 10), ack(1, 5), ack(20, 30)])
    assert [one["until"] for one in view.acknowledged(3)] == [5, 10]
    assert [one["until"] for one in view.acknowledged(5)] == [10]
    assert view.acknowledged(10) == []
    ids = {one["id"] for one in view.acknowledged(3)}
    assert len(ids) == 2
