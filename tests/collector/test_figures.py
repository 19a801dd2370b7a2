# SPDX-License-Identifier: Apache-2.0
"""Live figures from streams as they come: seconds here, ten seconds there, holes and all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, sin
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState, initial
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.vocabulary import ORIGINS
from rackwatt.collector.live.figures import Figures, LiveFigures
from rackwatt.wire.inventory import Register

BEGIN = 1_780_000_000_000
FACTORS = SiteFactors(shipped(), "MA")
PARAMETERS = BatteryParameters(1e6, 0.95, 0.95)
PDUS = tuple(f"pdu-{index:02}" for index in range(32))


@dataclass(frozen=True)
class Term:
    meter_id: str
    sign: int = 1


@dataclass(frozen=True)
class Terms:
    roles: Mapping[str, tuple[Term, ...]]
    pue_category: int | None = 2


@dataclass(frozen=True)
class Always:
    def holds(self, time_ms: int) -> bool:
        return True


@dataclass(frozen=True)
class Contract:
    meter: str
    validity: Always = Always()


def terms(category: int = 2, **roles: Sequence[str]) -> Terms:
    return Terms(
        {
            role: tuple(Term(d.removeprefix("-"), -1 if d.startswith("-") else 1) for d in devices)
            for role, devices in roles.items()
        },
        category,
    )


@dataclass
class Site:
    now: Terms
    contracts: tuple[Contract, ...] = ()

    def terms_at(self, time_ms: int) -> Terms:
        return self.now


CAMPUS = terms(
    grid=["g"],
    pv=["p"],
    battery=["b"],
    it=PDUS,
    losses=["u", *(f"-{pdu}" for pdu in PDUS)],
    cooling=["c"],
)


def live(site: Site | None = None, state: BatteryState | None = None) -> LiveFigures:
    held = BatteryState() if state is None else state
    return LiveFigures(Site(CAMPUS) if site is None else site, FACTORS, PARAMETERS, held)


@dataclass
class World:
    """A site at one second steps: truth, and what its meters say of it."""

    seconds: int = 0
    energy: dict[str, float] = field(default_factory=dict)
    power: dict[str, float] = field(default_factory=dict)
    window: dict[str, float] = field(default_factory=dict)
    swing: float = 0.3

    def step(self) -> None:
        """Training steps swing the load; PV follows a cloud; the battery charges then gives."""
        self.seconds += 1
        step = 1.0 if self.seconds % 7 < 5 else 1.0 - self.swing
        it = {pdu: 20_000.0 * step * (1 + index / 100) for index, pdu in enumerate(PDUS)}
        ups = 1.04 * fsum(it.values())
        cooling = 90_000.0 + 5000.0 * sin(self.seconds / 50)
        pv = 300_000.0 + 50_000.0 * sin(self.seconds / 30)
        charge = 40_000.0 if self.seconds % 200 < 100 else 0.0
        discharge = 0.0 if self.seconds % 200 < 100 else 30_000.0
        grid = ups + cooling + charge - discharge - pv
        self.power = {
            "g": grid,
            "p": pv,
            "c": cooling,
            "u": ups,
            "b+": charge,
            "b-": discharge,
            **it,
        }
        for name, watts in self.power.items():
            self.energy[name] = self.energy.get(name, 0.0) + watts / 3600
            self.window[name] = self.window.get(name, 0.0) + watts / 10

    def readings(self, offset: Callable[[str], int]) -> Iterable[tuple[str, dict[str, float]]]:
        for name in ("g", "p", "c", "u"):
            values = {
                "power_watts": self.power[name],
                "energy_import_watt_hours": self.energy[name] // 1.0,
            }
            if name == "g":
                values |= {"power_export_watts": 0.0, "energy_export_watt_hours": 3.0}
            yield name, values
        yield (
            "b",
            {
                "power_charge_watts": self.power["b+"],
                "power_discharge_watts": self.power["b-"],
                "energy_charge_watt_hours": self.energy["b+"] // 1.0,
                "energy_discharge_watt_hours": self.energy["b-"] // 1.0,
            },
        )
        for pdu in PDUS:
            if (self.seconds - offset(pdu)) % 10 == 0:
                watts, self.window[pdu] = self.window[pdu], 0.0
                counted = self.energy[pdu] // 100 * 100
                yield pdu, {"power_watts": watts, "energy_import_watt_hours": counted}

    def truth(self, since: Mapping[str, float]) -> float:
        gone = {name: self.energy[name] - since.get(name, 0.0) for name in self.energy}
        inside = gone["g"] + gone["p"] - 0.95 * gone["b+"] + gone["b-"] / 0.95
        return inside / fsum(gone[pdu] for pdu in PDUS)


def fine(figures: LiveFigures) -> None:
    register = Register(resolution_watt_hours=1.0)
    for device in ("g", "p", "c", "u"):
        figures.registers(device, {"energy_import_watt_hours": register})
    names = ("energy_charge_watt_hours", "energy_discharge_watt_hours")
    figures.registers("b", dict.fromkeys(names, register))
    for pdu in PDUS:
        coarse = Register(resolution_watt_hours=100.0)
        figures.registers(pdu, {"energy_import_watt_hours": coarse})


def together(_: str) -> int:
    return 0


def staggered(pdu: str) -> int:
    return int(pdu[-2:]) % 10


def run(
    figures: LiveFigures,
    world: World,
    seconds: int,
    offset: Callable[[str], int] = together,
    silent: frozenset[str] = frozenset(),
) -> Figures:
    for _ in range(seconds):
        world.step()
        for device, values in world.readings(offset):
            if device not in silent:
                figures.observe(device, at(world.seconds), values)
    return figures.figures(at(world.seconds) + 900)


def at(seconds: float) -> int:
    return BEGIN + round(seconds * 1000)


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


def test_nothing_read_is_nothing_known() -> None:
    now = live().figures(BEGIN)
    assert now.instant_ms is None
    assert now.pue.reason == "starting"
    assert now.source_share is None


def test_a_meter_that_falls_silent() -> None:
    figures, world = live(), World()
    run(figures, world, 60)
    now = run(figures, world, 4, silent=frozenset({"p"}))
    assert now.instant_ms == at(62)
    assert now.missing == ()
    now = run(figures, world, 2, silent=frozenset({"p"}))
    assert now.missing == ("p",)
    assert now.source_share is None
    assert now.sources["pv"] is None
    assert now.sources["unknown"] is None
    assert now.completeness == pytest.approx(1 - 1 / 70, abs=0.003)
    assert now.pue.value is not None
    now = run(figures, world, 20, silent=frozenset({"p"}))
    assert now.pue.value is None
    assert now.pue.reason == "missing:p"


def test_a_slow_meter_is_held_for_two_and_a_half_cadences() -> None:
    figures, world = live(), World()
    run(figures, world, 60)
    now = run(figures, world, 24, silent=frozenset({PDUS[3]}))
    assert now.missing == ()
    now = run(figures, world, 4, silent=frozenset({PDUS[3]}))
    assert now.missing == (PDUS[3],)
    assert now.load_watts is None
    assert now.source_share is not None
    assert now.residual_ratio is None


def test_silence_of_all_ends_in_not_knowing() -> None:
    figures, world = live(), World()
    run(figures, world, 60)
    now = figures.figures(at(100))
    assert now.load_watts is not None
    now = figures.figures(at(60 + 90))
    assert now.load_watts is None
    assert now.pue.value is None
    assert (now.pue.reason or "").startswith("missing:")
    assert now.completeness == 0.0


def test_a_hole_that_registers_bridge_keeps_the_span() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 300)
    run(figures, world, 120, silent=frozenset({"g", "p", "b", "c", "u"}))
    now = run(figures, world, 60)
    assert now.pue.since_ms == at(10)
    assert now.pue.value == pytest.approx(world.truth({}), rel=0.01)


def test_a_hole_that_no_register_bridges_begins_a_new_span() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 300)
    gone = run(figures, world, 60, silent=frozenset(PDUS))
    assert gone.pue.value is None
    begin = dict(world.energy)
    world.window.clear()
    now = run(figures, world, 60)
    assert now.pue.since_ms == at(370)
    assert now.pue.value == pytest.approx(world.truth(begin), rel=0.02)


def test_a_short_silence_of_the_fast_meters_does_not_blink() -> None:
    figures, world = live(), World()
    fine(figures)
    run(figures, world, 308)
    for silent in (*[{"g", "p", "b"}] * 4, *[set[str]()] * 60):
        now = run(figures, world, 1, silent=frozenset(silent))
        assert now.pue.value is not None


def test_late_and_repeated_readings_change_nothing() -> None:
    straight, late = live(), live()
    world, held = World(), []
    for _ in range(120):
        world.step()
        for device, values in world.readings(together):
            straight.observe(device, at(world.seconds), values)
            if world.seconds % 9 == 4:
                held.append((device, at(world.seconds), values))
            else:
                late.observe(device, at(world.seconds), values)
    for device, time, values in reversed(held + held):
        late.observe(device, time, values)
    one, other = straight.figures(at(121)), late.figures(at(121))
    assert one.pue.value == pytest.approx(other.pue.value, rel=1e-9)
    assert one.source_share == other.source_share


def test_a_reading_from_the_future_is_left_out() -> None:
    figures = LiveFigures(Site(CAMPUS), FACTORS, PARAMETERS, BatteryState(), now_ms=BEGIN)
    figures.observe("g", at(3600), {"power_watts": 1.0})
    assert figures.figures(at(1)).instant_ms is None


SMALL = terms(grid=["g"], it=["i"])


def small(figures: LiveFigures, seconds: Iterable[int], grid: float, it: float) -> None:
    for s in seconds:
        figures.observe("g", at(s), {"power_watts": grid})
        figures.observe("i", at(s), {"power_watts": it})


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


def test_a_meter_never_read_is_missing_after_a_while() -> None:
    figures = live(Site(SMALL))
    for s in range(20):
        figures.observe("g", at(s), {"power_watts": 1.0})
    assert figures.figures(at(20)).pue.reason == "starting"
    for s in range(20, 40):
        figures.observe("g", at(s), {"power_watts": 1.0})
    now = figures.figures(at(40))
    assert now.pue.reason == "missing:i"
    assert now.completeness == 0.5


def test_a_register_alone_tells_power_and_pue() -> None:
    figures = live(Site(SMALL))
    figures.observe("g", at(-1), {"voltage_volts": 230.0, "energy_import_watt_hours": None})
    figures.registers("g", {"energy_import_watt_hours": Register(resolution_watt_hours=1.0)})
    for s in range(0, 61, 10):
        figures.observe("g", at(s), {"energy_import_watt_hours": 120.0 * s / 3600 // 1})
        figures.observe("i", at(s), {"energy_import_watt_hours": 36_000.0 * s / 3600})
    now = figures.figures(at(61))
    assert now.sinks["it"] == pytest.approx(36_000.0)
    assert now.pue.value is not None
    figures.observe("i", at(70), {"energy_import_watt_hours": 0.0})
    figures.observe("g", at(70), {"energy_import_watt_hours": 2.0})
    assert figures.figures(at(71)).pue.reason == "starting"
    assert figures.figures(at(71)).sinks["it"] is None
    assert figures.figures(at(100)).sinks["it"] is None


def test_a_register_reset_is_no_bridge_and_a_roll_over_is() -> None:
    for modulus, since in ((None, 340), (2000.0, 0)):
        figures = live(Site(SMALL))
        spec = Register(resolution_watt_hours=0.1, modulus_watt_hours=modulus)
        figures.registers("i", {"energy_import_watt_hours": spec})
        for s in (*range(0, 301, 10), *range(340, 400, 10)):
            counted = (1467.0 + 6000.0 * s / 3600) % 2000.0
            watts = {} if 300 < s < 340 else {"power_watts": 6000.0}
            figures.observe("i", at(s), {"energy_import_watt_hours": counted, **watts})
        for s in range(400):
            figures.observe("g", at(s), {"power_watts": 7200.0})
        now = figures.figures(at(400))
        assert now.pue.since_ms == at(since)
        assert now.pue.value == pytest.approx(1.2)


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
