# SPDX-License-Identifier: Apache-2.0
"""Object maps: loading, checking, and the values that answers become. A map is data."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from rackwatt.agents.bacnet.numbers import (
    ACCUMULATOR,
    ENGINEERING_UNITS,
    MAX_PRES_VALUE,
    OBJECT_TYPES,
    PRESENT_VALUE,
    SCALE,
    STATES,
    STATUS_FLAGS,
    UNITS_PROPERTY,
)
from rackwatt.agents.bacnet.schema import FieldMap, MapFile
from rackwatt.agents.devicemaps import field_problems, find_map, shipped
from rackwatt.agents.judge import put
from rackwatt.agents.units import UNITS, Unit
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, load_document, nearest
from rackwatt.wire.inventory import Register
from rackwatt.wire.readings import FIELDS, FieldSpec, Quality

MAPS: Final = Path(__file__).parent / "maps"
_NAME: Final = re.compile(r"\{([a-z_0-9]+)\}")
_ABSENT: Final = frozenset({31, 32})
"""Error codes unknown-object and unknown-property."""
_FAULT, _OVERRIDDEN, _OUT_OF_SERVICE = 1, 2, 3


class Ref(NamedTuple):
    """One property of one object."""

    type: int
    instance: int
    property: int


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in place of a property's value."""

    error_class: int
    code: int

    @property
    def quality(self) -> Quality:
        """What becomes of the value."""
        return Quality.NOT_SUPPORTED if self.code in _ABSENT else Quality.EXCEPTION


Answer = float | str | tuple[bool, ...] | Problem | None
"""What a device gave: a number or state, text, bits; None is BACnet's Null."""
Answers = Mapping[Ref, Answer]


def whole_number(answer: Answer) -> int | None:
    """A state or an enumeration; None where the answer is none."""
    return int(answer) if isinstance(answer, float) and answer.is_integer() else None


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a device: its objects, and how they become a value of ours."""

    spec: FieldSpec
    negative: FieldSpec | None
    objects: tuple[tuple[int, int], ...]
    item: FieldMap

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The field, and the one for negative numbers."""
        return (self.spec,) if self.negative is None else (self.spec, self.negative)

    @property
    def often(self) -> list[Ref]:
        """What is read in each round."""
        pairs = (PRESENT_VALUE, STATUS_FLAGS)
        return [Ref(*found, number) for found in self.objects for number in pairs]

    @property
    def once(self) -> list[Ref]:
        """What stays as long as the device answers."""
        refs = []
        for kind, instance in self.objects:
            numbers = [] if kind in STATES or self.item.unit else [UNITS_PROPERTY]
            if kind == ACCUMULATOR:
                numbers += [SCALE, MAX_PRES_VALUE]
            refs += [Ref(kind, instance, number) for number in numbers]
        return refs

    def register(self, answers: Answers) -> Register | None:
        """How an energy register counts, as far as it is known; None for other fields."""
        if self.spec.unit != "Wh" or len(self.objects) != 1:
            return None
        modulus, step = self.item.modulus_watt_hours, self.item.resolution_watt_hours
        kind, instance = self.objects[0]
        ratio = self._ratio(kind, instance, answers)
        unit = self._unit(kind, instance, answers)
        if kind == ACCUMULATOR and isinstance(ratio, float) and isinstance(unit, Unit):
            last = whole_number(answers.get(Ref(kind, instance, MAX_PRES_VALUE)))
            step = step or ratio * unit.factor
            if last is not None and last > 0:
                modulus = modulus or (last + 1) * ratio * unit.factor
        return Register(modulus_watt_hours=modulus, resolution_watt_hours=step)

    def value(self, answers: Answers) -> tuple[float | Quality, bool]:
        """The value or why there is none, and whether someone's hand has set it."""
        numbers: list[float] = []
        reason: Quality | None = None
        by_hand = False
        for kind, instance in self.objects:
            got = self._number(kind, instance, answers)
            flags = answers.get(Ref(kind, instance, STATUS_FLAGS))
            if isinstance(got, Quality):
                reason = reason or got
            else:
                numbers.append(got)
                by_hand |= isinstance(flags, tuple) and len(flags) == 4 and flags[_OVERRIDDEN]
        if self.item.rule == "any" and any(number >= 1 for number in numbers):
            return max(numbers), by_hand
        if reason is not None:
            return reason, by_hand
        return (max(numbers) if self.item.rule == "any" else sum(numbers)), by_hand

    def _number(self, kind: int, instance: int, answers: Answers) -> float | Quality:
        flags = answers.get(Ref(kind, instance, STATUS_FLAGS))
        # Out of service: the value no longer follows the plant; people write into it for tests.
        if (
            isinstance(flags, tuple)
            and len(flags) == 4
            and (flags[_FAULT] or flags[_OUT_OF_SERVICE])
        ):
            return Quality.EXCEPTION
        raw = answers.get(Ref(kind, instance, PRESENT_VALUE))
        if isinstance(raw, Problem):
            return raw.quality
        if not isinstance(raw, float):
            return Quality.NOT_SUPPORTED if raw is None else Quality.OUT_OF_RANGE
        if self.item.states:
            state = whole_number(raw)
            return Quality.OUT_OF_RANGE if state is None else self._meant(state)
        unit = self._unit(kind, instance, answers)
        ratio = self._ratio(kind, instance, answers)
        if isinstance(unit, Quality) or isinstance(ratio, Quality):
            return Quality.NOT_SUPPORTED
        return raw * ratio * unit.factor + unit.offset

    def _meant(self, state: int) -> float | Quality:
        return self.item.states.get(state, Quality.OUT_OF_RANGE)

    def _unit(self, kind: int, instance: int, answers: Answers) -> Unit | Quality:
        if self.item.unit:
            return UNITS[self.item.unit]
        if kind in STATES:
            return UNITS["1"] if self.spec.unit == "1" else Quality.NOT_SUPPORTED
        number = whole_number(answers.get(Ref(kind, instance, UNITS_PROPERTY)))
        found = None if number is None else ENGINEERING_UNITS.get(number)
        fits = found is not None and found[1].ours == self.spec.unit
        return found[1] if found is not None and fits else Quality.NOT_SUPPORTED

    def _ratio(self, kind: int, instance: int, answers: Answers) -> float | Quality:
        if kind != ACCUMULATOR:
            return self.item.scale
        found = answers.get(Ref(kind, instance, SCALE))
        return found * self.item.scale if isinstance(found, float) else Quality.NOT_SUPPORTED

    def unit_problem(self, answers: Answers) -> str | None:
        """Why the unit of an object that was read is of no use; for people."""
        for kind, instance in self.objects:
            number = whole_number(answers.get(Ref(kind, instance, UNITS_PROPERTY)))
            if number is not None and isinstance(self._unit(kind, instance, answers), Quality):
                known = ENGINEERING_UNITS.get(number)
                name = "unknown to us" if known is None else known[0]
                return (
                    f"{object_name(kind, instance)} is in unit {number} ({name}), which cannot "
                    f"become '{self.spec.unit}' of {self.spec.name}: correct the object's number, "
                    "or write `unit` in the map"
                )
        return None


@dataclass(frozen=True, slots=True)
class Decoded:
    """The values of one device, read once."""

    values: Mapping[str, float | None]
    quality: Mapping[str, Quality] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectMap:
    """A device's object map, checked.

    Attributes:
        name: of the file, without `.yaml`.
        file: its content.
        index: values of the `{names}` in its objects.
    """

    name: str
    file: MapFile
    index: Mapping[str, int]

    def at(self, index: Mapping[str, int]) -> "ObjectMap":
        """The map for other indexes.

        Raises:
            ValueError: an index that the map does not have.
        """
        for name in index:
            if name not in self.file.index:
                raise ValueError(f"no index '{name}' ({nearest(name, self.file.index) or 'none'})")
        return ObjectMap(self.name, self.file, {**self.index, **index})

    def points(self) -> tuple[Point, ...]:
        """The fields ready to be read."""
        specs = FIELDS[self.file.kind]
        return tuple(
            Point(
                spec=specs[name],
                negative=specs[item.negative] if item.negative else None,
                objects=tuple(self._object(text) for text in item.names),
                item=item,
            )
            for name, item in self.file.fields.items()
        )

    def _object(self, text: str) -> tuple[int, int]:
        kind, _, number = text.partition(",")
        number = _NAME.sub(lambda match: str(self.index[match[1]]), number)
        return OBJECT_TYPES[kind], int(number)


def object_name(kind: int, instance: int) -> str:
    """`analog-input,3`."""
    names = {number: name for name, number in OBJECT_TYPES.items()}
    return f"{names.get(kind, kind)},{instance}"


def decode(points: Iterable[Point], answers: Answers, whole: Quality | None = None) -> Decoded:
    """Values of all points; None with a quality for each that could not be read.

    Args:
        points: of the map.
        answers: of the device, what is read once included.
        whole: why nothing at all was read.
    """
    values: dict[str, float | None] = {}
    quality: dict[str, Quality] = {}
    for point in points:
        got, by_hand = (whole, False) if whole is not None else point.value(answers)
        # A register that someone has set by hand must not enter any book.
        if by_hand and point.spec.unit == "Wh" and not isinstance(got, Quality):
            got = Quality.EXCEPTION
        put(point.fields, got, values, quality)
        for spec in point.fields if by_hand else ():
            if values[spec.name] is not None:
                quality[spec.name] = Quality.ESTIMATED
    return Decoded(values, quality)


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps that come with the driver, sorted."""
    return shipped(MAPS)


def load_object_map(name: str, config_dir: Path = Path()) -> ObjectMap:
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
    return ObjectMap(path.stem, file, file.index)


def _problems(document: Document, file: MapFile) -> Iterable[ConfigError]:
    specs = FIELDS[file.kind]
    for name, item in file.fields.items():
        key = ("fields", name)
        spec = specs.get(name)
        # Without a unit of its own the object's counts, which only the device can tell.
        given = item if item.unit or spec is None else item.model_copy(update={"unit": spec.unit})
        yield from field_problems(document, key, given, file.kind, specs)
        at = (*key, "object" if item.object is not None else "objects")
        for text in item.names:
            kind, _, number = text.partition(",")
            if kind not in OBJECT_TYPES:
                hint = nearest(kind, OBJECT_TYPES)
                yield document.error(at, f"no object type '{kind}' is known here", hint=hint)
            for word in _NAME.findall(number):
                if word not in file.index:
                    hint = nearest(word, file.index)
                    yield document.error(at, f"no index '{word}' in this map", hint=hint)
