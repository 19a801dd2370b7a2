# SPDX-License-Identifier: Apache-2.0
"""A site file becomes parameters of the books."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rackwatt.collector.accounting.battery import BatteryParameters, initial
from rackwatt.collector.accounting.factors import shipped
from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.collector.site import load_site
from rackwatt.wire.config import ConfigErrors

BEGIN = 1_780_000_000_000 // 60_000 * 60_000

FILE = """\
site: {id: demo, timezone: Africa/Casablanca, country: MA}
carbon: {grid_carbon_free_ratio: 0.3, factors: {grid: {direct: 500}}}
battery: {capacity_wh: 1000, charge_efficiency: 0.9, initial_wh: 50, initial_direct: 7}
meters:
  - {id: grid-1, role: grid}
  - {id: battery-1, role: battery}
  - {id: ups-1}
  - {id: it, role: it, position: pdu_output, sum: ["r1-[01-02]-pdu-a"]}
  - {id: losses, role: losses, sum: [ups-1], minus: [it]}
halls:
  - id: hall-a
    rows:
      - {id: row-1, racks: "r1-[01-02]", nodes: "{rack}-n1", pdus: "{rack}-pdu-a"}
"""


def test_a_site_file_is_all_that_books_and_figures_need(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(FILE)
    site = load_site(path)
    factors, battery = site_factors(site), battery_parameters(site)
    now = factors.at(BEGIN)
    assert now.grid == {"life_cycle": 619.71, "operational": 500.0}
    assert now.initial == {"life_cycle": 619.71, "operational": 7.0}
    assert now.grid_carbon_free_ratio == 0.3
    book = Ledger(tmp_path / "ledger.db", site, factors, battery, initial_stock(site))
    live = LiveFigures(
        site, factors, battery, initial(initial_stock(site), now.initial), now_ms=BEGIN
    )
    for seconds in range(100):
        time = BEGIN + seconds * 1000
        for device, values in {
            "grid-1": {"power_watts": 120.0},
            "battery-1": {"power_charge_watts": 0.0, "power_discharge_watts": 0.0},
            "ups-1": {"power_watts": 110.0},
            "r1-01-pdu-a": {"power_watts": 60.0},
            "r1-02-pdu-a": {"power_watts": 40.0},
        }.items():
            book.apply([InputRecord(device, time, values, time)], seconds)
            live.observe(device, time, values)
    figures = live.figures(BEGIN + 100_000)
    assert figures.pue.value == pytest.approx(1.2)
    assert figures.pue.category == 2
    assert figures.sinks["losses"] == pytest.approx(10.0)
    assert figures.battery.watt_hours == 50.0
    assert figures.completeness == 1.0
    assert book.close_intervals(BEGIN + 100_000).closed == 1
    (row,) = book.rows(0, 2**60)
    assert row.data["boundary"] / row.data["it"] == pytest.approx(1.2)
    assert row.data["completeness"] == 1.0
    book.close()


def value(amount: float, shipped: bool) -> SimpleNamespace:
    return SimpleNamespace(value=amount, shipped=shipped)


def test_a_sites_own_factors_win_and_the_shipped_ones_keep_their_years() -> None:
    carbon = SimpleNamespace(
        grid_carbon_free=value(0.3, shipped=False),
        factors={
            "pv": SimpleNamespace(life_cycle=value(30.0, shipped=False), direct=None),
            "grid": SimpleNamespace(
                life_cycle=value(619.71, shipped=True), direct=value(500.0, shipped=False)
            ),
            "genset": SimpleNamespace(life_cycle=None, direct=None),
        },
    )
    battery = SimpleNamespace(
        capacity_wh=1e6,
        charge_efficiency=0.9,
        discharge_efficiency=0.95,
        initial_wh=10.0,
        initial_life_cycle=1.0,
        initial_direct=2.0,
    )
    site: Any = SimpleNamespace(carbon=carbon, battery=battery, country="MA", factor_series=())
    found = site_factors(site)
    assert found.overrides == {"pv": {"life_cycle": 30.0}, "grid": {"direct": 500.0}}
    assert found.grid_carbon_free_ratio == 0.3
    assert found.initial == {"life_cycle": 1.0, "direct": 2.0}
    assert battery_parameters(site) == BatteryParameters(1e6, 0.9, 0.95)
    assert initial_stock(site) == 10.0


def test_a_site_without_a_battery_or_a_country() -> None:
    carbon = SimpleNamespace(grid_carbon_free=value(0.2, shipped=True), factors={})
    site: Any = SimpleNamespace(carbon=carbon, battery=None, country=None, factor_series=())
    found = site_factors(site, shipped())
    assert (found.country, found.grid_carbon_free_ratio, found.initial) == ("", None, {})
    assert battery_parameters(site) == BatteryParameters()
    assert initial_stock(site) == 0.0


@pytest.mark.parametrize(
    "meter", ["{id: r1-n1/GPU-a, role: it}", "{id: it, role: it, sum: [r1-n1/GPU-a]}"]
)
def test_trap_the_power_of_gpus_cannot_stand_in_for_it(tmp_path: Path, meter: str) -> None:
    """It misses CPUs, network, power supplies and the losses of an NVL72's power shelves."""
    path = tmp_path / "site.yaml"
    path.write_text(
        f"site: {{id: demo, timezone: UTC}}\nmeters: [{{id: g, role: grid}}, {meter}]\n"
        "halls: [{id: h, rows: [{id: r, racks: r1, nodes: '{rack}-n1', pdus: '{rack}-pdu'}]}]\n"
    )
    with pytest.raises(ConfigErrors, match="r1-n1/GPU-a"):
        load_site(path)
