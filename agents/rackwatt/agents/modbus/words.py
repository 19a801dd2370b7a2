# SPDX-License-Identifier: Apache-2.0
"""16-bit registers to numbers and back.

Modbus defines the byte order inside a register (big-endian) and leaves the order of the registers
of a longer number to each manufacturer: `big` puts the most significant register first, which most
do, `little` last.
"""

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

NumberType = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
WordOrder = Literal["big", "little"]

_FORMATS: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "int16": (">h", 1),
        "uint16": (">H", 1),
        "int32": (">i", 2),
        "uint32": (">I", 2),
        "int64": (">q", 4),
        "uint64": (">Q", 4),
        "float32": (">f", 2),
        "float64": (">d", 4),
    }
)


def width(kind: NumberType) -> int:
    """How many registers a number of this type takes."""
    return _FORMATS[kind][1]


def is_float(kind: NumberType) -> bool:
    """Whether the type is a floating-point one."""
    return kind.startswith("float")


def limits(kind: NumberType) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    bits = 16 * width(kind)
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def pattern(words: Sequence[int], order: WordOrder) -> int:
    """The registers as one unsigned bit pattern, most significant first."""
    ordered = words if order == "big" else words[::-1]
    value = 0
    for word in ordered:
        value = (value << 16) | word
    return value


def number(words: Sequence[int], kind: NumberType, order: WordOrder) -> float:
    """The number in the registers; integers of up to 53 bits are exact."""
    code, count = _FORMATS[kind]
    bits = pattern(words, order).to_bytes(2 * count, "big")
    return float(struct.unpack(code, bits)[0])


def registers(value: float, kind: NumberType, order: WordOrder) -> list[int]:
    """The registers of a number; integer types take the nearest integer.

    Raises:
        ValueError: the number does not fit the type.
    """
    code, count = _FORMATS[kind]
    if is_float(kind):
        try:
            data = struct.pack(code, value)
        except OverflowError as error:
            raise ValueError(f"{value!r} does not fit {kind}") from error
    else:
        low, high = limits(kind)
        whole = round(value)
        if not low <= whole <= high:
            raise ValueError(f"{whole} does not fit {kind} ({low}..{high})")
        data = struct.pack(code, whole)
    words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, 2 * count, 2)]
    return words if order == "big" else words[::-1]


def from_pattern(bits: int, count: int, order: WordOrder) -> list[int]:
    """The registers of an unsigned bit pattern of `count` registers."""
    words = [(bits >> (16 * (count - 1 - i))) & 0xFFFF for i in range(count)]
    return words if order == "big" else words[::-1]


def text(words: Sequence[int]) -> str:
    """ASCII text, two characters a register, as nameplates store it; padding is dropped."""
    data = b"".join(word.to_bytes(2, "big") for word in words)
    return data.decode("ascii", "replace").split("\0", 1)[0].strip()


def text_registers(value: str, count: int) -> list[int]:
    """The registers of ASCII text, padded with zeros to `count` registers."""
    data = value.encode("ascii", "replace")[: 2 * count].ljust(2 * count, b"\0")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, 2 * count, 2)]
