# SPDX-License-Identifier: Apache-2.0
"""The host driver: its configuration, and its rounds on captured trees and on this machine."""

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from agents.host_trees import CAPTURES, TWO_SOCKETS, put, take
from pydantic import ValidationError

from rackwatt.agents import host
from rackwatt.agents.host import Settings, create
from rackwatt.agents.host import source as source_module
from rackwatt.agents.host.machine import Machine
from rackwatt.agents.settings import load_config
from rackwatt.agents.source import Context, StartError
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.readings import FIELDS, Quality

FOLDER = Path(host.__file__).parent


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
