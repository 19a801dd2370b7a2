# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the `pynvml` binding on a simulated node.

`open_node("<gpus.json>#<node>")` gives an object with the calls that the NVML agent makes, under
pynvml's names, units and errors. An agent is pointed at it by its configuration
(`binding: rackwatt.twin.nvml:open_node`), and does not know. It proves the agent's path from its
calls on; it proves nothing about a real driver.
"""

# ruff: noqa: N802, N803, N815 - the names are NVIDIA's

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pynvml

from rackwatt.twin.gpufile import GpuFacts, Layout, Values, read_layout
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock

_STALE_MS: Final = 10_000
"""The twin is gone when it has written nothing for so long."""
_POLL_SECONDS: Final = 0.1
_EVENT_XID: Final = 8
_MEMORY_RESERVE: Final = 600 * 2**20
_UNSIGNED_INT: Final = 1
"""`NVML_VALUE_TYPE_UNSIGNED_INT`."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A GPU: its row in the twin's file."""

    row: int
    index: int


@dataclass(frozen=True, slots=True)
class _Union:
    uiVal: int
    dVal: float = 0.0
    ulVal: int = 0
    ullVal: int = 0
    sllVal: int = 0
    siVal: int = 0
    usVal: int = 0


@dataclass(frozen=True, slots=True)
class _FieldValue:
    fieldId: int
    valueType: int
    nvmlReturn: int
    value: _Union


@dataclass(frozen=True, slots=True)
class _Utilization:
    gpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class _Memory:
    total: int
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class _EventData:
    device: Handle
    eventType: int
    eventData: int


class _EventSet:
    """The GPUs that are listened to, and how many XIDs each has had."""

    def __init__(self) -> None:
        self.seen: dict[Handle, int] = {}


class NodeBinding:
    """The calls of `pynvml` on one node.

    Args:
        file: the twin's `gpus.json`.
        node: name of the node.
        clock: to notice that the twin is gone.
    """

    NVMLError: Final[type[Exception]] = pynvml.NVMLError

    def __init__(self, file: Path, node: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._file = file
        self._node = node
        self._clock = clock
        self._layout: Layout | None = None
        self._values: Values | None = None

    # library

    def nvmlInit(self) -> None:
        """Map the twin's file; DRIVER_NOT_LOADED while the twin has not written it."""
        try:
            layout = read_layout(self._file)
            values = Values(layout, self._file)
        except (OSError, ValueError) as error:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED) from error
        if self._node not in layout.nodes or self._stale(values):
            values.close()
            raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        self._layout, self._values = layout, values

    def nvmlShutdown(self) -> None:
        """Let go."""
        if self._values is not None:
            self._values.close()
        self._values = None

    def nvmlSystemGetDriverVersion(self) -> str:
        """A version that says what this is."""
        return "570.0-simulated"

    def nvmlDeviceGetCount(self) -> int:
        """How many GPUs the node has; a lost one counts."""
        self._open()
        return self._need_layout().nodes[self._node].count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:
        """The GPU at `index`."""
        self._open()
        facts = self._need_layout().nodes[self._node]
        if not 0 <= index < facts.count:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        handle = Handle(facts.first + index, index)
        self._number(handle, "lost")
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: str | bytes) -> Handle:
        """The GPU with this UUID."""
        wanted = uuid.decode() if isinstance(uuid, bytes) else uuid
        facts = self._need_layout().nodes[self._node]
        for index in range(facts.count):
            if self._need_layout().gpus[facts.first + index].uuid == wanted:
                return self.nvmlDeviceGetHandleByIndex(index)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    # what a GPU is

    def nvmlDeviceGetUUID(self, handle: Handle) -> str:
        """`GPU-…`."""
        return self._facts(handle).uuid

    def nvmlDeviceGetName(self, handle: Handle) -> str:
        """The product's name."""
        return self._facts(handle).name

    def nvmlDeviceGetSerial(self, handle: Handle) -> str:
        """The board's serial number."""
        return self._facts(handle).serial

    def nvmlDeviceGetIndex(self, handle: Handle) -> int:
        """Its place in the node."""
        self._open()
        return handle.index

    # what it does

    def nvmlDeviceGetPowerUsage(self, handle: Handle) -> int:
        """Milliwatts, mean of the last second."""
        return self._whole(handle, "power_milliwatts")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Handle) -> int:
        """Millijoules since the driver was loaded."""
        return self._whole(handle, "energy_millijoules")

    def nvmlDeviceGetTemperatureV(self, handle: Handle, sensor: int = 0) -> int:
        """Degrees Celsius."""
        return self._whole(handle, "temperature")

    def nvmlDeviceGetTemperature(self, handle: Handle, sensor: int = 0) -> int:
        """Degrees Celsius."""
        return self._whole(handle, "temperature")

    def nvmlDeviceGetFieldValues(
        self, handle: Handle, fieldIds: Sequence[int]
    ) -> list[_FieldValue]:
        """Instantaneous power (186, mW) and memory temperature (82); others are not supported."""
        columns = {186: "instant_milliwatts", 82: "memory_temperature"}
        answers: list[_FieldValue] = []
        for number in fieldIds:
            column = columns.get(number)
            if column is None:
                code = pynvml.NVML_ERROR_NOT_SUPPORTED
                answers.append(_FieldValue(number, _UNSIGNED_INT, code, _Union(0)))
            else:
                value = _Union(self._whole(handle, column))
                answers.append(_FieldValue(number, _UNSIGNED_INT, 0, value))
        return answers

    def nvmlDeviceGetUtilizationRates(self, handle: Handle) -> _Utilization:
        """Percent."""
        return _Utilization(
            self._whole(handle, "utilization"), self._whole(handle, "memory_utilization")
        )

    def nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> _Memory:
        """Bytes; without a version the driver's reserve counts as used."""
        total = self._facts(handle).memory_bytes
        used = self._whole(handle, "memory_used") + (0 if version else _MEMORY_RESERVE)
        return _Memory(total, used, total - used)

    def nvmlDeviceGetClockInfo(self, handle: Handle, type: int) -> int:  # noqa: A002
        """Megahertz: 2 is the memory's clock, others follow the multiprocessors'."""
        column = "memory_megahertz" if type == pynvml.NVML_CLOCK_MEM else "sm_megahertz"
        return self._whole(handle, column)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: Handle) -> int:
        """Bits: idle, or the power cap."""
        return self._whole(handle, "reasons")

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Handle) -> int:
        """Milliwatts."""
        self._number(handle, "lost")
        return self._facts(handle).limit_milliwatts

    def nvmlDeviceGetTotalEccErrors(self, handle: Handle, errorType: int, counterType: int) -> int:
        """None ever."""
        self._number(handle, "lost")
        return 0

    def nvmlDeviceGetRemappedRows(self, device: Handle) -> tuple[int, int, int, int]:
        """None ever."""
        self._number(device, "lost")
        return (0, 0, 0, 0)

    def nvmlDeviceGetPcieReplayCounter(self, handle: Handle) -> int:
        """None ever."""
        self._number(handle, "lost")
        return 0

    def nvmlDeviceGetMigMode(self, device: Handle) -> list[int]:
        """Off, and to stay off."""
        self._number(device, "lost")
        return [0, 0]

    def nvmlDeviceGetPerformanceState(self, handle: Handle) -> int:
        """0 under load, 8 idle."""
        return self._whole(handle, "performance_state")

    # events

    def nvmlEventSetCreate(self) -> _EventSet:
        """An empty set."""
        self._open()
        return _EventSet()

    def nvmlDeviceRegisterEvents(self, handle: Handle, eventTypes: int, eventSet: Any) -> None:
        """Listen for XIDs from now on."""
        if not eventTypes & _EVENT_XID:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        eventSet.seen[handle] = int(self._raw(handle, "xid_count"))

    def nvmlEventSetWait_v2(self, eventSet: Any, timeoutms: int) -> _EventData:
        """The next XID; TIMEOUT when none comes."""
        deadline = self._clock.monotonic() + timeoutms / 1000.0
        while True:
            for handle, seen in eventSet.seen.items():
                count = int(self._raw(handle, "xid_count"))
                if count != seen:
                    eventSet.seen[handle] = count
                    return _EventData(handle, _EVENT_XID, int(self._raw(handle, "xid_code")))
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
            time.sleep(min(_POLL_SECONDS, left))

    def nvmlEventSetFree(self, eventSet: Any) -> None:
        """Stop listening."""
        eventSet.seen.clear()

    # inside

    def _open(self) -> Values:
        if self._values is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        return self._values

    def _need_layout(self) -> Layout:
        if self._layout is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        return self._layout

    def _stale(self, values: Values) -> bool:
        return not values.generation or self._clock.now_ms() - values.time_ms > _STALE_MS

    def _facts(self, handle: Handle) -> GpuFacts:
        self._open()
        return self._need_layout().gpus[handle.row]

    def _raw(self, handle: Handle, column: str) -> float:
        return self._open().get(handle.row, column)

    def _number(self, handle: Handle, column: str) -> float:
        values = self._open()
        if self._stale(values):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        if values.get(handle.row, "lost"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return values.get(handle.row, column)

    def _whole(self, handle: Handle, column: str) -> int:
        return int(self._number(handle, column))


def open_node(argument: str) -> NodeBinding:
    """The binding of a node: `"<path of gpus.json>#<node>"`.

    Raises:
        ValueError: the argument has another form.
    """
    file, mark, node = argument.rpartition("#")
    if not mark or not file or not node:
        raise ValueError(f"expected '<gpus.json>#<node>', got {argument!r}")
    return NodeBinding(Path(file), node)
