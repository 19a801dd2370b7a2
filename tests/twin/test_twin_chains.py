# SPDX-License-Identifier: Apache-2.0
"""The chains of the simulated site: every feed has a live load, and the phases add up."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path

import pytest

from rackwatt.collector.live.chain import ChainState, LiveChains
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site
from rackwatt.twin import TwinSpec, load_spec
from rackwatt.twin.chains import rounded_up, size
from rackwatt.twin.devices import catalogue
from rackwatt.twin.files import dump_yaml
from rackwatt.twin.kit import site_document
from rackwatt.twin.site import SimulatedSite
from rackwatt.twin.world import Almanac, World
from rackwatt.wire.codec import ReceivedReading

NOON = 1_782_043_260.0
PHASES = ("l1", "l2", "l3")


def seen(spec: TwinSpec, world: World, folder: Path) -> tuple[Site, ChainState]:
    """The chains as they are when every device of the world has spoken."""
    file = folder / "site.yaml"
    file.write_text(dump_yaml(site_document(spec)))
    site = load_site(file)
    devices = Devices(site)
    now = int(world.time * 1000)
    for device in catalogue(spec, world.floor).all:
        reading = ReceivedReading(device.id, now, dict(device.read(world)))
        devices.observe(device.kind, reading, now)
    return site, LiveChains(site, devices).state(now)


@pytest.fixture(scope="module")
def world(demo: TwinSpec, almanac: Almanac) -> World:
    world = World(demo, NOON, almanac)
    for _ in range(60):
        world.step(1.0)
    return world


def test_every_feed_of_the_default_site_has_a_live_load(
    demo: TwinSpec, world: World, tmp_path: Path
) -> None:
    site, state = seen(demo, world, tmp_path)
    used = [one for one in state.edges.values() if not one.edge.standby]
    assert len(used) == 74
    assert all(one.load.watts and None not in one.load.amperes for one in used)
    assert state.room is not None
    assert not state.room.unknown
    assert set(state.ride_through) == {rack.id for rack in site.racks}
    assert all(state.ride_through.values())
    groups = {**state.groups, **state.pumps}
    assert {name: one.state for name, one in groups.items()} == {
        "ups": "N+1",
        "chillers": "N+1",
        "cdu-a1": "N+1",
    }


def test_one_phase_of_a_row_is_at_risk_though_the_mean_is_not(
    demo: TwinSpec, world: World, tmp_path: Path
) -> None:
    _, state = seen(demo, world, tmp_path)
    row = state.failovers["ups-a>row-1-busway-a"]
    assert row.at_risk
    assert row.phase == 1
    currents = [a or 0.0 for a in row.after.load.amperes]
    assert sum(currents) / 3 < row.after.edge.amperes * 0.8  # type: ignore[operator]
    assert state.failovers["ups-a>row-2-busway-a"].at_risk is False


def test_the_model_of_the_chain_loses_what_the_world_loses(
    demo: TwinSpec, world: World, tmp_path: Path
) -> None:
    _, state = seen(demo, world, tmp_path)
    assert state.losses_watts == pytest.approx(world.powers["losses"], rel=0.02)


@pytest.mark.parametrize("kind", ["pdu", "row", "meter"])
def test_phases_add_up_to_the_power(
    kind: str, start_site: Callable[..., SimulatedSite], almanac: Almanac
) -> None:
    site = start_site()
    device = {"pdu": "r1-03-pdu-b", "meter": "cooling-1"}.get(kind, "")
    world, values = site.world, {}
    if kind == "row":
        spec = load_spec("demo")
        halls = (spec.halls[0].model_copy(update={"metering": "row"}),)
        spec = spec.model_copy(update={"halls": halls})
        world = World(spec, NOON, almanac)
        world.step(1.0)
        rows = catalogue(spec, world.floor).halls["hall-a"]
        by_id = {one.id: one.read(world) for one in rows}
        values = by_id["row-1-busway-a"]
        both = values["power_watts"] + by_id["row-1-busway-b"]["power_watts"]
        assert both == pytest.approx(by_id["row-1-busway"]["power_watts"])
    else:
        site.tick(site.world.time + 1)
        values = site.devices[device].read(world)
    parts = [
        values[f"voltage_{p}_volts"] * values[f"current_{p}_amperes"] * values["power_factor_ratio"]
        for p in PHASES
    ]
    assert sum(parts) == pytest.approx(values["power_watts"], rel=1e-9)
    assert parts == pytest.approx([values[f"power_{p}_watts"] for p in PHASES])
    assert max(parts) > min(parts)


def test_a_site_may_do_without() -> None:
    spec = load_spec("demo")
    feeds = spec.feeds.model_copy(update={"chains": False})
    document = site_document(spec.model_copy(update={"feeds": feeds}))
    assert "power_chain" not in document
    assert "cooling_chain" not in document


def test_shares_of_phases_add_up_to_one() -> None:
    row = load_spec("demo").rows[0]
    with pytest.raises(ValueError, match="add up to 1"):
        type(row).model_validate({**row.model_dump(), "feeds": {"phase_shares": [0.5, 0.5, 0.5]}})


def test_usual_sizes() -> None:
    assert size(13.7) == 16
    assert size(16) == 16
    assert size(7001) == 7100
    assert rounded_up(133_500) == 140_000
    assert size(132e3 / 400 / sqrt(3) / 0.8) == 250
