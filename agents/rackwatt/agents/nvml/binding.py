# SPDX-License-Identifier: Apache-2.0
"""The seam to NVML: only the calls used, under the names of the `pynvml` module.

The `pynvml` module itself fits the Protocol; so does a simulated node. Units are the driver's own
and are converted in `calls.py`, once. Constants and codes: `nvml.h` of NVIDIA's driver (R570).
"""

# ruff: noqa: D102, N802, N803 - the names are NVIDIA's, so that the module fits as it is

import importlib
from collections.abc import Sequence
from typing import Final, Protocol, cast

from rackwatt.agents.source import StartError
from rackwatt.wire.readings import Quality

Handle = object
"""Opaque to us: a ctypes pointer in `pynvml`."""


class Union(Protocol):
    """A C union: only the member that `valueType` names has a meaning."""

    @property
    def dVal(self) -> float: ...
    @property
    def uiVal(self) -> int: ...
    @property
    def ulVal(self) -> int: ...
    @property
    def ullVal(self) -> int: ...
    @property
    def sllVal(self) -> int: ...
    @property
    def siVal(self) -> int: ...
    @property
    def usVal(self) -> int: ...


class FieldValue(Protocol):
    """One answer of `nvmlDeviceGetFieldValues`; each has its own return code."""

    @property
    def fieldId(self) -> int: ...
    @property
    def valueType(self) -> int: ...
    @property
    def nvmlReturn(self) -> int: ...
    @property
    def value(self) -> Union: ...


class Utilization(Protocol):
    """Percent of the last sampling period."""

    @property
    def gpu(self) -> int: ...
    @property
    def memory(self) -> int: ...


class Memory(Protocol):
    """Bytes."""

    @property
    def total(self) -> int: ...
    @property
    def used(self) -> int: ...


class EventData(Protocol):
    """One event; for an XID, `eventData` is its number."""

    @property
    def device(self) -> Handle: ...
    @property
    def eventType(self) -> int: ...
    @property
    def eventData(self) -> int: ...


class Binding(Protocol):
    """The NVML calls that this driver makes, and no others.

    Every call may raise `NVMLError`. A call that a binding does not have counts as
    FUNCTION_NOT_FOUND, so a simulated node may leave out what it does not simulate.
    """

    @property
    def NVMLError(self) -> type[Exception]:
        """The root of the binding's errors; its instances carry the code as `value`."""

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle: ...
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Handle: ...
    def nvmlDeviceGetUUID(self, handle: Handle) -> str: ...
    def nvmlDeviceGetName(self, handle: Handle) -> str: ...
    def nvmlDeviceGetSerial(self, handle: Handle) -> str: ...

    # every round
    def nvmlDeviceGetPowerUsage(self, handle: Handle) -> int:
        """Milliwatts: a 1 s average, on GA100 and before Ampere instantaneous."""

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Handle) -> int:
        """Millijoules since the driver was loaded."""

    def nvmlDeviceGetTemperatureV(self, handle: Handle, sensor: int) -> int:
        """Degrees Celsius; missing in older drivers."""

    def nvmlDeviceGetTemperature(self, handle: Handle, sensor: int) -> int:
        """Degrees Celsius; deprecated."""

    def nvmlDeviceGetFieldValues(
        self, handle: Handle, fieldIds: Sequence[int]
    ) -> Sequence[FieldValue]:
        """Several field values in one call."""

    def nvmlDeviceGetUtilizationRates(self, handle: Handle) -> Utilization:
        """Percent; not supported under MIG."""

    def nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> Memory:
        """Bytes; version 2 does not count the driver's own reserve as used."""

    def nvmlDeviceGetClockInfo(self, handle: Handle, type: int) -> int:  # noqa: A002
        """Megahertz."""

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: Handle) -> int:
        """Bits; the name since R535."""

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Handle) -> int:
        """The same bits under the older name."""

    # every `slow_every`
    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Handle) -> int:
        """Milliwatts."""

    def nvmlDeviceGetTotalEccErrors(
        self, handle: Handle, errorType: int, counterType: int
    ) -> int: ...
    def nvmlDeviceGetRemappedRows(self, device: Handle) -> tuple[int, int, int, int]:
        """Correctable, uncorrectable, pending, failed."""

    def nvmlDeviceGetPcieReplayCounter(self, handle: Handle) -> int: ...
    def nvmlDeviceGetMigMode(self, device: Handle) -> Sequence[int]:
        """Current and pending mode, 1 = on."""

    def nvmlDeviceGetPerformanceState(self, handle: Handle) -> int:
        """0 (fastest) to 15, 32 = unknown."""

    # events, in their own thread
    def nvmlEventSetCreate(self) -> object: ...
    def nvmlDeviceRegisterEvents(
        self, handle: Handle, eventTypes: int, eventSet: object
    ) -> None: ...
    def nvmlEventSetWait_v2(self, eventSet: object, timeoutms: int) -> EventData:
        """Waits at most `timeoutms` milliseconds, then raises TIMEOUT."""

    def nvmlEventSetFree(self, eventSet: object) -> None: ...


UNINITIALIZED: Final = 1
NOT_SUPPORTED: Final = 3
INVALID_ARGUMENT: Final = 2
NO_PERMISSION: Final = 4
DRIVER_NOT_LOADED: Final = 9
TIMEOUT: Final = 10
LIBRARY_NOT_FOUND: Final = 12
FUNCTION_NOT_FOUND: Final = 13
GPU_IS_LOST: Final = 15
RESET_REQUIRED: Final = 16
LIB_RM_VERSION_MISMATCH: Final = 18
ARGUMENT_VERSION_MISMATCH: Final = 25
GPU_NOT_FOUND: Final = 28
UNKNOWN: Final = 999

QUALITY: Final = {
    NOT_SUPPORTED: Quality.NOT_SUPPORTED,
    NO_PERMISSION: Quality.NOT_SUPPORTED,
    FUNCTION_NOT_FOUND: Quality.NOT_SUPPORTED,
    TIMEOUT: Quality.TIMEOUT,
}
"""The one table from NVML codes to quality; every other code is an exception."""

GPU_GONE: Final = frozenset({GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND})
"""Said by any call, these mean that the GPU as a whole cannot be read."""

STALE_HANDLE: Final = frozenset({INVALID_ARGUMENT, UNKNOWN})
"""Said by every call of a round, these mean that the handle is no longer good."""

DRIVER_GONE: Final = frozenset({UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH})
"""Said by any call, these mean that the driver was unloaded or replaced under us."""


def quality_of(code: int) -> Quality:
    """The wire's quality code of an NVML return code other than success."""
    return QUALITY.get(code, Quality.EXCEPTION)


def code_of(error: BaseException) -> int:
    """The NVML return code that an error of the binding carries; UNKNOWN where it has none."""
    if isinstance(error, AttributeError):  # a binding that is older than the call
        return FUNCTION_NOT_FOUND
    code = getattr(error, "value", None)
    return code if isinstance(code, int) else UNKNOWN


def load_binding(spec: str, argument: str | None) -> Binding:
    """Import a binding: `pynvml`, or `module:function`, which is called with `argument`.

    Raises:
        StartError: the module or the function is not there (fatal).
    """
    module_name, _, function = spec.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        hint = "; install it with: pip install 'rackwatt[nvml]'" if spec == "pynvml" else ""
        raise StartError("fatal", f"cannot import {module_name!r}: {error}{hint}") from error
    if not function:
        return cast("Binding", module)
    opener = getattr(module, function, None)
    if opener is None:
        raise StartError("fatal", f"module {module_name!r} has no function {function!r}")
    return cast("Binding", opener(argument) if argument is not None else opener())
