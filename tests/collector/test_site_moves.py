# SPDX-License-Identifier: Apache-2.0
"""Moves beside the site file: places, racks and meters from a time on."""

from datetime import datetime
from pathlib import Path

import pytest

from rackwatt.collector.site import Placement, load_site
from rackwatt.collector.site.moves import MoveModel, add_move, moves_path
from rackwatt.wire.config import ConfigErrors

SITE = """\
site: {id: demo, timezone: Africa/Casablanca, country: MA}
buses: [{id: north}, {id: south}]
ties: [{id: tie-1, from: north, to: south, meter: tie-1}]
meters:
  - {id: grid-1, role: grid, bus: north}
  - {id: it, role: it, sum: ["r[1-2]-0[1-2]-pdu-a"]}
halls:
  - id: hall-a
    bus: north
    rows:
      - {id: row-1, racks: "r1-[01-02]", nodes: "{rack}-n[1-2]", pdus: "{rack}-pdu-a"}
    devices: [cdu-1]
  - id: hall-b
    bus: south
    rows:
      - id: row-2
        racks: "r2-[01-02]"
        nodes: "{rack}-n[1-2]"
        pdus: "{rack}-pdu-a"
        sensors: {inlet: "{rack}-inlet"}
"""
SINCE = datetime.fromisoformat("2026-10-01T00:00:00+01:00")
AT = round(SINCE.timestamp() * 1000)


def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


def move(device: str, to: str, since: datetime = SINCE) -> MoveModel:
    return MoveModel(device=device, to=to, since=since, author="A. Ops", reason="repair: n°1")


def test_a_node_moves_with_its_gpus_and_the_past_stays(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    assert add_move(path, move("r1-01-n1", "hall-b/row-2/r2-02")) == tmp_path / "site.moves.yaml"
    site = load_site(path)
    for device in ("r1-01-n1", "r1-01-n1/GPU-0"):
        assert site.place(device, AT - 1) == Placement("hall-a", "row-1", "r1-01")
        assert site.place(device, AT) == Placement("hall-b", "row-2", "r2-02")
    before = {rack.id: rack.nodes for rack in site.racks_at(AT - 1)}
    after = {rack.id: rack.nodes for rack in site.racks_at(AT)}
    assert before["r1-01"] == ("r1-01-n1", "r1-01-n2")
    assert after["r1-01"] == ("r1-01-n2",)
    assert before["r2-02"] == ("r2-02-n1", "r2-02-n2")
    assert after["r2-02"] == ("r2-02-n1", "r2-02-n2", "r1-01-n1")
    assert len(before) == len(after) == 4
    assert site.hall_of_agent("r1-01-n1") == "hall-b"


def test_a_pdu_sits_on_the_bus_of_its_new_hall(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    add_move(path, move("r1-01-pdu-a", "hall-b/row-2/r2-01"))
    site = load_site(path)
    assert site.meters_at(AT - 1)["r1-01-pdu-a"].bus == "north"
    assert site.meters_at(AT)["r1-01-pdu-a"].bus == "south"
    terms = {term.meter_id: term.bus for term in site.terms_at(AT).roles["it"]}
    assert terms["r1-01-pdu-a"] == "south"
    assert terms["r1-02-pdu-a"] == "north"


def test_a_later_line_wins_from_its_time_on(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    add_move(path, move("cdu-1", "hall-b/row-2/r2-02"))
    first = moves_path(path).read_text()
    add_move(path, move("cdu-1", "hall-a/row-1/r1-02", datetime.fromisoformat("2026-11-01T00:00Z")))
    add_move(path, move("r2-01-inlet", "hall-a/row-1/r1-02"))
    text = moves_path(path).read_text()
    assert text.startswith(first)
    assert "n°1" in text
    site = load_site(path)
    november = round(datetime.fromisoformat("2026-11-01T00:00Z").timestamp() * 1000)
    assert site.place("cdu-1", AT - 1) == Placement("hall-a")
    assert site.place("cdu-1", AT) == Placement("hall-b", "row-2", "r2-02")
    assert site.place("cdu-1", november) == Placement("hall-a", "row-1", "r1-02")
    (rack,) = (rack for rack in site.racks_at(november) if rack.id == "r1-02")
    assert rack.devices == ("cdu-1",)
    assert rack.sensors == {"inlet": "r2-01-inlet"}
    (rack,) = (rack for rack in site.racks_at(november) if rack.id == "r2-01")
    assert rack.sensors == {}


def test_a_correction_may_begin_earlier(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    add_move(path, move("r1-01-n1", "hall-b/row-2/r2-02"))
    earlier = datetime.fromisoformat("2026-09-01T00:00Z")
    add_move(path, move("r1-01-n1", "hall-b/row-2/r2-01", earlier))
    site = load_site(path)
    assert site.place("r1-01-n1", AT + 1) == Placement("hall-b", "row-2", "r2-01")
    holding = [r.id for r in site.racks_at(AT + 1) if "r1-01-n1" in r.nodes]
    assert holding == ["r2-01"]


WHO = "since: 2026-10-01T00:00:00Z, author: a, reason: b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("moves: [{device: a}]", "1: moves[0].to: is missing"),
        (
            f"moves:\n  - {{device: r1-01-n9, to: hall-a/row-1/r1-01, {WHO}}}",
            "2: moves[0].device: unknown device 'r1-01-n9' (did you mean",
        ),
        (
            f"moves:\n  - {{device: cdu-1, to: hall-a/row-1/r1-09, {WHO}}}",
            "2: moves[0].to: there is no rack 'hall-a/row-1/r1-09' at that time (did you mean",
        ),
        (
            (
                "moves:\n  - {device: cdu-1, to: hall-a/row-1/r1-01, "
                f"{WHO.replace('T00:00:00Z', '')}}}"
            ),
            "2: moves[0].since: has no offset",
        ),
    ],
)
def test_what_is_wrong_in_the_moves_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = site_file(tmp_path)
    moves_path(path).write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load_site(path)
    assert f"site.moves.yaml:{said}" in str(caught.value)


def test_what_comes_back_stands_where_it_stood(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    untouched = [rack for rack in load_site(path).racks if rack.id in {"r1-02", "r2-01"}]
    away, back = SINCE, datetime.fromisoformat("2026-11-01T00:00:00+01:00")
    for device in ("r1-01-n2", "r1-01-pdu-a"):
        add_move(path, move(device, "hall-b/row-2/r2-02", away))
        add_move(path, move(device, "hall-a/row-1/r1-01", back))
    site = load_site(path)
    at_end = round(back.timestamp() * 1000)
    for time_ms in (AT - 1, at_end):
        racks = {rack.id: rack for rack in site.racks_at(time_ms)}
        assert racks["r1-01"].nodes == ("r1-01-n1", "r1-01-n2")
        assert racks["r2-02"].pdus == ("r2-02-pdu-a",)
        assert site.meters_at(time_ms)["r1-01-pdu-a"].bus == "north"
    assert site.meters_at(AT)["r1-01-pdu-a"].bus == "south"
    assert [rack for rack in site.racks if rack.id in {"r1-02", "r2-01"}] == untouched
    assert [rack.id for rack in site.racks] == sorted(rack.id for rack in site.racks)
