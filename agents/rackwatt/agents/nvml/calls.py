# SPDX-License-Identifier: Apache-2.0
"""Which NVML call yields which field, and how its unit becomes ours.

Never in here: process lists, PcieThroughput (20 ms a call) and NVLink loops: they hold a
driver-wide lock that the jobs on the node need too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.agents.nvml.binding import (
    ARGUMENT_VERSION_MISMATCH,
    FUNCTION_NOT_FOUND,
    NOT_SUPPORTED,
    Binding,
    FieldValue,
    Handle,
)

# nvml.h: nvmlTemperatureSensors_t, nvmlClockType_t, nvmlFieldValue ids, nvmlMemoryErrorType_t,
# nvmlEccCounterType_t, nvmlPstates_t, nvmlValueType_t and the version of nvmlMemory_v2_t.
_SENSOR_GPU: Final = 0
_CLOCK_SM: Final = 1
_CLOCK_MEMORY: Final = 2
FIELD_POWER_INSTANT: Final = 186
FIELD_MEMORY_TEMPERATURE: Final = 82
_ECC_CORRECTED: Final = 0
_ECC_UNCORRECTED: Final = 1
_ECC_VOLATILE: Final = 0
_PSTATE_UNKNOWN: Final = 32
_MEMORY_V2: Final = 0x02000028
_UNION_MEMBERS: Final = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
MILLIJOULES_PER_WATT_HOUR: Final = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Failure:
    """One value of a call that was refused while the call itself went through."""

    code: int


Raw = float | Failure


@dataclass(frozen=True, slots=True)
class Output:
    """One field of the contract that a call yields."""

    field: str
    unit: str
    """The driver's unit, for people who compare with the vendor's tool."""
    convert: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Call:
    """One NVML call and the fields it yields."""

    where: str
    outputs: tuple[Output, ...]
    read: Callable[[Binding, Handle], Sequence[Raw]]
    """Yields one raw value per output."""
    fallback: "Call | None" = None
    """Used instead where the driver does not have this call."""


MISSING: Final = frozenset({FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH})
"""Codes by which an older driver says that it does not have a call, or not in this version."""


def milli(value: float) -> float:
    """Thousandths to units: mW to W."""
    return value / 1000.0


def mega(value: float) -> float:
    """Millions to units: MHz to Hz."""
    return value * 1_000_000.0


def percent(value: float) -> float:
    """Percent to a ratio of 1."""
    return value / 100.0


def watt_hours(value: float) -> float:
    """Millijoules to watt-hours."""
    return value / MILLIJOULES_PER_WATT_HOUR


def same(value: float) -> float:
    """The driver's unit is already ours."""
    return float(value)


def read_field_value(answer: FieldValue) -> Raw:
    """The number in one answer of `nvmlDeviceGetFieldValues`.

    The union must be read by the type that the driver names: another member gives nonsense
    without an error.
    """
    if answer.nvmlReturn != 0:
        return Failure(answer.nvmlReturn)
    kind = answer.valueType
    if not 0 <= kind < len(_UNION_MEMBERS):  # a type of a newer driver
        return Failure(NOT_SUPPORTED)
    return float(getattr(answer.value, _UNION_MEMBERS[kind]))


def _field_values(nvml: Binding, handle: Handle) -> Sequence[Raw]:
    answers = nvml.nvmlDeviceGetFieldValues(handle, (FIELD_POWER_INSTANT, FIELD_MEMORY_TEMPERATURE))
    found = {answer.fieldId: read_field_value(answer) for answer in answers}
    missing = Failure(NOT_SUPPORTED)
    return [
        found.get(FIELD_POWER_INSTANT, missing),
        found.get(FIELD_MEMORY_TEMPERATURE, missing),
    ]


def _utilization(nvml: Binding, handle: Handle) -> Sequence[Raw]:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return [rates.gpu, rates.memory]


def _memory_v2(nvml: Binding, handle: Handle) -> Sequence[Raw]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle, _MEMORY_V2)
    return [memory.used, memory.total]


def _memory_v1(nvml: Binding, handle: Handle) -> Sequence[Raw]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return [memory.used, memory.total]


def _performance_state(nvml: Binding, handle: Handle) -> Sequence[Raw]:
    state = nvml.nvmlDeviceGetPerformanceState(handle)
    return [Failure(NOT_SUPPORTED) if state == _PSTATE_UNKNOWN else state]


def _remapped_rows(nvml: Binding, handle: Handle) -> Sequence[Raw]:
    corrected, uncorrected, *_ = nvml.nvmlDeviceGetRemappedRows(handle)
    return [corrected + uncorrected]


_MEMORY: Final = (
    Output("memory_used_bytes", "B", same),
    Output("memory_total_bytes", "B", same),
)
_TEMPERATURE: Final = (Output("temperature_celsius", "C", same),)
_REASONS: Final = (Output("clock_event_reasons_bitmask", "bits", same),)

FAST: Final[tuple[Call, ...]] = (
    Call(
        "nvmlDeviceGetPowerUsage",
        (Output("power_watts", "mW", milli),),
        lambda nvml, handle: [nvml.nvmlDeviceGetPowerUsage(handle)],
    ),
    Call(
        "nvmlDeviceGetTotalEnergyConsumption",
        (Output("energy_import_watt_hours", "mJ", watt_hours),),
        lambda nvml, handle: [nvml.nvmlDeviceGetTotalEnergyConsumption(handle)],
    ),
    Call(
        f"nvmlDeviceGetFieldValues[{FIELD_POWER_INSTANT}, {FIELD_MEMORY_TEMPERATURE}]",
        (
            Output("power_instant_watts", "mW", milli),
            Output("memory_temperature_celsius", "C", same),
        ),
        _field_values,
    ),
    Call(
        "nvmlDeviceGetTemperatureV",
        _TEMPERATURE,
        lambda nvml, handle: [nvml.nvmlDeviceGetTemperatureV(handle, _SENSOR_GPU)],
        fallback=Call(
            "nvmlDeviceGetTemperature",
            _TEMPERATURE,
            lambda nvml, handle: [nvml.nvmlDeviceGetTemperature(handle, _SENSOR_GPU)],
        ),
    ),
    Call(
        "nvmlDeviceGetUtilizationRates",
        (
            Output("utilization_ratio", "%", percent),
            Output("memory_utilization_ratio", "%", percent),
        ),
        _utilization,
    ),
    Call(
        "nvmlDeviceGetMemoryInfo_v2",
        _MEMORY,
        _memory_v2,
        fallback=Call("nvmlDeviceGetMemoryInfo", _MEMORY, _memory_v1),
    ),
    Call(
        "nvmlDeviceGetClockInfo[SM]",
        (Output("sm_clock_hertz", "MHz", mega),),
        lambda nvml, handle: [nvml.nvmlDeviceGetClockInfo(handle, _CLOCK_SM)],
    ),
    Call(
        "nvmlDeviceGetClockInfo[MEM]",
        (Output("memory_clock_hertz", "MHz", mega),),
        lambda nvml, handle: [nvml.nvmlDeviceGetClockInfo(handle, _CLOCK_MEMORY)],
    ),
    Call(
        "nvmlDeviceGetCurrentClocksEventReasons",
        _REASONS,
        lambda nvml, handle: [nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)],
        fallback=Call(
            "nvmlDeviceGetCurrentClocksThrottleReasons",
            _REASONS,
            lambda nvml, handle: [nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)],
        ),
    ),
)
"""Read in every round."""

SLOW: Final[tuple[Call, ...]] = (
    Call(
        "nvmlDeviceGetEnforcedPowerLimit",
        (Output("power_limit_watts", "mW", milli),),
        lambda nvml, handle: [nvml.nvmlDeviceGetEnforcedPowerLimit(handle)],
    ),
    Call(
        "nvmlDeviceGetTotalEccErrors[corrected, volatile]",
        (Output("ecc_corrected_errors_total", "", same),),
        lambda nvml, handle: [
            nvml.nvmlDeviceGetTotalEccErrors(handle, _ECC_CORRECTED, _ECC_VOLATILE)
        ],
    ),
    Call(
        "nvmlDeviceGetTotalEccErrors[uncorrected, volatile]",
        (Output("ecc_uncorrected_errors_total", "", same),),
        lambda nvml, handle: [
            nvml.nvmlDeviceGetTotalEccErrors(handle, _ECC_UNCORRECTED, _ECC_VOLATILE)
        ],
    ),
    Call(
        "nvmlDeviceGetRemappedRows",
        (Output("remapped_rows_total", "", same),),
        _remapped_rows,
    ),
    Call(
        "nvmlDeviceGetPcieReplayCounter",
        (Output("pcie_replays_total", "", same),),
        lambda nvml, handle: [nvml.nvmlDeviceGetPcieReplayCounter(handle)],
    ),
    Call(
        "nvmlDeviceGetMigMode",
        (Output("mig_enabled_ratio", "", same),),
        lambda nvml, handle: [nvml.nvmlDeviceGetMigMode(handle)[0]],
    ),
    Call(
        "nvmlDeviceGetPerformanceState",
        (Output("performance_state_number", "P", same),),
        _performance_state,
    ),
)
"""Read every `slow_every`."""


def fields_of(calls: Sequence[Call]) -> tuple[str, ...]:
    """The names of the fields that `calls` yield."""
    return tuple(output.field for call in calls for output in call.outputs)
