# SPDX-License-Identifier: Apache-2.0
"""The safety class of a running agent: rules, state file, orders and couriers together."""

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rackwatt.agents.safety.book import Book, StateError, read_order, write_atomically
from rackwatt.agents.safety.courier import Courier, Identity
from rackwatt.agents.safety.engine import Alarm, Change, Engine, Moment
from rackwatt.agents.safety.post import Target
from rackwatt.agents.safety.settings import SafetySettings
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.sample import Event, Sample

_log = logging.getLogger(__name__)

_ALIVE_SECONDS: Final = 10.0
"""Without a round of samples for so long, the path is not alive."""
_ORDER_SECONDS: Final = 1.0
_SAVE_AGAIN_SECONDS: Final = 5.0


class Safety:
    """Watches the loops of one agent.

    Characteristics: judging takes no I/O and happens in the round that brought the samples; an
    Alertmanager that hangs delays neither sampling nor the other Alertmanagers; the state is
    written after the couriers were woken, so a slow disk delays no alarm.

    Args:
        settings: of the agent's file.
        identity: the agent.
        folder: where relative paths begin.
        state_file: where alarms are kept over a restart.
        clock: where the time comes from.

    Raises:
        OSError: the file of an Alertmanager's authority cannot be read.
    """

    def __init__(
        self,
        settings: SafetySettings,
        identity: Identity,
        folder: Path,
        state_file: Path,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._file = state_file
        self._identity = identity
        self._loops = settings.watched()
        self._engine = Engine(self._loops)
        targets = [Target(row, folder, settings.timeout) for row in settings.alertmanagers]
        self._book = Book([target.name for target in targets])
        self._last_round: float | None = None
        self._events: list[Sample] = []
        self._dirty = asyncio.Event()
        self._saving = threading.Lock()
        self.raised: Counter[str] = Counter()
        self.unsaved = 0
        """Times that the state file could not be written."""
        self.couriers = [
            Courier(
                target,
                self._book,
                identity,
                alive=self.alive,
                resend_every=settings.resend_every,
                ends_after=settings.ends_after,
                clock=clock,
                saved=self._dirty.set,
            )
            for target in targets
        ]

    @property
    def active(self) -> tuple[Alarm, ...]:
        """The alarms that are on."""
        return self._engine.active

    def alive(self) -> bool:
        """Whether samples are being judged."""
        last = self._last_round
        return last is not None and self._clock.monotonic() - last < _ALIVE_SECONDS

    def load(self) -> None:
        """Take up the alarms that were on when the agent ended; a file that is damaged is kept."""
        try:
            self._book.load(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, UnicodeError, StateError) as error:
            text = f"alarms that were on may be forgotten: {self._file}: {error}"
            _log.error("%s", text)
            self._events.append(self._event("safety_state_lost", "critical", text))
            with contextlib.suppress(OSError):
                self._file.replace(self._file.with_name(self._file.name + ".damaged"))
            return
        self._engine = Engine(self._loops, self._book.active.values())
        now_ms = self._clock.now_ms()
        self._apply([Change(alarm, "withdrawn", now_ms) for alarm in self._engine.unwatched])

    def take(self, samples: Sequence[Sample]) -> list[Sample]:
        """Judge a round; returns the events that it brought, for the normal way."""
        now = Moment(self._clock.now_ms(), self._clock.monotonic())
        self._last_round = now.seconds
        before = self._engine.active
        changes = self._engine.take(now, samples)
        if changes or self._engine.active != before:
            self._apply(changes)
        events, self._events = self._events, []
        return events

    def _apply(self, changes: Sequence[Change]) -> None:
        self._book.apply(changes, self._engine.active)
        for change in changes:
            self._tell(change)
        for courier in self.couriers:
            courier.wake()
        self._dirty.set()

    def _tell(self, change: Change) -> None:
        alarm = change.alarm
        code = f"safety_{alarm.rule}"
        if change.what == "raised":
            self.raised[alarm.rule] += 1
            _log.error("%s: %s: %s", alarm.device, alarm.rule, alarm.text)
            self._events.append(
                self._event(code, alarm.severity, alarm.text, alarm.device, change.time_ms)
            )
            return
        how = {
            "cleared": "healthy values for the stated time",
            "reset": f"reset by {self._book.last_order.get('by', 'an operator')}",
            "withdrawn": "the agent's file no longer has this rule or loop",
        }[change.what]
        _log.warning("%s: %s is over: %s", alarm.device, alarm.rule, how)
        text = f"over: {alarm.text} ({how})"
        self._events.append(
            self._event(f"{code}_{change.what}", "info", text, alarm.device, change.time_ms)
        )

    def _event(
        self, code: str, severity: Any, text: str, device: str = "", time_ms: int | None = None
    ) -> Sample:
        return Sample(
            "event",
            device or self._identity.agent,
            event=Event(code, severity, text[:2000]),
            time_ms=time_ms,
        )

    # -- in the background --------------------------------------------------------------------

    async def run(self) -> None:
        """Tell, remember and take orders until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for courier in self.couriers:
                    tasks.create_task(courier.run(), name=f"safety {courier.name}")
                tasks.create_task(self._save_when_dirty(), name="safety state")
                tasks.create_task(self._take_orders(), name="safety orders")
        finally:
            if self._dirty.is_set():
                self._save(self._book.text())

    async def _save_when_dirty(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await asyncio.to_thread(self._save, self._book.text()):
                await asyncio.sleep(_SAVE_AGAIN_SECONDS)
                self._dirty.set()

    def _save(self, text: str) -> bool:
        try:
            with self._saving:
                write_atomically(self._file, text)
        except OSError as error:
            self.unsaved += 1
            _log.error("%s: %s: a restart would forget alarms", self._file, error)
            return False
        return True

    async def _take_orders(self) -> None:
        while True:
            try:
                order = await asyncio.to_thread(read_order, self._file)
            except OSError as error:
                _log.error("an order cannot be read: %s", error)
                order = None
            if order is not None:
                self._carry_out({str(key): str(value) for key, value in order.items()})
            await asyncio.sleep(_ORDER_SECONDS)

    def _carry_out(self, order: dict[str, str]) -> None:
        now = Moment(self._clock.now_ms(), self._clock.monotonic())
        device, rule = order.get("device", ""), order.get("rule", "")
        self._book.last_order = order
        found = self._engine.reset(device, rule, now)
        if isinstance(found, str):
            order["refused"] = found
            _log.warning("reset by %s refused: %s", order.get("by", "?"), found)
            self._dirty.set()
        else:
            self._apply([found])


def make_safety(settings: SafetySettings, identity: Identity, folder: Path, outbox: Path) -> Safety:
    """The safety class of an agent, not started.

    Args:
        settings: of the agent's file.
        identity: the agent.
        folder: of its file.
        outbox: beside it lies the state, unless the settings say where.

    Raises:
        OSError: the file of an Alertmanager's authority cannot be read.
    """
    return Safety(settings, identity, folder, state_file(settings, identity.agent, folder, outbox))


def state_file(settings: SafetySettings, agent: str, folder: Path, outbox: Path) -> Path:
    """Where the alarms of an agent are kept."""
    if settings.state is not None:
        return folder / settings.state
    return outbox.with_name(f"{agent}.safety.json")
