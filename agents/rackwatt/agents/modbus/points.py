# SPDX-License-Identifier: Apache-2.0
"""Points: fields of a map made ready to be read, and the arithmetic between words and values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from rackwatt.agents.judge import put
from rackwatt.agents.modbus import words
from rackwatt.agents.modbus.schema import FieldMap, Function, MapFile
from rackwatt.agents.modbus.words import NumberType, WordOrder
from rackwatt.agents.units import CURRENT_UNITS, UNITS
from rackwatt.wire.inventory import Register
from rackwatt.wire.readings import FIELDS, FieldSpec, Quality

_SF_NOT_AVAILABLE: Final = 0x8000

# SunSpec Device Information Model Specification, chapter 6 (data types): "not implemented".
_SUNSPEC_MISSING: Final[Mapping[NumberType, tuple[int | Literal["nan"], ...]]] = MappingProxyType(
    {
        "int16": (0x8000,),
        "uint16": (0xFFFF,),
        "int32": (0x8000_0000,),
        "uint32": (0xFFFF_FFFF,),
        "int64": (0x8000_0000_0000_0000,),
        "uint64": (0xFFFF_FFFF_FFFF_FFFF,),
        "float32": ("nan",),
        "float64": ("nan",),
    }
)

_PAIRS: Final = (
    ("power_watts", "power_export_watts"),
    ("energy_import_watt_hours", "energy_export_watt_hours"),
    ("power_charge_watts", "power_discharge_watts"),
    ("energy_charge_watt_hours", "energy_discharge_watt_hours"),
)
_REVERSED: Final[Mapping[str, str]] = MappingProxyType(
    {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
)
_SIGNED: Final = frozenset(
    {
        "power_l1_watts",
        "power_l2_watts",
        "power_l3_watts",
        "power_factor_ratio",
        "reactive_power_volt_amperes_reactive",
        "heat_watts",
    }
)


@dataclass(frozen=True, slots=True)
class FactorPoint:
    """A register that multiplies another."""

    address: int
    type: NumberType
    scale: float
    typical: float


@dataclass(frozen=True, slots=True)
class Point:
    """One number of a device: where it stands, and how it becomes a value of ours."""

    spec: FieldSpec
    negative: FieldSpec | None
    function: Function
    address: int
    """On the wire, from 0."""
    type: NumberType
    word_order: WordOrder
    multiplier: float
    """From the number to our unit, the row's ratio included."""
    offset: float
    bit: int | None
    scale_address: int | None
    typical_exponent: int
    factor: FactorPoint | None
    not_available: frozenset[int]
    nan_is_not_available: bool
    register: Register | None
    """How the energy register counts, at exponent 0; None for other fields."""

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The field, and the one for negative numbers."""
        return (self.spec,) if self.negative is None else (self.spec, self.negative)

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """(address, count) of all registers that the value needs."""
        found = [(self.address, words.width(self.type))]
        if self.scale_address is not None:
            found.append((self.scale_address, 1))
        if self.factor is not None:
            found.append((self.factor.address, words.width(self.factor.type)))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a configuration row adds to a map."""

    scale: float = 1.0
    """Ratio of the current transformer: multiplies currents, powers and energies."""
    invert: bool = False
    """The meter is wired the other way round: directions change places."""


AS_MAPPED: Final = Adjustment()
"""No change to what the map says."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The values of one device, read once."""

    values: Mapping[str, float | None]
    quality: Mapping[str, Quality] = field(default_factory=dict)


def make_point(
    name: str, item: FieldMap, file: MapFile, base: int, adjust: Adjustment = AS_MAPPED
) -> Point:
    """Compile a field whose registers count from `base`; the map must have been checked."""
    specs = FIELDS[file.kind]
    unit = UNITS[item.unit]
    ratio = adjust.scale if unit.ours in CURRENT_UNITS else 1.0
    sign = 1.0
    first, second = name, item.negative
    if adjust.invert:
        first, second = _REVERSED.get(name, name), _REVERSED.get(second, second)
        sign = -1.0 if name in _SIGNED else 1.0
    multiplier = item.scale * unit.factor * ratio * sign
    missing = item.not_available
    if missing is None:
        missing = _SUNSPEC_MISSING[item.type] if file.sunspec is not None else ()
    return Point(
        spec=specs[first],
        negative=specs[second] if second else None,
        function=item.function or file.function,
        address=item.address + base,
        type=item.type,
        word_order=item.word_order or file.word_order,
        multiplier=multiplier,
        offset=unit.offset,
        bit=item.bit,
        scale_address=None if item.scale_register is None else item.scale_register + base,
        typical_exponent=item.typical_exponent,
        factor=None
        if item.factor is None
        else FactorPoint(
            item.factor.address + base, item.factor.type, item.factor.scale, item.factor.typical
        ),
        not_available=frozenset(code for code in missing if isinstance(code, int)),
        nan_is_not_available="nan" in missing,
        register=_register(item, unit.factor * ratio) if specs[name].unit == "Wh" else None,
    )


def _register(item: FieldMap, factor: float) -> Register:
    modulus, resolution = item.modulus_watt_hours, item.resolution_watt_hours
    step = abs(item.scale) * factor
    counts = not words.is_float(item.type)
    # A 64-bit register of any real unit never rolls over; only the unsigned types are known to
    # start again at 0.
    rolls = item.type in {"uint16", "uint32"}
    ratio = factor / UNITS[item.unit].factor
    return Register(
        modulus_watt_hours=modulus * ratio
        if modulus is not None
        else (words.limits(item.type)[1] + 1) * step
        if rolls
        else None,
        resolution_watt_hours=resolution * ratio
        if resolution is not None
        else step
        if counts
        else None,
    )


def register_at(point: Point, exponent: int) -> Register | None:
    """How the point's energy register counts when its scale register holds `exponent`."""
    if point.register is None or exponent == 0:
        return point.register
    modulus, step = point.register.modulus_watt_hours, point.register.resolution_watt_hours
    scale = 10.0**exponent
    return Register(
        modulus_watt_hours=None if modulus is None else modulus * scale,
        resolution_watt_hours=None if step is None else step * scale,
    )


def exponent_of(point: Point, memory: Mapping[int, int]) -> int | None:
    """The power of ten that applies to a point; None where its scale register is not usable."""
    if point.scale_address is None:
        return 0
    raw = memory.get(point.scale_address, _SF_NOT_AVAILABLE)
    value = raw - 0x10000 if raw >= 0x8000 else raw
    return value if -10 <= value <= 10 else None


def decode_points(
    points: Iterable[Point], memory: Mapping[int, int], failed: Mapping[int, Quality] | None = None
) -> Decoded:
    """Values of all points.

    Args:
        points: what to decode.
        memory: address to word, as read.
        failed: address to the reason why it could not be read.

    Returns:
        Values in the units of the wire; None with a quality for each that could not be read, is
        not supported by the device, or lies outside the bounds of its field.
    """
    values: dict[str, float | None] = {}
    quality: dict[str, Quality] = {}
    for point in points:
        got = _value(point, memory, failed or {})
        put(point.fields, got, values, quality)
    return Decoded(values, quality)


def _value(
    point: Point, memory: Mapping[int, int], failed: Mapping[int, Quality]
) -> float | Quality:
    for start, count in point.parts:
        for address in range(start, start + count):
            if address not in memory:
                return failed.get(address, Quality.NOT_SUPPORTED)
    raw = [memory[point.address + i] for i in range(words.width(point.type))]
    bits = words.pattern(raw, point.word_order)
    if bits in point.not_available:
        return Quality.NOT_SUPPORTED
    if point.bit is not None:
        return float((bits >> point.bit) & 1)
    got = words.number(raw, point.type, point.word_order)
    if math.isnan(got) and point.nan_is_not_available:
        return Quality.NOT_SUPPORTED
    exponent = exponent_of(point, memory)
    if exponent is None:
        return Quality.NOT_SUPPORTED
    value = got * point.multiplier * 10.0**exponent
    if point.factor is not None:
        value *= _factor(point.factor, point.word_order, memory)
    return value + point.offset


def _factor(factor: FactorPoint, order: WordOrder, memory: Mapping[int, int]) -> float:
    raw = [memory[factor.address + i] for i in range(words.width(factor.type))]
    return words.number(raw, factor.type, order) * factor.scale


def encode_points(
    points: Sequence[Point],
    values: Mapping[str, float | None],
    exponents: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """The registers that decode to `values`: the inverse of `decode_points`, for simulators.

    Args:
        points: of one map.
        values: field to value; a missing or None value gives the device's "not available"
            pattern, or no register where the map knows none.
        exponents: scale register's address to power of ten, instead of the map's typical one.

    Returns:
        Address to word.

    Raises:
        ValueError: a value does not fit its register.
    """
    chosen = exponents or {}
    memory: dict[int, int] = {}
    for point in points:
        exponent = point.typical_exponent
        if point.scale_address is not None:
            exponent = chosen.get(point.scale_address, exponent)
            memory[point.scale_address] = exponent & 0xFFFF
        if point.factor is not None:
            factor = point.factor
            _put(memory, factor.address, words.registers(
                factor.typical / factor.scale, factor.type, point.word_order))  # fmt: skip
        _encode_point(point, values, exponent, memory)
    return memory


def _encode_point(
    point: Point, values: Mapping[str, float | None], exponent: int, memory: dict[int, int]
) -> None:
    count = words.width(point.type)
    value = _joined(point, values)
    if value is None:
        if point.nan_is_not_available:
            _put(memory, point.address, words.registers(math.nan, point.type, point.word_order))
        elif point.not_available:
            code = min(point.not_available)
            _put(memory, point.address, words.from_pattern(code, count, point.word_order))
        return
    if point.bit is not None:
        held = [memory.get(point.address + i, 0) for i in range(count)]
        bits = words.pattern(held, point.word_order) & ~(1 << point.bit)
        bits |= int(value >= 0.5) << point.bit
        _put(memory, point.address, words.from_pattern(bits, count, point.word_order))
        return
    divisor = point.multiplier * 10.0**exponent
    if point.factor is not None:
        divisor *= point.factor.typical
    number = (value - point.offset) / divisor
    try:
        _put(memory, point.address, words.registers(number, point.type, point.word_order))
    except ValueError as error:
        raise ValueError(f"{point.spec.name}={value!r}: {error}") from error


def _joined(point: Point, values: Mapping[str, float | None]) -> float | None:
    value = values.get(point.spec.name)
    if point.negative is None:
        return value
    other = values.get(point.negative.name)
    if value is None and other is None:
        return None
    return (value or 0.0) - (other or 0.0)


def _put(memory: dict[int, int], address: int, data: Sequence[int]) -> None:
    for i, word in enumerate(data):
        memory[address + i] = word


def fitting_exponents(points: Iterable[Point], peaks: Mapping[str, float]) -> dict[int, int]:
    """Powers of ten at which the largest expected values still fit their registers.

    Args:
        points: of one map.
        peaks: field to the largest absolute value expected.

    Returns:
        Scale register's address to power of ten, for `encode_points`.
    """
    found: dict[int, int] = {}
    for point in points:
        if point.scale_address is None or words.is_float(point.type):
            continue
        peak = max((abs(peaks.get(spec.name, 0.0)) for spec in point.fields), default=0.0)
        room = words.limits(point.type)[1] - 1
        exponent = found.get(point.scale_address, point.typical_exponent)
        while exponent < 10 and peak / (abs(point.multiplier) * 10.0**exponent) > room:
            exponent += 1
        found[point.scale_address] = exponent
    return found
