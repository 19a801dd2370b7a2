# SPDX-License-Identifier: Apache-2.0
"""Loopback ports for processes that are started together."""

import random
import socket
from typing import Final

FOR_TWIN: Final = range(20_000, 32_000)
FOR_SUPERVISOR: Final = range(32_000, 32_768)
"""Both lie below the ports that Linux gives to outgoing connections (32768 and up): there, a client
that tries a server which is not there yet can be given the server's own port, and connect to
itself. They are apart, so that neither takes what the other has chosen and not yet opened."""
_ATTEMPTS: Final = 5_000


def free_ports(count: int, kind: socket.SocketKind, among: range, rng: random.Random) -> list[int]:
    """Loopback ports that are free now.

    Args:
        count: how many.
        kind: SOCK_STREAM or SOCK_DGRAM.
        among: where to look.
        rng: chooses.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    for _ in range(_ATTEMPTS + count):
        if len(found) == count:
            return found
        port = rng.choice(among)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    raise OSError(f"no {count} free ports between {among.start} and {among.stop}")
