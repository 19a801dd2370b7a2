# SPDX-License-Identifier: Apache-2.0
"""The live PUE: a ratio of energies over at most 15 minutes, both over exactly the same span."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.channels import ON_BATTERY, STATE_OF_CHARGE, Tap
from rackwatt.collector.accounting.keyfigures import boundary_energy, ratio_of_sums
from rackwatt.collector.accounting.vocabulary import GENERATION
from rackwatt.collector.live.window import HOLD, Feed

WINDOW: Final = "15m"
WINDOW_MS: Final = 15 * 60_000

SHORTEST_MS: Final = 4000
"""A shorter span says nothing yet."""

PATIENCE_MS: Final = 15_000
"""A term may be this late before the PUE is unknown for its sake."""

_RECHARGED: Final = 0.005
_ROUNDING: Final = 1e-9
_LONGEST_RECHARGE_MS: Final = 4 * 3_600_000
_FLOWS: Final = frozenset({*GENERATION, "grid", "export", "campus", "charge", "discharge", "it"})


@dataclass(frozen=True, slots=True)
class LivePue:
    """The PUE now.

    Attributes:
        value: The ratio, ``None`` with a reason.
        category: Of the IT meters, 1 to 3.
        window: The longest span it is formed over.
        since_ms: Where its span begins.
        until_ms: Where it ends: the newest instant that all terms cover.
        reason: ``starting``, ``ups_on_battery``, ``missing:<meters>``, ``no_it_load`` or
            ``below_one``: meters contradict each other, for no data center takes in less than its
            IT.
    """

    value: float | None
    category: int | None
    since_ms: int | None = None
    until_ms: int | None = None
    reason: str | None = None
    window: str = WINDOW


class UpsWatch:
    """Tells whether a UPS gives, or still owes its battery, energy of another time."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._open: dict[str, tuple[int, float | None]] = {}
        self._closed_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """A UPS is discharging, or not recharged yet."""
        return bool(self._open)

    @property
    def closed_ms(self) -> int | None:
        """When the last one was recharged."""
        return self._closed_ms

    def observe(self, device: str, time_ms: int, values: Mapping[str, float | None]) -> None:
        """Take a UPS's reading in.

        Recharged is as full as before; where the state of charge is not measured, a quarter of an
        hour on the mains stands in for it.
        """
        on_battery, charge = values.get(ON_BATTERY), values.get(STATE_OF_CHARGE)
        if on_battery is None:
            return
        if on_battery > 0.0:
            target = self._open[device][1] if device in self._open else self._before.get(device)
            self._open[device] = time_ms, target
        elif device in self._open:
            since, target = self._open[device]
            waited = time_ms - since
            if target is None or charge is None:
                full = waited >= WINDOW_MS
            else:
                full = charge >= target - _RECHARGED
            if full or waited >= _LONGEST_RECHARGE_MS:
                del self._open[device]
                self._closed_ms = time_ms
        elif charge is not None:
            self._before[device] = charge


def live_pue(
    taps: Sequence[tuple[Tap, Feed | None]],
    parameters: BatteryParameters,
    category: int | None,
    reference_ms: int,
    floor_ms: int,
) -> LivePue:
    """Form the PUE over the longest span up to 15 minutes that every term covers.

    Args:
        taps: All terms of the site with their feeds, ``None`` where nothing was ever read.
        parameters: The battery.
        category: Of the IT meters.
        reference_ms: The newest reading of the site.
        floor_ms: The span must not begin before.

    Returns:
        The PUE; of its reasons, those that come from the terms.
    """
    terms = [(tap, feed) for tap, feed in taps if tap.flow in _FLOWS]
    if not any(tap.flow == "it" for tap, _ in terms):
        return LivePue(None, category, reason="missing:it")
    late = sorted({tap.device for tap, feed in terms if _late(feed, reference_ms)})
    if late:
        return LivePue(None, category, reason="missing:" + ",".join(late))
    feeds = [(tap, feed) for tap, feed in terms if feed is not None]
    end = _common_end([feed for _, feed in feeds])
    start = _common_start([feed for _, feed in feeds], max(end - WINDOW_MS, floor_ms), end)
    if start is None or end - start < SHORTEST_MS:
        return LivePue(None, category, reason="starting")
    sums = _sums(feeds, start, end)
    if sums["it"] <= 0.0:
        return LivePue(None, category, start, end, "no_it_load")
    ratio = ratio_of_sums([(_inside(sums, parameters), sums["it"])])
    value = ratio.value
    if value is not None and value < 1.0:
        value = 1.0 if value > 1.0 - _ROUNDING else None
    return LivePue(value, category, start, end, None if value else "below_one")


def _inside(sums: Mapping[str, float], parameters: BatteryParameters) -> float | None:
    """``E_DC`` of a span."""
    stored = sums["charge"] * parameters.charge_efficiency
    return boundary_energy(
        grid_import=sums["grid"],
        own_generation=fsum(sums[name] for name in GENERATION),
        export=sums["export"],
        stock_change=stored - sums["discharge"] / parameters.discharge_efficiency,
        campus=sums["campus"],
    )


def _late(feed: Feed | None, reference_ms: int) -> bool:
    if feed is None or not feed.times:
        return True
    patience = max(PATIENCE_MS, HOLD * feed.times.cadence_ms)
    return reference_ms - feed.times.last > patience


def _common_end(feeds: Sequence[Feed]) -> int:
    """The newest instant that every feed has read up to, and that lies in no hole of one."""
    times = [feed.times for feed in feeds]
    end = min(own.last for own in times)
    broken = [own for own in times if own.holes]
    while broken and (moved := min(own.before_hole(end) for own in broken)) < end:
        end = moved
    return end


def _common_start(feeds: Sequence[Feed], earliest_ms: int, end_ms: int) -> int | None:
    """The first instant from which every feed knows its energy up to the end.

    It is a reading of the slowest meter, as the end is: a mean over ten seconds tells nothing of
    its halves, and the fast meters can be cut anywhere.
    """
    start = _settled(feeds, earliest_ms, end_ms)
    slowest = max(feeds, key=lambda feed: feed.times.cadence_ms)
    if start is None:
        return None
    times = slowest.times.times
    return _settled(feeds, times[bisect_left(times, start)], end_ms)


def _settled(feeds: Sequence[Feed], start_ms: int, end_ms: int) -> int | None:
    """Move a start forward until every feed agrees with it."""
    start = start_ms
    while start < end_ms:
        settled = start
        for feed in feeds:
            found = feed.settle(start, end_ms)
            if found is None:
                return None
            if found > settled:
                settled = found
        if settled == start:
            return start
        start = settled
    return None


def _sums(feeds: Sequence[tuple[Tap, Feed]], start: int, end: int) -> dict[str, float]:
    parts: dict[str, list[float]] = {name: [] for name in _FLOWS}
    for tap, feed in feeds:
        parts[tap.flow].append(tap.sign * feed.energy(start, end))
    return {name: fsum(values) for name, values in parts.items()}
