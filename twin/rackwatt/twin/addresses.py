# SPDX-License-Identifier: Apache-2.0
"""Where the simulated devices answer: loopback ports, units, credentials."""

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_FIRST, _LAST = 20_000, 32_000
"""Below the ports that Linux gives to outgoing connections (32768 and up): a twin that was killed
finds its ports free when it comes back."""
_ATTEMPTS: Final = 5_000


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


def free_ports(count: int, kind: socket.SocketKind, rng: random.Random) -> list[int]:
    """Loopback ports that are free now.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    for _ in range(_ATTEMPTS + count):
        if len(found) == count:
            return found
        port = rng.randrange(_FIRST, _LAST)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    raise OSError(f"no {count} free ports between {_FIRST} and {_LAST}")
