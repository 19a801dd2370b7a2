# SPDX-License-Identifier: Apache-2.0
"""GPU models that the twin can have."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU model: board power at idle and its limit."""

    name: str
    idle_watts: float
    limit_watts: float
    memory_bytes: int
    clock_megahertz: int
    memory_clock_megahertz: int


_GB: Final = 2**30
GPUS: Final[Mapping[str, Gpu]] = MappingProxyType(
    {
        # Limits: NVIDIA data sheets (700, 700, 1000, 1200, 1400 W). Idle: typical readings.
        "H100": Gpu(name="NVIDIA H100 80GB HBM3", idle_watts=72, limit_watts=700,
                    memory_bytes=80 * _GB, clock_megahertz=1980, memory_clock_megahertz=2619),
        "H200": Gpu(name="NVIDIA H200", idle_watts=76, limit_watts=700,
                    memory_bytes=141 * _GB, clock_megahertz=1980, memory_clock_megahertz=3201),
        "B200": Gpu(name="NVIDIA B200", idle_watts=140, limit_watts=1000,
                    memory_bytes=180 * _GB, clock_megahertz=1965, memory_clock_megahertz=3996),
        "GB200": Gpu(name="NVIDIA GB200", idle_watts=150, limit_watts=1200,
                     memory_bytes=186 * _GB, clock_megahertz=2062, memory_clock_megahertz=3996),
        "GB300": Gpu(name="NVIDIA GB300", idle_watts=165, limit_watts=1400,
                     memory_bytes=279 * _GB, clock_megahertz=2062, memory_clock_megahertz=3996),
    }
)  # fmt: skip
