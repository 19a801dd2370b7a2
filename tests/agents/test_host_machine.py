# SPDX-License-Identifier: Apache-2.0
"""What the host driver reads of a machine: captured /proc trees, and /sys trees with sensors."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from agents.host_trees import CAPTURES, NET, TWO_SOCKETS, put, take

from rackwatt.agents.host.machine import Machine
from rackwatt.wire.readings import Quality

DISK = {"disk_used_bytes", "disk_total_bytes"}


def values_of(machine: Machine, now: float) -> dict[str, float | None]:
    return {item.field: item.value for item in machine.read(now)}


def test_there_are_captures() -> None:
    assert len(CAPTURES) >= 1


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_a_capture_gives_the_expected_values(capture: Path, tmp_path: Path) -> None:
    expected = json.loads((capture / "expected.json").read_text())
    machine = Machine(tmp_path, Path("/"))
    for name, now in (("first", 0.0), ("second", expected["seconds"])):
        take(tmp_path, capture / name)
        found = machine.read(now)
        good = {i.field: i.value for i in found if i.value is not None and i.field not in DISK}
        assert good == pytest.approx(expected[name], rel=1e-12)
        absent = [item.field for item in found if item.quality is Quality.NOT_SUPPORTED]
        assert absent == expected["not_supported"]
    model, _, kernel = machine.describe()
    assert (model, kernel) == (expected["model"], expected["kernel"])


def test_rapl_adds_the_packages_and_takes_out_the_roll_over(tmp_path: Path) -> None:
    put(tmp_path, TWO_SOCKETS)
    machine = Machine(tmp_path, Path("/"))
    first = values_of(machine, 10.0)
    assert "power_watts" not in first  # a difference needs two readings
    assert first["energy_import_watt_hours"] == pytest.approx(262_144_000_000 / 3.6e9)
    put(
        tmp_path,
        {
            "sys/class/powercap/intel-rapl:0/energy_uj": 299_671_150,  # + 300 J, rolled over
            "sys/class/powercap/intel-rapl:1/energy_uj": 201_000_000,  # + 200 J
        },
    )
    second = values_of(machine, 12.0)
    assert second["power_watts"] == pytest.approx(250.0)
    energy = first["energy_import_watt_hours"]
    assert energy is not None
    assert second["energy_import_watt_hours"] == pytest.approx(energy + 500 / 3600)


@pytest.mark.parametrize(
    ("error", "quality"),
    [(PermissionError(13, "denied"), "not_supported"), (OSError(5, "bus"), "exception")],
)
def test_rapl_that_cannot_be_read_is_null_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, quality: str
) -> None:
    put(tmp_path, TWO_SOCKETS)
    read_text = Path.read_text

    def refuse(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name == "energy_uj":
            raise error
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = {item.field: item for item in Machine(tmp_path, Path("/")).read(0.0)}
    for name in ("power_watts", "energy_import_watt_hours"):
        assert (found[name].value, found[name].quality) == (None, quality)


HWMON = "sys/class/hwmon/hwmon"


@pytest.mark.parametrize(
    ("files", "celsius"),
    [
        (  # two Intel sockets: the hotter package; cores and the disk do not count
            {
                f"{HWMON}0/name": "nvme",
                f"{HWMON}0/temp1_label": "Composite",
                f"{HWMON}0/temp1_input": 99_000,
                f"{HWMON}1/name": "coretemp",
                f"{HWMON}1/temp1_label": "Package id 0",
                f"{HWMON}1/temp1_input": 61_000,
                f"{HWMON}1/temp2_label": "Core 0",
                f"{HWMON}1/temp2_input": 88_000,
                f"{HWMON}2/name": "coretemp",
                f"{HWMON}2/temp1_label": "Package id 1",
                f"{HWMON}2/temp1_input": 63_500,
            },
            63.5,
        ),
        (  # AMD: Tctl carries an offset, Tdie does not
            {
                f"{HWMON}0/name": "k10temp",
                f"{HWMON}0/temp1_label": "Tctl",
                f"{HWMON}0/temp1_input": 80_000,
                f"{HWMON}0/temp2_label": "Tdie",
                f"{HWMON}0/temp2_input": 53_000,
            },
            53.0,
        ),
        (
            {
                f"{HWMON}0/name": "k10temp",
                f"{HWMON}0/temp1_label": "Tctl",
                f"{HWMON}0/temp1_input": 47_250,
                f"{HWMON}0/temp3_label": "Tccd1",
                f"{HWMON}0/temp3_input": 90_000,
            },
            47.25,
        ),
        (  # Arm without hwmon
            {
                "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
                "sys/class/thermal/thermal_zone0/temp": 48_312,
                "sys/class/thermal/thermal_zone1/type": "battery",
                "sys/class/thermal/thermal_zone1/temp": 90_000,
            },
            48.312,
        ),
    ],
)
def test_the_temperature_is_the_hottest_package(
    tmp_path: Path, files: dict[str, Any], celsius: float
) -> None:
    put(tmp_path, files)
    assert values_of(Machine(tmp_path, Path("/")), 0.0)["temperature_celsius"] == celsius


def test_one_sensor_that_fails_does_not_hide_the_other(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            f"{HWMON}1/name": "coretemp",
            f"{HWMON}1/temp1_label": "Package id 0",
            f"{HWMON}1/temp1_input": 61_000,
            f"{HWMON}2/name": "coretemp",
            f"{HWMON}2/temp1_label": "Package id 1",
        },
    )
    (tmp_path / f"{HWMON}2/temp1_input").mkdir()  # reading it fails with EISDIR
    machine = Machine(tmp_path, Path("/"))
    assert values_of(machine, 0.0)["temperature_celsius"] == 61.0
    (tmp_path / f"{HWMON}1/temp1_input").unlink()
    found = {item.field: item for item in machine.read(1.0)}
    assert found["temperature_celsius"].quality is Quality.EXCEPTION


@pytest.mark.parametrize(
    ("text", "quality"), [("4000000", "out_of_range"), ("-", "exception"), ("", "exception")]
)
def test_a_sensor_that_talks_nonsense_is_null(tmp_path: Path, text: str, quality: str) -> None:
    put(
        tmp_path,
        {
            f"{HWMON}0/name": "coretemp",
            f"{HWMON}0/temp1_label": "Package id 0",
            f"{HWMON}0/temp1_input": text,
        },
    )
    found = {item.field: item for item in Machine(tmp_path, Path("/")).read(0.0)}
    assert (found["temperature_celsius"].value, found["temperature_celsius"].quality) == (
        None,
        quality,
    )


def test_only_interfaces_with_a_device_count(tmp_path: Path) -> None:
    put(tmp_path, {"proc/net/dev": NET, "sys/class/net/bond0/mtu": 1500})
    (tmp_path / "sys/class/net/eth1/device").mkdir(parents=True)
    values = values_of(Machine(tmp_path, Path("/")), 0.0)
    assert values["network_received_bytes_total"] == 20.0
    assert values["network_sent_bytes_total"] == 2.0


def test_the_disk_is_seen_from_the_root(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    found = {item.field: item for item in Machine(tmp_path, Path("/srv")).read(0.0)}
    facts = os.statvfs(tmp_path)
    assert found["disk_total_bytes"].value == facts.f_blocks * facts.f_frsize
    assert found["disk_total_bytes"].where == f"statvfs {tmp_path}/srv"
