# SPDX-License-Identifier: Apache-2.0
"""What an agent sends, in which order: what is new, what was asked for again, what waited."""

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from rackwatt.agents.stuck import Stuck
from rackwatt.wire.clock import Clock
from rackwatt.wire.inventory import Inventory, InventoryItem
from rackwatt.wire.outbox import Outbox, Stored
from rackwatt.wire.ranges import Range
from rackwatt.wire.readings import EventReading
from rackwatt.wire.replay import ReplayRequest
from rackwatt.wire.session import NotConnected, Received, Session
from rackwatt.wire.topics import INVENTORY, REPLAY

_log = logging.getLogger(__name__)

_IN_FLIGHT: Final = 32
_LIVE_MESSAGES: Final = 1000
_LOOK_SECONDS: Final = 10.0
"""So often it looks whether the inventory has changed while there is nothing to send."""
_REQUEST_BYTES: Final = 100_000
"""Of a replay request: twice what one of 1000 ranges can take."""


@dataclass(slots=True)
class Counts:
    """What the agent has done since it started."""

    rounds: int = 0
    skipped: int = 0
    sent: int = 0
    replayed: int = 0
    unkept: int = 0


class Sender:
    """Publishes what an outbox holds, and the inventory.

    Characteristics: live messages go before replays, and replays before the backlog; memory is
    bounded, what does not fit waits in the outbox; a message that no broker takes is set aside.

    Args:
        name: the agent's.
        topic: the whole topic for its last part.
        outbox: the durable queue.
        session: the connection to the broker.
        counts: where it counts what it sent.
        inventory: what the source knows of its devices.
        clock: where the time comes from.
    """

    def __init__(
        self,
        name: str,
        topic: Callable[[str], str],
        outbox: Outbox,
        session: Session,
        counts: Counts,
        inventory: Callable[[], Sequence[InventoryItem]],
        clock: Clock,
    ) -> None:
        self._name = name
        self._topic = topic
        self._outbox = outbox
        self._session = session
        self._counts = counts
        self._inventory = inventory
        self._clock = clock
        self._live: deque[Stored] = deque()
        self._replays: dict[int, tuple[int, list[Range]]] = {}
        self._work = asyncio.Event()
        self._stuck = Stuck()
        self._inventory_version = ""

    def wake(self) -> None:
        """Look into the outbox: something is there to be sent."""
        self._work.set()

    def connected(self) -> None:
        """A new connection: whoever listens there may not have the inventory."""
        self._inventory_version = ""
        self._work.set()

    def add(self, messages: Sequence[Stored]) -> None:
        """Send these first; they are in the outbox already."""
        self._live.extend(messages)
        while len(self._live) > _LIVE_MESSAGES:
            self._live.popleft()  # still in the outbox: it becomes backlog
        self._work.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._session.connected.wait()
            self._work.clear()
            if not self._live:
                await self._publish_inventory()
            try:
                batch, replayed = await self._next_batch()
            except sqlite3.Error as error:
                _log.error("outbox: %s; trying again", error)
                await asyncio.sleep(1.0)
                continue
            if not batch:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._work.wait()
                continue
            connection = self._session.number
            if self._stuck.suspicious:
                failed = await self._publish_one_by_one(batch)
                on_the_way = failed[:1]
            else:
                done = await asyncio.gather(*(self._publish(item) for item in batch))
                failed = [item for item, went in zip(batch, done, strict=True) if not went]
                on_the_way = failed
            self._counts.sent += len(batch) - len(failed)
            self._counts.replayed += len(batch) - len(failed) if replayed else 0
            if failed:
                if not self._session.connected.is_set():
                    await self._look_for_cause(on_the_way, connection)
                await asyncio.sleep(0.2)  # the session notices a broken connection by itself

    async def _publish_one_by_one(self, batch: Sequence[Stored]) -> list[Stored]:
        """Those that failed: one, and what was not tried after it."""
        for index, item in enumerate(batch):
            if not await self._publish(item):
                return list(batch[index:])
        return []

    async def _look_for_cause(self, on_the_way: Sequence[Stored], connection: int) -> None:
        """A message that no broker takes must not keep the others from being sent."""
        message = self._stuck.broke(on_the_way, connection)
        if message is None:
            return
        name, size = self._name, len(message.payload)
        _log.error(
            "%s: message %d of epoch %d, %d bytes: the broker ends the connection at it each time; "
            "it is kept in the outbox's table 'refused', a notice goes instead",
            name, message.seq, message.epoch, size,
        )  # fmt: skip
        notice = EventReading(
            device=name,
            code="message_refused",
            severity="critical",
            text=f"{message.kind} message of {size} bytes: the broker ends the connection at it",
        )
        try:
            await self._outbox.refuse(message, notice)
        except sqlite3.Error as error:
            _log.error("outbox: %s; trying again", error)

    async def _next_batch(self) -> tuple[list[Stored], bool]:
        if self._live:
            return [self._live.popleft() for _ in range(min(_IN_FLIGHT, len(self._live)))], False
        for epoch, (_, ranges) in list(self._replays.items()):
            while ranges:
                low, high = ranges[0]
                end = min(high, low + _IN_FLIGHT - 1)
                ranges[:1] = [(end + 1, high)] if end < high else []
                if batch := await self._outbox.fetch(epoch, (low, end)):
                    return batch, True
            del self._replays[epoch]
        for epoch, span in self._outbox.unsent(_IN_FLIGHT):
            if batch := await self._outbox.fetch(epoch, span):
                return batch, False
        return [], False

    async def _publish(self, message: Stored) -> bool:
        try:
            await self._session.publish(self._topic(message.kind), message.payload)
        except NotConnected:
            return False
        self._outbox.acknowledged(message)
        self._stuck.went(message)
        return True

    async def _publish_inventory(self) -> None:
        items = self._inventory()
        if not items:
            return
        inventory = Inventory.of(items, self._clock.now_ms())
        if inventory.version == self._inventory_version:
            return
        payload = inventory.model_dump_json().encode()
        with contextlib.suppress(NotConnected):
            await self._session.publish(self._topic(INVENTORY), payload, retain=True)
            self._inventory_version = inventory.version

    def take(self, batch: Sequence[Received]) -> None:
        """Take in what is asked for again; of a newer request, not what an older one asked."""
        for message in batch:
            if message.topic != self._topic(REPLAY):
                continue  # a broker that sends what nobody asked for
            if len(message.payload) > _REQUEST_BYTES:
                _log.warning("replay request of %d bytes: not read", len(message.payload))
                continue
            try:
                request = ReplayRequest.model_validate_json(message.payload)
            except ValidationError as error:
                _log.warning("replay request that makes no sense: %s", error)
                continue
            newest = self._replays.get(request.epoch)
            if newest is None or request.request >= newest[0]:
                ranges = self._outbox.kept(request.epoch, request.ranges)
                self._replays.pop(request.epoch, None)
                if ranges:
                    self._replays[request.epoch] = (request.request, ranges)
        self._work.set()
