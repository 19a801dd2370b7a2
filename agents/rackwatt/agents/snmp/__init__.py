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
from rackwatt.agents.snmp.settings import Secrets, Settings, misfits
from rackwatt.agents.snmp.source import SnmpSource
from rackwatt.agents.snmp.wire import Getter, PysnmpGetter
from rackwatt.agents.source import Context, Source

__all__ = [
    "OidMap",
    "Settings",
    "Typed",
    "create",
    "decode",
    "encode",
    "load_oid_map",
    "misfits",
    "shipped_maps",
]


def create(settings: Settings, context: Context) -> Source:
    """The source for the devices of one agent; no I/O before `start`.

    Raises:
        ConfigErrors: a map file is wrong.
    """

    def make_getter(secrets: Secrets) -> Getter:
        return PysnmpGetter(secrets, settings.timeout, settings.retries)

    return SnmpSource(settings, context, make_getter)
