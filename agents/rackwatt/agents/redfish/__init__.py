# SPDX-License-Identifier: Apache-2.0
"""Redfish: power shelves, power supplies, coolant units, leak detectors, chassis, from maps.

Read only: nothing but GET leaves this driver, and the POST and DELETE of its own session.
"""

from rackwatt.agents.redfish.mapfile import RedfishMap, load_redfish_map, shipped_maps
from rackwatt.agents.redfish.settings import Settings, misfits
from rackwatt.agents.redfish.source import RedfishSource
from rackwatt.agents.source import Context, Source

__all__ = [
    "RedfishMap",
    "Settings",
    "create",
    "load_redfish_map",
    "misfits",
    "shipped_maps",
]


def create(settings: Settings, context: Context) -> Source:
    """The source for the services of one agent; no I/O before `start`.

    Raises:
        ConfigErrors: a map file is wrong.
    """
    return RedfishSource(settings, context)
