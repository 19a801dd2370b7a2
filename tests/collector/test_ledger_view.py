# SPDX-License-Identifier: Apache-2.0
"""Rows and sites as key figures read them."""

import json
from pathlib import Path
from typing import Any

import pytest
from accounting_rows import factors

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.flows import Flows, TieFlow, of_site
from rackwatt.collector.accounting.interval import account_network
from rackwatt.collector.accounting.period import period
from rackwatt.collector.ledger.chain import canonical
from rackwatt.collector.ledger.journal import Booking, LedgerRow, row_of
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import load_site

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PARAMETERS = BatteryParameters(None, 0.9, 1.0)


def row(nodes: dict[str, Flows], ties: tuple[TieFlow, ...] = (), **booking: Any) -> LedgerRow:
    found = account_network(nodes, ties, BatteryState(), PARAMETERS, factors())
    flows = next(iter(nodes.values())) if len(nodes) == 1 else of_site(list(nodes.values()))
    buses = nodes if len(nodes) > 1 else None
    metering = booking.pop("metering", ())
    made = Booking(flows, found.completeness, metering, None, 2, nodes=buses, ties=ties, **booking)
    text = canonical(row_of(made, found))
    return LedgerRow(0, 2, "late_data", text, json.loads(text))


def test_a_row_is_read_whole() -> None:
    flows = Flows({"pv": 60.0, "grid": 60.0}, {"it": 80.0, "export": 20.0}, charge=20.0)
    found = booked(row({"": flows}, claims={"a": 5.0}, residual_uncertainty=1.5))
    assert (found.start_ms, found.end_ms, found.revision) == (0, INTERVAL_MS, 2)
    assert (found.load, found.it, found.residual) == (80.0, 80.0, 0.0)
    assert found.exported == pytest.approx(
        {"pv": 10.0, "wind": 0.0, "hydro": 0.0, "grid": 10.0, "genset": 0.0, "unknown": 0.0}
    )
    assert found.stock == pytest.approx(18.0)
    assert found.residual_uncertainty == 1.5
    assert found.claims == {"a": 5.0}
    assert (found.grid_direct, found.grid_carbon_free) == (554.24, 0.215)
    assert found.carbon_free == pytest.approx(40.0 + 40.0 * 0.215)
    assert found.pue_category == 2
    assert not found.ups_open


def test_what_the_books_lift_is_lifted_here() -> None:
    found = booked(row({"": Flows({"pv": -1.0, "grid": 100.0}, {"it": 100.0})}))
    assert found.sources == {"pv": 0.0, "grid": 100.0}
    assert found.supplied == 100.0


def test_a_row_of_an_older_version_lacks_fields() -> None:
    made = row({"": Flows({"grid": 100.0}, {"it": 100.0})})
    new = ("carbon_free", "claims", "residual_uncertainty", "buses", "ties", "grid_factors")
    old = {name: value for name, value in made.data.items() if name not in new}
    del old["battery"]["grid_free"]
    found = booked(LedgerRow(0, 1, "closed", "", old))
    assert (found.carbon_free, found.residual_uncertainty) == (None, None)
    assert (found.grid_direct, found.grid_carbon_free) == (None, None)
    assert found.claims == {}
    figures = period([found], rules_of(load_site(EXAMPLES / "site.yaml")))
    assert figures.shares.grid == 1.0
    assert figures.shares.carbon_free is None


def test_unknown_stays_unknown() -> None:
    found = booked(row({"": Flows({"grid": None}, {"it": 100.0, "export": 1.0})}))
    assert (found.residual, found.unmetered, found.unknown) == (None, None, None)
    assert found.sources["grid"] is None
    assert found.exported is None
    assert found.kept("grid") is None


def test_a_ups_on_battery_leaves_a_row_open() -> None:
    flows = {"": Flows({"grid": 100.0}, {"it": 100.0})}
    assert booked(row(flows, metering=("ups_on_battery",))).ups_open


def test_export_of_a_mesh_leaves_with_the_mix_of_its_bus() -> None:
    nodes = {
        "north": Flows({"grid": 100.0}, {"it": 100.0}),
        "south": Flows({"pv": 100.0}, {"it": 40.0, "export": 50.0}),
    }
    found = booked(row(nodes, (TieFlow("south", "north", 0.0),)))
    assert found.exported is not None
    assert found.exported["pv"] == pytest.approx(50.0)
    assert found.exported["grid"] == 0.0
    nodes["south"] = Flows({"pv": None}, {"it": 40.0, "export": 50.0})
    assert booked(row(nodes, (TieFlow("south", "north", 0.0),))).exported is None


def test_rules_of_a_site_with_papers() -> None:
    rules = rules_of(load_site(EXAMPLES / "site-mesh.yaml"))
    assert rules.attributes["pv"] == "retained"
    assert rules.contracts == {"wheeled-wind-1": "ppa_wind"}
    assert (rules.export_cap_ratio, rules.residual_limit_ratio) == (0.2, 0.002)
    assert [one.serial for one in rules.certificates] == ["0001-0500", "0501-0700"]
    assert rules.certificates[0].contract == "wheeled-wind-1"
    assert rules.residual_factor is None
    assert rules.genset_direct is None
    meters = rules.meters
    assert meters.classes["grid-north"].transformer == 0.2
    assert ("grid-north", 1) in meters.terms["grid"]
    assert (meters.charge_efficiency, meters.discharge_efficiency) == (0.95, 0.95)
