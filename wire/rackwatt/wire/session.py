# SPDX-License-Identifier: Apache-2.0
"""The MQTT session: reconnects for ever, and acknowledges only what its owner has made safe.

The client library acknowledges a message before the application has seen it. Here the owner
acknowledges, after its own commit, and an acknowledgement is bound to the connection on which the
message came: packet identifiers start anew with each connection, so an old one could otherwise
acknowledge a new message that nobody has saved (ADR 0002). Hence a new client per connection.
"""

import asyncio
import contextlib
import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
from pydantic import BaseModel, ConfigDict, field_validator

from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.inflow import Inflow, Received, end, end_early, write_when_open

__all__ = ["BrokerSettings", "NotConnected", "Received", "Session", "Will"]

_log = logging.getLogger(__name__)

_KEEPALIVE_SECONDS: Final = 20
_CONNECT_SECONDS: Final = 10.0
_STABLE_SECONDS: Final = 10.0
"""A connection that lasted this long resets the back-off."""
_SHORT_LIVES: Final = 3
"""So many connections in a row that were accepted and soon ended: somebody has our name."""
_LEAVE_SECONDS: Final = 1.0
_MAX_UNANSWERED: Final = 500
"""Publishes that timed out on one connection, after which it is given up: the client library
keeps each, and a broker that answers pings but acknowledges nothing would fill the memory."""
_REFUSED: Final = 0x80
"""From here on, the code of a subscription says that it failed."""


class BrokerSettings(BaseModel):
    """Where the broker is, and who we are to it; the password stands in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """`mqtt://host[:1883]` or `mqtts://host[:8883]`."""
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """Certificate authority that signed the broker's certificate; default: the system's."""
    certificate_file: Path | None = None
    key_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            msg = "a broker's URL is mqtt://host:port or mqtts://host:port"
            raise ValueError(msg)
        if parts.username or parts.password:
            msg = "no user or password in the URL: use username and password_file"
            raise ValueError(msg)
        return url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context for `mqtts`, else None.

        Raises:
            OSError: a file cannot be read.
        """
        if urlsplit(self.url).scheme != "mqtts":
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def password(self) -> str | None:
        """The password, read anew at each connection so that it can be changed in place.

        Raises:
            OSError: the file cannot be read.
        """
        if self.password_file is None:
            return None
        return self.password_file.read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish; retained, QoS 1."""

    topic: str
    payload: bytes


class NotConnected(ConnectionError):  # noqa: N818 - a state, not a fault
    """There is no connection, or it broke before the broker acknowledged."""


BatchHandler = Callable[[Sequence[Received]], Awaitable[None]]
ConnectHandler = Callable[[int], Awaitable[None]]


class Session:
    """A persistent MQTT 3.1.1 session.

    Characteristics: QoS 1; one batch at a time goes to `on_batch`, made of whatever arrived while
    the one before was handled; nothing is acknowledged but by `ack`; a lost connection is made
    again with jittered, capped back-off; sessions of one client id survive at the broker.

    Args:
        settings: the broker.
        client_id: fixed, unique at the broker.
        subscriptions: topic filters.
        will: makes the last will of a connection from its session number.
        on_batch: takes messages; what it raises ends the session.
        on_connect: runs after each connection, with the session number, beside the traffic.
        clock: where session numbers come from.
        backoff: waiting times between connections.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        subscriptions: Sequence[str] = (),
        will: Callable[[int], Will] | None = None,
        on_batch: BatchHandler | None = None,
        on_connect: ConnectHandler | None = None,
        clock: Clock = SYSTEM_CLOCK,
        backoff: Backoff | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._subscriptions = subscriptions
        self._will = will
        self._on_batch = on_batch
        self._on_connect = on_connect
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._client: aiomqtt.Client | None = None
        self._entered = asyncio.Event()
        self._waiting: set[asyncio.Timeout] = set()
        self.number = 0
        """Grows with each connection, also over restarts: milliseconds at connecting."""
        self.connected = asyncio.Event()
        self.reconnects = 0
        self.pauses = 0
        """How often nothing more was read because too much waited for its batch."""
        self._unanswered = 0
        self._accepted = False
        self._short_lives = 0
        self._inflow: Inflow | None = None

    @property
    def waiting_bytes(self) -> int:
        """Messages that came and wait for their batch; bounded (`inflow.MAX_BYTES`)."""
        return 0 if self._inflow is None else self._inflow.bytes

    async def run(self) -> None:
        """Keep the session up until cancelled."""
        while True:
            started = self._clock.monotonic()
            self._entered.clear()
            connection = asyncio.create_task(self._connection(), name="mqtt-connection")
            try:
                await asyncio.wait([connection])
            except asyncio.CancelledError:
                await self._end(connection)
                raise
            try:
                connection.result()
            except* (aiomqtt.MqttError, OSError) as group:
                reason: BaseException = group.exceptions[0]
                while isinstance(reason, BaseExceptionGroup):
                    reason = reason.exceptions[0]
                reason = reason.__cause__ or reason
                host, port = self._settings.address
                _log.warning(
                    "%s: broker %s:%d: %s; trying again", self._client_id, host, port, reason
                )
            stable = self._clock.monotonic() - started > _STABLE_SECONDS
            if stable:
                self._backoff.reset()
            self._suspect(stable=stable)
            self.reconnects += 1
            await asyncio.sleep(self._backoff.next())

    def _suspect(self, *, stable: bool) -> None:
        """Name the likely cause where the broker takes us and lets us go, again and again.

        MQTT 3.1.1 does not say why a connection ends. The other one of our name takes ours over
        as we take its: the growing back-off keeps both from doing nothing else.
        """
        if not stable and self._accepted:
            self._short_lives += 1
        else:
            self._short_lives = 0
        if self._short_lives and self._short_lives % _SHORT_LIVES == 0:
            _log.warning(
                "%s: the broker accepted and soon ended the last %d connections: "
                "does another client call itself %s?",
                self._client_id, self._short_lives, self._client_id,
            )  # fmt: skip

    async def _end(self, connection: asyncio.Task[None]) -> None:
        """End a connection, however hard the library clings to it.

        It loses a cancellation where its own time-out or, before Python 3.12, its own success
        comes at the same moment: hence a task of its own, which is cancelled until it ends.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._entered.wait()  # half a connection cannot be taken back
        while not connection.done():
            connection.cancel()
            await asyncio.wait([connection], timeout=_LEAVE_SECONDS)
        if not connection.cancelled() and (error := connection.exception()) is not None:
            _log.debug("broker: %s while leaving", error)

    async def _connection(self) -> None:
        self.number = max(self._clock.now_ms(), self.number + 1)
        client = self._new_client()
        inflow = self._inflow = Inflow(client, self.number, on_pause=self._paused)
        self._unanswered = 0
        self._accepted = False
        try:
            async with client:
                self._entered.set()
                self._accepted = True
                inflow.take_over()
                async with asyncio.TaskGroup() as tasks:
                    # At once: the answer to what we subscribe comes behind all that waited for us.
                    tasks.create_task(self._read(inflow), name="mqtt-read")
                    tasks.create_task(self._begin(client, inflow), name="mqtt-connect")
        finally:
            self._entered.set()
            self._client = self._inflow = None
            self.connected.clear()
            if client._client.socket() is not None:  # noqa: SLF001
                # Left open by a time-out: a late answer must not make a second client of us.
                client._client._sock_close()  # noqa: SLF001
            for limit in self._waiting:  # their acknowledgements will not come any more
                if not limit.expired():
                    limit.reschedule(0.0)

    async def _begin(self, client: aiomqtt.Client, inflow: Inflow) -> None:
        """Subscribe, and say that we are here.

        What goes wrong ends the connection, not its reader, which would leave a batch half done.
        """
        try:
            await self._subscribe(client, inflow)
        except (aiomqtt.MqttError, OSError) as error:
            end(client, error)
            return
        self._client = client
        self.connected.set()
        if self._on_connect is not None:
            await self._greet(self._on_connect)

    async def _subscribe(self, client: aiomqtt.Client, inflow: Inflow) -> None:
        if not self._subscriptions:
            return
        topics = [(topic, 1) for topic in self._subscriptions]
        answer = asyncio.ensure_future(client.subscribe(topics, timeout=math.inf))
        try:
            before = -1
            while not answer.done():
                if before == inflow.received and not inflow.paused:
                    raise aiomqtt.MqttError("no answer to the subscription came in time")
                before = inflow.received
                ended = client._disconnected  # noqa: SLF001
                which = asyncio.FIRST_COMPLETED
                await asyncio.wait((answer, ended), timeout=_CONNECT_SECONDS, return_when=which)
                if ended.done() and not answer.done():
                    raise aiomqtt.MqttError("disconnected")
        finally:
            answer.cancel()
        granted = answer.result()
        codes = [code if isinstance(code, int) else code.value for code in granted]
        refused = [
            topic
            for topic, code in zip(self._subscriptions, codes, strict=True)
            if code >= _REFUSED
        ]
        if refused:
            raise aiomqtt.MqttError(f"the broker refuses the subscription to {', '.join(refused)}")

    def _new_client(self) -> aiomqtt.Client:
        host, port = self._settings.address
        will = self._will(self.number) if self._will is not None else None
        client = aiomqtt.Client(
            host,
            port,
            username=self._settings.username,
            password=self._settings.password(),
            identifier=self._client_id,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=False,
            keepalive=_KEEPALIVE_SECONDS,
            timeout=_CONNECT_SECONDS,
            tls_context=self._settings.tls(),
            max_inflight_messages=200,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, 1, retain=True),
        )
        client.pending_calls_threshold = 10_000  # its warning counts what we do on purpose
        # No public option in aiomqtt 2.5; must be set before connecting. A test guards it.
        client._client.manual_ack_set(True)  # noqa: SLF001
        end_early(client)
        write_when_open(client)
        if not _log.isEnabledFor(logging.DEBUG):
            client._client.disable_logger()  # noqa: SLF001 - a line per packet, else for nobody
        return client

    async def _greet(self, greet: ConnectHandler) -> None:
        with contextlib.suppress(NotConnected):
            await greet(self.number)

    async def _read(self, inflow: Inflow) -> None:
        while True:
            batch = await inflow.batch()
            if self._on_batch is not None:
                await self._on_batch(batch)
            else:
                self.ack(batch)

    def _paused(self) -> None:
        self.pauses += 1
        _log.warning(
            "%s: %d MB of messages wait: the rest stays in the broker",
            self._client_id,
            self.waiting_bytes // 1_000_000,
        )

    def ack(self, messages: Iterable[Received]) -> None:
        """Acknowledge messages; those of an earlier connection are left alone.

        The broker sends what was not acknowledged again on the next connection.
        """
        inflow = self._inflow
        if inflow is None:
            return
        for message in messages:
            if message.qos and message.connection == self.number:
                inflow.ack(message)

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = 10.0
    ) -> None:
        """Publish with QoS 1 and wait for the broker's acknowledgement.

        Args:
            topic: where to.
            payload: what.
            retain: keep it for those who subscribe later.
            timeout: seconds to wait for the acknowledgement.

        Raises:
            NotConnected: there is no connection, it broke, or no acknowledgement came in time.
        """
        client, inflow = self._client, self._inflow
        if client is None or inflow is None:
            raise NotConnected("not connected to the broker")
        before = inflow.received
        try:
            async with asyncio.timeout(timeout) as limit:
                self._waiting.add(limit)
                try:
                    await client.publish(topic, payload, qos=1, retain=retain, timeout=math.inf)
                finally:
                    self._waiting.discard(limit)
        except TimeoutError as error:
            if client is not self._client:
                raise NotConnected("it broke") from error
            # Else it may wait behind what the broker had for us.
            self._unanswered += inflow.received == before
            if self._unanswered >= _MAX_UNANSWERED:
                end(client, ConnectionError("the broker acknowledges nothing"))
            raise NotConnected("no acknowledgement came in time") from error
        except aiomqtt.MqttError as error:
            raise NotConnected(str(error)) from error
