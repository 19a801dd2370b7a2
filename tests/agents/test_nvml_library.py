# SPDX-License-Identifier: Apache-2.0
"""The real driver on the unmodified binding, over a library that can fail in every way.

The library is `fakenvml/nvml.c`: it proves our calls and our error handling, and nothing about a
real driver; `test_nvml_hardware.py` runs on machines that have one.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

from rackwatt.agents.nvml.binding import DRIVER_GONE, GPU_GONE, quality_of
from rackwatt.agents.nvml.calls import FAST, MISSING, SLOW, Call, fields_of

HERE = Path(__file__).parent / "fakenvml"
GPU = [f"n1/GPU-a000000{i}-0000-4000-8000-00000000000{i}" for i in range(2)]
QUIET = {"events": False}
CODES = {
    name: code
    for name, code in vars(pynvml).items()
    if name.startswith("NVML_ERROR_") and isinstance(code, int)
}
Drive = Callable[..., list[Any]]


def build(target: Path, *flags: str) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        message = "no C compiler: NVML cannot be tested without a GPU on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    target.mkdir(exist_ok=True)
    subprocess.run(
        [
            compiler,
            *("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra", "-Werror"),
            *("-shared", "-fPIC", "-pthread", *flags),
            *("-o", str(target / "libnvidia-ml.so.1"), str(HERE / "nvml.c")),
        ],
        check=True,
    )


def drive_with(library: Path, cases: list[dict[str, Any]], **environment: str) -> list[Any]:
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "drive.py")],
        input=json.dumps(cases),
        env={**os.environ, "LD_LIBRARY_PATH": str(library), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("nvml")
    build(target)
    return target


@pytest.fixture(scope="module")
def drive(library: Path) -> Drive:
    """Runs one case: its steps, after `start`; returns what each step gave."""

    def run(*steps: list[Any], settings: dict[str, Any] | None = None) -> list[Any]:
        case = {"settings": QUIET if settings is None else settings, "steps": list(steps)}
        return list(drive_with(library, [case])[0])

    return run


def test_a_healthy_node_gives_every_field_in_our_units(drive: Drive) -> None:
    _, first, second = drive(["start"], ["sample"], ["sample"])
    assert list(first["gpus"]) == GPU
    assert first["events"] == []
    values = first["gpus"][GPU[1]]["values"]
    assert values == {
        "power_watts": 413.345,
        "power_instant_watts": 498.765,
        "energy_import_watt_hours": 4000.0,
        "temperature_celsius": 62.0,
        "memory_temperature_celsius": 74.0,
        "utilization_ratio": 0.97,
        "memory_utilization_ratio": 0.42,
        "memory_used_bytes": 69_400_000_000.0,
        "memory_total_bytes": 85_899_345_920.0,
        "sm_clock_hertz": 1.98e9,
        "memory_clock_hertz": 2.619e9,
        "clock_event_reasons_bitmask": 32.0,
        "power_limit_watts": 700.0,
        "ecc_corrected_errors_total": 3.0,
        "ecc_uncorrected_errors_total": 0.0,
        "remapped_rows_total": 3.0,
        "pcie_replays_total": 5.0,
        "mig_enabled_ratio": 0.0,
        "performance_state_number": 0.0,
    }
    assert first["gpus"][GPU[0]]["quality"] == {}
    assert set(second["gpus"][GPU[0]]["values"]) == set(fields_of(FAST))


def test_slow_values_are_read_at_their_own_cadence(drive: Drive) -> None:
    _, first, _, second, _, third = drive(
        ["start"], ["sample"], ["advance", 29.0], ["sample"], ["advance", 1.0], ["sample"]
    )
    has_limit = ["power_limit_watts" in r["gpus"][GPU[0]]["values"] for r in (first, second, third)]
    assert has_limit == [True, False, True]


def test_the_inventory_names_the_gpus(drive: Drive) -> None:
    inventory = drive(["start"], ["inventory"])[1]
    assert [item["device"] for item in inventory] == GPU
    assert inventory[1] == {
        "device": GPU[1],
        "model": "NVIDIA H100 80GB HBM3",
        "serial": "1653023000001",
        "uuid": GPU[1].removeprefix("n1/"),
        "firmware": "driver 570.86.15",
        "registers": {
            "energy_import_watt_hours": {
                "modulus_watt_hours": None,
                "resolution_watt_hours": pytest.approx(1 / 3.6e6),
            }
        },
    }


def test_the_probe_shows_raw_and_decoded_values(drive: Drive) -> None:
    rows = drive(["start"], ["scenario", "fail nvmlDeviceGetPowerUsage 3 1"], ["probe"])[2]
    assert len(rows) == 2 * len(fields_of((*FAST, *SLOW)))
    by_field = {(row["device"], row["field"]): row for row in rows}
    energy = by_field[GPU[0], "energy_import_watt_hours"]
    assert (energy["raw"], energy["value"], energy["unit"]) == ("7200000000 mJ", 2000.0, "Wh")
    refused = by_field[GPU[1], "power_watts"]
    assert (refused["raw"], refused["value"]) == ("NVML code 3", None)
    assert refused["quality"] == "not_supported"


def test_the_node_name_of_the_settings_wins(drive: Drive) -> None:
    sample = drive(["start"], ["sample"], settings={"events": False, "node": "rack7-n2"})[1]
    assert [device.split("/")[0] for device in sample["gpus"]] == ["rack7-n2"] * 2


# every code, every call


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


# the shapes of trouble


def test_a_lost_gpu_is_null_and_the_others_go_on(drive: Drive) -> None:
    """Said once, asked again with back-off, and read again when it is back."""
    steps = drive(
        ["start"],
        ["sample"],
        ["scenario", "fail * 15 1"],
        ["sample"],
        ["state"],
        ["sample"],
        ["state"],
        ["advance", 5.0],
        ["sample"],
        ["scenario", "clear"],
        ["advance", 120.0],
        ["sample"],
    )
    lost, again, later, back = steps[3], steps[5], steps[8], steps[11]
    for sample in (lost, again, later):
        assert set(sample["gpus"][GPU[1]]["quality"].values()) == {"exception"}
        assert set(sample["gpus"][GPU[1]]["values"].values()) == {None}
        assert sample["gpus"][GPU[0]]["quality"] == {}
    assert [(e["code"], e["severity"], e["device"]) for e in lost["events"]] == [
        ("gpu_lost", "critical", GPU[1])
    ]
    assert again["events"] == later["events"] == []
    # within the back-off the lost GPU costs no call: only the healthy one is asked
    assert steps[6]["calls"] - steps[4]["calls"] == len(FAST)
    assert [event["code"] for event in back["events"]] == ["gpu_back"]
    assert back["gpus"][GPU[1]]["quality"] == {}


def test_a_gpu_that_is_lost_within_a_round_keeps_what_was_read(drive: Drive) -> None:
    sample = drive(["start"], ["scenario", "fail nvmlDeviceGetClockInfo 15 1"], ["sample"])[2]
    gpu = sample["gpus"][GPU[1]]
    assert gpu["values"]["power_watts"] == 413.345
    assert gpu["values"]["memory_clock_hertz"] is None
    assert gpu["quality"]["memory_clock_hertz"] == "exception"
    assert set(gpu["values"]) == set(fields_of(FAST))


def test_a_handle_that_no_call_accepts_is_taken_anew(drive: Drive) -> None:
    steps = drive(
        ["start"],
        ["sample"],
        ["scenario", "fail * 2 1 1 1000\nfail nvmlDeviceGetUtilizationRates 3 1"],
        ["sample"],
        ["scenario", "clear"],
        ["advance", 10.0],
        ["sample"],
    )
    assert [event["code"] for event in steps[3]["events"]] == ["gpu_lost"]
    assert [event["code"] for event in steps[6]["events"]] == ["gpu_back"]


def test_a_driver_that_is_reloaded_is_opened_again(drive: Drive) -> None:
    steps = drive(
        ["start"],
        ["sample"],
        ["unload"],
        ["sample"],
        ["sample"],
        ["advance", 10.0],
        ["sample"],
        ["state"],
    )
    down, still, up = steps[3], steps[4], steps[6]
    assert [event["code"] for event in down["events"]] == ["driver_lost"]
    assert down["events"][0]["device"] == "n1/nvml"
    assert set(down["gpus"]) == set(still["gpus"]) == set(GPU)
    assert all(v is None for gpu in still["gpus"].values() for v in gpu["values"].values())
    assert [event["code"] for event in up["events"]] == ["driver_back"]
    assert up["gpus"][GPU[0]]["values"]["power_limit_watts"] == 700.0  # slow values at once
    assert steps[7]["initialised"] == 1


def test_a_driver_that_stays_away_is_asked_with_back_off(drive: Drive) -> None:
    """At most a few tries a minute, one event, and the GPUs stay in the readings."""
    rounds = [step for _ in range(120) for step in (["advance", 1.0], ["sample"])]
    steps = drive(
        ["start"],
        ["scenario", "fail nvmlInitWithFlags 9"],
        ["unload"],
        ["sample"],
        ["state"],
        *rounds,
        ["state"],
    )
    samples = [step for step in steps[5:-1] if step is not None]
    assert len(samples) == 120
    assert all(set(sample["gpus"]) == set(GPU) for sample in samples)
    assert sum(len(sample["events"]) for sample in samples) == 0
    assert 4 <= steps[-1]["calls"] - steps[4]["calls"] <= 12


def test_the_probe_of_a_lost_gpu_says_so(drive: Drive) -> None:
    rows = drive(["start"], ["scenario", "fail * 15 1"], ["sample"], ["probe"])[3]
    lost = [row for row in rows if row["device"] == GPU[1]]
    assert {row["raw"] for row in lost} == {"NVML code 15"}
    assert {row["quality"] for row in lost} == {"exception"}


def test_a_gpu_that_is_missing_after_a_reload_stays_in_the_readings(drive: Drive) -> None:
    steps = drive(
        ["start"], ["scenario", "gpus 1"], ["unload"], ["sample"], ["advance", 10.0], ["sample"]
    )
    last = steps[5]
    assert last["gpus"][GPU[0]]["quality"] == {}
    assert set(last["gpus"][GPU[1]]["values"].values()) == {None}
    assert [e["code"] for e in last["events"] if e["device"] == GPU[1]] == ["gpu_lost"]


def test_a_driver_that_hangs_does_not_hang_the_loop(drive: Drive) -> None:
    steps = drive(
        ["start"],
        ["sample"],
        ["scenario", "hang nvmlDeviceGetTemperatureV"],
        ["busy_sample"],
        ["state"],
        ["sample"],
        ["sample"],
        ["state"],
        ["release"],
        ["sample"],
        settings={"events": False, "round_timeout": "200ms"},
    )
    hung, before, after, freed = steps[3], steps[4], steps[7], steps[9]
    assert hung["turns"] > 20
    for sample in (hung, steps[5], steps[6]):
        assert set(sample["gpus"]) == set(GPU)
        for gpu in sample["gpus"].values():
            assert set(gpu["values"].values()) == {None}
            assert set(gpu["quality"].values()) == {"timeout"}
    assert after["calls"] == before["calls"]  # nothing is queued behind the hanging call
    assert after["errors"]["timeout"] == 3 * 2 * len(fields_of(FAST))
    assert freed["gpus"][GPU[0]]["quality"] == {}


def test_gpus_read_before_the_hang_keep_their_values(library: Path) -> None:
    """Only the second GPU's call hangs: the first one's values arrive in time."""
    case = {
        "settings": {"events": False, "round_timeout": "200ms"},
        "steps": [
            ["start"],
            ["sample"],
            ["scenario", "hang nvmlDeviceGetPowerUsage 1"],
            ["sample"],
            ["release"],
        ],
    }
    sample = drive_with(library, [case])[0][3]
    assert sample["gpus"][GPU[0]]["values"]["power_watts"] == 412.345
    assert set(sample["gpus"][GPU[1]]["quality"].values()) == {"timeout"}


def test_closing_while_the_driver_hangs_leaves_it_behind(drive: Drive) -> None:
    steps = drive(
        ["start"],
        ["scenario", "hang nvmlDeviceGetPowerUsage"],
        ["sample"],
        ["close"],
        ["sample"],
        settings={"events": False, "round_timeout": "50ms"},
    )
    assert steps[4] == {"gpus": {}, "events": []}


def test_under_mig_the_utilisation_is_not_supported(drive: Drive) -> None:
    sample = drive(["start"], ["scenario", "mig 1"], ["sample"])[2]
    mig = sample["gpus"][GPU[1]]
    assert mig["values"]["mig_enabled_ratio"] == 1.0
    assert mig["quality"] == {
        "utilization_ratio": "not_supported",
        "memory_utilization_ratio": "not_supported",
    }
    assert sample["gpus"][GPU[0]]["values"]["utilization_ratio"] == 0.97


def test_what_is_not_supported_is_asked_again_only_when_slow(drive: Drive) -> None:
    steps = drive(
        ["start"],
        ["scenario", "fail nvmlDeviceGetUtilizationRates 3"],
        ["sample"],
        ["state"],
        ["sample"],
        ["state"],
        ["scenario", "clear"],
        ["advance", 30.0],
        ["sample"],
    )
    assert steps[5]["calls"] - steps[3]["calls"] == 2 * (len(FAST) - 1)
    assert steps[4]["gpus"][GPU[0]]["quality"]["utilization_ratio"] == "not_supported"
    assert steps[8]["gpus"][GPU[0]]["values"]["utilization_ratio"] == 0.97


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


def test_a_field_value_of_an_unknown_type_is_not_guessed(drive: Drive) -> None:
    gpu = drive(["start"], ["scenario", "type 82 7"], ["sample"])[2]["gpus"][GPU[0]]
    assert gpu["values"]["memory_temperature_celsius"] is None
    assert gpu["quality"] == {"memory_temperature_celsius": "not_supported"}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_one_field_value_fails_alone(field_matrix: dict[str, Any], code: int) -> None:
    sample = field_matrix[f"field 186 {code}"][2]
    gpu = sample["gpus"][GPU[0]]
    assert gpu["values"]["power_instant_watts"] is None
    if code not in GPU_GONE | DRIVER_GONE:
        assert gpu["values"]["memory_temperature_celsius"] == 74.0
        assert gpu["quality"] == {"power_instant_watts": quality_of(code)}


def test_an_old_driver_is_read_by_the_older_calls(tmp_path: Path) -> None:
    build(tmp_path, "-DOLD_DRIVER")
    case = {"settings": QUIET, "steps": [["start"], ["sample"], ["probe"]]}
    _, sample, rows = drive_with(tmp_path, [case])[0]
    gpu = sample["gpus"][GPU[0]]
    assert gpu["quality"] == {}
    assert gpu["values"]["temperature_celsius"] == 61.0
    assert gpu["values"]["memory_used_bytes"] == 70_000_000_000.0
    assert gpu["values"]["clock_event_reasons_bitmask"] == 4.0
    assert "nvmlDeviceGetTemperature" in {row["where"] for row in rows}


# events


def test_an_xid_becomes_an_event_of_its_gpu(drive: Drive) -> None:
    steps = drive(
        ["start"], ["sample"], ["scenario", "xid 1 79\nxid 0 31"], ["events", 2], settings={}
    )
    assert [(e["device"], e["code"], e["severity"]) for e in steps[3]] == [
        (GPU[1], "xid_79", "critical"),
        (GPU[0], "xid_31", "warning"),
    ]
    assert "fallen off the bus" in steps[3][0]["text"]


def test_an_unknown_xid_is_critical_until_someone_has_looked(drive: Drive) -> None:
    steps = drive(["start"], ["sample"], ["scenario", "xid 0 999"], ["events", 1], settings={})
    assert (steps[3][0]["code"], steps[3][0]["severity"]) == ("xid_999", "critical")


def test_events_are_listened_for_again_after_a_gpu_came_back(drive: Drive) -> None:
    steps = drive(
        ["start"],
        ["sample"],
        ["scenario", "fail * 15 1"],
        ["sample"],
        ["scenario", "clear"],
        ["advance", 120.0],
        ["sample"],
        ["scenario", "xid 1 63"],
        ["events", 1],
        ["state"],
        ["close"],
        ["state"],
        settings={},
    )
    assert [event["code"] for event in steps[8]] == ["xid_63"]
    assert steps[9]["event_sets"] == 1
    assert (steps[11]["event_sets"], steps[11]["initialised"]) == (0, 0)


# starting


def test_required_without_a_gpu_is_fatal(drive: Drive) -> None:
    started, sample, state = drive(["scenario", "gpus 0"], ["start"], ["sample"], ["state"])[1:]
    assert started["error"] == "fatal"
    assert "no GPU" in started["message"]
    assert sample["gpus"] == {}
    assert state["initialised"] == 0


def test_not_required_without_a_gpu_explains_and_keeps_looking(drive: Drive) -> None:
    steps = drive(
        ["scenario", "gpus 0"],
        ["start"],
        ["sample"],
        ["probe"],
        ["scenario", "gpus 2"],
        ["advance", 10.0],
        ["sample"],
        settings={"events": False, "required": False},
    )
    assert steps[1]["error"] is None
    assert steps[2]["gpus"] == {}
    assert "no GPU" in steps[3][0]["raw"]
    assert list(steps[6]["gpus"]) == GPU


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "kernel driver is not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart the agent"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "permission"),
    ],
)
def test_a_driver_that_cannot_be_opened_is_fatal_when_required(
    drive: Drive, code: int, words: str
) -> None:
    started = drive(["scenario", f"fail nvmlInitWithFlags {code}"], ["start"])[1]
    assert started["error"] == "fatal"
    assert words in started["message"]


def test_a_gpu_that_is_lost_at_start_is_found_later(drive: Drive) -> None:
    steps = drive(
        ["scenario", "fail nvmlDeviceGetHandleByIndex_v2 15 1"],
        ["start"],
        ["sample"],
        ["scenario", "clear"],
        ["advance", 10.0],
        ["sample"],
        ["inventory"],
    )
    assert steps[1]["error"] is None
    assert list(steps[2]["gpus"]) == [GPU[0]]
    assert [event["code"] for event in steps[2]["events"]] == ["gpu_lost"]
    assert list(steps[5]["gpus"]) == GPU
    assert [item["device"] for item in steps[6]] == GPU


def test_the_scenario_can_come_from_a_file(library: Path, tmp_path: Path) -> None:
    """So that a whole agent can be started on the stand-in without a line of test code."""
    scenario = tmp_path / "scenario"
    scenario.write_text("# one sick GPU of four\ngpus 4\nfail nvmlDeviceGetPowerUsage 10 2\n")
    case = {"settings": QUIET, "reset": False, "steps": [["start"], ["sample"]]}
    sample = drive_with(library, [case], FAKENVML=str(scenario))[0][1]
    qualities = [gpu["quality"] for gpu in sample["gpus"].values()]
    assert qualities == [{}, {}, {"power_watts": "timeout"}, {}]
