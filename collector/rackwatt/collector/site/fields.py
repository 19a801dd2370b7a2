# SPDX-License-Identifier: Apache-2.0
"""Types of the site file's values; each refuses the wrong unit and says what was meant."""

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_PREFIXES: Final = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_NUMBER: Final = r"\s*([0-9]+(?:[.,][0-9]+)?)\s*"
_PLAIN: Final = re.compile(_NUMBER)
_ENERGY: Final = re.compile(_NUMBER + r"([kKMGT]?)[wW][hH]\s*")
_PERCENT: Final = re.compile(_NUMBER + r"%\s*")
_CLASS: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*[sS]?\s*")


def _number(value: object, what: str) -> float | None:
    """The number that `value` is, or None for a text that may still mean one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expects {what}")  # noqa: TRY004 - pydantic wants ValueError
    return float(value) if not isinstance(value, str) else None


def _meant(match: re.Match[str] | None, factor: float = 1.0) -> str:
    """What a number in another notation would be in ours: a unit, or a decimal comma."""
    if match is None:
        return ""
    return f" (did you mean {float(match[1].replace(',', '.')) * factor:.10g}?)"


def _ratio(value: object) -> object:
    number = _number(value, "a ratio 0..1")
    if number is None:
        text = str(value)
        meant = _meant(_PERCENT.fullmatch(text), 0.01) or _meant(_PLAIN.fullmatch(text))
        raise ValueError(f"expects a ratio 0..1{meant}")
    if 1 < number <= 100:
        raise ValueError(f"expects a ratio 0..1 (did you mean {number / 100:g}?)")
    if not 0 <= number <= 1:
        raise ValueError("expects a ratio 0..1")
    return number


def _watt_hours(value: object) -> object:
    number = _number(value, "a number of Wh")
    if number is None:
        text = str(value)
        match = _ENERGY.fullmatch(text)
        meant = _meant(match, _PREFIXES[match[2]]) if match else _meant(_PLAIN.fullmatch(text))
        raise ValueError(f"expects a number of Wh{meant}")
    return number


def _accuracy(value: object) -> object:
    number = _number(value, "an accuracy class in percent, like 0.5")
    if number is None:
        match = _CLASS.fullmatch(str(value))  # 0.2S and 0.5S are classes of IEC 62053-22
        if match is None:
            text = str(value)
            meant = _meant(_PERCENT.fullmatch(text)) or _meant(_PLAIN.fullmatch(text))
            raise ValueError(f"expects an accuracy class in percent, like 0.5 or 0.2S{meant}")
        number = float(match[1])
    if 0 < number < 0.01:
        raise ValueError(
            f"expects an accuracy class in percent (did you mean {number * 100:g}?)",
        )
    return number


def _fuel_factor(value: object) -> object:
    number = _number(value, "g CO2e per litre")
    if number is None:
        raise ValueError("expects g CO2e per litre" + _meant(_PLAIN.fullmatch(str(value))))
    if 0 < number < 10:
        raise ValueError(f"expects g CO2e per litre (did you mean {number * 1000:g}?)")
    return number


def _moment(value: object) -> object:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(
                "expects a time with its offset, like 2026-01-01T00:00:00+01:00",
            ) from error
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("has no offset: write 2026-01-01T00:00:00+01:00, or Z for UTC")
    return value


Ratio = Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=1)]
"""0..1; a percentage is refused with the ratio it means."""
Efficiency = Annotated[float, BeforeValidator(_ratio), Field(gt=0, le=1)]
"""Above 0, up to 1."""
WattHours = Annotated[float, BeforeValidator(_watt_hours), Field(ge=0, allow_inf_nan=False)]
"""Wh, not negative; `1 MWh` is refused with the number it means."""
Accuracy = Annotated[float, BeforeValidator(_accuracy), Field(gt=0, le=10)]
"""Accuracy class in percent of the reading; `0.2S` is read as 0.2."""
Intensity = Annotated[float, Field(ge=0, le=5000, allow_inf_nan=False, strict=True)]
"""g CO2e/kWh. The upper bound refuses a value in mg or per MWh."""
FuelFactor = Annotated[
    float, BeforeValidator(_fuel_factor), Field(ge=0, le=10_000, allow_inf_nan=False)
]
"""g CO2e per litre; a value in kg is refused with the grams it means."""
Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A time that knows its offset from UTC."""


def milliseconds(moment: datetime | None, default: int) -> int:
    """`moment` in ms since 1970 UTC."""
    return default if moment is None else round(moment.timestamp() * 1000)
