# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that fails as it is told: it cuts, stalls, throttles, leaves half a connection."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from servers.fixtures import HOST, free_port

_CHUNK = 65_536


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    readers: tuple[asyncio.StreamReader, asyncio.StreamReader]
    """The client's and the server's."""
    pumps: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Stands before a server on 127.0.0.1.

    Args:
        target: the server's port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._refuses = False
        self.bytes_per_second: float | None = None
        self.accepted = 0
        self.refused = 0
        self.cuts = 0
        """Connections that were cut while they lived."""
        self.carried = 0
        """Bytes in both directions."""

    def url(self, scheme: str) -> str:
        return f"{scheme}://{HOST}:{self.port}"

    @property
    def open(self) -> int:
        return len(self._links)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.resume()
        self.cut()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- faults ------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset all connections; what is under way is gone."""
        for link in list(self._links):
            self.cuts += 1
            self._end(link, reset=True)

    def half_open(self, side: str) -> None:
        """Cut one side; the other goes on believing, and what it sends goes nowhere.

        Args:
            side: `client`: the client is not told; `server`: the server is not told.
        """
        for link in list(self._links):
            self.cuts += 1
            self._links.discard(link)
            for pump in link.pumps:
                pump.cancel()
            if side == "client":
                told, kept, reader = link.server, link.client, link.readers[0]
            else:
                told, kept, reader = link.client, link.server, link.readers[1]
            _reset(told)
            task = asyncio.ensure_future(self._swallow(kept, reader, link.pumps))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stall(self) -> None:
        """Carry nothing until `resume`; nothing is lost, and new connections stall too."""
        self._flows.clear()

    def withhold(self) -> None:
        """Carry what clients say, and nothing that the server answers, until `resume`."""
        self._answers.clear()

    def refuse(self) -> None:
        """Cut everything, and every new connection at once, until `resume`."""
        self._refuses = True
        self.cut()

    def resume(self) -> None:
        self._refuses = False
        self._flows.set()
        self._answers.set()

    # -- carrying ----------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        if self._refuses:
            self.refused += 1
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, far_writer, (reader, far_reader))
        self._links.add(link)
        link.pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer, self._flows)),
            asyncio.ensure_future(self._pump(far_reader, writer, self._answers)),
        ]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        if link in self._links:
            self._end(link)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                await gate.wait()
                if self.bytes_per_second:
                    await asyncio.sleep(len(data) / self.bytes_per_second)
                self.carried += len(data)
                writer.write(data)
                await writer.drain()

    def _end(self, link: _Link, *, reset: bool = False) -> None:
        self._links.discard(link)
        for pump in link.pumps:
            pump.cancel()
        for writer in (link.client, link.server):
            if reset:
                _reset(writer)
            else:
                writer.close()

    async def _swallow(
        self,
        writer: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
        pumps: Sequence[asyncio.Task[None]],
    ) -> None:
        """Read what nobody answers, until its sender gives up."""
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.wait(pumps)  # one of them was reading
            while await reader.read(_CHUNK):
                pass
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
