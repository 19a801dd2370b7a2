# SPDX-License-Identifier: Apache-2.0
"""The rules: what one value, or a value and its past, says of a coolant loop. Pure.

A rule gives None where what it needs was not measured. Values that a device calls estimated can
raise an alarm, and never end one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from rackwatt.agents.safety.baseline import Baseline
from rackwatt.agents.safety.latch import Verdict
from rackwatt.agents.safety.limits import Limits, RuleName

Severity = Literal["warning", "critical"]
_LEAST_PASCALS: Final = 1000.0
"""Below, the pumps stand still: there is nothing to compare."""
_LEAST_SPEED: Final = 0.1


@dataclass(frozen=True, slots=True)
class Loop:
    """One coolant loop and what is expected of it."""

    device: str
    limits: Limits
    rules: tuple[RuleName, ...]
    set_point_celsius: float | None = None
    pumps_needed: int | None = None
    dew_point_devices: tuple[str, ...] = ()
    dew_point_celsius: float | None = None
    """A stated dew point, where none is measured."""
    operator_reset: frozenset[RuleName] = frozenset()


@dataclass(frozen=True, slots=True)
class Values:
    """What was measured of a loop in one round."""

    seconds: float
    numbers: Mapping[str, float]
    estimated: frozenset[str] = frozenset()


class Rule(Protocol):
    """Judges a loop's values."""

    def judge(self, values: Values, *, active: bool) -> Verdict | None:
        """What the values say; `active`: the alarm is on."""

    @property
    def reference(self) -> float | None:
        """What the alarm is measured by and must survive a restart; None: it has no past."""

    def forget(self) -> None:
        """An operator has ended the alarm: what is now is the new normal."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value beyond a fixed limit."""

    field: str
    limit: float
    healthy_at: float
    unit: str
    above: bool
    """Whether it is bad above the limit, else below it."""
    reference: float | None = None
    minus: str = ""
    """A second value that is taken off the first."""

    def judge(self, values: Values, *, active: bool) -> Verdict | None:
        """Against the limit and, to be healthy, against the other one."""
        value = values.numbers.get(self.field)
        other = values.numbers.get(self.minus) if self.minus else 0.0
        if value is None or other is None:
            return None
        value -= other
        sure = not values.estimated & {self.field, self.minus}
        if self.above:
            bad, healthy = value > self.limit, value <= self.healthy_at
        else:
            bad, healthy = value < self.limit, value >= self.healthy_at
        return Verdict(value, self.limit, bad, healthy and sure, self.unit)

    def forget(self) -> None:
        """It has no past."""


class Fall:
    """A value that fell below its own recent past.

    What the past was is held while the value is low, so that a low value never becomes the normal
    one by lasting.

    Args:
        field: of the loop.
        limits: of the loop.
        of: the value that is compared, from all that was measured; None: it cannot be told.
        past: what of the past it is compared with.
        bounds: from the reference to where it is bad and where it is healthy again.
        unit: of the value.
        reference: of an alarm that was on before a restart.
    """

    def __init__(
        self,
        field: str,
        limits: Limits,
        of: Callable[[Mapping[str, float]], float | None],
        past: Literal["mean", "highest"],
        bounds: Callable[[float], tuple[float, float]],
        unit: str,
        reference: float | None = None,
    ) -> None:
        self.field = field
        self._of = of
        self._past = past
        self._bounds = bounds
        self._unit = unit
        self._baseline = Baseline(limits.baseline, limits.baseline_least)
        self._held = reference

    @property
    def reference(self) -> float | None:
        """The past by which the alarm is measured."""
        return self._held

    def judge(self, values: Values, *, active: bool) -> Verdict | None:
        """Against the past; while there is too little of it, neither bad nor healthy."""
        value = self._of(values.numbers)
        if value is None:
            return None
        past = self._held if active else None
        if past is None:
            baseline = self._baseline
            at = values.seconds
            past = baseline.mean(at) if self._past == "mean" else baseline.highest(at)
            past = self._held if past is None else past
        if past is None:
            self._baseline.add(values.seconds, value)
            return Verdict(value, value, bad=False, healthy=False, unit=self._unit)
        low, well = self._bounds(past)
        bad = value < low
        if bad:
            self._held = past
        else:
            self._baseline.add(values.seconds, value)
            if not active:
                self._held = None
        healthy = value >= well and self.field not in values.estimated
        return Verdict(value, low, bad, healthy, self._unit)

    def forget(self) -> None:
        """Begin anew with what is now."""
        self._held = None
        self._baseline.clear()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an alarm of a rule tells a person."""

    name: str
    """Of the alert, after `Safety`."""
    severity: Severity
    text: str
    """`{value}` and `{limit}` with their unit."""


MEANINGS: Final[Mapping[str, Meaning]] = {
    "leak": Meaning("Leak", "critical", "leak detected"),
    "pumps": Meaning("PumpsBelowNeed", "critical", "{value} pumps run, {limit} are needed"),
    "pump_redundancy": Meaning(
        "PumpRedundancyLost", "warning", "{value} pumps run, N+1 is {limit}: no pump may fail now"
    ),
    "flow": Meaning("FlowLost", "critical", "coolant flow {value}, below {limit}"),
    "facility_flow": Meaning(
        "FacilityFlowLost", "critical", "facility-water flow {value}, below {limit}"
    ),
    "level": Meaning("LevelLow", "critical", "coolant level {value}, below {limit}"),
    "level_falling": Meaning(
        "LevelFalling", "warning", "coolant level fell to {value}, below {limit}: look for a leak"
    ),
    "supply_temperature": Meaning(
        "SupplyTemperatureHigh", "critical", "supply at {value}, above {limit}"
    ),
    "differential_pressure": Meaning(
        "DifferentialPressureFallen",
        "warning",
        "differential pressure {value}, below {limit}, its share of the 10-minute baseline",
    ),
    "dew_point": Meaning(
        "CondensationNear", "critical", "supply only {value} above the dew point, {limit} is least"
    ),
    "blind": Meaning("Blind", "warning", "not measured: {what}"),
}


def rule_of(name: RuleName, loop: Loop, reference: float | None = None) -> Rule:
    """The rule of a loop.

    Args:
        name: of the rule.
        loop: what is expected of it.
        reference: of an alarm that was on before a restart.

    Raises:
        ValueError: the loop lacks what the rule needs.
    """
    if name in {"pumps", "pump_redundancy"}:
        return _pump_rule(name, loop)
    if name == "supply_temperature" and loop.set_point_celsius is None:
        raise ValueError(f"{loop.device}: supply_temperature needs a set point")
    if name in {"level_falling", "differential_pressure"}:
        return _fall_rule(name, loop.limits, reference)
    return _threshold(name, loop)


def _threshold(name: RuleName, loop: Loop) -> Threshold:
    limits = loop.limits
    if name == "leak":
        return Threshold("leak_ratio", 0.0, 0.0, "", above=True)
    if name == "level":
        low = limits.level_low_ratio
        return Threshold("level_ratio", low, low + limits.level_hysteresis_ratio, "%", above=False)
    if name == "supply_temperature":
        high = (loop.set_point_celsius or 0.0) + limits.supply_above_kelvin
        well = high - min(limits.supply_hysteresis_kelvin, limits.supply_above_kelvin)
        return Threshold("supply_temperature_celsius", high, well, "°C", above=True)
    if name == "dew_point":
        near = limits.dew_point_margin_kelvin
        well = near + limits.dew_point_hysteresis_kelvin
        return Threshold(
            "supply_temperature_celsius", near, well, "K", above=False, minus="dew_point_celsius"
        )
    facility = name == "facility_flow"
    field = "facility_flow_liters_per_second" if facility else "flow_liters_per_second"
    low = (
        limits.facility_flow_low_liters_per_second
        if facility
        else limits.flow_low_liters_per_second
    )
    return Threshold(field, low, 1.2 * low, "L/s", above=False)


def _pump_rule(name: RuleName, loop: Loop) -> Threshold:
    if loop.pumps_needed is None:
        raise ValueError(f"{loop.device}: {name} needs the number of pumps")
    least = float(loop.pumps_needed + (name == "pump_redundancy"))
    return Threshold("pumps_running_number", least, least, "", above=False)


def _fall_rule(name: RuleName, limits: Limits, reference: float | None) -> Fall:
    if name == "level_falling":
        fall = limits.level_fall_ratio
        return Fall(
            "level_ratio",
            limits,
            lambda numbers: numbers.get("level_ratio"),
            "highest",
            lambda past: (past - fall, past - fall / 2),
            "%",
            reference,
        )
    low, well = 1.0 - limits.pressure_fall_ratio, 1.0 - limits.pressure_recovered_ratio
    by_speed = limits.pressure_basis == "pump_speed"

    def bounds(past: float) -> tuple[float, float]:
        return (low * past, well * past) if past >= _LEAST_PASCALS else (-1e12, past)

    return Fall(
        "differential_pressure_pascals",
        limits,
        _pressure_at_full_speed if by_speed else _pressure,
        "mean",
        bounds,
        "Pa at full speed" if by_speed else "Pa",
        reference,
    )


def _pressure(numbers: Mapping[str, float]) -> float | None:
    return numbers.get("differential_pressure_pascals")


def _pressure_at_full_speed(numbers: Mapping[str, float]) -> float | None:
    """By the affinity law: through the same pipes the pressure goes with the speed's square."""
    pressure, speed = _pressure(numbers), numbers.get("pump_speed_ratio")
    if pressure is None or speed is None or speed < _LEAST_SPEED:
        return None
    return pressure / speed**2


def told(value: float, unit: str) -> str:
    """A value with its unit, for a person."""
    if unit == "%":
        return f"{value * 100:.1f} %"
    if unit.startswith("Pa"):
        return f"{value / 1000:.1f} k{unit}"
    number = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number} {unit}".rstrip()
