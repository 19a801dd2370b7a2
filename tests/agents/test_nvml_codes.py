# SPDX-License-Identifier: Apache-2.0
"""Every NVML code, in every call: while reading, at start, and while looking for a lost GPU."""

from pathlib import Path
from typing import Any

import pynvml
import pytest
from agents.nvml_library import CODES, GPU, QUIET, drive_with, library

from rackwatt.agents.nvml.binding import DRIVER_GONE, GPU_GONE, quality_of
from rackwatt.agents.nvml.calls import FAST, MISSING, SLOW, Call

__all__ = ["library"]  # a fixture


def calls_of(call: Call) -> str:
    """The C function behind a call of the table."""
    return call.where.split("[")[0]


EACH_CALL = [*FAST, *SLOW]


@pytest.fixture(scope="module")
def matrix(library: Path) -> dict[tuple[str, int], Any]:
    """Every call failing with every code on the second GPU: two rounds each."""
    assert len(CODES) > 25
    names = sorted({calls_of(call) for call in EACH_CALL})
    keys = [(name, code) for name in names for code in CODES.values()]
    cases = [
        {
            "settings": QUIET,
            "steps": [
                ["start"],
                ["scenario", f"fail {name} {code} 1"],
                ["sample"],
                ["sample"],
                ["state"],
            ],
        }
        for name, code in keys
    ]
    return dict(zip(keys, drive_with(library, cases), strict=True))


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("call", EACH_CALL, ids=lambda call: call.where)
def test_every_code_of_every_call_is_null_with_its_reason(
    matrix: dict[tuple[str, int], Any], call: Call, code: int
) -> None:
    _, _, first, second, state = matrix[calls_of(call), code]
    assert list(first["gpus"]) == list(second["gpus"]) == GPU
    healthy, failing = (first["gpus"][device] for device in GPU)
    codes = [event["code"] for event in first["events"] + second["events"]]
    if code in DRIVER_GONE:
        assert set(failing["values"].values()) == {None}
        assert codes == ["driver_lost"]
        return
    assert healthy["quality"] == {}
    assert None not in healthy["values"].values()
    if call.fallback is not None and code in MISSING:
        assert failing["quality"] == {}
        return
    for output in call.outputs:
        # after a loss the slow calls are not made any more
        assert failing["values"].get(output.field) is None
    assert set(failing["quality"]) == {n for n, v in failing["values"].items() if v is None}
    if code in GPU_GONE:
        assert codes == ["gpu_lost"]
        assert set(second["gpus"][GPU[1]]["values"].values()) == {None}
    else:
        assert codes == []
        expected = quality_of(code)
        assert {failing["quality"][output.field] for output in call.outputs} == {expected}
        counted = sum(state["errors"].values())
        assert (counted == 0) == (expected == "not_supported")


START_CALLS = [
    "nvmlInitWithFlags",
    "nvmlSystemGetDriverVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetSerial",
    "nvmlShutdown",
    "nvmlEventSetCreate",
    "nvmlDeviceRegisterEvents",
    "nvmlEventSetWait_v2",
    "nvmlEventSetFree",
]


@pytest.fixture(scope="module")
def start_matrix(library: Path) -> dict[tuple[str, int], Any]:
    keys = [(name, code) for name in START_CALLS for code in CODES.values()]
    cases = [
        {
            "settings": {"events": "Event" in name, "required": False},
            "steps": [
                ["scenario", f"fail {name} {code}"],
                ["start"],
                ["sample"],
                ["scenario", "clear"],
                ["advance", 100.0],
                ["sample"],
                ["advance", 100.0],
                ["sample"],
                ["close"],
            ],
        }
        for name, code in keys
    ]
    return dict(zip(keys, drive_with(library, cases), strict=True))


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("name", START_CALLS)
def test_every_code_at_start_is_survived_and_recovered_from(
    start_matrix: dict[tuple[str, int], Any], name: str, code: int
) -> None:
    _, started, first, _, _, _, _, last, _ = start_matrix[name, code]
    assert started["error"] is None  # not required: explained, then looked for again
    if name == "nvmlDeviceGetHandleByIndex_v2" and code == pynvml.NVML_ERROR_NO_PERMISSION:
        assert first["gpus"] == {}  # GPUs of other containers
    assert list(last["gpus"]) == GPU
    for gpu in last["gpus"].values():
        assert gpu["quality"] == {}
    harmless = "Event" in name or name in {"nvmlDeviceGetName", "nvmlDeviceGetSerial"}
    if harmless and code not in DRIVER_GONE:
        assert list(first["gpus"]) == GPU


@pytest.fixture(scope="module")
def search_matrix(library: Path) -> dict[int, Any]:
    cases = [
        {
            "settings": QUIET,
            "steps": [
                ["start"],
                ["scenario", "fail nvmlDeviceGetPowerUsage 15 1 1 1"],
                ["scenario", f"fail nvmlDeviceGetHandleByUUID {code} 1 1 1"],
                ["sample"],
                ["advance", 2.0],
                ["sample"],
                ["advance", 200.0],
                ["sample"],
            ],
        }
        for code in CODES.values()
    ]
    return dict(zip(CODES.values(), drive_with(library, cases), strict=True))


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_every_code_while_looking_for_a_lost_gpu(search_matrix: dict[int, Any], code: int) -> None:
    lost, failed, found = (search_matrix[code][step] for step in (3, 5, 7))
    assert lost["gpus"][GPU[1]]["values"]["power_watts"] is None
    assert failed["gpus"][GPU[1]]["values"]["power_watts"] is None
    assert found["gpus"][GPU[1]]["quality"] == {}
    said = [event["code"] for event in lost["events"] + failed["events"] + found["events"]]
    if code in DRIVER_GONE:
        assert said == ["gpu_lost", "driver_lost", "driver_back", "gpu_back"]
    else:
        assert said == ["gpu_lost", "gpu_back"]


@pytest.fixture(scope="module")
def field_matrix(library: Path) -> dict[str, Any]:
    lines = [f"type 82 {kind}" for kind in range(7)]
    lines += [f"field 186 {code}" for code in CODES.values()]
    cases = [
        {"settings": QUIET, "steps": [["start"], ["scenario", line], ["sample"]]} for line in lines
    ]
    return dict(zip(lines, drive_with(library, cases), strict=True))


@pytest.mark.parametrize("kind", range(7))
def test_field_values_are_read_by_their_type(field_matrix: dict[str, Any], kind: int) -> None:
    sample = field_matrix[f"type 82 {kind}"][2]
    assert sample["gpus"][GPU[0]]["values"]["memory_temperature_celsius"] == 74.0


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_one_field_value_fails_alone(field_matrix: dict[str, Any], code: int) -> None:
    sample = field_matrix[f"field 186 {code}"][2]
    gpu = sample["gpus"][GPU[0]]
    assert gpu["values"]["power_instant_watts"] is None
    if code not in GPU_GONE | DRIVER_GONE:
        assert gpu["values"]["memory_temperature_celsius"] == 74.0
        assert gpu["quality"] == {"power_instant_watts": quality_of(code)}
