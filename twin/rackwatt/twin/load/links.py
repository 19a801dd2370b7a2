# SPDX-License-Identifier: Apache-2.0
"""Connections that carry many agents each, by the client library that the agents have.

An agent of its own has a connection of its own, with a last will: tens of thousands of them would
be a load of the broker and of this machine, not of the collector. Here agents share connections,
and have no last will; all else is theirs.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from rackwatt.twin.load.bodies import Voice
from rackwatt.wire.buffered import BufferedSocket
from rackwatt.wire.session import BrokerSettings

_log = logging.getLogger(__name__)

_KEEPALIVE_SECONDS: Final = 30
MOST_UNACKNOWLEDGED: Final = 10_000
"""Of a connection: far below what packet identifiers allow."""
Sent = tuple[Voice | None, int]
"""Whose message, and its number; None: no message of the sequence."""


class Link:
    """One connection, on the running event loop.

    Characteristics: QoS 1; the broker's acknowledgements move `sent_through` of the agents; a
    connection that breaks is made again by `turn`, and what was not acknowledged is sent again.

    Args:
        number: of this connection.
        settings: the broker.
        name: its client id.
        topic: to subscribe to; "": nothing.
        on_message: takes topic and payload of what comes.
        on_connected: told of each connection but the first.
    """

    def __init__(
        self,
        number: int,
        settings: BrokerSettings,
        name: str,
        topic: str,
        on_message: Callable[[str, bytes], None],
        on_connected: Callable[[int], None],
    ) -> None:
        self.number = number
        self.connections = 0
        self.acknowledged = 0
        self._settings, self._topic = settings, topic
        self._waiting: dict[int, Sent] = {}
        self._on_connected = on_connected
        self._try_at = 0.0
        client = self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311
        )
        client.max_inflight_messages_set(0)
        client.on_connect = self._connected
        client.on_publish = self._published
        client.on_message = lambda _client, _data, message: on_message(
            message.topic, bytes(message.payload)
        )
        context = settings.tls()
        if context is not None:
            client.tls_set_context(context)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password())

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker has not acknowledged."""
        return len(self._waiting)

    @property
    def free(self) -> bool:
        """Whether it takes more now."""
        return self._client.is_connected() and len(self._waiting) < MOST_UNACKNOWLEDGED

    def connect(self) -> None:
        """Begin to connect.

        Raises:
            OSError: nobody listens there.
        """
        host, port = self._settings.address
        if self.connections:
            self._client.reconnect()
        else:
            self._client.connect(host, port, _KEEPALIVE_SECONDS)
        sock: Any = self._client.socket()
        sock.setblocking(False)
        # The library asks for single bytes, and sends each message by itself.
        buffered = BufferedSocket(sock)
        self._client._sock = buffered  # type: ignore[assignment]  # noqa: SLF001
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable, buffered)

    def _readable(self, sock: BufferedSocket) -> None:
        """Have the library take in what came."""
        if not sock.fill():
            return
        number = sock.fileno()
        self._client.loop_read()
        while self._is(sock) and sock.pending():
            self._client.loop_read()
        if not self._is(sock):
            asyncio.get_running_loop().remove_reader(number)

    def _is(self, sock: object) -> bool:
        return self._client.socket() is sock

    def _connected(
        self, client: mqtt.Client, data: Any, flags: Any, code: Any, properties: Any
    ) -> None:
        del data, flags, properties
        if code.is_failure:
            _log.warning("the broker refuses the connection: %s", code)
            return
        self.connections += 1
        if self._topic:
            client.subscribe(self._topic, qos=1)
        if self.connections > 1:
            self._on_connected(self.number)

    def _published(
        self, client: mqtt.Client, data: Any, mid: int, code: Any, properties: Any
    ) -> None:
        del client, data, code, properties
        voice, seq = self._waiting.pop(mid, (None, 0))
        self.acknowledged += 1
        # A broker acknowledges in the order of what came.
        if voice is not None and seq > voice.sent_through:
            voice.sent_through = seq

    def publish(self, topic: str, payload: bytes, sent: Sent, *, retain: bool = False) -> None:
        """Send with QoS 1."""
        info = self._client.publish(topic, payload, 1, retain)
        self._waiting[info.mid] = sent

    def turn(self) -> None:
        """What has to be done some times a second: keep alive, send on, connect again."""
        client = self._client
        if client.socket() is not None:
            if client.want_write():
                client.loop_write()
            client.loop_misc()
            return
        now = time.monotonic()
        if now < self._try_at:
            return
        self._try_at = now + 1.0
        try:
            self.connect()
        except OSError as error:
            _log.warning("no connection to the broker: %s", error)

    def close(self) -> None:
        """Say goodbye."""
        sock: Any = self._client.socket()
        if sock is None:
            return
        number = sock.fileno()
        self._client.disconnect()
        asyncio.get_running_loop().remove_reader(number)
        if self._client.socket() is not None:
            self._client._sock_close()  # noqa: SLF001
