# SPDX-License-Identifier: Apache-2.0
"""OID maps: every shipped one, golden captures, round trips, wrong files, and the settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.snmp import Settings, decode, encode, load_oid_map, shipped_maps
from rackwatt.agents.snmp.settings import Credentials, MissingSecret, resolve
from rackwatt.wire.config import ConfigErrors, Document
from rackwatt.wire.readings import FIELDS, Quality

MAPS = {name: load_oid_map(name) for name in shipped_maps()}
CAPTURES = sorted((Path(__file__).parent / "captures" / "snmp").glob("*.yaml"))


def test_pdus_and_probes_of_three_makers_are_shipped() -> None:
    assert len(MAPS) >= 6
    for kind in ("power", "climate"):
        makers = {item.file.manufacturer for item in MAPS.values() if item.file.kind == kind}
        assert len(makers) >= 3
    for item in MAPS.values():
        assert item.file.source.where
        assert item.points()
        assert set(item.fields) <= set(FIELDS[item.file.kind])
        assert not item.file.source.verified_on_hardware, "say so in the README too"


def test_every_map_has_a_golden_capture() -> None:
    assert {yaml.safe_load(path.read_text())["map"] for path in CAPTURES} == set(MAPS)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_golden_capture(path: Path) -> None:
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    assert data["origin"] == "synthetic"
    oid_map = MAPS[data["map"]]
    decoded = decode(oid_map, data["answers"])
    values, nulls = data["values"] or {}, data.get("nulls", {})
    assert {k: v for k, v in decoded.values.items() if v is not None} == pytest.approx(values)
    assert {k: str(v) for k, v in decoded.quality.items()} == nulls
    assert set(decoded.values) == set(oid_map.fields) == set(values) | set(nulls)


@pytest.mark.parametrize("name", sorted(MAPS))
@given(data=st.data())
def test_encode_is_the_inverse_of_decode(name: str, data: st.DataObject) -> None:
    oid_map = MAPS[name]
    values: dict[str, float] = {}
    steps: dict[str, float] = {}
    for point in oid_map.points():
        step = point.multiplier / 10.0**point.typical_decimals
        top = {"integer": 2.0**31 - 1}.get(point.type, 2.0**32 - 1) * step
        low, high = max(point.spec.low, 0.0), min(point.spec.high, top)
        values[point.spec.name] = data.draw(st.floats(low, high))
        steps[point.spec.name] = step
    answers = {oid: typed.value for oid, typed in encode(oid_map, values).items()}
    decoded = decode(oid_map, answers)
    assert decoded.quality == {}
    for field, value in values.items():
        got = decoded.values[field]
        assert got is not None
        assert abs(got - value) <= steps[field] * 0.5000001 + 1e-9, field


def test_values_that_are_not_given() -> None:
    oid_map = MAPS["apc-rpdu2"]
    found = encode(oid_map, {"power_watts": 3420.0}, texts={"model": "AP8853"})
    assert found["1.3.6.1.4.1.318.1.1.26.4.3.1.5.1"].value == 342
    assert found["1.3.6.1.4.1.318.1.1.26.2.1.8.1"].value == "AP8853"
    decoded = decode(oid_map, {oid: typed.value for oid, typed in found.items()})
    assert decoded.quality["energy_import_watt_hours"] is Quality.NOT_SUPPORTED


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"energy_import_watt_hours: .* does not fit gauge32"):
        encode(MAPS["vertiv-geist"], {"energy_import_watt_hours": 1e13})


def test_another_index() -> None:
    other = MAPS["apc-rpdu2"].at({"pdu": 2, "l1": 4})
    oids = {point.spec.name: point.oid for point in other.points()}
    assert oids["power_watts"].endswith(".5.2")
    assert oids["current_l1_amperes"].endswith(".5.4")
    with pytest.raises(ValueError, match=r"no index 'pud'.*did you mean 'pdu'"):
        MAPS["apc-rpdu2"].at({"pud": 2})


@pytest.mark.parametrize(
    ("answer", "quality"),
    [("23.5", None), ("hot", Quality.OUT_OF_RANGE), (99999, Quality.OUT_OF_RANGE),
     (None, Quality.NOT_SUPPORTED)],
)  # fmt: skip
def test_answers_of_other_types(answer: int | str | None, quality: Quality | None) -> None:
    oid_map = MAPS["vertiv-geist-probe"]
    answers = {oid: t.value for oid, t in encode(oid_map, {"temperature_celsius": 20.0}).items()}
    oid = next(p.oid for p in oid_map.points() if p.spec.name == "temperature_celsius")
    decoded = decode(oid_map, {**answers, oid: answer})
    assert decoded.quality.get("temperature_celsius") is quality
    if quality is None:
        assert decoded.values["temperature_celsius"] == 2.35


def test_counters_know_where_they_roll_over() -> None:
    geist = {point.spec.name: point.register for point in MAPS["vertiv-geist"].points()}
    register = geist["energy_import_watt_hours"]
    assert register is not None
    assert register.modulus_watt_hours == 2.0**32
    assert register.resolution_watt_hours == 1.0
    apc = {p.spec.name: p.register for p in MAPS["apc-rpdu2"].points(scale=2.0)}
    register = apc["energy_import_watt_hours"]
    assert register is not None
    assert register.modulus_watt_hours is None
    assert register.resolution_watt_hours == 200.0
    assert geist["power_watts"] is None


BASE = """\
device: X
manufacturer: Y
kind: climate
source: {title: t, revision: r, where: w}
index: {pdu: 1}
fields:
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('  temperature_celsis: {oid: "1.3.6.1", unit: Cel}', "did you mean 'temperature_celsius'"),
        ('  temperature_celsius: {oid: "1.3.6.1", unit: Cell}', "did you mean 'Cel'"),
        ('  temperature_celsius: {oid: "1.3.6.1", unit: V}', "'V' cannot become 'Cel'"),
        ('  temperature_celsius: {oid: ".1.3.6.1", unit: Cel}', "should match pattern"),
        ('  temperature_celsius: {oid: "1.3.{pud}", unit: Cel}', "did you mean 'pdu'"),
        ('  temperature_celsius: {oid: "1.3.1", units: Cel}', "did you mean 'unit'"),
        ('  temperature_celsius: {oid: "1.3.1", unit: Cel, type: gauge31}', "did you mean 'gauge3"),
        ('  temperature_celsius: {oid: "1.3.1", unit: Cel, modulus_watt_hours: 3}', "only an ene"),
    ],
)
def test_a_wrong_map_names_file_line_and_nearest(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "mine.yaml").write_text(BASE + line + "\n")
    with pytest.raises(ConfigErrors) as caught:
        load_oid_map("mine.yaml", tmp_path)
    assert any(
        "mine.yaml:7:" in item and expected in item for item in str(caught.value).splitlines()
    ), str(caught.value)


def test_an_unknown_map_names_the_nearest() -> None:
    with pytest.raises(ConfigErrors, match="did you mean 'raritan-px'"):
        load_oid_map("raritan_px")


ROW = {"device": "a", "map": "raritan-px", "host": "h"}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"devices": [{**ROW, "map": "raritan"}]}, "unknown map .did you mean 'raritan-p"),
        ({"devices": []}, "at least one"),
        ({"devices": [ROW], "credentials": {"c": {"version": "v3"}}}, "v3 needs user"),
        ({"devices": [ROW], "credentials": {"c": {}}}, "v2c needs one of community"),
        (
            {
                "devices": [ROW],
                "credentials": {"c": {"version": "v3", "user": "u", "auth_key_env": "A"}},
            },
            "v3 needs one of priv_key_file",
        ),
        (
            {"devices": [ROW], "credentials": {"c": {"community": "public", "user": "u"}}},
            "belong to version: v3",
        ),
        (
            {
                "devices": [ROW],
                "credentials": {"c": {"version": "v3", "user": "u", "community_env": "C"}},
            },
            "belongs to version: v2c",
        ),
        ({"devices": [ROW], "retry_first": 9, "retry_cap": 1}, "retry_cap"),
    ],
)
def test_wrong_settings_are_refused(section: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Settings.model_validate(section)


def test_a_community_in_the_file_is_refused_and_not_repeated() -> None:
    text = (
        "credentials:\n  c: {community: s3cret}\ndevices: [{device: a, map: raritan-px, host: h}]"
    )
    with pytest.raises(ConfigErrors) as caught:
        Document("agent.yaml", text).validate(Settings)
    assert "agent.yaml:2:" in str(caught.value)
    assert "community_file" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_secrets_come_from_files_and_variables(tmp_path: Path) -> None:
    (tmp_path / "auth.key").write_text("authentic-phrase\n")
    v3 = Credentials(
        version="v3", user="monitor", auth_key_file=Path("auth.key"), priv_key_env="PRIV"
    )
    secrets = resolve(v3, tmp_path, {"PRIV": "private-phrase"})
    assert (secrets.auth_key, secrets.priv_key) == ("authentic-phrase", "private-phrase")
    assert "phrase" not in repr(secrets)
    v2c = Credentials(community_env="COMMUNITY")
    assert resolve(v2c, tmp_path, {"COMMUNITY": "rack"}).community == "rack"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "environment variable PRIV is empty or not set"),
        ({"PRIV": "short"}, "at least 8 characters"),
    ],
)
def test_missing_secrets_are_named(tmp_path: Path, environ: dict[str, str], expected: str) -> None:
    (tmp_path / "auth.key").write_text("authentic-phrase\n")
    v3 = Credentials(
        version="v3", user="monitor", auth_key_file=Path("auth.key"), priv_key_env="PRIV"
    )
    with pytest.raises(MissingSecret, match=expected):
        resolve(v3, tmp_path, environ)
    with pytest.raises(MissingSecret, match=r"secret file none\.key: No such file"):
        resolve(Credentials(community_file=Path("none.key")), tmp_path, environ)
