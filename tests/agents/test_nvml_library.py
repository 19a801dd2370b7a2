# SPDX-License-Identifier: Apache-2.0
"""The real driver on the unmodified binding: what a node gives, old and new, and its events."""

from pathlib import Path

import pytest
from agents.nvml_library import GPU, QUIET, Drive, build, drive, drive_with, library

from rackwatt.agents.nvml.calls import FAST, SLOW, fields_of

__all__ = ["drive", "library"]  # fixtures


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


def test_a_field_value_of_an_unknown_type_is_not_guessed(drive: Drive) -> None:
    gpu = drive(["start"], ["scenario", "type 82 7"], ["sample"])[2]["gpus"][GPU[0]]
    assert gpu["values"]["memory_temperature_celsius"] is None
    assert gpu["quality"] == {"memory_temperature_celsius": "not_supported"}


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


def test_the_scenario_can_come_from_a_file(library: Path, tmp_path: Path) -> None:
    """So that a whole agent can be started on the stand-in without a line of test code."""
    scenario = tmp_path / "scenario"
    scenario.write_text("# one sick GPU of four\ngpus 4\nfail nvmlDeviceGetPowerUsage 10 2\n")
    case = {"settings": QUIET, "reset": False, "steps": [["start"], ["sample"]]}
    sample = drive_with(library, [case], FAKENVML=str(scenario))[0][1]
    qualities = [gpu["quality"] for gpu in sample["gpus"].values()]
    assert qualities == [{}, {}, {"power_watts": "timeout"}, {}]
