# SPDX-License-Identifier: Apache-2.0
"""Finds the message at which a broker ends the connection, time and again.

MQTT 3.1.1 has no other way to say that a packet is larger than the broker takes. Sent first after
each reconnection, such a message would keep all others from ever being sent.
"""

from collections.abc import Iterable
from typing import Final

from rackwatt.wire.outbox import Stored

LARGE_BYTES: Final = 16_384
"""No smaller message is suspected: every broker takes that much."""
TRIES: Final = 5
_MAX_SUSPECTS: Final = 1000


class Stuck:
    """Counts the connections that ended while a large message was on its way alone."""

    def __init__(self) -> None:
        self._suspects: dict[tuple[int, int], set[int]] = {}

    @property
    def suspicious(self) -> bool:
        """Whether messages should be sent one by one, to see which one it is."""
        return bool(self._suspects)

    def went(self, message: Stored) -> None:
        """A broker has taken it."""
        self._suspects.pop((message.epoch, message.seq), None)

    def broke(self, messages: Iterable[Stored], connection: int) -> Stored | None:
        """A connection has ended while these were on their way; the one that no broker takes."""
        large = [item for item in messages if len(item.payload) > LARGE_BYTES]
        for item in large[: _MAX_SUSPECTS - len(self._suspects)]:
            self._suspects.setdefault((item.epoch, item.seq), set())
        if len(large) != 1:
            return None
        tried = self._suspects.get((large[0].epoch, large[0].seq), set())
        tried.add(connection)
        if len(tried) < TRIES:
            return None
        self.went(large[0])
        return large[0]
