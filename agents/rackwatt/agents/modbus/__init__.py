# SPDX-License-Identifier: Apache-2.0
"""Modbus TCP: meters, inverters, batteries, UPS, coolant units, from register maps that are data.

Read only: no function code but 3 and 4 can leave this driver. pymodbus is imported when the first
connection is made, so that maps can be read without it.
"""

from rackwatt.agents.modbus.registermap import (
    RegisterMap,
    decode,
    encode,
    load_map,
    shipped_maps,
)
from rackwatt.agents.modbus.settings import Settings, misfits
from rackwatt.agents.modbus.source import ModbusSource
from rackwatt.agents.modbus.wire import connect
from rackwatt.agents.source import Context, Source

__all__ = [
    "RegisterMap",
    "Settings",
    "create",
    "decode",
    "encode",
    "load_map",
    "misfits",
    "shipped_maps",
]


def create(settings: Settings, context: Context) -> Source:
    """The source for the devices of one agent; no I/O before `start`.

    Raises:
        ConfigErrors: a map file is wrong.
    """
    return ModbusSource(settings, context, connect)
