# SPDX-License-Identifier: Apache-2.0
"""Register maps: every shipped one, golden captures, round trips, and wrong files."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.modbus import decode, encode, load_map, shipped_maps, words
from rackwatt.agents.modbus.points import Adjustment, Point, decode_points, register_at
from rackwatt.wire.config import ConfigErrors
from rackwatt.wire.readings import FIELDS, Quality

MAPS = {name: load_map(name) for name in shipped_maps()}
CAPTURES = sorted((Path(__file__).parent / "captures" / "modbus").glob("*.yaml"))


def capture(path: Path) -> tuple[dict[str, Any], dict[int, int]]:
    data = yaml.safe_load(path.read_text())
    memory = {
        start + i: word for start, run in data["registers"].items() for i, word in enumerate(run)
    }
    return data, memory


def test_at_least_six_real_devices_are_shipped() -> None:
    maps = [load_map(name) for name in shipped_maps()]
    assert len(maps) >= 7
    real = [item for item in maps if item.file.manufacturer != "none"]
    assert len(real) >= 6
    for item in maps:
        assert item.file.source.where
        assert item.points()
        assert set(item.fields) <= set(FIELDS[item.file.kind])
        assert not item.file.source.verified_on_hardware, "say so in the README too"


def test_every_map_has_a_golden_capture() -> None:
    assert {yaml.safe_load(path.read_text())["map"] for path in CAPTURES} == set(shipped_maps())


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_golden_capture(path: Path) -> None:
    data, memory = capture(path)
    assert data["origin"] == "synthetic"
    register_map = load_map(data["map"])
    decoded = decode(register_map, memory)
    nulls = data.get("nulls", {})
    assert {k: v for k, v in decoded.values.items() if v is not None} == pytest.approx(
        data["values"], rel=1e-12
    )
    assert {k: str(v) for k, v in decoded.quality.items()} == nulls
    assert set(decoded.values) == set(register_map.fields) == set(data["values"]) | set(nulls)


def test_decimal_scales_leave_no_noise() -> None:
    data, memory = capture(next(p for p in CAPTURES if p.stem == "sunspec-inverter"))
    values = decode(load_map(data["map"]), memory).values
    assert values["voltage_l1_volts"] == 231.1
    assert values["power_factor_ratio"] == 0.9952


def step(point: Point, value: float) -> float:
    """The largest error that the registers of a point allow."""
    if words.is_float(point.type):
        return abs(value) * 2.0**-23 + 1e-6
    factor = point.factor.typical if point.factor is not None else 1.0
    return abs(point.multiplier) * factor * 0.5 * 1.000001 + 1e-9


@st.composite
def plausible(draw: st.DrawFn, name: str) -> dict[str, float]:
    """Values that fit the registers of a map's device, from one side of each signed number."""
    values: dict[str, float] = {}
    seen: set[int] = set()
    for point in MAPS[name].points():
        if point.address in seen:
            continue  # one register behind two fields: the second follows the first
        seen.add(point.address)
        spec = point.spec
        low, high = spec.low, spec.high
        if words.is_float(point.type):
            low, high = low * 0.999, high * 0.999  # a float32 may round over a bound
        else:
            least, most = words.limits(point.type)
            factor = point.multiplier * 10.0**point.typical_exponent
            factor *= point.factor.typical if point.factor is not None else 1.0
            low = max(low, (least + 1) * factor + point.offset)
            high = min(high, (most - 1) * factor + point.offset)
        flag = st.sampled_from([0.0, 1.0])
        value = draw(st.floats(low, high) if point.bit is None else flag)
        values[spec.name] = value
        if point.negative is not None:
            reverse = draw(st.booleans())
            values[point.negative.name] = value if reverse else 0.0
            values[spec.name] = 0.0 if reverse else value
    return values


@pytest.mark.parametrize("name", shipped_maps())
@given(data=st.data())
def test_encode_is_the_inverse_of_decode(name: str, data: st.DataObject) -> None:
    register_map = MAPS[name]
    values = data.draw(plausible(name))
    decoded = decode(register_map, encode(register_map, values, peaks={}))
    points = {spec.name: point for point in register_map.points() for spec in point.fields}
    for field, value in values.items():
        got = decoded.values[field]
        assert got is not None, (field, value, decoded.quality)
        point = points[field]
        scale = 10.0**point.typical_exponent
        allowed = step(point, value) * (1.0 if words.is_float(point.type) else max(scale, 1e-9))
        if point.bit is None:
            assert abs(got - value) <= allowed, (field, value, got)
        else:
            assert got == value


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_peaks_choose_powers_of_ten_that_hold(power: float, energy: float) -> None:
    register_map = MAPS["sunspec-meter"]
    peaks = {"power_watts": 1e9, "energy_import_watt_hours": 1e12}
    values = {"power_watts": power, "energy_import_watt_hours": energy}
    decoded = decode(register_map, encode(register_map, values, peaks=peaks)).values
    assert decoded["power_watts"] == pytest.approx(power, abs=1e9 / 32766 * 10)
    assert decoded["energy_import_watt_hours"] == pytest.approx(energy, abs=1e12 / 2**32 * 10)


def test_a_value_too_large_for_its_register_is_refused() -> None:
    with pytest.raises(ValueError, match=r"power_watts=1000000000.0: .* does not fit int16"):
        encode(load_map("sunspec-meter"), {"power_watts": 1e9})


def test_what_is_not_given_is_not_supported() -> None:
    register_map = load_map("sunspec-inverter")
    decoded = decode(register_map, encode(register_map, {"power_watts": None}))
    assert decoded.values["power_watts"] is None
    assert decoded.quality["power_watts"] is Quality.NOT_SUPPORTED
    assert decoded.quality["temperature_celsius"] is Quality.NOT_SUPPORTED


def test_the_wrong_word_order_is_out_of_range_or_far_off() -> None:
    register_map = load_map("schneider-pm5xxx")
    memory = encode(register_map, {"power_watts": 120_500.0, "frequency_hertz": 50.0})
    swapped = dict(memory)
    for start in (3059, 3109):
        swapped[start], swapped[start + 1] = memory[start + 1], memory[start]
    decoded = decode(register_map, swapped)
    frequency = decoded.values["frequency_hertz"]
    assert frequency is not None
    assert frequency < 1e-30
    huge = dict(memory) | {3059: 0x7F7F, 3060: 0xFFFF}
    assert decode(register_map, huge).quality["power_watts"] is Quality.OUT_OF_RANGE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_out_of_range(value: float) -> None:
    register_map = load_map("janitza-umg")
    memory = encode(register_map, {"power_watts": 1.0}) | {
        19026 + i: word for i, word in enumerate(words.registers(value, "float32", "big"))
    }
    decoded = decode(register_map, memory)
    assert decoded.values["power_watts"] is None
    assert decoded.quality["power_watts"] is Quality.OUT_OF_RANGE
    assert decoded.quality["power_export_watts"] is Quality.OUT_OF_RANGE


def test_a_scale_factor_beyond_ten_is_not_believed() -> None:
    register_map = load_map("sunspec-meter")
    memory = encode(register_map, {"power_watts": 1.0})
    memory[register_map.layout()[203] + 22] = 11
    assert decode(register_map, memory).quality["power_watts"] is Quality.NOT_SUPPORTED


def test_a_transformer_ratio_scales_currents_powers_and_energies_only() -> None:
    register_map = load_map("eastron-sdm630")
    names = ("power_watts", "current_l1_amperes", "energy_import_watt_hours", "voltage_l1_volts")
    memory = encode(register_map, dict.fromkeys(names, 4.0))
    values = decode_points(register_map.points(Adjustment(scale=40.0)), memory).values
    assert [values[name] for name in names] == pytest.approx([160.0, 160.0, 160.0, 4.0])


def test_inverting_changes_the_places_of_both_directions() -> None:
    register_map = load_map("janitza-umg")
    given_values = {
        "power_watts": 0.0,
        "power_export_watts": 3500.0,
        "energy_import_watt_hours": 10.0,
        "energy_export_watt_hours": 20.0,
        "power_l1_watts": -1000.0,
    }
    memory = encode(register_map, given_values)
    values = decode_points(register_map.points(Adjustment(invert=True)), memory).values
    assert values["power_watts"] == 3500.0
    assert values["power_export_watts"] == 0.0
    assert values["energy_import_watt_hours"] == 20.0
    assert values["energy_export_watt_hours"] == 10.0
    assert values["power_l1_watts"] == 1000.0


def test_registers_know_where_they_roll_over() -> None:
    points = {point.spec.name: point for point in load_map("victron-gx-battery").points()}
    register = points["energy_charge_watt_hours"].register
    assert register is not None
    assert register.modulus_watt_hours == pytest.approx(6_553_600.0)
    assert register.resolution_watt_hours == pytest.approx(100.0)
    meter = {point.spec.name: point for point in load_map("sunspec-meter").points()}
    scaled = register_at(meter["energy_import_watt_hours"], 2)
    assert scaled is not None
    assert scaled.modulus_watt_hours == 2.0**32 * 100
    assert scaled.resolution_watt_hours == 100.0
    assert points["power_charge_watts"].register is None
    janitza = {point.spec.name: point for point in load_map("janitza-umg").points()}
    unknown = janitza["energy_import_watt_hours"].register
    assert unknown is not None
    assert unknown.modulus_watt_hours is None
    assert unknown.resolution_watt_hours is None


@given(st.sampled_from(["big", "little"]), st.integers(-(2**31), 2**31 - 1))
def test_words_and_numbers(order: words.WordOrder, value: float) -> None:
    assert words.number(words.registers(value, "int32", order), "int32", order) == value
    unsigned = words.pattern(words.registers(value, "int32", order), order)
    assert words.from_pattern(unsigned, 2, order) == words.registers(value, "int32", order)


@given(st.text("abcXYZ 0189-", max_size=12))
def test_texts(text: str) -> None:
    assert words.text(words.text_registers(text, 8)) == text.strip()


BASE = """\
device: X
manufacturer: Y
kind: power
source: {title: t, revision: r, where: w}
fields:
"""


def errors_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load_map("mine.yaml", tmp_path)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  power_wats: {register: 1, unit: W}", ["mine.yaml:6:", "did you mean 'power_watts'?"]),
        ("  power_watts: {register: 1, unit: kWt}", ["6:", "unit", "did you mean 'kW'?"]),
        ("  power_watts: {register: 1, unit: V}", ["6:", "'V' cannot become 'W'"]),
        ("  power_watts: {registr: 1, unit: W}", ["6:", "registr", "did you mean 'register'?"]),
        ("  power_watts: {register: 70000, unit: W}", ["6:", "must be at most 65535"]),
        ("  power_watts: {register: 1, unit: W, type: uint61}", ["6:", "did you mean 'uint64'?"]),
        ("  power_watts: {register: 1, unit: W, negative: power_exprt_watts}",
         ["6:", "did you mean 'power_export_watts'?"]),
        ("  power_watts: {register: 1, unit: W, modulus_watt_hours: 5}", ["6:", "only an energy"]),
        ("  power_watts: {register: 1, unit: W, bit: 1, type: float32}", ["6:", "a bit is taken"]),
        ("  power_watts: {register: 1, unit: W, scale: 0}", ["6:", "scale must not be 0"]),
    ],
)  # fmt: skip
def test_a_wrong_map_names_file_line_and_nearest(
    tmp_path: Path, line: str, expected: list[str]
) -> None:
    lines = errors_of(tmp_path, BASE + line + "\n")
    assert any(all(part in item for part in expected) for item in lines), lines


def test_one_register_is_read_by_one_function(tmp_path: Path) -> None:
    text = BASE + (
        "  power_watts: {register: 5, type: uint32, unit: W, function: input}\n"
        "  voltage_volts: {register: 6, unit: V}\n"
    )
    assert "mine.yaml:7:" in errors_of(tmp_path, text)[0]


def test_registers_before_address_zero_are_refused(tmp_path: Path) -> None:
    text = "register_offset: -1\n" + BASE + "  power_watts: {register: 0, unit: W}\n"
    assert "before address 0" in errors_of(tmp_path, text)[0]


def test_an_unknown_map_names_the_nearest() -> None:
    with pytest.raises(ConfigErrors, match="did you mean 'janitza-umg'"):
        load_map("janitsa-umg")


def test_a_map_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_map("none.yaml", tmp_path)
