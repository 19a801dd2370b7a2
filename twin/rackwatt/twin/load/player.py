# SPDX-License-Identifier: Apache-2.0
"""Plays the agents of a campus: births, messages, statuses, answers, goodbyes."""

import asyncio
import json
import logging
import resource
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import ValidationError

from rackwatt.twin.load.bodies import Voice, devices_of, payload
from rackwatt.twin.load.links import MOST_UNACKNOWLEDGED, Link, Sent
from rackwatt.wire.clock import Clock
from rackwatt.wire.inventory import Inventory, InventoryItem, Register
from rackwatt.wire.replay import ReplayRequest
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.topics import INVENTORY, REPLAY, STATUS, Topic

_log = logging.getLogger(__name__)

SLOT_MS: Final = 10
CYCLE_MS: Final = 10_000
STATUS_MS: Final = 10_000
"""As agents do: every 10 s, retained."""
_SLOTS: Final = CYCLE_MS // SLOT_MS
_REPLAYS_AT_ONCE: Final = 20
"""Messages sent again in a slot: 2,000 a second."""
_STATUS: Final = (
    '{"state":"%s","session":%d,"time":%d,"epochs":'
    '[{"epoch":%d,"oldest":1,"last":%d,"sent_through":%d}]}'
)
_REGISTER: Final = Register(resolution_watt_hours=0.001)
_CONNECT_SECONDS: Final = 10.0
_DRAIN_SECONDS: Final = 30.0


class LoadFailed(Exception):  # noqa: N818 - what became of the run
    """The load could not be played."""


class Carrier(Protocol):
    """What the player asks of a connection: see `Link`."""

    connections: int

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker has not acknowledged."""

    @property
    def free(self) -> bool:
        """Whether it takes more now."""

    def connect(self) -> None:
        """Begin to connect."""

    def publish(self, topic: str, payload: bytes, sent: Sent, *, retain: bool = False) -> None:
        """Send with QoS 1."""

    def turn(self) -> None:
        """What has to be done some times a second."""

    def close(self) -> None:
        """Say goodbye."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play.

    Attributes:
        site: The site's id.
        broker: Where.
        connections: How many carry the agents.
        seconds: How long messages are sent.
        linger_seconds: How long statuses and answers go on after them.
        inventories: Whether each agent says at birth what it has.
    """

    site: str
    broker: BrokerSettings
    connections: int
    seconds: float
    linger_seconds: float = 0.0
    inventories: bool = True


@dataclass(slots=True)
class Tally:
    """What was done; times in ms since 1970 UTC."""

    messages: Counter[str] = field(default_factory=Counter)
    """By what sent them."""
    statuses: int = 0
    inventories: int = 0
    requests: int = 0
    replayed: int = 0
    payload_bytes: int = 0
    worst_late_ms: float = 0.0
    """How long after its time a message was sent, at most."""
    late_ms: float = 0.0
    """The sum over slots with messages."""
    slots: int = 0
    held_slots: int = 0
    """In which nothing could be sent: too much was not acknowledged."""


class Player:
    """Plays one run.

    Characteristics: evenly spread by each agent's phase; behind its time it sends the same
    messages later, with the times that they should have had; answers requests with the messages
    themselves, made anew.

    Args:
        plan: what to play.
        voices: the agents.
        clock: where the time comes from.
        say: told of the progress, a line each 10 s.
        make_link: makes a connection; `Link`.
    """

    def __init__(
        self,
        plan: Plan,
        voices: Sequence[Voice],
        clock: Clock,
        say: Callable[[str], None],
        make_link: Callable[..., Carrier] = Link,
    ) -> None:
        self._plan, self._voices, self._clock, self._say = plan, voices, clock, say
        self._make_link = make_link
        self.tally = Tally()
        self.epoch = self.first_ms = self.ended_ms = 0
        """The run's epoch; when messages began and ended."""
        self._begin_ms = 0
        self._stopping = asyncio.Event()
        self._births: deque[Voice] = deque()
        self._replays: dict[str, tuple[int, Iterator[tuple[Voice, int]]]] = {}
        self._by_name = {voice.name: voice for voice in voices}
        self._slots: list[list[Voice]] = [[] for _ in range(_SLOTS)]
        self._beats: list[list[Voice]] = [[] for _ in range(_SLOTS)]
        self._links: list[Carrier] = []
        for voice in voices:
            voice.link = voice.number % plan.connections
            for phase in range(voice.phase_ms, CYCLE_MS, voice.period_ms):
                self._slots[phase // SLOT_MS].append(voice)
            self._beats[voice.number * _SLOTS // len(voices)].append(voice)

    def stop(self) -> None:
        """Send no more messages, say goodbye and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Play it.

        Raises:
            LoadFailed: there is no broker.
        """
        await self._connect()
        try:
            await self._play()
            await self._settle()
        finally:
            for link in self._links:
                link.close()
            await asyncio.sleep(0)

    async def _connect(self) -> None:
        plan = self._plan
        for number in range(plan.connections):
            topic = f"rackwatt/v1/{plan.site}/+/+/{REPLAY}" if number == 0 else ""
            name = f"load-{plan.site}-{self._clock.now_ms():x}-{number}"
            link = self._make_link(number, plan.broker, name, topic, self._asked, self._reborn)
            try:
                link.connect()
            except OSError as error:
                host, port = plan.broker.address
                raise LoadFailed(f"broker {host}:{port}: {error.strerror or error}") from None
            self._links.append(link)
        deadline = self._clock.monotonic() + _CONNECT_SECONDS
        while not all(link.connections for link in self._links):
            if self._clock.monotonic() > deadline:
                raise LoadFailed("the broker answers no connection")
            await asyncio.sleep(SLOT_MS / 1000)

    # -- the clockwork ------------------------------------------------------------------------

    async def _play(self) -> None:
        """A cycle of births, the messages, then statuses alone until the end."""
        self._begin_ms = (self._clock.now_ms() // 1000 + 1) * 1000
        self.epoch, self.first_ms = self._begin_ms, self._begin_ms + CYCLE_MS
        self._say(f"messages begin at {self.first_ms} ms since 1970 UTC")
        messages = int(self._plan.seconds * 1000) // SLOT_MS
        most = _SLOTS + messages + int(self._plan.linger_seconds * 1000) // SLOT_MS
        slot, told = 0, 0
        while slot < most and not self._stopping.is_set():
            due = (self._clock.now_ms() - self._begin_ms) // SLOT_MS
            while slot <= due and slot < most and not self._stopping.is_set():
                if not all(link.free for link in self._links):
                    self.tally.held_slots += 1
                    break
                self._slot(slot, messages)
                slot += 1
                if slot % 10 == 0:
                    await asyncio.sleep(0)  # acknowledgements come in
            for link in self._links:
                link.turn()
            if slot - told >= _SLOTS:
                told = slot
                self._tell(slot)
            wait = self._begin_ms + slot * SLOT_MS - self._clock.now_ms()
            await asyncio.sleep(max(wait, 1) / 1000)
        self.ended_ms = self._begin_ms + min(slot, _SLOTS + messages) * SLOT_MS

    def _slot(self, slot: int, messages: int) -> None:
        at = slot % _SLOTS
        if slot < _SLOTS:
            for voice in self._beats[at]:
                self._birth(voice)
            return
        if slot - _SLOTS < messages:
            found = self._slots[at]
            for voice in found:
                voice.taken += 1
                self._send(voice, voice.taken)
                self.tally.messages[voice.what] += 1
            if found:
                late = self._clock.now_ms() - self._begin_ms - slot * SLOT_MS
                self.tally.late_ms += late
                self.tally.slots += 1
                self.tally.worst_late_ms = max(self.tally.worst_late_ms, late)
        for voice in self._beats[at]:
            self._status(voice, "online")
        self._answer()
        for _ in range(min(len(self._births), _REPLAYS_AT_ONCE)):
            self._status(self._births.popleft(), "online")

    def _send(self, voice: Voice, seq: int) -> None:
        text = payload(voice, seq, self.epoch, self.first_ms)
        self.tally.payload_bytes += len(text)
        self._links[voice.link].publish(voice.topic, text, (voice, seq))

    def _topic(self, voice: Voice, last: str) -> str:
        return str(Topic(self._plan.site, voice.hall, voice.name, last))

    def _birth(self, voice: Voice) -> None:
        self._status(voice, "online")
        if not self._plan.inventories:
            return
        made = "GB300" if voice.what == "tray" else "simulated"
        registers = {"energy_import_watt_hours": _REGISTER} if voice.what == "meter" else {}
        items = [
            InventoryItem(device=device, model=made, registers=registers)
            for device in devices_of(voice)
        ]
        text = Inventory.of(items, self._clock.now_ms()).model_dump_json().encode()
        topic = self._topic(voice, INVENTORY)
        self._links[voice.link].publish(topic, text, (None, 0), retain=True)
        self.tally.inventories += 1

    def _status(self, voice: Voice, state: str) -> None:
        text = _STATUS % (
            state, self._begin_ms, self._clock.now_ms(), self.epoch, voice.taken,
            voice.sent_through,
        )  # fmt: skip
        topic = voice.topic.rpartition("/")[0] + "/" + STATUS
        self._links[voice.link].publish(topic, text.encode(), (None, 0), retain=True)
        self.tally.statuses += 1

    def _tell(self, slot: int) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        late = self._clock.now_ms() - self._begin_ms - slot * SLOT_MS
        open_ = sum(link.unacknowledged for link in self._links)
        self._say(
            f"{slot * SLOT_MS // 1000} s: {self.tally.messages.total()} messages,"
            f" {self.tally.statuses} statuses, {self.tally.replayed} again, {open_} on their way,"
            f" {max(late, 0)} ms late, {used.ru_utime + used.ru_stime:.1f} s of processor time"
        )

    # -- answers ------------------------------------------------------------------------------

    def _asked(self, topic: str, text: bytes) -> None:
        voice = self._by_name.get(topic.split("/")[-2])
        try:
            request = ReplayRequest.model_validate_json(text)
        except ValidationError:
            _log.warning("a request that makes no sense: %r", text[:200])
            return
        if voice is None or request.epoch != self.epoch:
            return
        self.tally.requests += 1
        before = self._replays.get(voice.name)
        if before is None or request.request >= before[0]:
            self._replays[voice.name] = request.request, self._again(voice, request.ranges)

    def _again(
        self, voice: Voice, ranges: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[Voice, int]]:
        for low, high in ranges:
            for seq in range(low, min(high, voice.taken) + 1):
                yield voice, seq

    def _answer(self) -> None:
        left = _REPLAYS_AT_ONCE
        for name, (_, messages) in list(self._replays.items()):
            for voice, seq in messages:
                self._send(voice, seq)
                self.tally.replayed += 1
                left -= 1
                if not left:
                    return
            del self._replays[name]

    def _reborn(self, link: int) -> None:
        """A connection was made again: its agents say so."""
        self._births.extend(voice for voice in self._voices if voice.link == link)

    # -- the end ------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait for all acknowledgements, then say goodbye."""
        await self._until_acknowledged()
        for number, voice in enumerate(self._voices):
            self._status(voice, "offline")
            if number % 500 == 499:
                await self._until_acknowledged(MOST_UNACKNOWLEDGED // 4)
        await self._until_acknowledged()

    async def _until_acknowledged(self, most: int = 0) -> None:
        deadline = self._clock.monotonic() + _DRAIN_SECONDS
        while sum(link.unacknowledged for link in self._links) > most:
            if self._clock.monotonic() > deadline:
                _log.warning("the broker has not acknowledged all")
                return
            for link in self._links:
                link.turn()
            await asyncio.sleep(SLOT_MS / 1000)

    def record(self) -> dict[str, object]:
        """What was sent, for a comparison with what was stored."""
        tally, used = self.tally, resource.getrusage(resource.RUSAGE_SELF)
        return {
            "site": self._plan.site,
            "epoch": self.epoch,
            "first_ms": self.first_ms,
            "ended_ms": self.ended_ms,
            "connections": self._plan.connections,
            "reconnections": sum(link.connections - 1 for link in self._links),
            "agents": Counter(voice.what for voice in self._voices),
            "messages": tally.messages,
            "statuses": tally.statuses,
            "inventories": tally.inventories,
            "requests": tally.requests,
            "replayed": tally.replayed,
            "payload_bytes": tally.payload_bytes,
            "unacknowledged": sum(link.unacknowledged for link in self._links),
            "late_milliseconds": {
                "mean": tally.late_ms / max(1, tally.slots),
                "most": tally.worst_late_ms,
            },
            "held_slots": tally.held_slots,
            "processor_seconds": used.ru_utime + used.ru_stime,
            "sent": {voice.name: voice.taken for voice in self._voices},
            "samples": self._samples(),
        }

    def _samples(self, count: int = 200) -> list[dict[str, object]]:
        """Messages of agents and numbers that are spread over the run."""
        found: list[dict[str, object]] = []
        step = max(1, len(self._voices) // count)
        for at, voice in enumerate(self._voices[::step]):
            if voice.taken:
                seq = 1 + at * 7919 % voice.taken
                text = payload(voice, seq, self.epoch, self.first_ms)
                found.append({"topic": voice.topic, "message": json.loads(text)})
        return found
