# SPDX-License-Identifier: Apache-2.0
"""OID maps: loading, checking, and both directions of the conversion.

A map is data (`maps/*.yaml`); nothing here knows any device.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rackwatt.agents.devicemaps import field_problems, find_map, shipped
from rackwatt.agents.judge import put
from rackwatt.agents.snmp.schema import AsnType, FieldMap, MapFile
from rackwatt.agents.units import CURRENT_UNITS, UNITS
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, load_document, nearest
from rackwatt.wire.inventory import Register
from rackwatt.wire.readings import FIELDS, FieldSpec, Quality

MAPS: Final = Path(__file__).parent / "maps"

Answer = int | str | None
"""What a device gave for an OID; None is noSuchObject or noSuchInstance."""

_NAME: Final = re.compile(r"\{([a-z_0-9]+)\}")
_NUMBER: Final = re.compile(r"\s*[-+]?[0-9]+(\.[0-9]+)?\s*")


@dataclass(frozen=True, slots=True)
class Typed:
    """A value with its ASN.1 type, for responders."""

    type: AsnType
    value: int | str


@dataclass(frozen=True, slots=True)
class Point:
    """One number of a device: its OID, and how it becomes a value of ours."""

    spec: FieldSpec
    negative: FieldSpec | None
    oid: str
    type: AsnType
    multiplier: float
    offset: float
    decimals_oid: str | None
    typical_decimals: int
    not_available: tuple[int, ...]
    required_oid: str | None
    required: tuple[int, ...]
    register: Register | None
    """How the energy counter counts, at 0 decimals; None for other fields."""

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The field, and the one for negative numbers."""
        return (self.spec,) if self.negative is None else (self.spec, self.negative)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The values of one device, read once."""

    values: Mapping[str, float | None]
    quality: Mapping[str, Quality] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OidMap:
    """A device's OID map, checked.

    Attributes:
        name: of the file, without `.yaml`.
        file: its content.
        index: values of the `{names}` in its OIDs.
    """

    name: str
    file: MapFile
    index: Mapping[str, int]

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a device of this map may deliver, sorted."""
        names = set(self.file.fields)
        return tuple(sorted(names | {i.negative for i in self.file.fields.values() if i.negative}))

    def at(self, index: Mapping[str, int]) -> "OidMap":
        """The map for other indexes.

        Raises:
            ValueError: an index that the map does not have.
        """
        for name in index:
            if name not in self.file.index:
                raise ValueError(f"no index '{name}' ({nearest(name, self.file.index) or 'none'})")
        return OidMap(self.name, self.file, {**self.index, **index})

    def resolve(self, oid: str) -> str:
        """The OID with the indexes put in."""
        return _NAME.sub(lambda match: str(self.index[match[1]]), oid)

    def points(self, scale: float = 1.0) -> tuple[Point, ...]:
        """The fields ready to be read; `scale` multiplies currents, powers and energies."""
        return tuple(self._point(name, item, scale) for name, item in self.file.fields.items())

    def identity(self) -> dict[str, str]:
        """`model`, `serial`, `firmware`, as far as the map knows them, to their OIDs."""
        found = self.file.identity.model_dump(exclude_none=True)
        return {name: self.resolve(oid) for name, oid in found.items()}

    def _point(self, name: str, item: FieldMap, scale: float) -> Point:
        specs, unit = FIELDS[self.file.kind], UNITS[item.unit]
        ratio = scale if unit.ours in CURRENT_UNITS else 1.0
        return Point(
            spec=specs[name],
            negative=specs[item.negative] if item.negative else None,
            oid=self.resolve(item.oid),
            type=item.type,
            multiplier=item.scale * unit.factor * ratio,
            offset=unit.offset,
            decimals_oid=None if item.decimals_oid is None else self.resolve(item.decimals_oid),
            typical_decimals=item.typical_decimals,
            not_available=item.not_available,
            required_oid=None if item.requires is None else self.resolve(item.requires.oid),
            required=() if item.requires is None else item.requires.equals,
            register=_register(item, unit.factor, ratio) if unit.ours == "Wh" else None,
        )


def _register(item: FieldMap, factor: float, ratio: float) -> Register:
    step = item.scale * factor * ratio
    modulus, resolution = item.modulus_watt_hours, item.resolution_watt_hours
    # 64-bit counters never roll over; a signed integer's end is no promise to start again at 0.
    rolls = item.type in {"gauge32", "unsigned32", "counter32"}
    return Register(
        modulus_watt_hours=modulus * ratio if modulus else (2.0**32 * step if rolls else None),
        resolution_watt_hours=resolution * ratio if resolution else step,
    )


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps that come with the driver, sorted."""
    return shipped(MAPS)


def load_oid_map(name: str, config_dir: Path = Path()) -> OidMap:
    """Load and check a map.

    Args:
        name: of a shipped map, or the path of a `.yaml` file.
        config_dir: where a relative path starts.

    Raises:
        ConfigErrors: no such map, or everything that is wrong in it, with file and line.
    """
    path = find_map(name, MAPS, config_dir)
    document = load_document(path)
    file = document.validate(MapFile)
    errors = list(_problems(document, file))
    if errors:
        raise ConfigErrors(errors)
    return OidMap(path.stem, file, file.index)


def _problems(document: Document, file: MapFile) -> Iterable[ConfigError]:
    specs = FIELDS[file.kind]
    for name, item in file.fields.items():
        key = ("fields", name)
        yield from field_problems(document, key, item, file.kind, specs)
        required = item.requires.oid if item.requires is not None else ""
        yield from _unknown_names(document, file, (*key, "oid"), item.oid)
        yield from _unknown_names(document, file, (*key, "decimals_oid"), item.decimals_oid or "")
        yield from _unknown_names(document, file, (*key, "requires", "oid"), required)
    for name, oid in file.identity.model_dump(exclude_none=True).items():
        yield from _unknown_names(document, file, ("identity", name), oid)


def _unknown_names(
    document: Document, file: MapFile, key: tuple[str, ...], oid: str
) -> Iterable[ConfigError]:
    for name in _NAME.findall(oid):
        if name not in file.index:
            hint = nearest(name, file.index)
            yield document.error(key, f"no index '{name}' in this map", hint=hint)


def decode(
    oid_map: OidMap,
    answers: Mapping[str, Answer],
    failed: Mapping[str, Quality] | None = None,
) -> Decoded:
    """Values from the answers of a device.

    Args:
        oid_map: the device's map.
        answers: OID to value; None for an object that the device does not have.
        failed: OID to the reason why there is no answer.
    """
    return decode_points(oid_map.points(), answers, failed)


def decode_points(
    points: Iterable[Point],
    answers: Mapping[str, Answer],
    failed: Mapping[str, Quality] | None = None,
) -> Decoded:
    """Values of all points; None with a quality for each that could not be read."""
    values: dict[str, float | None] = {}
    quality: dict[str, Quality] = {}
    for point in points:
        put(point.fields, _value(point, answers, failed or {}), values, quality)
    return Decoded(values, quality)


def _value(
    point: Point, answers: Mapping[str, Answer], failed: Mapping[str, Quality]
) -> float | Quality:
    if point.required_oid is not None:
        state = _number(point.required_oid, answers, failed)
        if isinstance(state, Quality):
            return state
        if state not in point.required:
            return Quality.EXCEPTION
    number = _number(point.oid, answers, failed)
    if isinstance(number, Quality):
        return number
    if number in point.not_available:
        return Quality.NOT_SUPPORTED
    digits = 0.0
    if point.decimals_oid is not None:
        found = _number(point.decimals_oid, answers, failed)
        if isinstance(found, Quality):
            return found
        digits = found
    if not 0 <= digits <= 9:
        return Quality.OUT_OF_RANGE
    divisor: float = 10.0**digits
    return number * point.multiplier / divisor + point.offset


def _number(
    oid: str, answers: Mapping[str, Answer], failed: Mapping[str, Quality]
) -> float | Quality:
    if oid not in answers:
        return failed.get(oid, Quality.NOT_SUPPORTED)
    answer = answers[oid]
    if answer is None:
        return Quality.NOT_SUPPORTED
    if isinstance(answer, str):
        # Some agents write numbers as text; anything else in its place is nonsense.
        return float(answer) if _NUMBER.fullmatch(answer) else Quality.OUT_OF_RANGE
    return float(answer)


def encode(
    oid_map: OidMap,
    values: Mapping[str, float | None],
    texts: Mapping[str, str] | None = None,
) -> dict[str, Typed]:
    """The objects that decode to `values`: the inverse of `decode`, for simulators and tests.

    Args:
        oid_map: the device's map, with its indexes.
        values: field to value in the units of the wire; a missing or None value becomes the
            device's "not available" number, or no object where the map knows none.
        texts: nameplate (`model`, `serial`, `firmware`).

    Returns:
        OID to typed value.

    Raises:
        ValueError: a value does not fit its type.
    """
    found: dict[str, Typed] = {}
    for name, oid in oid_map.identity().items():
        if texts and name in texts:
            found[oid] = Typed("text", texts[name])
    for point in oid_map.points():
        if point.required_oid is not None:
            found[point.required_oid] = Typed("integer", point.required[0])
        if point.decimals_oid is not None:
            found[point.decimals_oid] = Typed("unsigned32", point.typical_decimals)
        value = values.get(point.spec.name)
        other = None if point.negative is None else values.get(point.negative.name)
        if value is None and other is None:
            if point.not_available:
                found[point.oid] = _typed(point, point.not_available[0])
            continue
        net = (value or 0.0) - (other or 0.0) - point.offset
        found[point.oid] = _typed(
            point, round(net * 10.0**point.typical_decimals / point.multiplier)
        )
    return found


def _typed(point: Point, number: int) -> Typed:
    low, high = {
        "integer": (-(2**31), 2**31 - 1),
        "counter64": (0, 2**64 - 1),
    }.get(point.type, (0, 2**32 - 1))
    if point.type == "text":
        return Typed("text", str(number))
    if not low <= number <= high:
        raise ValueError(f"{point.spec.name}: {number} does not fit {point.type} ({low}..{high})")
    return Typed(point.type, number)
