# SPDX-License-Identifier: Apache-2.0
"""Which part of the world each meter of a site file measures."""

from pathlib import Path

import numpy as np
import pytest

from rackwatt.collector.site import Site, load_site
from rackwatt.collector.site.loader import site_of
from rackwatt.twin.simulate import SimulationProblem
from rackwatt.twin.simulate.span import span_of
from rackwatt.twin.simulate.wiring import Columns, Wiring, wire
from rackwatt.twin.simulate.worldof import Derived, derive
from rackwatt.twin.world.racks import Floor
from rackwatt.wire.config import Document

EXAMPLES = Path("docs/examples")
HEAD = "site: {id: s, timezone: UTC}\n"
HALL = """
halls:
- {id: h, rows: [{id: r, racks: "r-[1-4]", nodes: "{rack}-n1", pdus: "{rack}-pdu"}]}
"""


def wired(site: Site) -> tuple[Wiring, Columns, Derived]:
    span = span_of("2026-10-01", 1, site.timezone)
    derived = derive(site, span, 1)
    floor = Floor(derived.spec)
    columns = Columns(tuple(c.id for c in derived.spec.contracts), len(floor.racks))
    return wire(site, span.start_ms, columns, floor), columns, derived


def weights(wiring: Wiring, device: str, field: str = "power_watts") -> np.ndarray:
    rows = [
        row
        for channel, row in zip(wiring.channels, wiring.weights, strict=True)
        if (channel.device, channel.power) == (device, field)
    ]
    return np.asarray(np.sum(rows, axis=0))


def site(text: str) -> Site:
    return site_of(Document("site.yaml", HEAD + text))


def test_the_default_site() -> None:
    wiring, columns, derived = wired(load_site(EXAMPLES / "site-demo.yaml"))
    assert not wiring.notes
    assert not derived.notes
    it = columns.one("it")
    assert weights(wiring, "ups-1") == pytest.approx(it + columns.one("losses"))
    assert weights(wiring, "grid-1", "power_export_watts") == pytest.approx(
        columns.one("grid_export")
    )
    assert weights(wiring, "battery-1", "power_discharge_watts") == pytest.approx(
        columns.one("discharge")
    )
    pdus = [c.device for c in wiring.channels if "-pdu-" in c.device]
    assert len(pdus) == 32
    assert sum(weights(wiring, pdu) for pdu in pdus) == pytest.approx(it)


def test_what_a_role_takes_off_is_added_to_the_meter_above() -> None:
    wiring, columns, _ = wired(
        site(
            """
meters:
- {id: g, role: grid}
- {id: cdu}
- {id: chiller}
- {id: cooling, role: cooling, sum: [chiller, cdu]}
- {id: it, role: it, position: it_input, sum: ["r-[1-4]-pdu"], minus: [cdu]}
"""
            + HALL
        )
    )
    cooling, it = columns.one("cooling"), columns.one("it")
    assert weights(wiring, "cdu") == pytest.approx(cooling / 2)
    assert sum(weights(wiring, f"r-{i}-pdu") for i in range(1, 5)) == pytest.approx(
        it + cooling / 2
    )


def test_meters_of_halls_take_the_racks_that_no_pdu_covers() -> None:
    wiring, columns, _ = wired(
        site(
            """
meters:
- {id: g1, role: grid}
- {id: g2, role: grid}
- {id: hall-meter, hall: h}
- {id: it, role: it, position: pdu_output, sum: ["r-1-pdu", hall-meter]}
"""
            + HALL
        )
    )
    racks = len(columns.names)
    assert list(weights(wiring, "hall-meter")[racks:]) == [0.0, 1.0, 1.0, 1.0]
    assert list(weights(wiring, "r-1-pdu")[racks:]) == [1.0, 0.0, 0.0, 0.0]
    assert weights(wiring, "r-2-pdu")[racks + 1] == 1.0  # a PDU shows its rack, counted or not
    assert weights(wiring, "g1") == pytest.approx(columns.one("grid_import") / 2)
    assert any("cooling" in note for note in wiring.notes)


def test_racks_without_a_meter_are_said() -> None:
    wiring, _, _ = wired(
        site('meters:\n- {id: g, role: grid}\n- {id: it, role: it, sum: ["r-1-pdu"]}\n' + HALL)
    )
    assert any("3 of 4 racks have no meter" in note for note in wiring.notes)


def test_several_buses_are_refused() -> None:
    with pytest.raises(SimulationProblem, match="several buses"):
        wired(load_site(EXAMPLES / "site-mesh.yaml"))


def test_water_is_refused() -> None:
    text = 'meters:\n- {id: w, role: hydro}\n- {id: it, role: it, sum: ["r-1-pdu"]}\n' + HALL
    with pytest.raises(SimulationProblem, match="hydro"):
        wired(site(text))


def test_a_world_fits_its_site_file() -> None:
    found = load_site(EXAMPLES / "site.yaml")
    _, columns, derived = wired(found)
    spec = derived.spec
    assert columns.contracts == ("ppa-wind-1",)
    assert spec.battery.capacity_wh == 1_000_000
    assert [rack.id for rack in Floor(spec).racks] == [rack.id for rack in found.racks]
    assert [hall.cdus for hall in spec.halls] == [("cdu-a1",)]
    bare = site("meters:\n- {id: g, role: grid}\n- {id: i, role: it}\n")
    wiring, columns, derived = wired(bare)
    assert any("names no rack" in note for note in derived.notes)
    assert spec.pv.peak_watts > 0 == derived.spec.pv.peak_watts
    assert weights(wiring, "i") == pytest.approx(columns.one("it"))
