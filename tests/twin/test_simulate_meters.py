# SPDX-License-Identifier: Apache-2.0
"""Simulated meters: their registers are those of the agents' maps, their errors within class."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.agents.modbus import decode, encode, load_map
from rackwatt.collector.site import load_site
from rackwatt.twin.simulate.displays import Scale, scales
from rackwatt.twin.simulate.instruments import CLASS_PART, Instruments
from rackwatt.twin.simulate.span import span_of
from rackwatt.twin.simulate.wiring import Columns
from rackwatt.twin.simulate.worldof import derive
from rackwatt.twin.world.racks import Floor
from rackwatt.wire.inventory import Register

PEAKS = {"power_watts": 200_000.0, "power_export_watts": 200_000.0}


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(["schneider-pm5xxx", "sunspec-inverter", "janitza-umg", "eastron-sdm630"]),
    power=st.floats(0, 190_000),
    energy=st.floats(0, 3e7),
)
def test_a_display_shows_what_frames_would_carry(name: str, power: float, energy: float) -> None:
    register_map = load_map(name)
    shown = scales(name, PEAKS)
    values = {
        "power_watts": power,
        "energy_import_watt_hours": float(
            shown["energy_import_watt_hours"].shown(np.array([energy]))[0]
        ),
    }
    read = decode(register_map, encode(register_map, values, PEAKS)).values
    for field, value in values.items():
        expected = float(shown[field].shown(np.array([value]))[0])
        assert read[field] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_registers_count_down_to_their_step_and_roll_over() -> None:
    scale = Scale(1.0, register=Register(modulus_watt_hours=1000.0, resolution_watt_hours=100.0))
    assert list(scale.shown(np.array([99.9, 100.0, 1050.0, 1999.0]))) == [0.0, 100.0, 0.0, 900.0]


@pytest.fixture(scope="module")
def instruments() -> Instruments:
    site = load_site(Path("docs/examples/site-demo.yaml"))
    spec = derive(site, span_of("2026-10-01", 1, site.timezone), 1).spec
    floor = Floor(spec)
    return Instruments(site, spec, Columns((), len(floor.racks)), floor)


def test_each_meter_has_an_error_of_its_own_within_its_class(instruments: Instruments) -> None:
    errors = {name: instruments.error(name, 0) for name in instruments.devices(0)}
    assert len(set(errors.values())) == len(errors) == 39
    assert all(abs(error) <= 0.01 * CLASS_PART for error in errors.values())
    assert abs(errors["grid-1"]) <= 0.005 * CLASS_PART


def test_registers_gain_what_flows_times_the_error(instruments: Instruments) -> None:
    columns = Columns((), 16)
    first = {r.device: r for r in instruments.first(0, 0.0)}
    energies = np.zeros((60, columns.width))
    energies[:, columns.names.index("grid_import")] = 1_700.4
    steps = np.repeat(energies[:, None, :] * 60.0, 6, axis=1)
    readings = {r.device: r for r in instruments.read(0, energies, steps, np.zeros(60))}
    grid = readings["grid-1"]
    at = grid.names.index("energy_import_watt_hours")
    before = first["grid-1"].values[0, first["grid-1"].names.index("energy_import_watt_hours")]
    expected = 60 * 1_700.4 * (1.0 + instruments.error("grid-1", 0))
    assert grid.values[-1, at] - before == pytest.approx(expected, abs=1.0)
    assert (np.diff(grid.values[:, at]) > 0).all()
    powers = grid.values[:, grid.names.index("power_watts")]
    assert powers == pytest.approx(np.full(60, expected), rel=1e-6)
    assert grid.least == pytest.approx(grid.greatest)
    again = {r.device: r for r in instruments.read(3_600_000, energies, steps, np.zeros(60))}
    assert again["grid-1"].values[0, at] > grid.values[-1, at]


def test_the_inventory_says_how_registers_count(instruments: Instruments) -> None:
    items = {item.device: item for item in instruments.inventory(0, 1)}
    register = items["grid-1"].registers["energy_import_watt_hours"]
    assert register.resolution_watt_hours == 1.0
