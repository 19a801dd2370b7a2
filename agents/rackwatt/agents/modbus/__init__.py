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

__all__ = ["RegisterMap", "decode", "encode", "load_map", "shipped_maps"]
