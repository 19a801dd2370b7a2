# SPDX-License-Identifier: Apache-2.0
"""BACnet/IP: chillers, pumps, cooling towers and meters of the building, from object maps.

Read only: nothing but ReadProperty, ReadPropertyMultiple and Who-Is leaves this driver. bacpypes3
is imported when the source starts, so that maps can be read without it.
"""

from rackwatt.agents.bacnet.objectmap import ObjectMap, load_object_map, shipped_maps
from rackwatt.agents.bacnet.settings import Settings, misfits
from rackwatt.agents.bacnet.source import BacnetSource
from rackwatt.agents.bacnet.wire import UdpReader
from rackwatt.agents.source import Context, Source

__all__ = [
    "ObjectMap",
    "Settings",
    "create",
    "load_object_map",
    "misfits",
    "shipped_maps",
]


def create(settings: Settings, context: Context) -> Source:
    """The source for the devices of one agent; no I/O before `start`.

    Raises:
        ConfigErrors: a map file is wrong.
    """
    return BacnetSource(settings, context, lambda: UdpReader(settings))
