# SPDX-License-Identifier: Apache-2.0
"""The twin's file, what is built from it, and that the collector understands it."""

import random
from pathlib import Path

import pytest
import yaml

from rackwatt.collector.site import load_site
from rackwatt.twin import Kit, TwinSpec, build, load_kit, load_spec
from rackwatt.twin.files import dump_yaml
from rackwatt.twin.kit import site_document
from rackwatt.twin.patterns import expand
from rackwatt.wire.config import ConfigErrors

HALL = "halls: [{id: h, rows: [{id: r, racks: 'r[1-2]'}]}]"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("r1", ("r1",)),
        ("r1-[01-03]", ("r1-01", "r1-02", "r1-03")),
        ("p-[a-b]", ("p-a", "p-b")),
        ("[1-2]-[x-y]", ("1-x", "1-y", "2-x", "2-y")),
    ],
)
def test_patterns(pattern: str, names: tuple[str, ...]) -> None:
    assert expand(pattern) == names


@pytest.mark.parametrize("pattern", ["r[3-1]", "r[a-2]"])
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(ValueError, match="range"):
        expand(pattern)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("halls: []", "at least 1"),
        ("halls: [{id: h, rows: [{id: r, racks: 'r[1-2]', gpux: H100}]}]", "gpux.*did you mean"),
        ("halls: [{id: h, rows: [{id: r, racks: 'r[2-1]'}]}]", "backwards"),
        (
            "jobs: [{id: j, kind: training, racks: [x1]}]\n" + HALL,
            "unknown racks: x1",
        ),
        (
            "halls: [{id: h, rows: [{id: r, racks: 'r[1-2]'}, {id: q, racks: 'r[2-3]'}]}]",
            "stand twice: r2",
        ),
        (
            "rows_served: 0\n" + HALL,
            "needs metering: row",
        ),
        (
            "battery: {capacity_wh: 10, initial_wh: 11}\n" + HALL,
            "exceeds capacity",
        ),
        (
            "site: {timezone: Africa/Casa}\n" + HALL,
            "no such time zone",
        ),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "twin.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigErrors, match=message):
        load_spec(str(file))


def test_an_unknown_scenario_names_the_nearest() -> None:
    with pytest.raises(ConfigErrors, match="did you mean 'tetouan'"):
        load_spec("tetuan")
    assert load_spec("default") == load_spec("demo")


def test_one_entry_may_stand_for_several_halls_and_rows(tmp_path: Path) -> None:
    file = tmp_path / "twin.yaml"
    file.write_text(
        "halls: [{id: 'h[1-2]', cdus: ['{hall}-cdu-[1-2]'],"
        " rows: [{id: '{hall}-row-[1-3]', racks: '{row}-[01-04]'}]}]",
        encoding="utf-8",
    )
    spec = load_spec(file)
    assert [hall.id for hall in spec.halls] == ["h1", "h2"]
    assert spec.halls[1].cdus == ("h2-cdu-1", "h2-cdu-2")
    assert len(spec.rows) == 6
    assert spec.rows[5].rack_ids[0] == "h2-row-3-01"


def test_the_collector_understands_the_demo(kit: Kit) -> None:
    site = load_site(kit.site_file)
    assert site.simulated
    assert len(site.racks) == 16
    terms = site.terms_at(1_790_000_000_000)
    assert terms.pue_category == 2
    assert len(terms.roles["it"]) == 32
    assert {"grid", "pv", "wind", "battery", "cooling", "losses", "other"} <= set(terms.roles)
    place = site.place("r1-03-pdu-a", 1_790_000_000_000)
    assert place is not None
    assert (place.hall, place.row, place.rack) == ("hall-a", "row-1", "r1-03")
    named = {yaml.safe_load(file.read_text())["agent"]["name"] for file in kit.field_agent_files}
    assert named == {agent.name for agent in site.agents}


def test_every_device_that_answers_stands_in_the_site_file(kit: Kit) -> None:
    site = load_site(kit.site_file)
    answering = [name for gateway in kit.gateways for name in gateway.units.values()]
    answering += [name for host in kit.hosts for name in host.devices]
    assert len(answering) == 8 + 64
    for device in answering:
        assert site.place(device, 0) or device in site.meters_at(0), device


def test_the_agents_files_are_valid(kit: Kit) -> None:
    from rackwatt.agents.settings import load_config

    assert len(kit.field_agent_files) == 3
    assert len(kit.node_agent_files) == 32
    for file in (*kit.field_agent_files, *kit.node_agent_files[:2]):
        loaded = load_config(file)
        assert loaded.config.agent.name == file.stem
        assert loaded.outbox_path == file.parent / file.stem / "outbox.db"


def test_a_kit_can_be_loaded_again(demo: TwinSpec, kit: Kit) -> None:
    spec, loaded = load_kit(kit.data_dir)
    assert spec == demo
    assert loaded == kit


def test_nothing_built_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        load_kit(tmp_path)


def test_ports_are_all_different(kit: Kit) -> None:
    tcp = [gateway.port for gateway in kit.gateways] + [kit.control_port]
    udp = [host.port for host in kit.hosts]
    assert len(set(tcp)) == len(tcp) == 6
    assert len(set(udp)) == len(udp) == 32


@pytest.mark.parametrize("name", ["demo", "tetouan"])
def test_the_examples_are_what_the_twin_builds(name: str) -> None:
    document = site_document(load_spec(name))
    text = (EXAMPLES / f"site-{name}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == yaml.safe_load(dump_yaml(document))
    site = load_site(EXAMPLES / f"site-{name}.yaml")
    assert len(site.racks) == (16 if name == "demo" else 2_540)


def test_tetouan_meters_by_row_and_claims_its_contracts(tmp_path: Path) -> None:
    kit = build(load_spec("tetouan"), tmp_path, "mqtt://127.0.0.1:1", random.Random(3))  # noqa: S311
    site = load_site(kit.site_file)
    terms = site.terms_at(0)
    assert len(terms.roles["it"]) == 130
    assert {contract.claim for contract in site.contracts} == {"ppa_wind", "ppa_pv"}
    assert len(kit.hosts) == 40  # the PDUs of the one row that is served
    assert len(kit.node_agent_files) == 360


def test_v3_keys_lie_in_files(demo: TwinSpec, tmp_path: Path) -> None:
    hall = demo.halls[0]
    rows = (hall.rows[0].model_copy(update={"snmp": "v3"}), hall.rows[1])
    spec = demo.model_copy(update={"halls": (hall.model_copy(update={"rows": rows}),)})
    kit = build(spec, tmp_path, "mqtt://127.0.0.1:1", random.Random(3))  # noqa: S311
    file = next(file for file in kit.field_agent_files if file.stem == "snmp-hall-a")
    section = yaml.safe_load(file.read_text())["snmp"]
    devices = {row["device"]: row for row in section["devices"]}
    assert devices["r1-01-pdu-a"]["credentials"] == "v3"
    assert "credentials" not in devices["r2-01-pdu-a"]
    assert (file.parent / section["credentials"]["v3"]["auth_key_file"]).exists()
