# SPDX-License-Identifier: Apache-2.0
"""The utility's running settlement window, and the demand that it is heading for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rackwatt.collector.accounting.channels import Tap
from rackwatt.collector.accounting.settlement import projected_demand, window_at
from rackwatt.collector.accounting.vocabulary import total
from rackwatt.collector.live.window import Feed


class SettlementLike(Protocol):
    """How the utility measures demand."""

    @property
    def window_seconds(self) -> float:
        """Length of its windows, which begin at whole multiples of it in UTC."""

    @property
    def subscribed_watts(self) -> float | None:
        """What is subscribed; ``None``: not stated."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The running window. ``None`` = unknown.

    Attributes:
        start_ms: Where it begins.
        end_ms: Where it ends.
        watt_hours: Imported in it so far.
        power_watts: Imported now.
        projected_watts: Its mean power at the end, if the power stays as it is.
        subscribed_watts: The limit.
    """

    start_ms: int
    end_ms: int
    watt_hours: float | None
    power_watts: float | None
    projected_watts: float | None
    subscribed_watts: float | None

    @property
    def window_seconds(self) -> float:
        """Its length."""
        return (self.end_ms - self.start_ms) / 1000.0


def live_demand(
    settlement: SettlementLike,
    terms: Sequence[tuple[Tap, Feed | None, float | None]],
    instant_ms: int,
) -> Demand:
    """Return the running window at an instant.

    Args:
        settlement: The site's.
        terms: Terms with what came in and their power now, W.
        instant_ms: What the figures are of.
    """
    window = window_at(instant_ms, round(settlement.window_seconds * 1000))
    grid = [(tap, feed, watts) for tap, feed, watts in terms if tap.flow == "grid"]
    power = total(None if watts is None else tap.sign * watts for tap, _, watts in grid)
    energy = total(
        None if (one := _so_far(feed, window.start_ms, instant_ms)) is None else tap.sign * one
        for tap, feed, _ in grid
    )
    elapsed, length = window.elapsed(instant_ms), window.end_ms - window.start_ms
    return Demand(
        window.start_ms,
        window.end_ms,
        energy,
        power,
        projected_demand(energy, power, elapsed, length),
        settlement.subscribed_watts,
    )


def _so_far(feed: Feed | None, start_ms: int, instant_ms: int) -> float | None:
    """The energy since a window's start: its register's if it can tell, else by powers.

    What a slow meter has not told yet is its last power, held; ``None`` if it did not speak all
    the time from the start on.
    """
    if start_ms == instant_ms:
        return 0.0
    if feed is None or not feed.times:
        return None
    for last in (feed.register.times, feed.times):
        end = min(instant_ms, last.last) if last else start_ms
        if end > start_ms and feed.settle(start_ms, end) == start_ms:
            rest = 0.0 if end == instant_ms else feed.estimate(end, instant_ms)
            return None if rest is None else feed.energy(start_ms, end) + rest
    if feed.times.last > start_ms or feed.watts(start_ms) is None:
        return None
    return feed.estimate(start_ms, instant_ms)
