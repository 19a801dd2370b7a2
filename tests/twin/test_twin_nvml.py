# SPDX-License-Identifier: Apache-2.0
"""The GPU binding: behaves like pynvml, and the unmodified agent reads it."""

from collections.abc import Callable

import pynvml
import pytest

from rackwatt.agents.nvml.binding import Binding
from rackwatt.agents.settings import load_config
from rackwatt.twin import Kit
from rackwatt.twin.gpufile import Values, read_layout
from rackwatt.twin.nvml import NodeBinding, open_node
from rackwatt.twin.site import SimulatedSite
from rackwatt.wire.clock import ManualClock

NOON = 1_782_044_460.0
Start = Callable[..., SimulatedSite]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(round(NOON * 1000))


@pytest.fixture
def node(kit: Kit, clock: ManualClock) -> NodeBinding:
    return NodeBinding(kit.gpu_file, "r1-01-n1", clock)


def error_of(call: Callable[[], object]) -> type[Exception]:
    with pytest.raises(pynvml.NVMLError) as caught:
        call()
    return type(caught.value)


def test_it_fits_the_agents_protocol(node: NodeBinding) -> None:
    wanted = [name for name in dir(Binding) if name.startswith("nvml")]
    assert len(wanted) > 20
    # One call is older than the simulated driver, which has its successor.
    assert [name for name in wanted if not hasattr(node, name)] == [
        "nvmlDeviceGetCurrentClocksThrottleReasons"
    ]
    assert node.NVMLError is pynvml.NVMLError


def test_no_driver_before_the_first_tick(node: NodeBinding) -> None:
    assert error_of(node.nvmlInit) is pynvml.NVMLError_DriverNotLoaded
    assert error_of(node.nvmlDeviceGetCount) is pynvml.NVMLError_Uninitialized


def test_values_in_the_drivers_units(start_site: Start, node: NodeBinding) -> None:
    site = start_site(NOON)
    node.nvmlInit()
    assert node.nvmlDeviceGetCount() == 4
    handle = node.nvmlDeviceGetHandleByIndex(1)
    floor = site.world.floor
    assert node.nvmlDeviceGetPowerUsage(handle) == round(floor.gpu_power[1] * 1000)
    energy = (floor.gpu_energy[1] + site.gpus.offsets[1]) * 3.6e6
    assert node.nvmlDeviceGetTotalEnergyConsumption(handle) == pytest.approx(energy, abs=1)
    instant, memory, strange = node.nvmlDeviceGetFieldValues(handle, [186, 82, 999])
    assert instant.value.uiVal == round(floor.gpu_instant[1] * 1000)
    assert memory.value.uiVal > node.nvmlDeviceGetTemperatureV(handle)
    assert strange.nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert node.nvmlDeviceGetUUID(handle).startswith("GPU-")
    assert node.nvmlDeviceGetHandleByUUID(node.nvmlDeviceGetUUID(handle)) == handle
    assert "H100" in node.nvmlDeviceGetName(handle)
    assert node.nvmlDeviceGetEnforcedPowerLimit(handle) == 700_000
    memory_v2 = node.nvmlDeviceGetMemoryInfo(handle, 0x02000028)
    assert memory_v2.used < node.nvmlDeviceGetMemoryInfo(handle).used <= memory_v2.total
    assert 0 <= node.nvmlDeviceGetUtilizationRates(handle).gpu <= 100
    assert node.nvmlDeviceGetMigMode(handle) == [0, 0]
    assert error_of(lambda: node.nvmlDeviceGetHandleByIndex(4)) is (
        pynvml.NVMLError_InvalidArgument
    )
    assert error_of(lambda: node.nvmlDeviceGetHandleByUUID("GPU-0")) is pynvml.NVMLError_NotFound
    node.nvmlShutdown()
    assert error_of(lambda: node.nvmlDeviceGetPowerUsage(handle)) is (
        pynvml.NVMLError_Uninitialized
    )


def test_energy_and_power_agree_from_tick_to_tick(start_site: Start, node: NodeBinding) -> None:
    site = start_site(NOON)
    node.nvmlInit()
    handle = node.nvmlDeviceGetHandleByIndex(0)
    for i in range(1, 20):
        before = node.nvmlDeviceGetTotalEnergyConsumption(handle)
        site.tick(NOON + i)
        gained = node.nvmlDeviceGetTotalEnergyConsumption(handle) - before
        assert gained == pytest.approx(node.nvmlDeviceGetPowerUsage(handle), abs=2)  # mW in 1 s
    node.nvmlShutdown()


def test_a_lost_gpu_raises_and_others_go_on(start_site: Start, node: NodeBinding) -> None:
    site = start_site(NOON)
    node.nvmlInit()
    handles = [node.nvmlDeviceGetHandleByIndex(i) for i in range(4)]
    site.inject("gpu_lost", "r1-01-n1/2")
    assert error_of(lambda: node.nvmlDeviceGetPowerUsage(handles[2])) is pynvml.NVMLError_GpuIsLost
    assert error_of(lambda: node.nvmlDeviceGetMigMode(handles[2])) is pynvml.NVMLError_GpuIsLost
    assert node.nvmlDeviceGetPowerUsage(handles[1]) > 0
    assert node.nvmlDeviceGetCount() == 4
    site.clear()
    assert node.nvmlDeviceGetPowerUsage(handles[2]) > 0
    node.nvmlShutdown()


def test_an_xid_wakes_the_waiter_once(start_site: Start, kit: Kit) -> None:
    site = start_site(NOON)
    node = NodeBinding(kit.gpu_file, "r1-01-n1", ManualClock(round(NOON * 1000)))
    node.nvmlInit()
    events = node.nvmlEventSetCreate()
    for i in range(4):
        node.nvmlDeviceRegisterEvents(node.nvmlDeviceGetHandleByIndex(i), 8, events)
    site.inject("xid", "r1-01-n1/3", value=63)
    event = node.nvmlEventSetWait_v2(events, 0)
    assert (event.device.index, event.eventType, event.eventData) == (3, 8, 63)
    assert error_of(lambda: node.nvmlEventSetWait_v2(events, 0)) is pynvml.NVMLError_Timeout
    node.nvmlEventSetFree(events)
    node.nvmlShutdown()


def test_without_the_twin_every_value_times_out(
    start_site: Start, node: NodeBinding, clock: ManualClock
) -> None:
    start_site(NOON)
    node.nvmlInit()
    handle = node.nvmlDeviceGetHandleByIndex(0)
    clock.advance(11.0)
    assert error_of(lambda: node.nvmlDeviceGetPowerUsage(handle)) is pynvml.NVMLError_Timeout
    node.nvmlShutdown()
    assert error_of(node.nvmlInit) is pynvml.NVMLError_DriverNotLoaded


def test_an_unknown_node_has_no_driver(start_site: Start, kit: Kit, clock: ManualClock) -> None:
    start_site(NOON)
    stranger = NodeBinding(kit.gpu_file, "r9-99-n1", clock)
    assert error_of(stranger.nvmlInit) is pynvml.NVMLError_DriverNotLoaded


def test_the_argument_names_file_and_node() -> None:
    with pytest.raises(ValueError, match="#<node>"):
        open_node("/somewhere/gpus.json")


def test_building_again_keeps_the_counters(start_site: Start, kit: Kit) -> None:
    start_site(NOON)
    layout = read_layout(kit.gpu_file)
    values = Values(layout, kit.gpu_file)
    before = values.get(5, "energy_millijoules")
    assert before > 0
    assert values.generation > 0
    values.close()
    again = Values(read_layout(kit.gpu_file), kit.gpu_file)
    assert again.get(5, "energy_millijoules") == before
    again.close()


async def test_the_agent_reads_all_gpus_of_a_node(
    start_site: Start, kit: Kit, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    site = start_site(NOON)
    # The site stands at noon of some June day: let the binding believe so too.
    monkeypatch.setattr(
        "rackwatt.twin.nvml.open_node",
        lambda argument: NodeBinding(kit.gpu_file, argument.rpartition("#")[2], clock),
    )
    file = next(file for file in kit.node_agent_files if file.stem == "r2-01-n2")
    source = load_config(file).create_source()
    await source.start()
    try:
        samples = await source.sample()
        items = source.inventory()
    finally:
        await source.aclose()
    assert len(samples) == len(items) == 4
    first = next(node.first for node in site.world.floor.nodes if node.id == "r2-01-n2")
    for sample in samples:
        row = next(
            row for row, gpu in enumerate(site.layout.gpus) if sample.device.endswith(gpu.uuid)
        )
        assert first <= row < first + 4
        assert sample.device.startswith("r2-01-n2/GPU-")
        power = sample.values["power_watts"]
        assert power == pytest.approx(site.world.floor.gpu_power[row], abs=1e-3)
        assert not {name for name in sample.quality if name != "mig_enabled_ratio"}
