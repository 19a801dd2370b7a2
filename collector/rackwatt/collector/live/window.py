# SPDX-License-Identifier: Apache-2.0
"""The newest minutes of one meter, kept in arrays: powers, registers, and what they cover."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import pairwise
from statistics import median_low
from typing import Final

from rackwatt.collector.accounting.channels import Channel
from rackwatt.collector.accounting.power import Reading
from rackwatt.collector.accounting.registers import FINE_RATIO, RegisterSpec, advance
from rackwatt.collector.accounting.vocabulary import HOUR_MS

MOST_READINGS: Final = 20_000
"""However fast a meter sends, no more of its readings are kept."""

HOLD: Final = 2.5
"""A mean is held for this many cadences, then it is unknown."""

FIRST_CADENCE_MS: Final = 10_000
"""Taken for the cadence until two readings tell it."""

_LEAST_CADENCE_MS: Final = 1000
_CADENCE_OF: Final = 9


class Times:
    """Times of readings in order, the cadence they show, and where they have holes.

    Characteristics: bounded in time and number; a late reading is put in its place.

    Args:
        keep_ms: How far back from the newest reading others are kept.
    """

    __slots__ = ("_cadence", "_keep", "holes", "times")

    def __init__(self, keep_ms: int) -> None:
        self.times = array("q")
        self._keep = keep_ms
        self.holes: list[int] = []
        self._cadence: int | None = None

    def __bool__(self) -> bool:
        return bool(self.times)

    @property
    def last(self) -> int:
        """The newest time; there must be one."""
        return self.times[-1]

    @property
    def cadence_ms(self) -> int:
        """The observed cadence, ms."""
        return FIRST_CADENCE_MS if self._cadence is None else self._cadence

    def place(self, time_ms: int) -> int | None:
        """Where a reading belongs; ``None`` if it is there already, or too old."""
        times = self.times
        if not times or time_ms > times[-1]:
            return len(times)
        index = bisect_left(times, time_ms)
        known = times[index] == time_ms
        return None if known or time_ms < times[-1] - self._keep else index

    def insert(self, index: int, time_ms: int) -> None:
        """Put a time in its place."""
        times = self.times
        times.insert(index, time_ms)
        if index < len(times) - 1 or len(times) <= _CADENCE_OF:
            # A late reading may fill a hole, and few readings do not tell the cadence for good.
            self._set_cadence()
            self._find_holes()
            return
        if time_ms - times[index - 1] > 2 * self.cadence_ms:
            self.holes.append(time_ms)
        self._set_cadence()

    def excess(self) -> int:
        """How many of the oldest readings can go; 0 until it is worth the copying."""
        times = self.times
        if len(times) > MOST_READINGS:
            return len(times) - MOST_READINGS * 3 // 4
        if times and times[-1] - times[0] > self._keep * 5 // 4:
            return bisect_left(times, times[-1] - self._keep)
        return 0

    def drop(self, count: int) -> None:
        """Forget the oldest readings."""
        del self.times[:count]
        self.holes = [end for end in self.holes if end > self.times[0]]

    def unbroken_from(self, time_ms: int) -> int:
        """The first reading, or the one after the last hole, that is not after a time."""
        index = bisect_right(self.holes, time_ms)
        return self.holes[index - 1] if index else self.times[0]

    def in_hole(self, time_ms: int) -> int | None:
        """The end of the hole that a time lies strictly inside of, if it lies in one."""
        holes = self.holes
        if not holes or time_ms >= holes[-1]:
            return None
        index = bisect_right(holes, time_ms)
        end = holes[index]
        start = self.times[bisect_left(self.times, end) - 1]
        return end if start < time_ms else None

    def before_hole(self, time_ms: int) -> int:
        """A time, or the last reading before it if it lies inside of a hole."""
        inside = self.in_hole(time_ms) is not None
        return self.times[bisect_left(self.times, time_ms) - 1] if inside else time_ms

    def _set_cadence(self) -> None:
        newest = self.times[-_CADENCE_OF - 1 :]
        gaps = [later - sooner for sooner, later in pairwise(newest)]
        if gaps:
            self._cadence = max(median_low(gaps), _LEAST_CADENCE_MS)

    def _find_holes(self) -> None:
        times, limit = self.times, 2 * self.cadence_ms
        self.holes = [later for sooner, later in pairwise(times) if later - sooner > limit]


class PowerSeries:
    """Mean powers in W, each over the window that ends at its time."""

    __slots__ = ("_energy", "_watts", "times")

    def __init__(self, keep_ms: int) -> None:
        self.times = Times(keep_ms)
        self._watts = array("d")
        self._energy = array("d")  # Wh from some instant on, as if there were no holes

    def add(self, time_ms: int, watts: float) -> None:
        """Take a reading in, in any order."""
        index = self.times.place(time_ms)
        if index is None:
            return
        self.times.insert(index, time_ms)
        self._watts.insert(index, watts)
        self._energy.insert(index, 0.0)
        for at in range(max(index, 1), len(self._watts)):
            span = self.times.times[at] - self.times.times[at - 1]
            self._energy[at] = self._energy[at - 1] + self._watts[at] * span / HOUR_MS
        excess = self.times.excess()
        if excess:
            self.times.drop(excess)
            del self._watts[:excess], self._energy[:excess]

    def mean(self, time_ms: int) -> float | None:
        """The power at an instant: of the window around it, else the last one held."""
        times = self.times.times
        if times[-1] == time_ms:
            return self._watts[-1]
        cadence = self.times.cadence_ms
        index = bisect_left(times, time_ms)
        if index < len(times):
            reach = times[index] - times[index - 1] if index else cadence
            if times[index] - time_ms < (reach if reach <= 2 * cadence else cadence):
                return self._watts[index]
        if index and time_ms - times[index - 1] <= HOLD * cadence:
            return self._watts[index - 1]
        return None

    def peak(self, start_ms: int, end_ms: int) -> float | None:
        """The greatest power in a closed span."""
        times = self.times.times
        found = self._watts[bisect_left(times, start_ms) : bisect_right(times, end_ms)]
        return max(found, default=None)

    def energy(self, start_ms: int, end_ms: int) -> float:
        """The energy of a span within unbroken readings, Wh."""
        return self._at(end_ms) - self._at(start_ms)

    def covers(self, start_ms: int, end_ms: int) -> bool:
        """Whether readings cover a span without a hole."""
        times = self.times.times
        if not times or end_ms > times[-1]:
            return False
        return self.times.unbroken_from(end_ms) <= start_ms and self.times.in_hole(end_ms) is None

    def _at(self, time_ms: int) -> float:
        times = self.times.times
        index = bisect_left(times, time_ms)
        return self._energy[index] - self._watts[index] * (times[index] - time_ms) / HOUR_MS


class RegisterSeries:
    """Register readings in Wh, unrolled; it breaks where the register did."""

    __slots__ = ("_breaks", "_end", "_raw", "_step", "_total", "spec", "times")

    def __init__(self, keep_ms: int) -> None:
        self.times = Times(keep_ms)
        self.spec = RegisterSpec()
        self._raw = array("d")
        self._total = array("d")
        self._breaks: list[int] = []
        self._step: float | None = -1.0
        """Its smallest step lately; negative: to be looked for."""
        self._end = -1, 0.0
        """An instant and the energy up to it: a span's end is asked for several times."""

    def add(self, time_ms: int, watt_hours: float, power: PowerSeries) -> None:
        """Take a reading in, in any order; power tells what is possible."""
        index = self.times.place(time_ms)
        if index is None:
            return
        self.times.insert(index, time_ms)
        self._raw.insert(index, watt_hours)
        self._total.insert(index, 0.0)
        self._step, self._end = -1.0, (-1, 0.0)
        del self._breaks[bisect_left(self._breaks, time_ms) :]
        for at in range(max(index, 1), len(self._raw)):
            self._count(at, power)
        excess = self.times.excess()
        if excess:
            self.times.drop(excess)
            del self._raw[:excess], self._total[:excess]
            self._end = -1, 0.0
            del self._breaks[: bisect_right(self._breaks, self.times.times[0])]

    def _count(self, at: int, power: PowerSeries) -> None:
        times = self.times.times
        before, after = Reading(times[at - 1], self._raw[at - 1]), Reading(times[at], self._raw[at])
        peak = power.peak(before.time_ms - 2 * self.times.cadence_ms, after.time_ms)
        energy, _ = advance(before, after, self.spec, peak)
        if energy is None:
            self._breaks.append(after.time_ms)
        self._total[at] = self._total[at - 1] + (energy or 0.0)

    def settle(self, start_ms: int, end_ms: int) -> int | None:
        """The earliest instant from a start on that a register bridges up to an end.

        ``None`` if there is none: the register broke, or is silent at the end.
        """
        times = self.times.times
        if not times or end_ms > times[-1]:
            return None
        start = times[0]
        if start < start_ms:
            start = start_ms
        if self._breaks:
            index = bisect_right(self._breaks, end_ms)
            if index:
                start = max(start, self._breaks[index - 1])
        if self.times.holes:
            if self.times.in_hole(end_ms) is not None:
                return None
            start = self.times.in_hole(start) or start
        return start if start < end_ms else None

    def energy(self, start_ms: int, end_ms: int) -> float:
        """The energy of a span that :meth:`settle` has found, Wh."""
        end = self._end
        if end[0] != end_ms:
            end = self._end = end_ms, self._at(end_ms)
        return end[1] - self._at(start_ms)

    def slope(self, time_ms: int) -> float | None:
        """The mean power in W between the two readings around or before an instant."""
        times = self.times.times
        index = min(bisect_left(times, time_ms), len(times) - 1)
        if index < 1 or time_ms - times[index] > HOLD * self.times.cadence_ms:
            return None
        broken = bisect_left(self._breaks, times[index])
        if broken < len(self._breaks) and self._breaks[broken] == times[index]:
            return None
        span = times[index] - times[index - 1]
        return (self._total[index] - self._total[index - 1]) * HOUR_MS / span

    def fine(self, start_ms: int, end_ms: int) -> bool:
        """Whether the resolution is at most 0.5 % of a span's energy."""
        resolution = self.spec.resolution_watt_hours
        if resolution is None:
            step = self._step
            resolution = step if step is None or step >= 0.0 else self._smallest_step()
        # A register that stands still may only be coarse: it says nothing of what is below it.
        return resolution is not None and resolution <= FINE_RATIO * self.energy(start_ms, end_ms)

    def _smallest_step(self) -> float | None:
        """An upper bound of a resolution that nobody has stated."""
        newest = self._total[-64:]
        self._step = min((b - a for a, b in pairwise(newest) if b > a), default=None)
        return self._step

    def _at(self, time_ms: int) -> float:
        times = self.times.times
        index = bisect_left(times, time_ms)
        if times[index] == time_ms:
            return self._total[index]
        part = (time_ms - times[index - 1]) / (times[index] - times[index - 1])
        return self._total[index - 1] + part * (self._total[index] - self._total[index - 1])


class Feed:
    """One direction of one meter, as it comes in.

    Args:
        channel: Its fields.
        keep_ms: How far back readings are kept.
    """

    __slots__ = ("_counted", "channel", "power", "register")

    def __init__(self, channel: Channel, keep_ms: int) -> None:
        self.channel = channel
        self.power = PowerSeries(keep_ms)
        self.register = RegisterSeries(keep_ms)
        self._counted: tuple[int, int, int | None] | None = None
        """What :meth:`_counted_from` has said last, of which span; the PUE asks several times."""

    def add(self, time_ms: int, values: Mapping[str, float | None]) -> None:
        """Take in what a reading says of this direction."""
        self._counted = None
        watts, watt_hours = values.get(self.channel.power), values.get(self.channel.energy)
        if watts is not None:
            self.power.add(time_ms, watts)
        if watt_hours is not None:
            self.register.add(time_ms, watt_hours, self.power)

    def counts(self, spec: RegisterSpec) -> None:
        """Note how the register counts."""
        self.register.spec = spec
        self._counted = None

    @property
    def times(self) -> Times:
        """Times of the readings that tell the power."""
        times = self.power.times
        return times if times.times else self.register.times

    def watts(self, time_ms: int) -> float | None:
        """The power at an instant, ``None`` if it is not known."""
        if self.power.times.times:
            return self.power.mean(time_ms)
        return self.register.slope(time_ms)

    def settle(self, start_ms: int, end_ms: int) -> int | None:
        """The earliest instant from a start on for which the energy up to an end is known."""
        found = self._counted_from(start_ms, end_ms)
        if found == start_ms:
            return found
        if self.power.covers(end_ms, end_ms):
            start = max(start_ms, self.power.times.unbroken_from(end_ms))
            if start < end_ms and (found is None or start < found):
                return start
        return found

    def energy(self, start_ms: int, end_ms: int) -> float:
        """The energy of a span that :meth:`settle` has found, Wh: the register's if it can."""
        if self._counted_from(start_ms, end_ms) == start_ms:
            return self.register.energy(start_ms, end_ms)
        return self.power.energy(start_ms, end_ms)

    def _counted_from(self, start_ms: int, end_ms: int) -> int | None:
        """Where the register can begin, if it is fine enough, or all there is.

        A coarse register that stood still beside a power of 0 is as good: nothing flowed.
        """
        known = self._counted
        if known is None or known[0] != start_ms or known[1] != end_ms:
            known = self._counted = start_ms, end_ms, self._counting_from(start_ms, end_ms)
        return known[2]

    def _counting_from(self, start_ms: int, end_ms: int) -> int | None:
        start = self.register.settle(start_ms, end_ms)
        if start is None or not self.power.times.times or self.register.fine(start, end_ms):
            return start
        still = self.register.energy(start, end_ms) == 0.0
        return start if still and self.power.peak(start, end_ms) == 0.0 else None

    def estimate(self, start_ms: int, end_ms: int) -> float | None:
        """The energy of a short span, Wh: measured if it is covered, else by the held power."""
        if self.power.covers(start_ms, end_ms):
            return self.power.energy(start_ms, end_ms)
        watts = self.watts(end_ms)
        return None if watts is None else watts * (end_ms - start_ms) / HOUR_MS
