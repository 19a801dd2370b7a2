# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that fails as it is told: it cuts, stalls, throttles, leaves half a connection."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import Self

from servers.fixtures import HOST, free_port

_CHUNK = 65_536


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    bytes: int = 0


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
            told, kept = (
                (link.server, link.client) if side == "client" else (link.client, link.server)
            )
            _reset(told)
            self._keep(self._swallow(kept))

    def stall(self) -> None:
        """Carry nothing until `resume`; nothing is lost, and new connections stall too."""
        self._flows.clear()

    def refuse(self) -> None:
        """Cut everything, and every new connection at once, until `resume`."""
        self._refuses = True
        self.cut()

    def resume(self) -> None:
        self._refuses = False
        self._flows.set()

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
        link = _Link(writer, far_writer)
        self._links.add(link)
        link.pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer)),
            asyncio.ensure_future(self._pump(far_reader, writer)),
        ]
        await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        if link in self._links:
            self._end(link)
        await asyncio.wait(link.pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
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

    async def _swallow(self, writer: asyncio.StreamWriter) -> None:
        """Keep a socket open that nobody answers on, until its other end gives up."""
        try:
            while not writer.transport.is_closing():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
        finally:
            writer.close()

    def _keep(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
