# SPDX-License-Identifier: Apache-2.0
"""The NVML driver's source, over a binding of a few lines of Python."""

# ruff: noqa: N802 - the names are NVIDIA's

import asyncio
import logging
import sys
import threading
import types
from typing import Any, cast

import pytest
from agents.nvml_one_gpu import OneGpu, RefusalError

from rackwatt.agents.nvml import Settings, create
from rackwatt.agents.nvml import source as source_module
from rackwatt.agents.nvml.binding import GPU_IS_LOST
from rackwatt.agents.nvml.source import NvmlSource
from rackwatt.agents.nvml.xid import XidWatch, event_of
from rackwatt.agents.source import Context, StartError
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Event

MODULE = "a_binding_made_by_the_test"


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


async def test_a_fatal_binding_ends_the_start() -> None:
    source = create(Settings(binding="no_such_module_anywhere", required=False), context())
    with pytest.raises(StartError, match="cannot import"):
        await source.start()
    await source.aclose()


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
