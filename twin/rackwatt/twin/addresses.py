# SPDX-License-Identifier: Apache-2.0
"""Where the simulated devices answer: loopback ports, units, credentials."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gateway:
    """One Modbus TCP port and the units behind it."""

    name: str
    port: int
    units: Mapping[int, str]
    """Unit to device."""


@dataclass(frozen=True, slots=True)
class Host:
    """One UDP port and the devices that answer there: a PDU and the probes plugged into it."""

    name: str
    port: int
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the SNMP responders accept.

    v3 is SHA-256: `user` with AES-128 too (which needs the package `cryptography`), `auth_user`
    without. The keys open nothing but a simulation on loopback.
    """

    community: str = "public"
    user: str = "rackwatt"
    auth_user: str = "rackwatt-auth"
    auth_key: str = "twin-auth-key"
    priv_key: str = "twin-priv-key"
