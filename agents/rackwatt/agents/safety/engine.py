# SPDX-License-Identifier: Apache-2.0
"""The rule engine: samples in, alarms that begin and end out. No I/O and no clock of its own."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from rackwatt.agents.safety.latch import Latch, Verdict
from rackwatt.agents.safety.limits import RuleName
from rackwatt.agents.safety.rules import MEANINGS, Loop, Severity, Values, rule_of, told
from rackwatt.wire.readings import FIELDS, Quality
from rackwatt.wire.sample import Sample

AlarmName = RuleName | Literal["blind"]
ALARMS: Final[tuple[str, ...]] = (*get_args(RuleName), "blind")
Key = tuple[str, str]
"""Device and rule."""

_LONGEST_GAP: Final = 10.0
_DEW_POINT_SECONDS: Final = 60.0
"""So long the last dew point holds: air changes slowly."""
_DEW_POINT: Final = "dew_point_celsius"


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, by both clocks."""

    time_ms: int
    """Milliseconds since 1970 UTC: for people. It may step."""
    seconds: float
    """Of a clock that never steps: for durations."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule that has tripped and holds."""

    device: str
    rule: str
    since_ms: int
    value: float
    limit: float
    text: str
    reference: float | None = None
    """What it is measured by, of rules with a past."""

    @property
    def key(self) -> Key:
        """Device and rule."""
        return (self.device, self.rule)

    @property
    def severity(self) -> Severity:
        """`critical` wakes, `warning` waits for the morning."""
        return MEANINGS[self.rule].severity


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that began or ended."""

    alarm: Alarm
    what: Literal["raised", "cleared", "reset", "withdrawn"]
    time_ms: int


class _Blindness:
    """Which rules of a loop have had no value for too long."""

    def __init__(self, rules: Sequence[str], after: float) -> None:
        self._rules = rules
        self._after = after
        self._seen: dict[str, float] = {}

    def judge(self, seconds: float, judged: set[str]) -> tuple[Verdict, list[str]]:
        for name in self._rules:
            if name in judged or name not in self._seen:
                self._seen[name] = seconds
        late = [name for name in self._rules if seconds - self._seen[name] >= self._after]
        verdict = Verdict(
            float(len(late)), 0.0, bad=bool(late), healthy=judged.issuperset(self._rules)
        )
        return verdict, late


class _LoopWatch:
    """All rules of one loop."""

    def __init__(self, loop: Loop, latched: Mapping[str, Alarm]) -> None:
        self.loop = loop
        limits = loop.limits
        self.active = {name: latched[name] for name in (*loop.rules, "blind") if name in latched}
        self._rules = {
            name: rule_of(name, loop, latched[name].reference if name in latched else None)
            for name in loop.rules
        }
        confirm = {"leak": 0.0, "supply_temperature": limits.supply_confirm}
        self._latches = {
            name: Latch(
                confirm.get(name, limits.confirm),
                limits.clear_after,
                _LONGEST_GAP,
                needs_reset=name in loop.operator_reset,
                active=name in latched,
            )
            for name in loop.rules
        }
        self._latches_blind = Latch(
            0.0, limits.clear_after, _LONGEST_GAP, active="blind" in latched
        )
        self._blindness = _Blindness(loop.rules, limits.blind_after)

    def take(self, now: Moment, values: Values) -> list[Change]:
        changes: list[Change] = []
        judged: set[str] = set()
        for name, rule in self._rules.items():
            verdict = rule.judge(values, active=name in self.active)
            if verdict is not None:
                judged.add(name)
            step = self._latches[name].take(now.seconds, verdict)
            if step == "raised" and verdict is not None:
                alarm = _alarm(self.loop.device, name, now.time_ms, verdict, rule.reference)
                changes.append(self._raise(alarm))
            elif step == "cleared":
                changes.append(Change(self.active.pop(name), "cleared", now.time_ms))
        return changes + self._look_for_blindness(now, judged)

    def _look_for_blindness(self, now: Moment, judged: set[str]) -> list[Change]:
        verdict, late = self._blindness.judge(now.seconds, judged)
        step = self._latches_blind.take(now.seconds, verdict)
        text = MEANINGS["blind"].text.format(what=", ".join(late))
        if step == "raised":
            return [
                self._raise(Alarm(self.loop.device, "blind", now.time_ms, verdict.value, 0.0, text))
            ]
        if step == "cleared":
            return [Change(self.active.pop("blind"), "cleared", now.time_ms)]
        held = self.active.get("blind")
        if held is not None and late and held.text != text:
            self.active["blind"] = replace(held, text=text, value=verdict.value)
        return []

    def _raise(self, alarm: Alarm) -> Change:
        self.active[alarm.rule] = alarm
        return Change(alarm, "raised", alarm.since_ms)

    def reset(self, rule: str, now: Moment) -> Change | str:
        alarm = self.active.get(rule)
        if alarm is None:
            return f"{self.loop.device}: {rule} is not on"
        latch = self._latches_blind if rule == "blind" else self._latches[rule]  # type: ignore[index]
        relative = alarm.reference is not None
        if not latch.healthy and not (relative and latch.measured):
            return f"{self.loop.device}: {rule} stays on: the newest value is bad or missing"
        latch.reset()
        if rule != "blind":
            self._rules[rule].forget()  # type: ignore[index]
        return Change(self.active.pop(rule), "reset", now.time_ms)


class Engine:
    """Watches loops.

    Args:
        loops: what is watched, and by which limits.
        latched: alarms that were on before a restart.

    Raises:
        ValueError: a loop lacks what one of its rules needs.
    """

    def __init__(self, loops: Sequence[Loop], latched: Iterable[Alarm] = ()) -> None:
        by_device: dict[str, dict[str, Alarm]] = {}
        for alarm in latched:
            by_device.setdefault(alarm.device, {})[alarm.rule] = alarm
        self._loops = {
            loop.device: _LoopWatch(loop, by_device.get(loop.device, {})) for loop in loops
        }
        watched = {alarm.key for alarm in self.active}
        self.unwatched = tuple(
            alarm
            for alarms in by_device.values()
            for alarm in alarms.values()
            if alarm.key not in watched
        )
        """Alarms that were on, of loops or rules that the settings no longer have."""
        self._dew_points: dict[str, tuple[float, float]] = {}

    @property
    def active(self) -> tuple[Alarm, ...]:
        """The alarms that are on."""
        return tuple(alarm for watch in self._loops.values() for alarm in watch.active.values())

    def take(self, now: Moment, samples: Iterable[Sample]) -> list[Change]:
        """Judge one round of samples; what is missing in it counts as not measured."""
        found: dict[str, Sample] = {}
        for sample in samples:
            if sample.kind == "coolant" and sample.event is None:
                found[sample.device] = sample
            elif sample.kind == "climate" and (point := _dew_point(sample)) is not None:
                self._dew_points[sample.device] = (now.seconds, point)
        changes: list[Change] = []
        for device, watch in self._loops.items():
            values = self._values(watch.loop, now.seconds, found.get(device))
            changes += watch.take(now, values)
        return changes

    def reset(self, device: str, rule: str, now: Moment) -> Change | str:
        """End an alarm by order of an operator; or why it stays.

        One that is measured by a fixed limit ends only while its newest value is healthy; one
        that is measured by the past ends with any measured value, which is the new past.
        """
        watch = self._loops.get(device)
        return f"{device}: is not watched here" if watch is None else watch.reset(rule, now)

    def _values(self, loop: Loop, seconds: float, sample: Sample | None) -> Values:
        numbers: dict[str, float] = {}
        estimated: set[str] = set()
        if sample is not None:
            numbers, estimated = _measured(sample)
        if loop.dew_point_celsius is not None:
            numbers[_DEW_POINT] = loop.dew_point_celsius
        else:
            points = [
                point
                for name in loop.dew_point_devices
                for at, point in [self._dew_points.get(name, (-math.inf, 0.0))]
                if seconds - at <= _DEW_POINT_SECONDS
            ]
            if points:
                numbers[_DEW_POINT] = max(points)
            if len(points) < len(loop.dew_point_devices):
                estimated.add(_DEW_POINT)  # the dampest may be the one that is silent
        return Values(seconds, numbers, frozenset(estimated))


def _alarm(
    device: str, rule: str, time_ms: int, verdict: Verdict, reference: float | None
) -> Alarm:
    text = MEANINGS[rule].text.format(
        value=told(verdict.value, verdict.unit), limit=told(verdict.limit, verdict.unit)
    )
    return Alarm(device, rule, time_ms, verdict.value, verdict.limit, text, reference)


def _measured(sample: Sample) -> tuple[dict[str, float], set[str]]:
    """The numbers within the contract's bounds, and which of them are estimated."""
    specs = FIELDS[sample.kind]
    numbers = {
        name: value
        for name, value in sample.values.items()
        if value is not None
        and name in specs
        and math.isfinite(value)
        and specs[name].low <= value <= specs[name].high
    }
    return numbers, {name for name in numbers if sample.quality.get(name) is Quality.ESTIMATED}


def _dew_point(sample: Sample) -> float | None:
    """In degrees Celsius; from temperature and humidity where the device gives none.

    Magnus' formula with the coefficients of Alduchov and Eskridge (1996).
    """
    numbers, _ = _measured(sample)
    point = numbers.get(_DEW_POINT)
    if point is not None:
        return point
    temperature, humidity = numbers.get("temperature_celsius"), numbers.get("humidity_ratio")
    if temperature is None or humidity is None or humidity <= 0:
        return None
    gamma = math.log(humidity) + 17.625 * temperature / (243.04 + temperature)
    return 243.04 * gamma / (17.625 - gamma)
