# SPDX-License-Identifier: Apache-2.0
"""The protocol as pure functions: text in, values out, no I/O.

Step 2 of a new agent: decode what the device says. Pure functions are tested with captures of real
devices, without any device. Convert units here, once: the wire knows SI units and ratios only.

The protocol of this example: the client sends `READ`, the device answers one line such as
`temperature=21.5 humidity=45.0` (degrees Celsius, percent), or `ERR` and a reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from rackwatt.wire.readings import FIELDS, Quality

REQUEST: Final = b"READ\n"


class DeviceError(Exception):
    """The device answered that it cannot.

    Args:
        reason: in the device's words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the device says: {reason}")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a field of the contract comes from."""

    field: str
    unit: str
    """The device's unit."""
    convert: Callable[[float], float]


POINTS: Final[Mapping[str, Point]] = MappingProxyType(
    {
        "temperature": Point("temperature_celsius", "°C", lambda value: value),
        "humidity": Point("humidity_ratio", "%", lambda value: value / 100.0),
    }
)
"""The device's name of a value to the field it becomes."""


def parse(line: str) -> dict[str, str]:
    """The raw values of an answer, by the device's names.

    Raises:
        DeviceError: the answer is an error.
        ValueError: the answer is no answer of this protocol.
    """
    words = line.split()
    if words and words[0] == "ERR":
        raise DeviceError(" ".join(words[1:]) or "no reason given")
    raws: dict[str, str] = {}
    for word in words:
        name, equals, raw = word.partition("=")
        if not equals:
            raise ValueError(f"expected name=value, got {word[:40]!r}")
        raws[name] = raw
    if not raws:
        raise ValueError("an empty answer")
    return raws


def decode(point: Point, raw: str | None) -> tuple[float | None, Quality | None]:
    """One value in our unit, or None and the reason: never a guess, and None is not zero."""
    if raw is None:  # this model does not have the sensor
        return None, Quality.NOT_SUPPORTED
    try:
        value = point.convert(float(raw))
    except ValueError:
        return None, Quality.EXCEPTION
    spec = FIELDS["climate"][point.field]
    if not spec.low <= value <= spec.high:  # NaN too
        return None, Quality.OUT_OF_RANGE
    return value, None
