# SPDX-License-Identifier: Apache-2.0
"""Weather, air at racks' inlets and GPUs' utilisation of spans, from the books' quarter hours."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum

import msgspec

from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.ledger.dirty import QUARTER_MS
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.reports.parts import Conditions, Figures, GpuFleet, HallAir, TenantLine

_MINUTES = QUARTER_MS // INTERVAL_MS


class Outdoor(msgspec.Struct, gc=False):
    """The weather of a quarter hour: means, and of how many minutes."""

    temperature_celsius: float | None = None
    temperature_minutes: int = 0
    wet_bulb_celsius: float | None = None
    wet_bulb_minutes: int = 0


class HallInlets(msgspec.Struct, gc=False):
    """Rack minutes of a hall: expected, known and within ranges."""

    expected: int
    known: int
    recommended: int
    allowable: int
    min_celsius: float | None = None
    max_celsius: float | None = None
    mean_celsius: float | None = None


class Inlets(msgspec.Struct):
    """Air at the racks' inlets."""

    air_class: str
    halls: dict[str, HallInlets]


class QuarterConditions(msgspec.Struct):
    """What a quarter hour's row says of conditions."""

    minutes: int
    outdoor: Outdoor | None = None
    inlets: Inlets | None = None
    gpus: dict[str, tuple[int, float]] = {}


@dataclass(slots=True)
class ConditionSpans:
    """Quarter hours by time, to be told over any span."""

    starts: list[int] = field(default_factory=list)
    found: list[QuarterConditions] = field(default_factory=list)

    def take(self, start_ms: int, conditions: QuarterConditions | None) -> None:
        """Add a quarter hour, in order of time."""
        if conditions is not None:
            self.starts.append(start_ms)
            self.found.append(conditions)

    def over(self, start_ms: int, end_ms: int) -> Conditions | None:
        """Return the conditions of a half-open span; ``None``: the books hold none."""
        low, high = bisect_left(self.starts, start_ms), bisect_left(self.starts, end_ms)
        inside = self.found[low:high]
        if not inside:
            return None
        quarters = (end_ms - start_ms) / QUARTER_MS
        outdoor = [one.outdoor for one in inside if one.outdoor is not None]
        dry = _mean([(o.temperature_celsius, o.temperature_minutes) for o in outdoor], quarters)
        wet = _mean([(o.wet_bulb_celsius, o.wet_bulb_minutes) for o in outdoor], quarters)
        inlets = [one.inlets for one in inside if one.inlets is not None]
        means = [o.temperature_celsius for o in outdoor if o.temperature_celsius is not None]
        halls = sorted({name for one in inlets for name in one.halls})
        return Conditions(
            outdoor_temperature_celsius=dry[0],
            outdoor_temperature_min_celsius=min(means) if dry[0] is not None else None,
            outdoor_temperature_max_celsius=max(means) if dry[0] is not None else None,
            outdoor_coverage_ratio=dry[1],
            wet_bulb_celsius=wet[0],
            wet_bulb_coverage_ratio=wet[1],
            air_classes=sorted({one.air_class for one in inlets}),
            inlets=_air("", [own for one in inlets for own in one.halls.values()],
                        len(inlets) / quarters) if inlets else None,
            halls=[
                _air(name, mine, len(mine) / quarters)
                for name in halls
                for mine in [[one.halls[name] for one in inlets if name in one.halls]]
            ],
        )  # fmt: skip

    def figures(self, start_ms: int, end_ms: int) -> Figures:
        """The same as figures, for tables by day; empty where the books hold none."""
        found = self.over(start_ms, end_ms)
        if found is None:
            return {}
        inlets = found.inlets
        return {
            "outdoor_temperature_celsius": found.outdoor_temperature_celsius,
            "outdoor_wet_bulb_celsius": found.wet_bulb_celsius,
            "inlets_recommended_ratio": None if inlets is None else inlets.recommended_ratio,
            "inlets_allowable_ratio": None if inlets is None else inlets.allowable_ratio,
            "gpu_utilization_ratio": self._busy(start_ms, end_ms),
        }

    def wet_bulb(self, start_ms: int, end_ms: int) -> float | None:
        """Mean wet bulb of a span."""
        found = self.over(start_ms, end_ms)
        return None if found is None else found.wet_bulb_celsius

    def fleet(self, gpus: GpuFleet | None) -> GpuFleet | None:
        """The fleet, with how busy it was."""
        if gpus is None:
            return None
        samples, busy = self._used(lambda _: True)
        return gpus.model_copy(
            update={
                "utilization_ratio": _utilization(samples, busy, gpus.gpu_hours),
                "utilization_samples": samples,
            }
        )

    def tenants(self, lines: Iterable[TenantLine]) -> list[TenantLine]:
        """The tenants, with how busy their GPUs were."""
        return [
            line.model_copy(
                update={"gpu_utilization_ratio": _utilization(*self._of(line.id), line.gpu_hours)}
            )
            for line in lines
        ]

    def _of(self, tenant: str) -> tuple[int, float]:
        return self._used(lambda name: name == tenant)

    def _used(self, wanted: Callable[[str], bool]) -> tuple[int, float]:
        """How many samples there are, and their sum."""
        own = [each for q in self.found for name, each in q.gpus.items() if wanted(name)]
        return sum(count for count, _ in own), fsum(busy for _, busy in own)

    def _busy(self, start_ms: int, end_ms: int) -> float | None:
        """Utilisation of a span: of those that were looked at, however many stand there."""
        low, high = bisect_left(self.starts, start_ms), bisect_left(self.starts, end_ms)
        own = [each for q in self.found[low:high] for each in q.gpus.values()]
        count = sum(one for one, _ in own)
        if not count or high - low < REPORTED_COVERAGE * (end_ms - start_ms) / QUARTER_MS:
            return None
        return fsum(busy for _, busy in own) / count


def _utilization(samples: int, busy: float, gpu_hours: float | None) -> float | None:
    """A sample stands for a GPU-hour; an hour that is held in part may have none."""
    if not samples or not gpu_hours or samples + 1 < REPORTED_COVERAGE * gpu_hours:
        return None
    return busy / samples


def _mean(parts: Sequence[tuple[float | None, int]], quarters: float) -> tuple[float | None, float]:
    """The mean by minutes, where enough of them are known; and which part of the span they are."""
    known = [(value, minutes) for value, minutes in parts if value is not None]
    minutes = sum(each for _, each in known)
    coverage = minutes / (quarters * _MINUTES)
    if not minutes or coverage < REPORTED_COVERAGE:
        return None, coverage
    return fsum(value * each for value, each in known) / minutes, coverage


def _air(hall: str, parts: Sequence[HallInlets], booked: float) -> HallAir:
    """The inlets of a hall, or of all.

    Args:
        hall: Which; empty: all.
        parts: Its quarter hours.
        booked: Which part of the span they are, 0..1.
    """
    expected, known = sum(one.expected for one in parts), sum(one.known for one in parts)
    coverage = booked * known / expected if expected else 0.0
    told = bool(known) and coverage >= REPORTED_COVERAGE
    means = [(p.mean_celsius, p.known) for p in parts if p.mean_celsius is not None]
    lows = [one.min_celsius for one in parts if one.min_celsius is not None]
    highs = [one.max_celsius for one in parts if one.max_celsius is not None]
    return HallAir(
        hall=hall,
        rack_hours=known * INTERVAL_MS / 3_600_000,
        coverage_ratio=coverage,
        recommended_ratio=sum(one.recommended for one in parts) / known if told else None,
        allowable_ratio=sum(one.allowable for one in parts) / known if told else None,
        min_celsius=min(lows) if told else None,
        max_celsius=max(highs) if told else None,
        mean_celsius=fsum(value * each for value, each in means) / known if told else None,
    )
