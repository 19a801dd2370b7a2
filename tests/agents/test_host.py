# SPDX-License-Identifier: Apache-2.0
"""The host driver: captured /proc trees, /sys trees made from the kernel's documentation."""

import json
import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rackwatt.agents import host
from rackwatt.agents.host import Settings, create, parsers
from rackwatt.agents.host import source as source_module
from rackwatt.agents.host.machine import Machine
from rackwatt.agents.settings import load_config
from rackwatt.agents.source import Context, StartError
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.readings import FIELDS, Quality

FOLDER = Path(host.__file__).parent
CAPTURES = sorted((Path(__file__).parent / "test_host_captures").iterdir())
DISK = {"disk_used_bytes", "disk_total_bytes"}


def put(root: Path, files: dict[str, Any]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def take(root: Path, capture: Path) -> None:
    shutil.copytree(capture, root, dirs_exist_ok=True)


def values_of(machine: Machine, now: float) -> dict[str, float | None]:
    return {item.field: item.value for item in machine.read(now)}


# captures


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


# parsers


@given(st.lists(st.integers(0, 10**12), min_size=8, max_size=10))
def test_busy_and_idle_make_the_total(ticks: list[int]) -> None:
    times = parsers.cpu_times("cpu  " + " ".join(map(str, ticks)) + "\ncpu0 1 2 3 4 5 6 7 8\n")
    assert times.total == sum(ticks[:8])
    assert times.total - times.busy == ticks[3] + ticks[4]


@given(*[st.integers(0, 10**9)] * 4)
def test_utilisation_is_a_ratio_or_unknown(a: int, b: int, c: int, d: int) -> None:
    before, after = (parsers.CpuTimes(busy=x, total=x + y) for x, y in ((a, b), (c, d)))
    value = parsers.utilization(before, after)
    assert value is None or 0.0 <= value <= 1.0
    assert (value is None) == (after.total <= before.total)


def test_memory_of_an_old_kernel_counts_buffers_and_cache_as_free() -> None:
    text = "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 50 kB\nCached: 150 kB\n"
    assert parsers.memory(text) == (500 * 1024, 1000 * 1024)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parsers.cpu_times, ""),
        (parsers.cpu_times, "intr 1 2 3\n"),
        (parsers.cpu_times, "cpu 1 2 x 4\n"),
        (parsers.memory, "MemTotal: 1000 kB\n"),
        (parsers.memory, "\x00\x00"),
        (parsers.first_number, ""),
        (parsers.first_number, "many\n"),
        (lambda text: parsers.network(text, ()), "eth0: 1 2 3\n"),
    ],
)
def test_nonsense_is_refused(parse: Any, text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


NET = """\
Inter-|   Receive                       |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop ...
    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
 bond0: 30 1 0 0 0 0 0 0 3 1 0 0 0 0 0 0
  eth0: 10 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  eth1:20 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0
"""


def test_network_counts_physical_interfaces_once() -> None:
    assert parsers.network(NET, {"eth0", "eth1"}) == (30, 3)
    assert parsers.network(NET, ()) == (60, 6)  # none known: all but lo


@given(
    modulus=st.integers(10**9, 2**48),
    start=st.integers(0, 2**48),
    steps=st.lists(st.integers(0, 400_000_000), max_size=50),
)
def test_a_counter_that_rolls_over_adds_up(modulus: int, start: int, steps: list[int]) -> None:
    """Read each second at up to 400 W: every roll-over is taken out, nothing is lost."""
    position, total = start % modulus, 0
    for step in steps:
        after = (position + step) % modulus
        total += parsers.counter_step(position, after, modulus, 1.0)
        position = after
    assert total == sum(steps)


def test_a_counter_that_starts_anew_counts_nothing() -> None:
    assert parsers.counter_step(100_000_000_000, 5, 262_143_328_850, 1.0) == 0
    assert parsers.counter_step(5, 7, 10, 0.0) == 0


# sensors


TWO_SOCKETS = {
    "sys/class/powercap/intel-rapl/enabled": 1,
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": 262_143_000_000,
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:0:0/name": "dram",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": 999,
    "sys/class/powercap/intel-rapl:1/name": "package-1",
    "sys/class/powercap/intel-rapl:1/energy_uj": 1_000_000,
    "sys/class/powercap/intel-rapl:1/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:2/name": "psys",
    "sys/class/powercap/intel-rapl:2/energy_uj": 5,
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": 7,
}


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


# the source


def test_the_fields_are_the_contracts() -> None:
    made_by_the_loop = {"power_min_watts", "power_max_watts"}
    assert {*Machine(Path("/"), Path("/")).fields} == set(FIELDS["host"]) - made_by_the_loop


def test_the_example_is_a_valid_configuration() -> None:
    assert load_config(FOLDER / "example.yaml").config.source == "host"


def test_the_readme_lists_every_option() -> None:
    text = (FOLDER / "README.md").read_text().split("## What is read")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(Settings.model_fields)


@pytest.mark.parametrize("wrong", [{"rot": "/"}, {"timeout": 0}, {"node": ""}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


async def test_rounds_on_a_capture(tmp_path: Path) -> None:
    (capture,) = [path for path in CAPTURES if path.name == "linux-6.18-virtual"]
    take(tmp_path / "host", capture / "first")
    clock = ManualClock()
    context = Context(node="n1", clock=clock, config_dir=tmp_path)
    source = create(Settings(root=Path("host")), context)  # relative to the configuration
    assert list(source.inventory()) == []
    assert list(await source.sample()) == []
    await source.start()
    try:
        take(tmp_path / "host", capture / "second")
        clock.advance(4.48)
        (sample,) = await source.sample()
        (item,) = source.inventory()
    finally:
        await source.aclose()
        await source.aclose()
    assert (sample.kind, sample.device) == ("host", "n1")
    assert sample.values["cpu_utilization_ratio"] == pytest.approx(151 / 1789)
    assert sample.quality["temperature_celsius"] is Quality.NOT_SUPPORTED
    assert sum(context.errors.counts.values()) == 0
    assert (item.device, item.model, item.firmware) == ("n1", "AMD EPYC", "Linux 6.18.44")
    assert item.registers == {}  # no RAPL in a virtual machine
    reading_of(sample, 1)


async def test_the_inventory_has_the_energy_register_where_there_is_rapl(tmp_path: Path) -> None:
    put(tmp_path, {**TWO_SOCKETS, "proc/stat": "cpu 1 2 3 4"})
    source = create(Settings(root=tmp_path), Context(node="n1", clock=ManualClock()))
    await source.start()
    (item,) = source.inventory()
    await source.aclose()
    register = item.registers["energy_import_watt_hours"]
    assert register.modulus_watt_hours is None  # the driver takes the roll-overs out
    assert register.resolution_watt_hours == pytest.approx(1e-6 / 3600)


async def test_files_that_do_not_answer_at_start_are_tried_again(tmp_path: Path) -> None:
    put(tmp_path, {"proc/stat": "cpu 1 2 3 4"})
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    pipe = tmp_path / "proc/sys/kernel/osrelease"
    os.mkfifo(pipe)
    source = create(Settings(root=tmp_path, timeout=0.05), Context(node="n1"))
    with pytest.raises(StartError, match="no answer within") as caught:
        await source.start()
    assert caught.value.kind == "retry"
    pipe.write_text("6.18\n")  # lets the reader go


async def test_a_broken_file_is_null_counted_and_the_others_go_on(tmp_path: Path) -> None:
    (capture,) = [path for path in CAPTURES if path.name == "linux-6.18-virtual"]
    take(tmp_path, capture / "first")
    put(tmp_path, {"proc/meminfo": "MemTotal: lots"})
    context = Context(node="n1", clock=ManualClock())
    source = create(Settings(root=tmp_path, node="other"), context)
    await source.start()
    try:
        (sample,) = await source.sample()
    finally:
        await source.aclose()
    assert sample.device == "other"
    assert sample.values["memory_used_bytes"] is None
    assert sample.quality["memory_used_bytes"] is Quality.EXCEPTION
    assert sample.values["uptime_seconds"] == 2380.16
    assert context.errors.counts[Quality.EXCEPTION] == 2


async def test_a_file_that_hangs_times_out(tmp_path: Path) -> None:
    """A pipe without a writer blocks as a sensor on a stuck bus does."""
    (capture,) = [path for path in CAPTURES if path.name == "linux-6.18-virtual"]
    take(tmp_path, capture / "first")
    context = Context(node="n1", clock=ManualClock())
    source = create(Settings(root=tmp_path, timeout=0.05), context)
    await source.start()
    uptime = tmp_path / "proc/uptime"
    uptime.unlink()
    os.mkfifo(uptime)
    try:
        for _ in range(2):
            (sample,) = await source.sample()
            assert set(sample.values.values()) == {None}
            assert set(sample.quality.values()) == {Quality.TIMEOUT}
    finally:
        uptime.write_text("1.0 1.0\n")  # lets the reader go
        await source.aclose()
    assert context.errors.counts[Quality.TIMEOUT] == 2 * 12


async def test_another_system_is_told_clearly(tmp_path: Path) -> None:
    source = create(Settings(root=tmp_path), Context(node="n1"))
    with pytest.raises(StartError, match="reads Linux's /proc and /sys, and this is") as caught:
        await source.start()
    assert caught.value.kind == "fatal"
    await source.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no /proc")
async def test_this_machine(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The real thing: what every Linux has must be there, and nothing is logged."""
    monkeypatch.setattr(source_module, "_PROBE_SECONDS", 0.05)
    context = Context(node="n1")
    source = create(Settings(timeout=5.0), context)
    with caplog.at_level(logging.WARNING):
        await source.start()
        try:
            rows = {row.field: row for row in await source.probe()}
            (sample,) = await source.sample()
        finally:
            await source.aclose()
    for name in ("memory_total_bytes", "uptime_seconds", "disk_total_bytes"):
        assert rows[name].value
        assert sample.values[name]
    assert rows["memory_total_bytes"].unit == "By"
    assert context.errors.counts[Quality.EXCEPTION] == 0
    assert caplog.text == ""
    reading_of(sample, 1)
