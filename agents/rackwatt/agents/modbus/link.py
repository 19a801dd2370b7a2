# SPDX-License-Identifier: Apache-2.0
"""Connections: one per host and port, shared by its units, kept up in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from rackwatt.agents.modbus.schema import Function
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.readings import Quality

_log = logging.getLogger(__name__)


class ReadFailed(Exception):  # noqa: N818 - it reads as a sentence where it is caught
    """A request brought no registers.

    Attributes:
        quality: what becomes of the values.
        code: Modbus exception code; 0 if the device sent none.
    """

    def __init__(self, quality: Quality, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.quality = quality
        self.code = code


class Reader(Protocol):
    """An open connection, of which nothing but reading is used."""

    async def read(self, unit: int, function: Function, address: int, count: int) -> list[int]:
        """`count` registers from `address`, by function code 3 (holding) or 4 (input).

        Raises:
            ReadFailed: no answer within the time-out, or an exception response.
        """

    async def lost(self) -> None:
        """Returns when the connection is gone."""

    def close(self) -> None:
        """Close the connection; may be called more than once."""


Connect = Callable[[str, int, float], Awaitable[Reader | None]]
"""Open a connection to (host, port) within a time-out in seconds; None if that fails."""


class Link:
    """One connection that comes back by itself.

    Characteristics: connecting happens in `run`, never in `read`, so that a dead host delays
    nobody; while there is no connection, `read` fails at once; the waits between attempts double
    up to the cap, with jitter.

    Args:
        host: name or address.
        port: TCP port.
        timeout: for connecting and for each request, in seconds.
        backoff: waits between attempts.
        connect: opens a connection.
    """

    def __init__(
        self, host: str, port: int, timeout: float, backoff: Backoff, connect: Connect
    ) -> None:
        self.name = f"{host}:{port}"
        self.generation = 0
        """Counts connections; what was learned about a device holds for one of them."""
        self.tried = asyncio.Event()
        """Set after the first attempt, successful or not."""
        self._address = (host, port)
        self._timeout = timeout
        self._backoff = backoff
        self._connect = connect
        self._reader: Reader | None = None

    @property
    def up(self) -> bool:
        """Whether there is a connection now."""
        return self._reader is not None

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        failing = False
        while True:
            reader = await self._connect(*self._address, self._timeout)
            if _cancelled():
                if reader is not None:
                    reader.close()
                raise asyncio.CancelledError
            if reader is None:
                if not failing:
                    _log.warning("%s: cannot connect; trying again and again", self.name)
                failing = True
            else:
                _log.info("%s: connected", self.name)
                failing = False
                self._reader = reader
                self.generation += 1
                self.tried.set()
                try:
                    await reader.lost()
                finally:
                    self._reader = None
                    reader.close()
                _log.warning("%s: connection lost", self.name)
            self.tried.set()
            await asyncio.sleep(self._backoff.next())

    async def read(self, unit: int, function: Function, address: int, count: int) -> list[int]:
        """Registers of a unit.

        Raises:
            ReadFailed: there is no connection, or see `Reader.read`.
        """
        reader = self._reader
        if reader is None:
            raise ReadFailed(Quality.TIMEOUT, f"{self.name}: no connection")
        words = await reader.read(unit, function, address, count)
        self._backoff.reset()
        return words


def _cancelled() -> bool:
    """Whether this task was cancelled within a library that swallowed it.

    `asyncio.wait_for` does that before Python 3.12, where what it waits for ends at that moment.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
