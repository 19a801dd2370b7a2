# SPDX-License-Identifier: Apache-2.0
"""What GPUs say of their health, in columns: hot memory, throttling, new memory errors."""

import math
from array import array
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

UNSET: Final = msgspec.UNSET
_Known = float | None | msgspec.UnsetType

THERMAL_SLOWDOWN: Final = 0x20 | 0x40
"""By software or hardware (nvmlClocksEventReasonSwThermalSlowdown, …HwThermalSlowdown)."""
POWER_BRAKE: Final = 0x80
"""nvmlClocksEventReasonHwPowerBrakeSlowdown: the supply asks for less."""


class HealthReading(Protocol):
    """The fields of a GPU's reading that are used here."""

    memory_temperature_celsius: _Known
    clock_event_reasons_bitmask: _Known
    ecc_uncorrected_errors_total: _Known
    remapped_rows_total: _Known


class Gauge:
    """One field of all GPUs: each one's newest value, NaN where it could not be read."""

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times = array("q")
        self.values = array("d")

    def grow(self) -> None:
        """Make room for one GPU more."""
        self.times.append(-1)
        self.values.append(math.nan)

    def put(self, index: int, time_ms: int, value: _Known) -> None:
        """Take a GPU's value in, unless a newer one is here."""
        if value is not UNSET and self.times[index] <= time_ms:
            self.times[index] = time_ms
            self.values[index] = math.nan if value is None else value

    def fresh(self, since_ms: int) -> NDArray[np.float64]:
        """The values that are not older; NaN for the others."""
        times = np.frombuffer(self.times, np.int64)
        return np.where(times >= since_ms, np.frombuffer(self.values), np.nan)


class _Riser:
    """Counts of which only a rise matters: when each last rose, -1 for never.

    The first value that is seen is no rise, and a lower one is a counter that began anew.
    """

    __slots__ = ("rose", "times", "values")

    def __init__(self) -> None:
        self.times = array("q")
        self.values = array("d")
        self.rose = array("q")

    def grow(self) -> None:
        self.times.append(-1)
        self.values.append(math.nan)
        self.rose.append(-1)

    def put(self, index: int, time_ms: int, value: _Known) -> None:
        if value is UNSET or value is None or self.times[index] > time_ms:
            return
        if value > self.values[index]:  # never true of NaN
            self.rose[index] = time_ms
        self.times[index] = time_ms
        self.values[index] = value

    def fresh(self, since_ms: int) -> NDArray[np.float64]:
        times = np.frombuffer(self.times, np.int64)
        return np.where(times >= since_ms, np.frombuffer(self.values), np.nan)

    def since(self, since_ms: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.frombuffer(self.rose, np.int64) >= since_ms
        return found


class GpuHealth:
    """Health of all GPUs, by the index that the fleet has given each."""

    def __init__(self) -> None:
        self._memory = Gauge()
        self._reasons = Gauge()
        self._ecc = _Riser()
        self._rows = _Riser()

    def grow(self) -> None:
        """Make room for one GPU more."""
        for column in (self._memory, self._reasons, self._ecc, self._rows):
            column.grow()

    def put(self, index: int, time_ms: int, item: HealthReading) -> None:
        """Take a GPU's reading in; what is older than what is at hand changes nothing."""
        self._memory.put(index, time_ms, item.memory_temperature_celsius)
        self._reasons.put(index, time_ms, item.clock_event_reasons_bitmask)
        if item.ecc_uncorrected_errors_total is not UNSET:
            self._ecc.put(index, time_ms, item.ecc_uncorrected_errors_total)
        if item.remapped_rows_total is not UNSET:
            self._rows.put(index, time_ms, item.remapped_rows_total)

    def memory_celsius(self, since_ms: int) -> NDArray[np.float64]:
        """Memory temperature of each GPU, NaN where it is not known of late."""
        return self._memory.fresh(since_ms)

    def columns(self, since_ms: int) -> dict[str, NDArray[np.float64]]:
        """The newest value of each GPU, NaN where it is not known of late, by field."""
        return {
            "memory_temperature_celsius": self._memory.fresh(since_ms),
            "clock_event_reasons_bitmask": self._reasons.fresh(since_ms),
            "ecc_uncorrected_errors_total": self._ecc.fresh(since_ms),
        }

    def throttled(self, bits: int, since_ms: int) -> NDArray[np.bool_]:
        """Whether any of the clock event reasons is on now."""
        reasons = np.nan_to_num(self._reasons.fresh(since_ms)).astype(np.int64)
        found: NDArray[np.bool_] = (reasons & bits) != 0
        return found

    def ecc_since(self, since_ms: int) -> NDArray[np.bool_]:
        """Whether uncorrectable memory errors were counted since then."""
        return self._ecc.since(since_ms)

    def remapped_since(self, since_ms: int) -> NDArray[np.bool_]:
        """Whether memory rows were remapped since then."""
        return self._rows.since(since_ms)
