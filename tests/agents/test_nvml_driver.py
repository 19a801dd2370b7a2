# SPDX-License-Identifier: Apache-2.0
"""The NVML driver's parts, over a binding of a few lines of Python."""

# ruff: noqa: N802 - the names are NVIDIA's

import asyncio
import logging
import re
import subprocess
import sys
import threading
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rackwatt.agents import nvml
from rackwatt.agents.nvml import Settings, create
from rackwatt.agents.nvml import source as source_module
from rackwatt.agents.nvml.binding import (
    DRIVER_GONE,
    GPU_GONE,
    GPU_IS_LOST,
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
from rackwatt.agents.nvml.xid import KNOWN, XidWatch, event_of, handle_key
from rackwatt.agents.settings import load_config
from rackwatt.agents.source import Context, StartError
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.readings import FIELDS, Quality
from rackwatt.wire.sample import Event, Sample

FOLDER = Path(nvml.__file__).parent
MODULE = "a_binding_made_by_the_test"


class RefusalError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


class OneGpu:
    """A binding of one GPU that knows power only; everything else is missing."""

    NVMLError = RefusalError

    def __init__(self, argument: str | None = None) -> None:
        self.argument = argument
        self.milliwatts = 300_000

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{self.argument or 'x'}"

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self.milliwatts


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch) -> OneGpu:
    """The binding that `MODULE:open_node` opens."""
    opened = OneGpu()

    def open_node(argument: str | None = None) -> OneGpu:
        opened.argument = argument
        return opened

    module = types.ModuleType(MODULE)
    module.open_node = open_node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    return opened


SETTINGS = Settings(binding=f"{MODULE}:open_node", binding_argument="tray-7")


def context() -> Context:
    return Context(node="n1", clock=ManualClock())


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


async def test_a_fatal_binding_ends_the_start() -> None:
    source = create(Settings(binding="no_such_module_anywhere", required=False), context())
    with pytest.raises(StartError, match="cannot import"):
        await source.start()
    await source.aclose()


# the source on another binding


async def test_a_stand_in_may_leave_out_calls(binding: OneGpu) -> None:
    """What it lacks is `not_supported`, and counts as no error."""
    agent = context()
    source = create(SETTINGS, agent)
    await source.start()
    try:
        (sample,) = await source.sample()
    finally:
        await source.aclose()
    assert sample.device == "n1/GPU-tray-7"
    assert sample.values["power_watts"] == 300.0
    others = {name: code for name, code in sample.quality.items() if name != "power_watts"}
    assert set(others.values()) == {Quality.NOT_SUPPORTED}
    assert sum(agent.errors.counts.values()) == 0
    assert reading_of(sample, 1).device == sample.device


async def test_nonsense_is_null_and_counted(binding: OneGpu) -> None:
    binding.milliwatts = 2**32 - 1  # 4.3 MW
    agent = context()
    source = create(SETTINGS, agent)
    await source.start()
    try:
        (sample,) = await source.sample()
    finally:
        await source.aclose()
    assert sample.values["power_watts"] is None
    assert sample.quality["power_watts"] is Quality.OUT_OF_RANGE
    assert agent.errors.counts[Quality.OUT_OF_RANGE] == 1


async def test_a_storm_of_events_is_bounded_and_the_drops_are_told(binding: OneGpu) -> None:
    source = NvmlSource(SETTINGS, context())
    await source.start()
    try:
        for _ in range(1500):
            source._report("n1/GPU-tray-7", event_of(31))
        events = [s for s in await source.sample() if s.event is not None]
        quiet = [s for s in await source.sample() if s.event is not None]
    finally:
        await source.aclose()
    assert len(events) == 1001
    assert events[-1].event == Event(
        "events_dropped",
        "warning",
        "500 events of this node came faster than they could be passed on",
    )
    assert quiet == []


async def test_events_of_the_node_do_not_use_the_host_agents_device(binding: OneGpu) -> None:
    """A device belongs to one agent: `n1` is reported by the host agent."""
    source = NvmlSource(SETTINGS, context())
    await source.start()
    try:
        assert source._node is not None
        source._node._event("", event_of(79))
        events = [s for s in await source.sample() if s.event is not None]
    finally:
        await source.aclose()
    assert [event.device for event in events] == ["n1/nvml"]


async def test_a_driver_that_does_not_answer_at_start_is_tried_again(
    binding: OneGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(source_module, "_START_TIMEOUT", 0.05)
    monkeypatch.setattr(binding, "nvmlInit", release.wait)
    source = create(SETTINGS, context())
    with pytest.raises(StartError, match="no answer within") as caught:
        await source.start()
    assert caught.value.kind == "retry"
    release.set()
    await source.aclose()


def test_a_watch_that_is_stuck_in_the_driver_is_told(binding: OneGpu) -> None:
    """`stop` then says so, and NVML must not be shut down under it."""
    release = threading.Event()
    inside = threading.Event()

    class Stuck(OneGpu):
        freed = 0

        def nvmlEventSetCreate(self) -> str:
            return "set"

        def nvmlDeviceRegisterEvents(self, handle: int, types: int, events: str) -> None: ...
        def nvmlEventSetFree(self, events: str) -> None:
            self.freed += 1

        def nvmlEventSetWait_v2(self, events: str, timeoutms: int) -> Any:
            inside.set()
            release.wait()
            raise RefusalError(GPU_IS_LOST)

    nvml_ = Stuck()
    watch = XidWatch(cast("Any", nvml_), (RefusalError,), lambda device, event: None)
    assert watch.start([("n1/GPU-0", 0)])
    assert inside.wait(5)
    assert not watch.stop(timeout=0.01)
    assert nvml_.freed == 0
    release.set()
    assert watch.stop(timeout=5)
    assert nvml_.freed == 1


async def test_a_cancelled_round_does_not_break_the_next(binding: OneGpu) -> None:
    """The round that was abandoned ends first; no two run at once."""
    source = create(SETTINGS, context())
    await source.start()
    try:
        round_ = asyncio.create_task(_sample(source), name="round")
        await asyncio.sleep(0)
        round_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await round_
        assert isinstance(source, NvmlSource)
        assert source._worker is not None
        await source._worker.idle()
        (sample,) = await source.sample()
    finally:
        await source.aclose()
    assert sample.values["power_watts"] == 300.0


async def _sample(source: Any) -> Any:
    return await source.sample()


async def test_before_start_and_after_close_there_is_nothing(binding: OneGpu) -> None:
    source = create(SETTINGS, context())
    assert list(await source.sample()) == []
    assert list(source.inventory()) == []
    (row,) = await source.probe()
    assert (row.value, row.raw) == (None, "not started")
    await source.aclose()
    await source.start()
    await source.aclose()
    await source.aclose()
    assert list(await source.sample()) == []


async def test_an_explanation_is_logged_when_a_gpu_is_not_required(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Absent(OneGpu):
        def nvmlInit(self) -> None:
            raise RefusalError(12)

    module = types.ModuleType(MODULE)
    module.open_node = Absent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    source = create(Settings(binding=f"{MODULE}:open_node", required=False), context())
    with caplog.at_level(logging.WARNING):
        await source.start()
    assert "has no NVIDIA driver" in caplog.text
    assert list(await source.sample()) == []
    await source.aclose()


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
