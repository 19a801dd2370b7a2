# SPDX-License-Identifier: Apache-2.0
"""Register maps: loading, checking, and both directions of the conversion.

A map is data (`maps/*.yaml`); nothing here knows any device.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwatt.agents.devicemaps import field_problems, find_map, shipped
from rackwatt.agents.modbus import words
from rackwatt.agents.modbus.points import (
    AS_MAPPED,
    Adjustment,
    Decoded,
    Point,
    decode_points,
    encode_points,
    fitting_exponents,
    make_point,
)
from rackwatt.agents.modbus.schema import FieldMap, MapFile
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, load_document
from rackwatt.wire.readings import FIELDS, Quality

MAPS: Final = Path(__file__).parent / "maps"

SUNS: Final = (0x5375, 0x6E53)
"""The marker `SunS` that starts a SunSpec device's models."""
SUNSPEC_END: Final = 0xFFFF
COMMON_MODEL: Final = 1
COMMON_LENGTH: Final = 66
# Registers of the common model, from its ID register: (offset, registers).
COMMON_TEXTS: Final[Mapping[str, tuple[int, int]]] = {
    "manufacturer": (2, 16), "model": (18, 16), "firmware": (42, 8), "serial": (50, 16),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """A device's register map, checked.

    Attributes:
        name: of the file, without `.yaml`.
        file: its content.
    """

    name: str
    file: MapFile

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a device of this map may deliver, sorted."""
        blocks = [self.file.fields]
        if self.file.sunspec is not None:
            blocks = [block.fields for block in self.file.sunspec.blocks]
        names = {name for block in blocks for name in block}
        return tuple(sorted(names | {i.negative for b in blocks for i in b.values() if i.negative}))

    def points(
        self, adjust: Adjustment = AS_MAPPED, models: Mapping[int, int] | None = None
    ) -> tuple[Point, ...]:
        """The fields ready to be read.

        Args:
            adjust: ratio and direction of the configuration row.
            models: for a SunSpec map, model ID to address of its ID register; None lays the first
                model of every block out at the first base, as `encode` does.
        """
        if self.file.sunspec is None:
            offset = self.file.register_offset
            return tuple(
                make_point(name, item, self.file, offset, adjust)
                for name, item in self.file.fields.items()
            )
        where = self.layout() if models is None else models
        found: dict[str, Point] = {}
        for block in self.file.sunspec.blocks:
            base = next((where[number] for number in block.models if number in where), None)
            for name, item in block.fields.items() if base is not None else ():
                found.setdefault(name, make_point(name, item, self.file, base or 0, adjust))
        return tuple(found.values())

    def layout(self) -> dict[int, int]:
        """SunSpec: model ID to address, as `encode` lays the models out."""
        if self.file.sunspec is None:
            return {}
        address = self.file.sunspec.bases[0] + len(SUNS)
        where = {COMMON_MODEL: address}
        address += COMMON_LENGTH + 2
        for block in self.file.sunspec.blocks:
            where[block.models[0]] = address
            address += block.length + 2
        return where


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps that come with the driver, sorted."""
    return shipped(MAPS)


def load_map(name: str, config_dir: Path = Path()) -> RegisterMap:
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
    return RegisterMap(path.stem, file)


def _problems(document: Document, file: MapFile) -> Iterable[ConfigError]:
    specs = FIELDS[file.kind]
    for key, _, item in _all_fields(file):
        yield from field_problems(document, key, item, file.kind, specs)
        if file.sunspec is None and item.address + file.register_offset < 0:
            yield document.error((*key, "register"), "register lies before address 0")
    yield from _mixed_functions(document, file)


def _all_fields(file: MapFile) -> Iterable[tuple[tuple[str | int, ...], str, FieldMap]]:
    for name, item in file.fields.items():
        yield ("fields", name), name, item
    for i, block in enumerate(file.sunspec.blocks if file.sunspec is not None else ()):
        for name, item in block.fields.items():
            yield ("sunspec", "blocks", i, "fields", name), name, item


def _mixed_functions(document: Document, file: MapFile) -> Iterable[ConfigError]:
    # One address names one word in `decode` and `encode`, whatever function reads it.
    owner: dict[int, str] = {}
    for key, _, item in _all_fields(file) if file.sunspec is None else ():
        function = item.function or file.function
        for i in range(words.width(item.type)):
            if owner.setdefault(item.address + i, function) != function:
                yield document.error(
                    (*key, "register"), "read as input and as holding register: use one"
                )
                break


def decode(
    register_map: RegisterMap,
    registers: Mapping[int, int],
    failed: Mapping[int, Quality] | None = None,
) -> Decoded:
    """Values from the registers of a device that is laid out as `encode` does it.

    Args:
        register_map: the device's map.
        registers: address on the wire to word.
        failed: address to the reason why it could not be read.
    """
    return decode_points(register_map.points(), registers, failed)


def encode(
    register_map: RegisterMap,
    values: Mapping[str, float | None],
    peaks: Mapping[str, float] | None = None,
    texts: Mapping[str, str] | None = None,
) -> dict[int, int]:
    """Registers that decode to `values`: the inverse of `decode`, for simulators and tests.

    Args:
        register_map: the device's map.
        values: field to value in the units of the wire. A missing or None value becomes the
            device's "not available" pattern, or no register where the map knows none.
        peaks: field to the largest value ever expected, so that the powers of ten of a SunSpec
            device are chosen once and stay; without it the map's typical ones are taken.
        texts: nameplate (`manufacturer`, `model`, `serial`, `firmware`).

    Returns:
        Address on the wire to word. A SunSpec map gives the whole device from its marker to its
        end, with the first model of every block.

    Raises:
        ValueError: a value does not fit its register.
    """
    points = register_map.points()
    exponents = fitting_exponents(points, peaks) if peaks is not None else None
    memory = _skeleton(register_map, texts or {})
    memory.update(encode_points(points, values, exponents))
    return memory


def _skeleton(register_map: RegisterMap, texts: Mapping[str, str]) -> dict[int, int]:
    file = register_map.file
    memory: dict[int, int] = {}
    if file.sunspec is None:
        offset = file.register_offset
        for name in ("model", "serial", "firmware"):
            item = getattr(file.identity, name)
            if item is None or name not in texts:
                continue
            if item.type == "text":
                data: Sequence[int] = words.text_registers(texts[name], item.length)
            else:
                order = item.word_order or file.word_order
                data = words.registers(int(texts[name]), item.type, order)
            memory.update({item.address + offset + i: word for i, word in enumerate(data)})
        return memory
    where = register_map.layout()
    base = file.sunspec.bases[0]
    memory.update({base: SUNS[0], base + 1: SUNS[1]})
    lengths = {block.models[0]: block.length for block in file.sunspec.blocks}
    lengths[COMMON_MODEL] = COMMON_LENGTH
    end = base + 2
    for number, address in where.items():
        memory.update({address + 2 + i: 0 for i in range(lengths[number])})
        memory.update({address: number, address + 1: lengths[number]})
        end = max(end, address + 2 + lengths[number])
    memory.update({end: SUNSPEC_END, end + 1: 0})
    for name, (offset, count) in COMMON_TEXTS.items():
        data = words.text_registers(texts.get(name, ""), count)
        start = where[COMMON_MODEL] + offset
        memory.update({start + i: word for i, word in enumerate(data)})
    return memory
