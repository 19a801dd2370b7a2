# SPDX-License-Identifier: Apache-2.0
"""A link as far away as a real network, which counts what a broker sends a second time."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from faults_kit.proxy import Proxy

_PUBLISH: Final = 3
_DUP: Final = 0x08


class Tap(Proxy):
    """A proxy with a delay; what is under way when an end dies is lost, as in a network.

    Args:
        target_port: where it leads to.
        delay_seconds: in each direction.
    """

    def __init__(self, target_port: int, delay_seconds: float = 0.0) -> None:
        super().__init__(target_port)
        self._delay = delay_seconds
        self._upward = asyncio.Event()
        self._upward.set()
        self.published = 0
        """Messages that came from the broker."""
        self.redelivered = 0
        """Of these, those that it says it has sent before."""

    def hold_answers_of_the_client(self) -> None:
        """Carry nothing of what the client says, until its connection ends."""
        self._upward.clear()

    def let_go(self) -> None:
        """Carry again."""
        self._upward.set()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        down = gate is self._answers
        look = Packets(self._came).feed if down else None
        held = gate if down else self._upward
        far = cast("asyncio.StreamReader", _Far(reader, self._delay, look, held))
        await super()._pump(far, writer, gate)

    def _came(self, head: int) -> None:
        if head >> 4 == _PUBLISH:
            self.published += 1
            self.redelivered += bool(head & _DUP)


class _Far:
    """A reader of what comes from far away."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        delay: float,
        look: Callable[[bytes], None] | None,
        gate: asyncio.Event,
    ) -> None:
        self._reader = reader
        self._delay = delay
        self._look = look
        self._gate = gate

    async def read(self, size: int) -> bytes:
        data = await self._reader.read(size)
        await asyncio.sleep(self._delay)
        await self._gate.wait()
        if self._look is not None:
            self._look(data)
        return data


class Packets:
    """Finds the MQTT packets in a stream.

    Args:
        came: told the first byte of each.
    """

    def __init__(self, came: Callable[[int], None]) -> None:
        self._came = came
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """What comes next of the stream."""
        self._rest += data
        at = 0
        while (end := self._end(at)) is not None:
            self._came(self._rest[at])
            at = end
        del self._rest[:at]

    def _end(self, at: int) -> int | None:
        """Where the packet at `at` ends; None: that has not come yet."""
        size = shift = 0
        for place in range(at + 1, min(at + 5, len(self._rest))):
            size |= (self._rest[place] & 127) << shift
            shift += 7
            if self._rest[place] < 128:
                end = place + 1 + size
                return end if end <= len(self._rest) else None
        return None
