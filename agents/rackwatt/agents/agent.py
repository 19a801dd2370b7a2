# SPDX-License-Identifier: Apache-2.0
"""The loop that every agent shares: sample, keep, send, answer for what was sent."""

import asyncio
import contextlib
import logging
import math
import sqlite3
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from rackwatt.agents.aside import Aside
from rackwatt.agents.safety.watch import Safety
from rackwatt.agents.sending import Counts, Sender
from rackwatt.agents.settings import Config
from rackwatt.agents.source import ErrorCounter, Source, StartError
from rackwatt.agents.window import Window
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.periodic import ticks
from rackwatt.wire.readings import Kind, Reading
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import NotConnected, Received, Session, Will
from rackwatt.wire.status import Status
from rackwatt.wire.topics import REPLAY, STATUS, Topic

_log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 1.0
"""A wall clock that moved so much against the steady one was set."""
_PATIENCE_SECONDS: Final = 0.5


class Agent:
    """One agent: a source, an outbox and an MQTT session.

    Characteristics: missed sampling turns are skipped and counted; a message is published after
    it is durable; live messages go before replays, and replays before the backlog; memory is
    bounded, what does not fit waits in the outbox.

    Args:
        config: the agent's settings.
        source: the protocol driver, not started.
        outbox: the durable queue, not started.
        errors: where the driver counts what it could not read.
        clock: where the time comes from.
        safety: the rules that must not wait, if there are any.
    """

    def __init__(
        self,
        config: Config,
        source: Source,
        outbox: Outbox,
        errors: ErrorCounter,
        clock: Clock = SYSTEM_CLOCK,
        safety: Safety | None = None,
    ) -> None:
        self._config = config
        self._source = source
        self._clock = clock
        self._window = Window()
        self._last_round_ms = 0
        self._lead = math.nan
        """The wall clock minus the steady one, in s, as it was last seen."""
        self._stepped = asyncio.Event()
        self._leaving = False
        self.outbox = outbox
        self.safety = safety
        # Where something must not wait, a disk that hangs lets the window grow, and no more.
        self._keeper = Aside(self._keep, None if safety is None else _PATIENCE_SECONDS)
        self.errors = errors
        self.counts = Counts()
        self.session = Session(
            config.broker,
            config.agent.name,
            subscriptions=[self._topic(REPLAY)],
            will=self._will,
            on_batch=self._on_batch,
            on_connect=self._on_connect,
            clock=clock,
        )
        name, inventory = config.agent.name, source.inventory
        self.sender = Sender(name, self._topic, outbox, self.session, self.counts, inventory, clock)

    def _topic(self, last: str) -> str:
        agent = self._config.agent
        return str(Topic(agent.site, agent.hall, agent.name, last))

    async def run(self) -> None:
        """Work until cancelled; then say goodbye and close everything.

        Raises:
            sqlite3.Error: the outbox cannot be opened.
            BaseExceptionGroup: with the StartError of a source that cannot start and for which
                trying again would not help, or with what a driver's bug raised.
        """
        await self.outbox.start()
        if self.safety is not None:
            self.safety.load()
        try:
            async with asyncio.TaskGroup() as tasks:
                session = tasks.create_task(self.session.run(), name="session")
                beat = tasks.create_task(self._beat(), name="status")
                tasks.create_task(self.sender.run(), name="send")
                announce = tasks.create_task(self._announce(), name="clock")
                warn = tasks.create_task(self.safety.run(), name="safety") if self.safety else None
                try:
                    await self._start_source()
                    await self._sample()
                finally:
                    self._leaving = True
                    announce.cancel()
                    if warn is not None:
                        warn.cancel()
                    beat.cancel()  # nothing may say "online" after our goodbye
                    await self._keeper.finish()
                    await self._say_goodbye()
                    session.cancel()
        finally:
            try:
                await self._source.aclose()
            finally:
                await self.outbox.aclose()

    async def _start_source(self) -> None:
        backoff = Backoff(first=1.0, cap=60.0)
        while True:
            try:
                return await self._source.start()
            except StartError as error:
                if error.kind == "fatal":
                    raise
                wait = backoff.next()
                _log.warning("%s: %s; trying again in %.0f s", self._config.agent.name, error, wait)
                await asyncio.sleep(wait)

    # -- sampling ---------------------------------------------------------------------------

    async def _sample(self) -> None:
        agent = self._config.agent
        send_ms, phase_ms = round(agent.send_every * 1000), self._config.phase_ms
        window_index: int | None = None
        async for tick in ticks(agent.sample_every, self._clock):
            self.counts.skipped += tick.skipped
            index = -((phase_ms - tick.due_ms) // send_ms)
            if window_index is not None and index != window_index:
                # The turn at the window's end was missed: what it has goes with its own time.
                await self._keeper.go()
            window_index = index
            self._last_round_ms = self._clock.now_ms()
            self._look_at_clock()
            samples = await self._source.sample()
            self._window.add(samples)
            if self.safety is not None:
                self._window.add(self.safety.take(samples))
            self.counts.rounds += 1
            if (tick.due_ms - phase_ms) % send_ms == 0:
                await self._keeper.go()
                window_index = None

    def _look_at_clock(self) -> None:
        lead = self._last_round_ms / 1000 - self._clock.monotonic()
        if abs(lead - self._lead) > _STEP_SECONDS:
            self._stepped.set()
        self._lead = lead

    async def _keep(self) -> None:
        """Fold the window, make it durable, hand it to the sender."""
        messages = self._messages(self._window.close(), self._last_round_ms)
        if not messages:
            return
        try:
            stored = await self.outbox.put(messages)
        except sqlite3.Error as error:
            self.counts.unkept += 1
            _log.error("outbox: %s; %d messages could not be kept", error, len(messages))
            return
        self.sender.add(stored)

    def _messages(
        self, samples: Sequence[Sample], time_ms: int
    ) -> list[tuple[Kind, int, list[Reading]]]:
        by_kind: dict[Kind, list[Reading]] = {}
        for sample in samples:
            try:
                reading = reading_of(sample, time_ms)
            except ValidationError as error:
                self.counts.unkept += 1
                _log.error("%s: not sent, it breaks the contract: %s", sample.device, error)
                continue
            by_kind.setdefault(sample.kind, []).append(reading)
        return [(kind, time_ms, readings) for kind, readings in by_kind.items()]

    # -- answering for what was sent ----------------------------------------------------------

    def _status(self, state: str, session: int) -> bytes:
        return (
            Status.model_validate(
                {
                    "state": state,
                    "session": session,
                    "time": self._clock.now_ms(),
                    "epochs": self.outbox.states(),
                }
            )
            .model_dump_json()
            .encode()
        )

    def _will(self, session: int) -> Will:
        return Will(self._topic(STATUS), self._status("offline", session))

    async def _beat(self) -> None:
        async for _ in ticks(STATUS_SECONDS, self._clock, self._config.phase_ms):
            with contextlib.suppress(NotConnected):
                await self._publish_status("online")

    async def _announce(self) -> None:
        """Say at once that the clock was set, before anything that was read since then is sent.

        A collector that heard it only with the next status would take ten seconds of readings for
        those of another hour.
        """
        while True:
            await self._stepped.wait()
            self._stepped.clear()
            with contextlib.suppress(NotConnected):
                await self._publish_status("online")

    async def _publish_status(self, state: str) -> None:
        payload = self._status(state, self.session.number)
        await self.session.publish(self._topic(STATUS), payload, retain=True)

    async def _on_connect(self, session: int) -> None:
        del session
        self.sender.connected()
        if not self._leaving:
            await self._publish_status("online")

    async def _say_goodbye(self) -> None:
        if not self.session.connected.is_set():
            return
        with contextlib.suppress(NotConnected, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._publish_status("offline")

    async def _on_batch(self, batch: Sequence[Received]) -> None:
        self.sender.take(batch)
        self.session.ack(batch)
