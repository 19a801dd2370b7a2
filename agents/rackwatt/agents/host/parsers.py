# SPDX-License-Identifier: Apache-2.0
"""Linux's text files to numbers: pure functions, no file is opened here.

Formats: proc(5), and the kernel's documentation of powercap (power/powercap/powercap.rst).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

MICROJOULES_PER_WATT_HOUR: Final = 3.6e9
_MAX_PACKAGE_WATTS: Final = 5000.0
"""Ten times the largest processor package: a step beyond it is a reset, not a roll-over."""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks since boot, of all processors together."""

    busy: int
    total: int


def cpu_times(stat: str) -> CpuTimes:
    """The `cpu` line of /proc/stat.

    Idle and waiting for disks is not busy; guest time is already within user time.

    Raises:
        ValueError: there is no such line.
    """
    for line in stat.splitlines():
        name, *numbers = line.split()
        if name == "cpu" and len(numbers) >= 4:
            ticks = [int(number) for number in numbers[:8]]
            idle = sum(ticks[3:5])
            return CpuTimes(busy=sum(ticks) - idle, total=sum(ticks))
    raise ValueError("no cpu line in /proc/stat")


def utilization(before: CpuTimes, after: CpuTimes) -> float | None:
    """Busy share 0..1 between two readings; None if no tick passed."""
    total = after.total - before.total
    if total <= 0:
        return None
    # The kernel may take a little iowait back: never below 0 or above 1.
    return min(1.0, max(0.0, (after.busy - before.busy) / total))


def memory(meminfo: str) -> tuple[int, int]:
    """Used and total memory in bytes; what the kernel can give back at once is not used.

    Raises:
        ValueError: a line that is needed is missing.
    """
    sizes: dict[str, int] = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            sizes[name] = int(words[0]) * 1024
    total = sizes.get("MemTotal")
    available = sizes.get("MemAvailable")
    if available is None and "MemFree" in sizes:  # kernels before 3.14
        available = sizes["MemFree"] + sizes.get("Buffers", 0) + sizes.get("Cached", 0)
    if total is None or available is None:
        raise ValueError("no MemTotal or MemAvailable in /proc/meminfo")
    return total - min(available, total), total


def first_number(text: str) -> float:
    """The first number of /proc/loadavg (1 min load) or /proc/uptime (seconds).

    Raises:
        ValueError: there is none.
    """
    words = text.split()
    if not words:
        raise ValueError("empty file")
    return float(words[0])


def network(net_dev: str, physical: Collection[str]) -> tuple[int, int]:
    """Bytes received and sent since boot.

    Args:
        net_dev: text of /proc/net/dev.
        physical: interfaces with a device behind them; bridges, bonds and virtual interfaces
            would count the same bytes again. If none is known, all but `lo` count.

    Raises:
        ValueError: a line does not look like an interface.
    """
    received = sent = 0
    for line in net_dev.splitlines():
        name, colon, rest = line.partition(":")
        name = name.strip()
        if not colon or name == "lo" or (physical and name not in physical):
            continue
        numbers = rest.split()
        if len(numbers) < 16:
            raise ValueError(f"/proc/net/dev: {name} has {len(numbers)} columns, not 16")
        received += int(numbers[0])
        sent += int(numbers[8])
    return received, sent


def counter_step(before: int, after: int, modulus: int, seconds: float) -> int:
    """Microjoules that a RAPL counter advanced within `seconds`.

    The counter rolls over at `modulus` (`max_energy_range_uj`), at 300 W after a quarter of an
    hour. A step that no processor could have taken is a reset: nothing is counted for it.
    """
    step = after - before
    if step < 0:
        step += modulus
    if step < 0 or step > _MAX_PACKAGE_WATTS * 1e6 * max(seconds, 0.0):
        return 0
    return step
