# SPDX-License-Identifier: Apache-2.0
"""This machine: processor, memory, temperatures, energy, disk and network, from /proc and /sys."""

from rackwatt.agents.host.settings import Settings
from rackwatt.agents.host.source import HostSource
from rackwatt.agents.source import Context, Source

__all__ = ["Settings", "create"]


def create(settings: Settings, context: Context) -> Source:
    """The source for this machine; reads nothing before `start`."""
    return HostSource(settings, context)
