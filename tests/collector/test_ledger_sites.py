# SPDX-License-Identifier: Apache-2.0
"""A site file becomes parameters of the books."""

from types import SimpleNamespace
from typing import Any

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factors import shipped
from rackwatt.collector.ledger import (
    battery_parameters,
    initial_stock,
    site_factors,
)


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
    site: Any = SimpleNamespace(carbon=carbon, battery=battery, country="MA")
    found = site_factors(site)
    assert found.overrides == {"pv": {"life_cycle": 30.0}, "grid": {"direct": 500.0}}
    assert found.grid_carbon_free_ratio == 0.3
    assert found.initial == {"life_cycle": 1.0, "direct": 2.0}
    assert battery_parameters(site) == BatteryParameters(1e6, 0.9, 0.95)
    assert initial_stock(site) == 10.0


def test_a_site_without_a_battery_or_a_country() -> None:
    carbon = SimpleNamespace(grid_carbon_free=value(0.2, shipped=True), factors={})
    site: Any = SimpleNamespace(carbon=carbon, battery=None, country=None)
    found = site_factors(site, shipped())
    assert (found.country, found.grid_carbon_free_ratio, found.initial) == ("", None, {})
    assert battery_parameters(site) == BatteryParameters()
    assert initial_stock(site) == 0.0
