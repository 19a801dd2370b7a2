# SPDX-License-Identifier: Apache-2.0
"""What to ask of whom, and when: the policy of replay requests. Pure state, no I/O."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.ingest.watch import AgentWatch, GapWatch, Loss, LossReason
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.ranges import Range
from rackwatt.wire.replay import ReplayRequest

OPEN_REQUESTS: Final = 50
"""Of all agents together: a broker's restart must not become a storm."""
REQUEST_MESSAGES: Final = 2000
SPOOL_FULL_RATIO: Final = 0.5
"""Above this nothing is asked for: what is here comes first."""
UNREADABLE_TRIES: Final = 3
LOOKS: Final = 3000
"""Agents looked at in one turn, some 10 ms: after an outage all of them may miss something."""


@dataclass(slots=True)
class _Open:
    request: ReplayRequest
    backoff: Backoff
    due: float
    asked: int = 0
    """Messages in the request."""
    stalled: bool = False
    """Its last wait brought nothing: it is repeated, and holds up no one else."""
    tries_unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to publish on `…/{hall}/{agent}/replay`."""

    agent: str
    hall: str
    request: ReplayRequest


def _first(ranges: list[Range], messages: int) -> tuple[Range, ...]:
    chosen: list[Range] = []
    for low, high in ranges[:1000]:
        if messages <= 0:
            break
        end = min(high, low + messages - 1)
        chosen.append((low, end))
        messages -= end - low + 1
    return tuple(chosen)


def _count(ranges: Iterable[Range]) -> int:
    return sum(high - low + 1 for low, high in ranges)


class Replays:
    """One open request an agent, a bounded number in all, each repeated with back-off.

    Args:
        watch: the gap watch.
        first_number: request numbers go up from here; give the time in ms, so that they also
            grow over a collector's restarts.
        backoff: makes the waiting times of one agent, 20 s to 10 min by default.
    """

    def __init__(
        self, watch: GapWatch, first_number: int, backoff: Callable[[], Backoff] | None = None
    ) -> None:
        self._watch = watch
        self._number = first_number
        self._backoff = backoff or (lambda: Backoff(first=20.0, cap=600.0))
        self._open: dict[str, _Open] = {}

    @property
    def open(self) -> int:
        """Requests under way."""
        return len(self._open)

    def plan(self, now: float, spool_ratio: float) -> tuple[list[Ask], list[Loss]]:
        """What to ask now, and what is given up as unreadable.

        Args:
            now: monotonic seconds.
            spool_ratio: how full the spool is, 0..1.
        """
        asks: list[Ask] = []
        losses: list[Loss] = []
        self._close()
        busy = sum(not opened.stalled for opened in self._open.values())
        for agent in self._watch.suspects(now, LOOKS):
            opened = self._open.get(agent.name)
            if not agent.online or spool_ratio > SPOOL_FULL_RATIO:
                continue
            if opened is None:
                if busy >= OPEN_REQUESTS:
                    continue
            elif now < opened.due:
                continue
            else:
                losses += self._give_up(agent, opened)
            if (ask := self._ask(agent, opened, now)) is not None:
                asks.append(ask)
                busy += opened is None
        return asks, losses

    def _close(self) -> None:
        """Forget what was answered, and those who are away: they must hold up no one."""
        self._open = {
            name: opened
            for name, opened in self._open.items()
            if (agent := self._watch.get(name)) is not None
            and agent.online
            and self._missing(agent, opened.request)
        }

    def _ask(self, agent: AgentWatch, opened: _Open | None, now: float) -> Ask | None:
        for number, epoch in sorted(agent.epochs.items()):
            ranges = _first(epoch.missing(), REQUEST_MESSAGES)
            if not ranges:
                continue
            self._number += 1
            request = ReplayRequest(request=self._number, epoch=number, ranges=ranges)
            if opened is None or opened.request.epoch != number:
                opened = _Open(request, self._backoff(), 0.0)
            else:
                opened.stalled = _count(self._missing(agent, opened.request)) == opened.asked
                if not opened.stalled:
                    opened.backoff.reset()
            opened.request = request
            opened.asked = _count(ranges)
            opened.due = now + opened.backoff.next()
            agent.unreadable = 0
            self._open[agent.name] = opened
            return Ask(agent.name, agent.hall, request)
        self._open.pop(agent.name, None)
        return None

    @staticmethod
    def _missing(agent: AgentWatch, request: ReplayRequest) -> list[Range]:
        epoch = agent.epochs.get(request.epoch)
        if epoch is None:
            return []
        missing: list[Range] = []
        for low, high in request.ranges:
            for gap_low, gap_high in epoch.received.missing(low, high):
                missing += epoch.lost.missing(gap_low, gap_high)
        return missing

    def _give_up(self, agent: AgentWatch, opened: _Open) -> list[Loss]:
        """Close what came three times and could not be read."""
        if agent.unreadable == 0:
            opened.tries_unreadable = 0
            return []
        unreadable, agent.unreadable = agent.unreadable, 0  # each ask counts once
        opened.tries_unreadable += 1
        if opened.tries_unreadable < UNREADABLE_TRIES:
            return []
        opened.tries_unreadable = 0
        losses: list[Loss] = []
        left = unreadable
        for low, high in self._missing(agent, opened.request):
            if left <= 0:
                break
            end = min(high, low + left - 1)
            losses.append(agent.close(opened.request.epoch, low, end, LossReason.UNREADABLE))
            self._watch.lost(losses[-1])
            left -= end - low + 1
        return losses
