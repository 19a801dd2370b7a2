# SPDX-License-Identifier: Apache-2.0
"""SNMP v2c and v3: rack PDUs and temperature and humidity probes, from OID maps that are data.

Read only: nothing but GET can leave this driver. pysnmp is imported when the first request is
made, so that maps can be read without it.
"""

from rackwatt.agents.snmp.oidmap import (
    OidMap,
    Typed,
    decode,
    encode,
    load_oid_map,
    shipped_maps,
)

__all__ = ["OidMap", "Typed", "decode", "encode", "load_oid_map", "shipped_maps"]
