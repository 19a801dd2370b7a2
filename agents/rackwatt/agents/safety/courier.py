# SPDX-License-Identifier: Apache-2.0
"""Tells one Alertmanager of what is on and what is over, until it has heard, and again.

Messages hold all that is on, so each one repairs what an earlier one did not bring about; no
queue, no order. What an alarm's end is in Alertmanager's own time is reckoned from the clock of
its answers: a machine room's clock may be years off.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rackwatt.agents.safety.book import Book, Ended
from rackwatt.agents.safety.engine import Alarm
from rackwatt.agents.safety.post import Answer, PostError, Target
from rackwatt.agents.safety.rules import MEANINGS
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock

_log = logging.getLogger(__name__)

_SKEW_MS: Final = 5_000
"""Clocks that differ by less are taken for the same: the answer's is cut to the second."""
_CORRECT_SECONDS: Final = 0.2
_HEARTBEATS: Final = 3
"""So many heartbeats may fail before the path counts as dead."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent that speaks."""

    site: str
    hall: str
    agent: str

    def labels(self) -> dict[str, str]:
        """For every alert."""
        return {"site": self.site, "hall": self.hall, "agent": self.agent}


@dataclass(slots=True)
class Tally:
    """How it goes with one Alertmanager."""

    accepted: int = 0
    failed: int = 0
    up: bool = False


def timestamp(time_ms: int) -> str:
    """RFC 3339, to the millisecond, of ms since 1970 UTC."""
    bounded = min(max(time_ms, 0), 253_000_000_000_000)
    at = datetime.fromtimestamp(bounded / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert_of(alarm: Alarm, identity: Identity, start_ms: int, end_ms: int) -> dict[str, Any]:
    """An alarm as Alertmanager's API v2 has it; nothing in the labels changes while it is on."""
    meaning = MEANINGS[alarm.rule]
    return {
        "labels": {
            "alertname": f"Safety{meaning.name}",
            "class": "safety",
            "severity": meaning.severity,
            "device": alarm.device,
            "rule": alarm.rule,
            **identity.labels(),
        },
        "annotations": {
            "summary": f"{alarm.device}: {alarm.text}",
            "description": "Seen by the agent itself. Interlocks act; this informs.",
        },
        "startsAt": timestamp(start_ms),
        "endsAt": timestamp(end_ms),
    }


def heartbeat(identity: Identity, start_ms: int, end_ms: int) -> dict[str, Any]:
    """The alert that is always on while the path lives: its end is the news."""
    return {
        "labels": {
            "alertname": "SafetyPathAlive",
            "class": "safety-heartbeat",
            "severity": "none",
            **identity.labels(),
        },
        "annotations": {
            "summary": f"{identity.agent}: the safety rules are being watched",
            "description": "When this ends, nobody watches: look after the agent at once.",
        },
        "startsAt": timestamp(start_ms),
        "endsAt": timestamp(end_ms),
    }


class Courier:
    """Sends to one Alertmanager.

    Args:
        target: the Alertmanager.
        book: what it must hear.
        identity: who speaks.
        alive: whether samples are being judged now.
        resend_every: s between messages while nothing changes.
        ends_after: how long an alarm stays on if no further message comes, in s.
        clock: where the time comes from.
        saved: called when something was heard that the state file should know.
        backoff: waits after failures.
    """

    def __init__(
        self,
        target: Target,
        book: Book,
        identity: Identity,
        *,
        alive: Callable[[], bool],
        resend_every: float,
        ends_after: float,
        clock: Clock,
        saved: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.name = target.name
        self.tally = Tally()
        self._target = target
        self._book = book
        self._identity = identity
        self._alive = alive
        self._resend_every = resend_every
        self._ends_after = ends_after
        self._clock = clock
        self._saved = saved
        self._backoff = backoff or Backoff(first=0.2, cap=5.0)
        self._wake = asyncio.Event()
        self._skew_ms = 0
        self._started_ms = clock.now_ms()

    def wake(self) -> None:
        """Something changed: send now, also in the middle of a wait after a failure."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._wake.clear()
            wait = await self._send()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _send(self) -> float:
        """One message; returns how long to wait for the next, in s."""
        alerts, ended = self._message()
        try:
            answer = await self._target.post(alerts)
        except PostError as error:
            self.tally.failed += 1
            if self.tally.up or self.tally.failed == 1:
                _log.error("%s: %s; trying again and again", self.name, error)
            self.tally.up = False
            return self._backoff.next()
        if not self.tally.up and self.tally.failed:
            _log.warning("%s: takes alerts again", self.name)
        self.tally.up = True
        self.tally.accepted += 1
        self._backoff.reset()
        if self._compare_clocks(answer):
            return _CORRECT_SECONDS
        if self._book.heard(self.name, ended, self._clock.now_ms()):
            self._saved()
        return self._resend_every

    def _compare_clocks(self, answer: Answer) -> bool:
        """Whether its clock is another one than was reckoned with: then the message goes again."""
        if answer.date_ms is None:
            return False
        skew = answer.date_ms - self._clock.now_ms()
        if abs(skew - self._skew_ms) <= _SKEW_MS:
            return False
        _log.warning("%s: its clock is %.0f s ahead of ours", self.name, skew / 1000)
        self._skew_ms = skew
        return True

    def _message(self) -> tuple[list[dict[str, Any]], list[Ended]]:
        now = self._clock.now_ms() + self._skew_ms
        until = now + round(self._ends_after * 1000)
        alerts = []
        for alarm in self._book.active.values():
            start = min(alarm.since_ms + self._skew_ms, now)
            alerts.append(alert_of(alarm, self._identity, start, until))
        ended = [item for item in self._book.ended.values() if self.name in item.waiting]
        for item in ended:
            end = min(item.time_ms + self._skew_ms, now)
            start = min(item.alarm.since_ms + self._skew_ms, end)
            alerts.append(alert_of(item.alarm, self._identity, start, end))
        if self._alive():
            start = min(self._started_ms + self._skew_ms, now)
            beats = round(_HEARTBEATS * self._resend_every * 1000)
            alerts.append(heartbeat(self._identity, start, now + beats))
        return alerts, ended
