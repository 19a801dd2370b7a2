# SPDX-License-Identifier: Apache-2.0
"""Folding the samples of a sending window: one value per field, by the field's rule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.window import Window, fold
from rackwatt.wire.readings import FIELDS, Kind, Quality
from rackwatt.wire.sample import Event, Sample

POWER = FIELDS["power"]
watts = st.floats(0, 1e9)


def folded(*rounds: Sample) -> Sample:
    window = Window()
    for item in rounds:
        window.add([item])
    (sample,) = window.close()
    return sample


def power(value: float | None, quality: Quality | None = None, name: str = "power_watts") -> Sample:
    codes = {} if quality is None else {name: quality}
    return Sample("power", "m1", {name: value}, codes)


@given(st.lists(watts, min_size=1, max_size=20))
def test_power_is_the_mean_with_its_extremes_beside_it(series: list[float]) -> None:
    values = folded(*(power(value) for value in series)).values
    assert values["power_watts"] == pytest.approx(math.fsum(series) / len(series))
    assert values["power_min_watts"] == min(series)
    assert values["power_max_watts"] == max(series)


@given(st.lists(st.none() | watts, min_size=1, max_size=20))
def test_a_field_with_one_good_sample_has_a_value(series: list[float | None]) -> None:
    sample = folded(*(power(value, None if value else Quality.TIMEOUT) for value in series))
    good = [value for value in series if value is not None]
    assert (sample.values["power_watts"] is None) == (not good)
    assert set(sample.values) == {"power_watts", "power_min_watts", "power_max_watts"}
    if good:
        assert sample.quality == {}
        low, high = sample.values["power_min_watts"], sample.values["power_max_watts"]
        assert (low, high) == (min(good), max(good))
    else:
        assert sample.quality == dict.fromkeys(sample.values, Quality.TIMEOUT)


def test_each_field_has_its_rule() -> None:
    series = [3.0, 1.0, 2.0]
    for kind, name, value in (
        ("power", "voltage_volts", 2.0),
        ("power", "energy_import_watt_hours", 2.0),
        ("coolant", "leak_ratio", 3.0),
        ("power", "power_min_watts", 1.0),
    ):
        spec = FIELDS[kind][name]  # type: ignore[index]
        assert fold(series, spec) == value
        assert fold([], spec) is None
    assert fold([3.0, 1.0], POWER["energy_import_watt_hours"]) == 1.0


def test_a_register_that_failed_last_keeps_its_last_good_value() -> None:
    name = "energy_import_watt_hours"
    sample = folded(power(5.0, name=name), power(None, Quality.TIMEOUT, name))
    assert sample.values == {name: 5.0}


def test_a_driver_that_knows_the_extremes_keeps_them() -> None:
    sample = folded(Sample("power", "m1", {"power_watts": 5.0, "power_min_watts": 1.0}))
    assert sample.values == {"power_watts": 5.0, "power_min_watts": 1.0}


def test_kinds_without_extremes_get_none() -> None:
    sample = folded(Sample("coolant", "c1", {"heat_watts": 5.0}))
    assert sample.values == {"heat_watts": 5.0}


@pytest.mark.parametrize("value", [-1.0, 1e11, math.nan, math.inf, -math.inf])
def test_nonsense_is_out_of_range_and_spoils_no_mean(value: float) -> None:
    assert folded(power(value)).quality["power_watts"] is Quality.OUT_OF_RANGE
    assert folded(power(value)).values["power_watts"] is None
    assert folded(power(value), power(4.0)).values["power_watts"] == 4.0


def test_the_last_reason_counts() -> None:
    sample = folded(power(None, Quality.TIMEOUT), power(None, Quality.EXCEPTION))
    assert sample.quality["power_watts"] is Quality.EXCEPTION
    assert folded(power(None)).quality["power_watts"] is Quality.EXCEPTION


def test_one_estimated_sample_makes_the_value_estimated() -> None:
    for rounds in (
        (power(1.0, Quality.ESTIMATED), power(3.0)),
        (power(1.0, Quality.ESTIMATED), power(3.0), power(None, Quality.TIMEOUT)),
    ):
        sample = folded(*rounds)
        assert sample.values["power_watts"] == 2.0
        assert sample.quality == {"power_watts": Quality.ESTIMATED}


def test_devices_are_kept_apart_sorted_and_forgotten_after() -> None:
    window = Window()
    kinds: list[Kind] = ["power", "climate"]
    for kind in kinds:
        for device in ("b", "a"):
            window.add([Sample(kind, device, {"temperature_celsius": 20.0}, time_ms=7)])
    assert [(s.kind, s.device, s.time_ms) for s in window.close()] == [
        ("climate", "a", 7), ("climate", "b", 7), ("power", "a", 7), ("power", "b", 7),
    ]  # fmt: skip
    assert window.close() == []


def test_events_pass_each_by_itself() -> None:
    event = Sample("event", "n1", event=Event("xid_79", "critical", "gone"))
    window = Window()
    window.add([event, power(1.0)])
    window.add([event])
    assert window.close()[1:] == [event, event]


def test_a_field_that_the_contract_does_not_know_is_a_bug_of_the_driver() -> None:
    with pytest.raises(ValueError, match="m1: power has no field 'power_horses'"):
        Window().add([power(1.0, name="power_horses")])
