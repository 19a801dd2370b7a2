# SPDX-License-Identifier: Apache-2.0
"""The NVML driver's parts: its configuration, its seam to the binding, its events."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agents.nvml_one_gpu import RefusalError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rackwatt.agents import nvml
from rackwatt.agents.nvml import Settings
from rackwatt.agents.nvml.binding import (
    DRIVER_GONE,
    GPU_GONE,
    NO_PERMISSION,
    NOT_SUPPORTED,
    TIMEOUT,
    UNKNOWN,
    code_of,
    load_binding,
    quality_of,
)
from rackwatt.agents.nvml.calls import (
    FAST,
    SLOW,
    Failure,
    fields_of,
    mega,
    milli,
    percent,
    read_field_value,
    watt_hours,
)
from rackwatt.agents.nvml.source import NvmlSource
from rackwatt.agents.nvml.xid import KNOWN, event_of, handle_key
from rackwatt.agents.settings import load_config
from rackwatt.agents.source import StartError
from rackwatt.wire.codec import reading_of
from rackwatt.wire.readings import FIELDS, Quality
from rackwatt.wire.sample import Sample

FOLDER = Path(nvml.__file__).parent


# the configuration


def test_the_example_is_a_valid_configuration() -> None:
    loaded = load_config(FOLDER / "example.yaml")
    assert loaded.config.source == "nvml"
    assert isinstance(loaded.create_source(), NvmlSource)


def test_the_readme_lists_every_option_with_its_default() -> None:
    text = (FOLDER / "README.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*?) \|", text, re.MULTILINE))
    assert set(table) == set(Settings.model_fields)
    assert table["slow_every"] == "30s"
    assert table["required"] == "true"


@pytest.mark.parametrize(
    "wrong",
    [
        {"slow_evry": "10s"},
        {"slow_every": 0},
        {"round_timeout": "-1s"},
        {"binding": "pynvml; import os"},
        {"binding": "a:b:c"},
        {"node": ""},
        {"init_retry": 0},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_importing_the_driver_loads_no_hardware_library() -> None:
    code = (
        "import sys, rackwatt.agents.nvml as n; from rackwatt.agents.source import Context;"
        "n.create(n.Settings(), Context(node='n1')); sys.exit('pynvml' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# the seam


def test_fields_of_the_table_are_fields_of_the_contract_and_unique() -> None:
    names = fields_of((*FAST, *SLOW))
    assert len(names) == 19
    assert len(set(names)) == len(names)
    assert set(names) <= set(FIELDS["gpu"])
    # power_min_watts and power_max_watts are made by the loop from power_watts
    assert set(FIELDS["gpu"]) - set(names) == {"power_min_watts", "power_max_watts"}


def test_codes_map_to_quality_by_one_table() -> None:
    assert quality_of(NOT_SUPPORTED) is Quality.NOT_SUPPORTED
    assert quality_of(NO_PERMISSION) is Quality.NOT_SUPPORTED
    assert quality_of(TIMEOUT) is Quality.TIMEOUT
    assert quality_of(UNKNOWN) is Quality.EXCEPTION
    assert quality_of(12345) is Quality.EXCEPTION  # a code of a newer driver
    assert not GPU_GONE & DRIVER_GONE


def test_the_code_of_an_error_is_read_or_unknown() -> None:
    assert code_of(RefusalError(16)) == 16
    assert code_of(ValueError("no code")) == UNKNOWN
    assert code_of(AttributeError("no such call")) == 13


@given(st.integers(0, 2**31))
def test_units_are_converted_at_the_edge(raw: int) -> None:
    assert milli(raw) * 1000 == pytest.approx(raw)
    assert mega(raw) == raw * 1e6
    assert percent(raw) * 100 == pytest.approx(raw)
    assert watt_hours(raw) * 3.6e6 == pytest.approx(raw)


@given(st.integers(0, 6), st.integers(0, 60_000))
def test_a_field_value_is_read_from_the_member_its_type_names(kind: int, raw: int) -> None:
    members = ["dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"]
    union = SimpleNamespace(**dict.fromkeys(members, -1))
    setattr(union, members[kind], raw)
    answer = SimpleNamespace(fieldId=186, valueType=kind, nvmlReturn=0, value=union)
    assert read_field_value(answer) == float(raw)


def test_a_refused_field_value_is_a_failure() -> None:
    answer = SimpleNamespace(fieldId=186, valueType=1, nvmlReturn=3, value=SimpleNamespace(uiVal=9))
    assert read_field_value(answer) == Failure(3)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("no_such_module_anywhere", "cannot import 'no_such_module_anywhere'"),
        ("json:no_such_function", "has no function 'no_such_function'"),
    ],
)
def test_a_binding_that_is_not_there_is_fatal(spec: str, words: str) -> None:
    with pytest.raises(StartError, match=words) as caught:
        load_binding(spec, None)
    assert caught.value.kind == "fatal"


def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(StartError, match=r"pip install 'rackwatt\[nvml\]'"):
        load_binding("pynvml", None)


# events and threads


def test_every_known_xid_makes_a_valid_event() -> None:
    assert len(KNOWN) > 15
    for number in (*KNOWN, 7777):
        event = event_of(number)
        reading_of(Sample(kind="event", device="d", event=event), 1)
        assert str(number) in event.text


def test_handles_of_one_gpu_have_one_key() -> None:
    import ctypes

    value = ctypes.c_int(1)
    assert handle_key(ctypes.pointer(value)) == handle_key(ctypes.pointer(value))
    assert handle_key(3) == 3
