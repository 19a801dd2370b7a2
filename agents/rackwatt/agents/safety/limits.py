# SPDX-License-Identifier: Apache-2.0
"""The limits of a coolant loop, as they stand in the agent's file.

Where each number comes from is in docs/safety.md. A text where a number belongs, or a number that
is plainly in another unit, gets a hint.
"""

import re
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rackwatt.wire.config import Duration

RuleName = Literal[
    "leak",
    "pumps",
    "pump_redundancy",
    "flow",
    "facility_flow",
    "level",
    "level_falling",
    "supply_temperature",
    "differential_pressure",
    "dew_point",
]
RULES: Final[tuple[RuleName, ...]] = get_args(RuleName)

_WITH_UNIT: Final = re.compile(r"\s*(-?[0-9]+(?:[.,][0-9]+)?)\s*([A-Za-z%°/]+)\s*")


def _number(value: object, unit: str, example: str) -> object:
    """The value, unless it is a text: then what to write instead."""
    if not isinstance(value, str):
        return value
    match = _WITH_UNIT.fullmatch(value)
    if match is None:
        raise ValueError(f"must be a number in {unit}, like {example}")
    raise ValueError(
        f"the key names the unit ({unit}): write the number alone, without {match[2]!r}"
    )


def _celsius(value: object) -> object:
    value = _number(value, "degrees Celsius", "32")
    if isinstance(value, int | float) and 250 <= value <= 400:
        raise ValueError(f"{value:g} looks like kelvin: write {value - 273.15:.2f}")
    if isinstance(value, int | float) and not -40 <= value <= 90:
        raise ValueError(f"{value:g} is no temperature of a coolant in degrees Celsius")
    return value


def _ratio(value: object) -> object:
    value = _number(value, "a ratio from 0 to 1", "0.15")
    if isinstance(value, int | float) and 1 < value <= 100:
        raise ValueError(f"is a ratio from 0 to 1: {value:g} % is {value / 100:g}")
    return value


def _kelvin(value: object) -> object:
    return _number(value, "kelvin", "3")


def _flow(value: object) -> object:
    return _number(value, "litres per second", "0.5")


Celsius = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_celsius)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_ratio)]
Kelvin = Annotated[float, Field(gt=0, le=50, allow_inf_nan=False), BeforeValidator(_kelvin)]
LitersPerSecond = Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False), BeforeValidator(_flow)]


class Limits(BaseModel):
    """When a loop is no longer healthy, and when it is again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confirm: Duration = Field(default=2.0, ge=0, le=3)
    """How long a value must lie beyond its limit; a leak counts at once."""
    supply_above_kelvin: Kelvin = 3.0
    """Above the set point."""
    supply_confirm: Duration = Field(default=10.0, ge=0, le=300)
    supply_hysteresis_kelvin: Kelvin = 1.0
    dew_point_margin_kelvin: Kelvin = 2.0
    dew_point_hysteresis_kelvin: Kelvin = 0.5
    pressure_fall_ratio: Ratio = 0.15
    """Of the differential pressure, below its mean over `baseline`."""
    pressure_recovered_ratio: Ratio = 0.10
    """So near to the baseline it must come again."""
    pressure_basis: Literal["measured", "pump_speed"] = "measured"
    """`pump_speed` divides it by the square of the pumps' speed before it is compared."""
    baseline: Duration = Field(default=600.0, ge=60, le=86400)
    baseline_least: Duration = Field(default=60.0, ge=1, le=3600)
    """So much of a baseline must have been measured before anything is compared with it."""
    level_low_ratio: Ratio = 0.5
    level_hysteresis_ratio: Ratio = 0.05
    level_fall_ratio: Ratio = 0.05
    """Lost within `baseline`, as a part of the full level."""
    flow_low_liters_per_second: LitersPerSecond = 0.5
    facility_flow_low_liters_per_second: LitersPerSecond = 0.5
    clear_after: Duration = Field(default=60.0, ge=1, le=86400)
    """How long healthy values must have been measured without a break."""
    blind_after: Duration = Field(default=10.0, ge=1, le=600)
    """Without a measured value for so long, a rule is blind, and that is an alarm too."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pressure_recovered_ratio >= self.pressure_fall_ratio:
            raise ValueError("pressure_recovered_ratio must be less than pressure_fall_ratio")
        if self.baseline_least > self.baseline:
            raise ValueError("baseline_least must not be more than baseline")
        if self.level_low_ratio + self.level_hysteresis_ratio > 1:
            raise ValueError("level_low_ratio and level_hysteresis_ratio add up to more than 1")
        return self

    def with_(self, own: "Limits") -> "Limits":
        """These limits, where `own` does not say otherwise."""
        said = {name: getattr(own, name) for name in own.model_fields_set}
        return self.model_copy(update=said)
