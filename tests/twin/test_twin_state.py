# SPDX-License-Identifier: Apache-2.0
"""Across restarts nothing runs backwards, and the truth can be asked for any second."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwatt.twin import (
    Kit,
    TwinSpec,
    build,
    energy_between,
    latest,
    true_pue,
    truth_at,
)
from rackwatt.twin.site import SimulatedSite, days_between, downtime_steps
from rackwatt.twin.truth import TruthWriter, lines, truth_file
from rackwatt.twin.world import Almanac, World

NOON = 1_782_044_460.0
Start = Callable[..., SimulatedSite]


def registers(site: SimulatedSite) -> dict[tuple[str, str], float]:
    """Every register that anyone could read now, GPU counters included."""
    found = {
        (device, name): value
        for device in site.devices
        for name, value in site.panel.values(device).items()
        if "energy_" in name
    }
    for i, energy in enumerate(site.world.floor.gpu_energy + site.gpus.offsets):
        found[("gpu", str(i))] = float(energy)
    return found


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    hour=st.integers(0, 23),
    gaps=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    downtime=st.one_of(st.integers(0, 5), st.integers(6, 5_000)),
)
def test_registers_never_run_backwards_across_a_kill(
    demo: TwinSpec,
    almanac: Almanac,
    tmp_path_factory: pytest.TempPathFactory,
    hour: int,
    gaps: list[int],
    downtime: int,
) -> None:
    data = tmp_path_factory.mktemp("kill")
    kit = build(demo, data, "mqtt://127.0.0.1:1")
    now = NOON + 3600 * hour
    site = SimulatedSite(demo, kit, now, almanac)
    served = registers(site)
    for gap in gaps:
        now += gap
        site.tick(now)
        after = registers(site)
        assert all(after[key] >= served[key] for key in served)
        served = after
    # killed: nothing is closed, nothing is flushed
    again = SimulatedSite(demo, kit, now + downtime, almanac)
    restarted = registers(again)
    assert all(restarted[key] >= served[key] for key in served)
    if downtime:
        assert (
            restarted[("ups-1", "energy_import_watt_hours")]
            > served[("ups-1", "energy_import_watt_hours")]
        )
    for killed in (site, again):
        killed.close()
    shutil.rmtree(data)


def test_a_restart_continues_battery_and_offsets(start_site: Start) -> None:
    site = start_site(NOON)
    for i in range(30):
        site.tick(NOON + 1 + i)
    site.inject("reset", "wind-1")
    stock, time = site.world.stock, site.last_state
    shown = site.panel.values("wind-1")["energy_import_watt_hours"]
    again = start_site(time)
    assert again.world.stock == stock
    assert again.panel.values("wind-1")["energy_import_watt_hours"] == shown == 0.0
    assert again.last_state == time


def test_a_clock_that_is_set_back_stops_the_world_but_not_for_ever(start_site: Start) -> None:
    site = start_site(NOON)
    site.tick(NOON + 1)
    energy = site.world.energies["it"]
    site.tick(NOON - 30)
    assert site.last_state == NOON + 1
    site.tick(NOON - 3600)
    assert site.last_state == NOON - 3600
    assert site.world.energies["it"] == energy
    site.tick(NOON - 3599)
    assert site.world.energies["it"] > energy


def test_a_late_tick_is_one_longer_step(start_site: Start) -> None:
    site = start_site(NOON)
    before = site.world.energies["it"]
    site.tick(NOON + 7)
    gained = site.world.energies["it"] - before
    assert gained == pytest.approx(site.world.powers["it"] * 7 / 3600)


@given(st.floats(0, 1e8))
def test_a_downtime_is_passed_in_bounded_steps(seconds: float) -> None:
    steps = list(downtime_steps(seconds))
    assert sum(steps) == pytest.approx(seconds, abs=1e-3)
    assert len(steps) <= 2_001
    assert all(step > 0 for step in steps)


def test_the_days_that_are_computed_are_bounded() -> None:
    assert len(days_between(0.0, 1e9)) == 16
    assert len(days_between(NOON, NOON + 86_400)) == 2


def test_a_state_of_another_version_is_refused(start_site: Start, kit: Kit) -> None:
    start_site(NOON)
    file = kit.data_dir / "twin" / "state.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps({**state, "version": 99}))
    with pytest.raises(ValueError, match="another version"):
        start_site(NOON + 1)


def test_the_truth_is_written_every_second(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    for i in range(1, 61):
        site.tick(NOON + i)
    newest = latest(kit.data_dir)
    assert newest is not None
    assert newest["time_ms"] == (NOON + 60) * 1000
    assert newest["powers"]["pv"] == pytest.approx(site.world.powers["pv"], abs=1e-3)
    assert newest["energies"]["it"] == pytest.approx(site.world.energies["it"], abs=1e-3)
    assert sum(newest["shares"].values()) == pytest.approx(1.0)
    line = truth_at(kit.data_dir, int((NOON + 30.4) * 1000))
    assert line is not None
    assert line["time_ms"] == (NOON + 30) * 1000
    assert truth_at(kit.data_dir, int((NOON - 100) * 1000)) is None
    assert [part["time_ms"] for part in lines(kit.data_dir, int(NOON * 1000) + 58_000)] == [
        (NOON + i) * 1000 for i in (58, 59, 60)
    ]
    start, end = int(NOON * 1000) + 10_500, int(NOON * 1000) + 50_000
    pue = true_pue(kit.data_dir, start, end)
    energies = energy_between(kit.data_dir, start, end)
    assert pue is not None
    assert energies is not None
    assert 1.05 < pue < 1.4
    sums = energies["it"] + energies["losses"] + energies["cooling"] + energies["other"]
    charged = energies["charge"] * (1 - site.spec.battery.charge_efficiency)
    assert energies["dc"] == pytest.approx(sums + charged, abs=0.01)
    assert newest["pue_15m"] == pytest.approx(pue, abs=0.02)
    assert true_pue(kit.data_dir, start, end + 600_000) is None


def test_the_truth_survives_a_torn_line_and_restarts(
    demo: TwinSpec, almanac: Almanac, tmp_path: Path
) -> None:
    world = World(demo, NOON, almanac)
    writer = TruthWriter(tmp_path, largest=20_000)
    for _ in range(40):
        world.step(1.0)
        writer.write(world)
    file = truth_file(tmp_path)
    with file.open("ab") as stream:
        stream.write(b'{"time_ms": 17')
    writer.close()
    again = TruthWriter(tmp_path, largest=20_000)
    world.step(1.0)
    again.write(world)
    again.close()
    times = [line["time_ms"] for line in lines(tmp_path, 0)]
    assert times == sorted(times)
    assert times[-1] == round(world.time * 1000)
    total = sum(part.stat().st_size for part in file.parent.glob("truth*"))
    assert total < 45_000  # two files of bounded size


def test_no_truth_yet(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    assert truth_at(tmp_path, 0) is None
    assert true_pue(tmp_path, 0, 1) is None
