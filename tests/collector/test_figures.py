# SPDX-License-Identifier: Apache-2.0
"""Live figures from streams as they come: seconds here, ten seconds there."""

from collections.abc import Callable
from math import fsum
from typing import Any

import pytest
from collector.campus import (
    BEGIN,
    FACTORS,
    PDUS,
    SMALL,
    Contract,
    Site,
    Supply,
    World,
    at,
    fine,
    live,
    run,
    small,
    staggered,
    together,
)
from collector.terms import Term, Terms, Tie, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState, initial
from rackwatt.collector.accounting.flows import Flows
from rackwatt.collector.accounting.interval import account
from rackwatt.collector.accounting.vocabulary import LOADS, ORIGINS
from rackwatt.collector.live.moment import sinks


@pytest.mark.parametrize("offset", [together, staggered])
def test_the_pue_after_a_minute_is_true_to_one_percent(offset: Callable[[str], int]) -> None:
    """32 PDUs of 100 Wh each ten seconds against meters of each second."""
    figures, world = live(), World()
    fine(figures)
    history = [dict.fromkeys(("g", "p", "b+", "b-", *PDUS), 0.0)]
    for second in range(1, 61):
        now = run(figures, world, 1, offset)
        history.append(dict(world.energy))
        if second >= 40:
            assert now.pue.since_ms is not None
            since = history[(now.pue.since_ms - BEGIN) // 1000]
            assert now.pue.value == pytest.approx(world.truth(since), rel=0.03)
    assert now.pue.value == pytest.approx(world.truth({}), rel=0.01)
    assert now.pue.category == 2
    assert now.pue.window == "15m"
    assert now.pue.reason is None
    assert now.pue.until_ms is not None
    assert at(60) - now.pue.until_ms <= 10_000


@pytest.mark.parametrize("offset", [together, staggered])
def test_the_pue_appears_within_fifteen_seconds(offset: Callable[[str], int]) -> None:
    figures, world = live(), World()
    first = None
    for second in range(1, 40):
        now = run(figures, world, 1, offset)
        if now.pue.value is not None and first is None:
            first = second
            assert now.pue.since_ms is not None
            assert now.pue.since_ms >= at(1)
        elif first is None:
            assert now.pue.reason == "starting"
    assert first is not None
    assert first <= 10 + 15


def test_the_window_rolls_over_fifteen_minutes() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 400)
    begin = dict(world.energy)
    now = run(figures, world, 900)
    assert now.pue.value == pytest.approx(world.truth(begin), rel=0.001)
    assert now.pue.until_ms is not None
    assert now.pue.since_ms is not None
    assert 880_000 <= now.pue.until_ms - now.pue.since_ms <= 900_000


def test_powers_and_shares_of_the_instant() -> None:
    figures, world = live(), World(swing=0.0)
    now = run(figures, world, 95)
    power = world.power
    assert now.instant_ms == at(95)
    assert now.sources["grid"] == power["g"]
    assert now.sources["pv"] == power["p"]
    assert now.sources["battery"] == power["b-"]
    assert now.sources["unknown"] == pytest.approx(0.0, abs=1e-6)
    assert now.sinks["charge"] == power["b+"]
    assert now.sinks["export"] == 0.0
    it = fsum(power[pdu] for pdu in PDUS)
    assert now.sinks["it"] == pytest.approx(it)
    assert now.load_watts == pytest.approx(power["u"] + power["c"])
    assert now.source_share is not None
    assert fsum(now.source_share.values()) == pytest.approx(1.0, abs=1e-12)
    assert now.source_share["pv"] == pytest.approx(power["p"] / (power["p"] + power["g"]))
    assert now.shares.renewable == now.source_share["pv"]
    assert now.shares.contracted == 0.0
    assert now.residual_ratio == pytest.approx(0.0, abs=1e-9)
    assert now.completeness == 1.0
    assert now.missing == ()
    pv = now.source_share["pv"]
    assert now.intensity["operational"] == pytest.approx((1 - pv) * 554.24)
    assert now.battery_known
    assert now.battery.watt_hours == pytest.approx(0.95 * 94 * 40_000 / 3600)


def test_the_battery_is_traced_back() -> None:
    figures, world = live(state=initial(1e6, {"life_cycle": 0.0, "operational": 0.0})), World()
    now = run(figures, world, 150)
    assert now.source_share is not None
    assert now.source_share["unknown"] > 0.02
    assert now.shares.unknown == now.source_share["unknown"]


def test_the_ledgers_state_is_taken_over_and_followed() -> None:
    figures, world = live(), World(swing=0.0)
    run(figures, world, 95)
    figures.seed(initial(500_000.0, FACTORS.at(BEGIN).initial), at(30))
    now = run(figures, world, 1)
    assert now.battery.watt_hours == pytest.approx(500_000.0 + 0.95 * 66 * 40_000 / 3600)
    figures.seed(BatteryState(), at(-10_000))
    now = run(figures, world, 1)
    charged = 0.95 * 96 * 40_000 / 3600
    assert now.battery.watt_hours == pytest.approx(charged, rel=1e-9)


def test_contracts_are_a_part_of_the_import() -> None:
    figures = live(Site(SMALL, (Contract("ppa"),)))
    small(figures, range(20), 120.0, 120.0)
    assert figures.figures(at(20)).shares.contracted is None
    figures.observe("ppa", at(19), {"power_watts": 30.0})
    assert figures.figures(at(20)).shares.contracted == pytest.approx(0.25)
    figures.observe("ppa", at(20), {"power_watts": 500.0})
    small(figures, [20], 120.0, 120.0)
    now = figures.figures(at(21))
    assert now.shares.contracted == pytest.approx(1.0)
    assert now.shares.grid == pytest.approx(1.0)


def test_a_meter_without_export_has_no_such_term() -> None:
    figures = live(Site(SMALL))
    small(figures, range(20), 120.0, 100.0)
    now = figures.figures(at(20))
    assert "export" not in now.sinks
    assert now.pue.value == pytest.approx(1.2)
    assert now.sinks["unmetered"] == pytest.approx(20.0)
    figures.observe("g", at(20), {"power_watts": 120.0, "power_export_watts": None})
    now = figures.figures(at(21))
    assert now.sinks["export"] is None
    assert now.residual_ratio is None


def ups(on_battery: float, charge: float | None = None) -> dict[str, float | None]:
    return {"on_battery_ratio": on_battery, "state_of_charge_ratio": charge}


def test_a_ups_on_battery_has_no_pue_until_it_is_recharged() -> None:
    figures = live(Site(SMALL))
    figures.observe("ups", at(0), {"on_battery_ratio": None})
    figures.observe("ups", at(0), ups(0.0))
    figures.observe("ups", at(0), ups(0.0, 0.99))
    small(figures, range(30), 120.0, 100.0)
    assert figures.figures(at(30)).pue.value == pytest.approx(1.2)
    figures.observe("ups", at(30), ups(1.0, 0.9))
    figures.observe("ups", at(31), ups(1.0, 0.8))
    small(figures, range(30, 60), 60.0, 100.0)
    now = figures.figures(at(60))
    assert (now.pue.value, now.pue.reason) == (None, "ups_on_battery")
    figures.observe("ups", at(60), ups(0.0, 0.8))
    small(figures, range(60, 90), 180.0, 100.0)
    assert figures.figures(at(90)).pue.reason == "ups_on_battery"
    figures.observe("ups", at(90), ups(0.0, 0.99))
    assert figures.figures(at(90)).pue.reason == "starting"
    small(figures, range(90, 120), 120.0, 100.0)
    now = figures.figures(at(120))
    assert now.pue.value == pytest.approx(1.2)
    assert now.pue.since_ms == at(90)


def test_a_ups_that_does_not_tell_its_charge_is_given_a_quarter_of_an_hour() -> None:
    figures = live(Site(SMALL))
    figures.observe("ups", at(0), ups(1.0))
    figures.observe("ups", at(800), ups(0.0))
    small(figures, range(800, 830), 120.0, 100.0)
    assert figures.figures(at(830)).pue.reason == "ups_on_battery"
    figures.observe("ups", at(901), ups(0.0))
    small(figures, range(900, 930), 120.0, 100.0)
    assert figures.figures(at(930)).pue.value == pytest.approx(1.2)


def test_it_at_the_output_of_a_ups() -> None:
    figures = live(Site(terms(1, grid=["g"], it=["u"], losses=["u", "-u"])))
    for s in range(20):
        figures.observe("g", at(s), {"power_watts": 120.0})
        figures.observe("u", at(s), {"power_watts": 110.0, "power_output_watts": 100.0})
    now = figures.figures(at(20))
    assert now.pue.value == pytest.approx(1.2)
    assert now.pue.category == 1
    assert now.sinks["losses"] == pytest.approx(10.0)


def test_a_site_without_it_has_no_pue() -> None:
    figures = live(Site(terms(grid=["g"])))
    figures.observe("g", at(0), {"power_watts": 1.0})
    assert figures.figures(at(1)).pue.reason == "missing:it"


def test_no_load_has_no_pue() -> None:
    figures = live(Site(SMALL))
    small(figures, range(20), 0.0, 0.0)
    now = figures.figures(at(20))
    assert now.pue.reason == "no_it_load"
    assert now.source_share is None
    assert now.shares.contracted is None


def test_memory_is_bounded() -> None:
    figures = live(Site(SMALL))
    for s in range(40_000):
        figures.observe("g", at(s / 20), {"power_watts": 1.0, "energy_import_watt_hours": s})
        figures.observe("stranger", at(s / 20), {"power_watts": 1.0})
    (feed,) = figures._feeds.values()
    assert len(feed.power.times.times) <= 20_000
    assert len(feed.register.times.times) <= 20_000
    figures.observe("g", at(1), {"power_watts": 1.0})


def test_topology_may_change() -> None:
    site = Site(SMALL)
    figures = live(site)
    small(figures, range(20), 120.0, 100.0)
    site.now = terms(grid=["g"], it=["g"])
    assert figures.figures(at(20)).pue.value == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["g", "p", "b", "c", "u", PDUS[0], PDUS[1]]),
            st.integers(0, 200),
            st.fixed_dictionaries(
                {},
                optional={
                    name: st.none() | st.floats(0, 1e7)
                    for name in (
                        "power_watts",
                        "power_export_watts",
                        "power_charge_watts",
                        "power_discharge_watts",
                        "energy_import_watt_hours",
                        "energy_charge_watt_hours",
                    )
                },
            ),
        ),
        max_size=80,
    )
)
def test_whatever_comes_shares_sum_to_one(stream: list[tuple[str, int, Any]]) -> None:
    site = Site(
        terms(grid=["g"], pv=["p"], battery=["b"], it=PDUS[:2], losses=["u", f"-{PDUS[0]}"])
    )
    figures = live(site)
    for device, second, values in stream:
        figures.observe(device, at(second), values)
        now = figures.figures(at(second) + 500)
        if now.source_share is not None:
            assert fsum(now.source_share.values()) == pytest.approx(1.0, abs=1e-12)
            assert set(now.source_share) == set(ORIGINS)
        assert 0.0 <= now.completeness <= 1.0
        assert (now.pue.value is None) == (now.pue.reason is not None)
        assert min(now.battery.stock.values()) >= 0.0


def test_contracts_are_matched_over_the_running_hour() -> None:
    """In a UTC hour, a plant's surplus of one minute covers the import of another."""
    hour = 3_600_000 - BEGIN % 3_600_000
    begin = hour // 1000 + 1
    figures = live(Site(SMALL, (Contract("ppa"),)))
    for s in range(begin - 5, begin + 600):
        watts = 600.0 if s < begin + 100 else 0.0
        figures.observe("ppa", at(s), {"power_watts": watts})
        small(figures, [s], 120.0, 100.0)
        figures.figures(at(s))
    now = figures.figures(at(begin + 600))
    assert now.shares.contracted == pytest.approx(600 * 100 / (120 * 600), rel=0.01)
    figures.seed(BatteryState(), at(begin + 300))
    again = figures.figures(at(begin + 600))
    assert again.shares.contracted == now.shares.contracted
    small(figures, range(begin + 600, begin + 640), 120.0, 100.0)
    assert figures.figures(at(begin + 640)).shares.contracted is None, "the plant is silent"


def test_a_pue_below_one_is_withheld() -> None:
    figures = live(Site(SMALL))
    small(figures, range(20), 100.0, 120.0)
    now = figures.figures(at(20))
    assert (now.pue.value, now.pue.reason) == (None, "below_one")


def test_what_was_sold_is_not_called_renewable() -> None:
    site = Site(terms(grid=["g"], pv=["p"], it=["i"]), supply={"pv": Supply("sold")})
    figures = live(site)
    for s in range(20):
        figures.observe("p", at(s), {"power_watts": 60.0})
        small(figures, [s], 60.0, 120.0)
    shares = figures.figures(at(20)).shares
    assert shares.renewable == pytest.approx(0.5)
    assert shares.renewable_claimable == 0.0


def test_a_mesh_of_buses_has_the_same_figures() -> None:
    """Grid in the north, PV in the south, IT on both, a tie between them."""
    halls = Terms(
        {
            "grid": (Term("g", bus="north"),),
            "pv": (Term("p", bus="south"),),
            "it": (Term("i", bus="north"), Term("j", bus="south")),
        },
        buses=("north", "south"),
        ties=(Tie("north", "south", "t"),),
    )
    figures = live(Site(halls))
    for s in range(20):
        figures.observe("p", at(s), {"power_watts": 50.0})
        figures.observe("j", at(s), {"power_watts": 100.0})
        figures.observe("t", at(s), {"power_watts": 50.0, "power_export_watts": 0.0})
        small(figures, [s], 150.0, 100.0)
    now = figures.figures(at(20))
    assert now.sources["grid"] == pytest.approx(150.0)
    assert now.residual_ratio == pytest.approx(0.0)
    assert now.source_share is not None
    assert now.source_share["pv"] == pytest.approx(0.25)
    assert now.pue.value == pytest.approx(1.0)
    figures.observe("t", at(60), {"power_watts": None})
    assert "t" in figures.figures(at(95)).missing


def test_loads_shown_sum_up_to_the_load_though_a_difference_dips_below_zero() -> None:
    flows = Flows({"grid": 78.0}, {"it": 80.0, "losses": -10.0, "cooling": 6.0, "other": 2.0})
    result = account(flows, BatteryState(), BatteryParameters(), FACTORS.at(0))
    shown = sinks(flows, result)
    assert (shown["it"], shown["losses"]) == (70.0, 0.0)
    assert sum(shown[name] or 0.0 for name in LOADS) == 78.0
