# SPDX-License-Identifier: Apache-2.0
"""One way to write a JSON value, so that everybody signs and checks the same bytes (RFC 8785).

Keys in the order of their UTF-16 units, no spaces, UTF-8, numbers as ECMAScript writes them.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Final

_SAFE: Final = 2**53


def canonical(value: object) -> bytes:
    """Return the bytes that are signed.

    Raises:
        ValueError: a number is none or too large for a double, a key is no text, a text is no
            Unicode, or something is no JSON.
    """
    return _written(value).encode("utf-8")


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _SAFE:
            raise ValueError(f"{value} is beyond what every reader of JSON keeps exactly")
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is no text")
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_written(key)}:{_written(value[key])}" for key in keys) + "}"
    raise ValueError(f"{type(value).__name__} is no JSON")


def number(value: float) -> str:
    """Write a double as ECMAScript does: the shortest digits that read back as the same.

    Raises:
        ValueError: it is not finite.
    """
    if not isfinite(value):
        raise ValueError(f"{value} is no number in JSON")
    if value == 0.0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    # The value is 0.DIGITS times ten to the power of `point`.
    point = len(whole) + int(exponent or 0) - (len(whole + part) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits[0] + ("." + digits[1:] if count > 1 else "")
    return f"{sign}{mantissa}e{point - 1:+d}"
