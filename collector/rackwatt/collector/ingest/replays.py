# SPDX-License-Identifier: Apache-2.0
"""What to ask of whom, and when: the policy of replay requests. Pure state, no I/O."""

from collections.abc import Callable
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


@dataclass(slots=True)
class _Open:
    request: ReplayRequest
    backoff: Backoff
    due: float
    tries_unreadable: int = 0
    held_at_asking: int = 0


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
        self._watch.age(now)
        asks: list[Ask] = []
        losses: list[Loss] = []
        for agent in self._watch:
            opened = self._open.get(agent.name)
            if opened is not None:
                if not self._missing(agent, opened.request):
                    del self._open[agent.name]
                    opened = None
                elif now < opened.due:
                    continue
                else:
                    losses += self._give_up(agent, opened)
            if not agent.online or spool_ratio > SPOOL_FULL_RATIO:
                continue
            if opened is None and len(self._open) >= OPEN_REQUESTS:
                continue
            if (ask := self._ask(agent, opened, now)) is not None:
                asks.append(ask)
        return asks, losses

    def _ask(self, agent: AgentWatch, opened: _Open | None, now: float) -> Ask | None:
        for number, epoch in sorted(agent.epochs.items()):
            ranges = _first(epoch.missing(), REQUEST_MESSAGES)
            if not ranges:
                continue
            self._number += 1
            request = ReplayRequest(request=self._number, epoch=number, ranges=ranges)
            if opened is None or opened.request.epoch != number:
                opened = _Open(request, self._backoff(), 0.0)
            elif epoch.received.count() > opened.held_at_asking:
                opened.backoff.reset()
            opened.request = request
            opened.held_at_asking = epoch.received.count()
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
        opened.tries_unreadable += 1
        if opened.tries_unreadable < UNREADABLE_TRIES:
            return []
        opened.tries_unreadable = 0
        losses: list[Loss] = []
        left = agent.unreadable
        for low, high in self._missing(agent, opened.request):
            if left <= 0:
                break
            end = min(high, low + left - 1)
            losses.append(agent.close(opened.request.epoch, low, end, LossReason.UNREADABLE))
            left -= end - low + 1
        return losses
