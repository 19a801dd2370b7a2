# SPDX-License-Identifier: Apache-2.0
"""How much memory this process takes, in MB."""

import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_mb() -> float | None:
    """What it takes now; None where the system does not tell."""
    return _field("VmRSS")


def peak_mb() -> float | None:
    """The most since `reset_peak`."""
    return _field("VmHWM")


def reset_peak() -> float | None:
    """Begin to look anew; returns what it takes now."""
    gc.collect()
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    clear.write_text("5")
    return resident_mb()


def _field(name: str) -> float | None:
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1000
    return None
