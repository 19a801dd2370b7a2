# SPDX-License-Identifier: Apache-2.0
"""The physics: what is conserved, what is bounded, what day and night look like."""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwatt.twin import TwinSpec, load_spec
from rackwatt.twin.world import SINKS, SOURCES, Almanac, World
from rackwatt.twin.world.almanac import turbine_curve
from rackwatt.twin.world.cooling import HEAT_CAPACITY_PER_LITER
from rackwatt.twin.world.jobs import square_mean
from rackwatt.twin.world.noise import mixture, process
from rackwatt.twin.world.plant import pv_power
from rackwatt.twin.world.weather import wet_bulb

NOON = 1_782_044_460.0  # 2026-06-21T12:21Z, the sun's noon at Tétouan
MIDNIGHT = NOON - 43_200.0
relaxed = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def net(values: Mapping[str, float]) -> float:
    return math.fsum(values[name] for name in SOURCES) - math.fsum(values[name] for name in SINKS)


@relaxed
@given(
    start=st.floats(0, 86_400),
    steps=st.lists(st.floats(0.2, 3600), min_size=1, max_size=12),
    seed=st.integers(0, 50),
    battery=st.floats(0, 1),
    genset=st.booleans(),
)
def test_sources_equal_sinks_in_every_step(
    demo: TwinSpec,
    almanac: Almanac,
    start: float,
    steps: list[float],
    seed: int,
    battery: float,
    genset: bool,
) -> None:
    spec = demo.model_copy(
        update={
            "seed": seed,
            "battery": demo.battery.model_copy(update={"initial_wh": battery * 150_000.0}),
            "genset": demo.genset.model_copy(update={"power_watts": 9e3, "running": genset}),
        }
    )
    world = World(spec, MIDNIGHT + start, almanac)
    for seconds in steps:
        before, stock = dict(world.energies), world.stock
        world.step(seconds)
        scale = sum(world.powers[name] for name in SOURCES)
        assert abs(net(world.powers)) <= 1e-9 * scale
        assert all(power >= 0 for power in world.powers.values())
        hours = seconds / 3600
        for name, power in world.powers.items():
            gained = world.energies[name] - before[name]
            assert gained == pytest.approx(power * hours, rel=1e-9, abs=1e-6)
        charged = world.powers["charge"] * spec.battery.charge_efficiency * hours
        drawn = world.powers["discharge"] / spec.battery.discharge_efficiency * hours
        assert world.stock == pytest.approx(stock + charged - drawn, abs=1e-6)
        assert 0 <= world.stock <= spec.battery.capacity_wh
        assert min(world.powers["charge"], world.powers["discharge"]) == 0
        assert min(world.powers["grid_import"], world.powers["grid_export"]) == 0
    assert abs(net(world.energies)) <= 1e-9 * sum(world.energies[name] for name in SOURCES)
    consumed = sum(world.energies[name] for name in ("it", "losses", "cooling", "other"))
    assert sum(world.tracer.load.values()) == pytest.approx(consumed, rel=1e-9)
    assert sum(world.tracer.stock.values()) == pytest.approx(world.stock, rel=1e-6, abs=1e-3)


def test_racks_are_their_gpus_and_more(demo: TwinSpec, almanac: Almanac) -> None:
    world = World(demo, NOON, almanac)
    world.step(1.0)
    floor = world.floor
    assert world.powers["it"] == pytest.approx(floor.rack_power.sum())
    assert floor.gpu_power.sum() < world.powers["it"] < 1.6 * floor.gpu_power.sum()
    assert (floor.gpu_power <= 700).all()
    assert len(floor.gpu_power) == 128
    assert len(floor.racks) == 16


def test_no_sun_at_night_and_much_at_noon(demo: TwinSpec, almanac: Almanac) -> None:
    world = World(demo, MIDNIGHT, almanac)
    for _ in range(60):
        world.step(60.0)
        assert world.powers["pv"] == 0
    horizontal, direct, diffuse = almanac.sun_at(NOON)
    assert 850 < horizontal < 1100  # a clear June noon at 35.6 degrees north
    clear = pv_power(demo.pv, direct + diffuse, 25.0, 3.0)
    assert 0.68 * demo.pv.peak_watts < clear <= demo.pv.inverter_watts


def test_the_inverter_limits_the_panels(demo: TwinSpec) -> None:
    small = demo.pv.model_copy(update={"inverter_watts": 50_000.0})
    assert pv_power(small, 1000.0, 20.0, 2.0) == 50_000.0
    assert pv_power(small, 0.0, 20.0, 2.0) == 0.0
    assert pv_power(small, 1.0, 20.0, 2.0) == 0.0  # below the start-up threshold


def test_the_sun_repeats_itself_over_midnight(almanac: Almanac) -> None:
    for hour in range(24):
        before, after = almanac.sun_at(NOON + 3600 * hour - 1), almanac.sun_at(NOON + 3600 * hour)
        assert np.allclose(before, after, atol=2.0)


def test_a_turbine_makes_more_of_more_wind_up_to_its_rating() -> None:
    curve = turbine_curve("E-53/800", 60.0)
    below = [curve.at(speed) for speed in np.arange(2.0, 13.0, 0.1)]
    assert all(a <= b for a, b in pairwise(below))
    assert curve.at(1.0) == 0
    assert curve.at(14.0) == pytest.approx(1.0, abs=0.02)
    assert curve.at(60.0) == 0


def test_an_unknown_turbine_is_refused() -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        turbine_curve("no such turbine", 60.0)


@given(st.floats(0, 1e9), st.floats(0.5, 600), st.floats(0.5, 30), st.floats(0, 1))
def test_the_mean_of_a_square_wave_is_additive(
    start: float, length: float, period: float, ratio: float
) -> None:
    middle, end = start + length / 3, start + length
    whole = square_mean(start, end, period, ratio) * (end - start)
    parts = square_mean(start, middle, period, ratio) * (middle - start)
    parts += square_mean(middle, end, period, ratio) * (end - middle)
    assert whole == pytest.approx(parts, abs=1e-4)


def test_noise_depends_on_time_alone_and_has_variance_one() -> None:
    values = [process(3, 7, 100.0, t) for t in range(0, 500_000, 37)]
    assert np.mean(values) == pytest.approx(0, abs=0.06)
    assert np.std(values) == pytest.approx(1, abs=0.05)
    mixed = [mixture(3, 8, ((0.9, 300.0), (0.5, 40.0)), t) for t in range(0, 500_000, 37)]
    assert np.std(mixed) == pytest.approx(1, abs=0.06)
    assert process(3, 7, 100.0, 12_345.6) == process(3, 7, 100.0, 12_345.6)
    assert process(3, 7, 100.0, 12_345.6) != process(4, 7, 100.0, 12_345.6)


def test_the_same_seed_gives_the_same_site(demo: TwinSpec, almanac: Almanac) -> None:
    worlds = [World(demo, NOON, almanac) for _ in range(2)]
    for world in worlds:
        for _ in range(20):
            world.step(1.0)
    assert worlds[0].powers == worlds[1].powers
    assert (worlds[0].floor.gpu_energy == worlds[1].floor.gpu_energy).all()


def test_a_snapshot_continues_where_it_was_taken(demo: TwinSpec, almanac: Almanac) -> None:
    world = World(demo, NOON, almanac)
    for _ in range(10):
        world.step(1.0)
    other = World(demo, NOON - 999, almanac)
    other.restore(world.snapshot())
    for site in (world, other):
        for _ in range(10):
            site.step(1.0)
    assert other.powers == world.powers
    assert other.energies == world.energies


def test_a_snapshot_of_another_size_is_refused(demo: TwinSpec, almanac: Almanac) -> None:
    row = demo.halls[0].rows[0]
    small = demo.model_copy(
        update={"halls": (demo.halls[0].model_copy(update={"rows": (row,)}),), "jobs": ()}
    )
    with pytest.raises(ValueError, match="64 values of gpu_energy, the site 128"):
        World(demo, NOON, almanac).restore(World(small, NOON, almanac).snapshot())


@pytest.mark.parametrize("start", [NOON, MIDNIGHT, NOON + 8 * 3600])
def test_the_demo_is_alive_at_any_hour(demo: TwinSpec, almanac: Almanac, start: float) -> None:
    world = World(demo, start, almanac)
    seen: list[dict[str, float]] = []
    for _ in range(300):
        world.step(1.0)
        seen.append(dict(world.powers))
    mean = {name: float(np.mean([powers[name] for powers in seen])) for name in seen[0]}
    assert mean["wind"] > 1_000
    assert mean["charge"] + mean["discharge"] > 1_000
    assert mean["grid_import"] + mean["grid_export"] > 1_000
    load = np.array([powers["it"] for powers in seen])
    assert load.max() - load.min() > 0.15 * load.mean()  # training steps in unison
    cooling = np.array([powers["cooling"] for powers in seen])
    assert np.abs(np.diff(cooling)).max() < 0.01 * cooling.mean()  # heat is slow
    pue = world.consumption / world.powers["it"]
    assert 1.05 < pue < 1.35


def test_the_pue_follows_the_weather(demo: TwinSpec, almanac: Almanac) -> None:
    def cooling_ratio(start: float) -> float:
        world = World(demo, start, almanac)
        world.step(3600.0)
        return world.powers["cooling"] / world.powers["it"]

    assert cooling_ratio(NOON + 7200) > cooling_ratio(MIDNIGHT + 4 * 3600) + 0.005


def test_coolant_obeys_its_law(demo: TwinSpec, almanac: Almanac) -> None:
    world = World(demo, NOON, almanac)
    world.step(1.0)
    loop = world.climate.coolant["cdu-a1"]
    rise = loop.back - loop.supply
    assert loop.heat == pytest.approx(loop.flow * HEAT_CAPACITY_PER_LITER * rise)
    assert loop.heat == pytest.approx(0.7 * world.powers["it"], rel=0.3)
    assert (world.climate.outlet > world.climate.inlet + 4).all()


def test_the_battery_fills_by_day_and_gives_in_the_evening(
    demo: TwinSpec, almanac: Almanac
) -> None:
    world = World(demo, NOON - 6 * 3600, almanac)
    for _ in range(6 * 12):
        world.step(300.0)
    assert world.stock > 0.2 * demo.battery.capacity_wh
    while world.time < NOON + 6 * 3600:
        world.step(300.0)
    discharged = world.energies["discharge"]
    for _ in range(12):
        world.step(300.0)
    assert world.energies["discharge"] > discharged  # 19:21 to 20:21 local: the peak


def test_faster_weather_leaves_energy_to_the_clock(demo: TwinSpec, almanac: Almanac) -> None:
    fast = World(demo.model_copy(update={"speed": 600.0}), MIDNIGHT, almanac)
    for _ in range(72):
        fast.step(1.0)
    assert fast.sim_time - MIDNIGHT == 72 * 600
    assert fast.powers["pv"] > 10_000  # noon came after 72 s
    assert fast.energies["it"] < 120_000 * 72 / 3600


def test_wet_bulb_matches_the_published_example() -> None:
    assert wet_bulb(20.0, 0.5) == pytest.approx(13.7, abs=0.05)  # Stull 2011, section 2


def test_steps_must_take_time(demo: TwinSpec, almanac: Almanac) -> None:
    with pytest.raises(ValueError, match="must take time"):
        World(demo, NOON, almanac).step(0.0)


def test_tetouan_has_its_true_proportions() -> None:
    spec = load_spec("tetouan")
    world = World(spec, NOON, Almanac(spec))
    assert len(world.floor.racks) == 2_540
    assert len(world.floor.gpu_power) == 182_880
    assert world.floor.largest_power / 2_540 == pytest.approx(132_000, rel=0.03)
    for _ in range(3):
        world.step(1.0)
    assert abs(net(world.powers)) < 1e-6 * world.powers["grid_import"]
    assert 200e6 < world.powers["it"] < 345e6
    own = world.powers["pv"] + world.powers["wind"]
    assert 0.002 < own / world.consumption < 0.05
    assert world.powers["ppa-wind-1"] + world.powers["ppa-pv-1"] > 10 * own
