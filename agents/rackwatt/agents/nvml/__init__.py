# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs through NVML."""

from rackwatt.agents.nvml.settings import Settings
from rackwatt.agents.nvml.source import NvmlSource
from rackwatt.agents.source import Context, Source

__all__ = ["Settings", "create"]


def create(settings: Settings, context: Context) -> Source:
    """The source for one node; touches neither library nor driver before `start`."""
    return NvmlSource(settings, context)
