# SPDX-License-Identifier: Apache-2.0
"""The shapes of trouble: a lost GPU, a driver that goes or hangs, a start without either."""

from pathlib import Path

import pynvml
import pytest
from agents.nvml_library import GPU, Drive, drive, drive_with, library

from rackwatt.agents.nvml.calls import FAST, fields_of

__all__ = ["drive", "library"]  # fixtures


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
