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
    """Loopback ports that are free now, side by side where there are so many.

    Between choosing and opening them, another who chooses may take one. Of two who take whole
    blocks of 40 of 12,000 ports, one pair in 300 meets; with single ports, one in eight.

    Args:
        count: how many.
        kind: SOCK_STREAM or SOCK_DGRAM.
        among: where to look.
        rng: chooses.

    Raises:
        OSError: there are not so many.
    """
    blocks = list(range(among.start, among.stop - count + 1, max(count, 1)))
    rng.shuffle(blocks)
    for start in blocks:
        block = list(range(start, start + count))
        if all(_free(port, kind) for port in block):
            return block
    found: list[int] = []
    for _ in range(_ATTEMPTS + count):
        if len(found) == count:
            return found
        port = rng.choice(among)
        if port not in found and _free(port, kind):
            found.append(port)
    raise OSError(f"no {count} free ports between {among.start} and {among.stop}")


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
