# SPDX-License-Identifier: Apache-2.0
"""Messages of one connection that wait for their batch, bounded in bytes.

The client library queues what comes without any bound, and without a limit a broker may send far
more than can be saved: everything of QoS 0, and as much of QoS 1 as it likes. Here nothing more is
read from the socket beyond a size, so that the rest waits in the broker. It also takes topics as
they come: the library's own conversion ends the connection at a topic that is no UTF-8, and the
broker would send the same message again on the next one, for ever.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import aiomqtt
import paho.mqtt.client as mqtt

from rackwatt.wire.buffered import BufferedSocket

BATCH_MESSAGES: Final = 250
BATCH_BYTES: Final = 2_000_000
"""A batch is looked at in one go: all else on the event loop waits meanwhile, and what it is
decoded to should stay in the processor's caches."""
MAX_BYTES: Final = 64_000_000
"""Waiting messages beyond which nothing is read; reading goes on at half of it."""
_HOLD_SECONDS: Final = 5.0
_OVERHEAD: Final = 500
"""Bytes that a message takes besides its payload and topic, about."""


class Received(NamedTuple):
    """A message as it came, with what is needed to acknowledge it."""

    topic: str
    payload: bytes
    retain: bool
    mid: int
    qos: int
    connection: int


class Inflow:
    """The queue between a connection's socket and whoever handles batches.

    Make it before the client connects.

    Args:
        client: a new client.
        connection: number of the connection that it will make.
        max_bytes: size of the queue beyond which nothing is read.
        on_pause: told when reading stops.
    """

    def __init__(
        self,
        client: aiomqtt.Client,
        connection: int,
        *,
        max_bytes: int = MAX_BYTES,
        on_pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._paho = client._client  # noqa: SLF001
        self._connection = connection
        self._max_bytes = max_bytes
        self._on_pause = on_pause
        # The library waits on this queue, and for the connection's end, in `anext(messages)`.
        self._queue: asyncio.Queue[Any] = client._queue  # noqa: SLF001
        self._messages = client.messages
        self.bytes = 0
        """Held, as it counts for the bound."""
        self.received = 0
        """Messages that came."""
        self.paused = False
        self._paho.on_message = self._arrived

    async def batch(self) -> list[Received]:
        """What is here, at least one message, at most a batch.

        Raises:
            aiomqtt.MqttError: the connection has ended, and all that came on it was given out.
        """
        first: Any = await anext(self._messages)
        taken: list[Received] = [first]
        held = _size(first)
        while len(taken) < BATCH_MESSAGES and held < BATCH_BYTES and not self._queue.empty():
            taken.append(self._queue.get_nowait())
            held += _size(taken[-1])
        self.bytes -= held
        if self.paused and self.bytes <= self._max_bytes // 2:
            self._resume()
        return taken

    def ack(self, message: Received) -> None:
        """Acknowledge a message of this connection."""
        self._paho.ack(message.mid, message.qos)

    def _arrived(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        del client, userdata
        raw = message._topic  # noqa: SLF001 - its property raises where this is no UTF-8
        topic = raw.decode("utf-8", "backslashreplace")
        payload = bytes(message.payload)
        received = Received(
            topic, payload, message.retain, message.mid, message.qos, self._connection
        )
        self._queue.put_nowait(received)
        self.received += 1
        self.bytes += _size(received)
        if self.bytes >= self._max_bytes and not self.paused:
            self._pause()

    def take_over(self) -> None:
        """Read the connection in large pieces from now on; call it once it is made."""
        sock: Any = self._paho.socket()
        if sock is not None and sock.fileno() >= 0:
            # No public way to give one. It does what the library asks of a socket.
            self._paho._sock = BufferedSocket(sock)  # type: ignore[assignment]  # noqa: SLF001
            self._resume()

    def _pause(self) -> None:
        """Stop reading; the broker holds the rest, or ends the connection and holds it then."""
        sock = self._paho.socket()
        if sock is None:
            return
        asyncio.get_running_loop().remove_reader(sock.fileno())
        self.paused = True
        self._on_pause()
        self._hold()

    def _hold(self) -> None:
        """While nothing is read, have the library miss nothing: an answer to its ping, above all.

        It would end the connection, and the broker would send again all that waits here.
        """
        if not self.paused or self._paho.socket() is None:
            return
        self._alive()
        asyncio.get_running_loop().call_later(_HOLD_SECONDS, self._hold)

    def _alive(self) -> None:
        """What comes is as good as an answer to a ping, which waits behind it."""
        self._paho._ping_t = 0  # noqa: SLF001 - no public way
        self._paho._last_bytes_received = mqtt.time_func()  # noqa: SLF001

    def _resume(self) -> None:
        self.paused = False
        sock = self._paho.socket()
        if sock is None or sock.fileno() < 0:
            return  # it ended meanwhile
        loop = asyncio.get_running_loop()
        loop.add_reader(sock.fileno(), self._read)
        loop.call_soon(self._read)  # what was read before, or TLS has decoded, shows on no socket

    def _read(self) -> None:
        """Have the library take in what came."""
        sock: Any = self._paho.socket()
        if sock is None or not self._reads(sock):
            return
        try:
            if not sock.fill():
                return
            if sock.pending():
                self._alive()
            self._paho.loop_read()
            while sock.pending() and self._reads(sock):
                self._paho.loop_read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is of no use
            end(self._client, error)

    def _reads(self, sock: object) -> bool:
        """Whether this is the connection, and it may be read."""
        return not self.paused and self._paho.socket() is sock


def end(client: aiomqtt.Client, error: Exception) -> None:
    """End a connection as the library does when it breaks: whoever waits on it is told."""
    ended = client._disconnected  # noqa: SLF001
    if not ended.done():
        ended.set_exception(error)


def end_early(client: aiomqtt.Client) -> None:
    """Let a connection that breaks before it is complete fail at once.

    The library waits for the broker's answer, to the connection or to a subscription, until its
    time-out, even when the socket has closed. Call it before the client connects.
    """
    library = client._client.on_disconnect  # noqa: SLF001

    def ended(*arguments: Any) -> None:
        waiting: list[asyncio.Future[Any]] = [
            client._connected,  # noqa: SLF001
            *client._pending_subscribes.values(),  # noqa: SLF001
        ]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(aiomqtt.MqttError("the broker ended the connection"))
                answer.exception()  # where nobody waits for it any more, it is no news
        if library is not None:
            library(*arguments)

    client._client.on_disconnect = ended  # noqa: SLF001


def write_when_open(client: aiomqtt.Client) -> None:
    """Watch a socket for writing only while it is open: it may close before its turn comes.

    The library watches its number all the same, which is then nobody's, or another connection's.
    Call it before the client connects, on the event loop.
    """
    paho, loop = client._client, asyncio.get_running_loop()  # noqa: SLF001

    def write() -> None:
        try:
            paho.loop_write()
        except Exception as error:  # noqa: BLE001 - the connection is of no use
            end(client, error)

    def watch(sock: Any) -> None:
        if sock.fileno() >= 0:
            loop.add_writer(sock.fileno(), write)

    def register(paho: mqtt.Client, userdata: Any, sock: Any) -> None:
        del paho, userdata
        loop.call_soon_threadsafe(watch, sock)  # the library connects in a thread

    paho.on_socket_register_write = register


def _size(message: Received) -> int:
    return len(message.payload) + len(message.topic) + _OVERHEAD
