# SPDX-License-Identifier: Apache-2.0
"""The `bacnet:` section and object maps: example, README, and what is wrong in a file."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from rackwatt.agents import bacnet
from rackwatt.agents.bacnet.numbers import ENGINEERING_UNITS, OBJECT_TYPES
from rackwatt.agents.bacnet.schema import FieldMap
from rackwatt.agents.bacnet.settings import DeviceRow
from rackwatt.agents.settings import load_config
from rackwatt.twin.servers.bacnet import FAULTS, PLANT
from rackwatt.wire.config import ConfigErrors

FOLDER = Path(bacnet.__file__).parent
EXAMPLE = (FOLDER / "example.yaml").read_text()
MAP = """
device: Own
manufacturer: M
kind: coolant
source: {title: t, revision: r, where: w}
index: {supply: 1}
fields:
  supply_temperature_celsius: {object: "analog-input,{supply}"}
  pumps_running_number: {objects: ["binary-input,1", "binary-input,2"]}
"""


def test_the_readme_names_every_option_and_map() -> None:
    text = (FOLDER / "README.md").read_text()
    for model in (bacnet.Settings, DeviceRow, FieldMap):
        for name in model.model_fields:
            assert f"`{name}`" in text, name
    for name in (*bacnet.shipped_maps(), *OBJECT_TYPES):
        assert f"`{name}`" in text, name


def test_the_page_names_every_fault() -> None:
    page = (FOLDER.parents[3] / "docs" / "bacnet.md").read_text()
    for name in FAULTS:
        assert f"`{name}`" in page, name


def test_the_fake_has_what_the_shipped_maps_read() -> None:
    known = {number: name for name, number in OBJECT_TYPES.items()}
    for name in bacnet.shipped_maps():
        for point in bacnet.load_object_map(name).points():
            for kind, instance in point.objects:
                assert f"{known[kind]},{instance}" in PLANT, name


def test_numbers_are_those_of_the_standard() -> None:
    types: Any = importlib.import_module("bacpypes3.basetypes")
    primitive: Any = importlib.import_module("bacpypes3.primitivedata")
    for number, (name, _) in ENGINEERING_UNITS.items():
        assert str(types.EngineeringUnits(number)) == name
    for name, number in OBJECT_TYPES.items():
        assert int(primitive.ObjectType(name)) == number


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("map: pump-group", "map: pump-grup", "unknown map (did you mean 'pump-group'?)"),
        ("device: chiller-2,", "device: chiller-1,", "device 'chiller-1' stands twice"),
        ("192.0.2.31", "bacnet://192.0.2.31", "expects a name or an address alone"),
        ("network: 2001, mac: 17", "mac: 17", "mac: needs `network`"),
        (", mac: 17", "", "network: needs `mac` or `instance`"),
        ("instance: 120002}", "instance: 4194303}", "instance: must be at most"),
        ("pump1: 1,", "pmup1: 1,", "the map 'pump-group' has no such index"),
        ("listen: 0.0.0.0:0", "listen: here", "expects an IPv4 address and a port"),
        ("retry_cap: 60s", "retry_cap: 100ms", "retry_cap must not be less than retry_first"),
        ("map: water-meter", "map: own.yaml", "there is no map file"),
        ("every: 5s", "evry: 5s", "unknown key"),
        (
            "device: leaks-plant-room, map: leak-contacts",
            "device: other, map: pump-group, index: {pump1: 1, pump2: 2, pump3: 3}",
            "'other' reads the same as 'pumps-primary'",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in EXAMPLE
    path = tmp_path / "agent.yaml"
    path.write_text(EXAMPLE.replace(old, new))
    with pytest.raises(ConfigErrors, match=re.escape(words)):
        load_config(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("analog-input", "analog-imput", "no object type 'analog-imput' is known here"),
        ("{supply}", "{suply}", "no index 'suply' in this map"),
        ("supply_temperature_celsius:", "supply_temperature:", "no field of kind 'coolant'"),
        ('{supply}"}', '{supply}", unit: kW}', "unit 'kW' cannot become 'Cel'"),
        ('{supply}"}', '{supply}", unit: Celsius}', "unknown unit 'Celsius'"),
        ('{supply}"}', '{supply}", resolution_watt_hours: 1}', "only an energy register"),
        ('{object: "analog-input,{supply}"}', "{unit: Cel}", "needs one of object, objects"),
    ],
)
def test_what_is_wrong_in_a_map_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in MAP
    (tmp_path / "own.yaml").write_text(MAP.replace(old, new))
    with pytest.raises(ConfigErrors, match=re.escape(words)):
        bacnet.load_object_map("own.yaml", tmp_path)


def test_indexes() -> None:
    chiller = bacnet.load_object_map("chiller")
    assert chiller.at({"supply": 7}).points()[0].objects == ((0, 7),)
    with pytest.raises(ValueError, match=r"no index 'suply' \(did you mean 'supply'\?\)"):
        chiller.at({"suply": 7})
