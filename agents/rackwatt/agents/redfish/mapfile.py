# SPDX-License-Identifier: Apache-2.0
"""Redfish maps: loading and checking. A map is data; nothing here knows any device."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwatt.agents.devicemaps import field_problems, find_map, shipped
from rackwatt.agents.redfish.schema import MapFile, Part, Read
from rackwatt.agents.units import UNITS
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, Key, load_document
from rackwatt.wire.inventory import Register
from rackwatt.wire.readings import FIELDS, FieldSpec

MAPS: Final = Path(__file__).parent / "maps"
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_PLACES: Final = frozenset({"device", "id", "number", "id1", "number1", "uuid"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the wire and where its value may stand."""

    spec: FieldSpec
    places: tuple[Read, ...]

    @property
    def register(self) -> Register | None:
        """How an energy counter counts; None for other fields."""
        first = self.places[0]
        if self.spec.unit != "Wh":
            return None
        return Register(
            modulus_watt_hours=first.modulus_watt_hours,
            resolution_watt_hours=first.resolution_watt_hours,
        )


@dataclass(frozen=True, slots=True)
class RedfishMap:
    """A service's map, checked.

    Attributes:
        name: of the file, without `.yaml`.
        file: its content.
    """

    name: str
    file: MapFile

    def parts(self, wanted: Iterable[str] = ()) -> dict[str, Part]:
        """The parts that are read: all but the optional ones that are not wanted."""
        chosen = frozenset(wanted)
        return {
            name: part
            for name, part in self.file.parts.items()
            if not part.optional or name in chosen
        }

    @property
    def optional(self) -> tuple[str, ...]:
        """Names of the optional parts."""
        return tuple(name for name, part in self.file.parts.items() if part.optional)


def fields_of(part: Part) -> tuple[Field, ...]:
    """The fields of a part, ready to be read."""
    specs = FIELDS[part.kind]
    return tuple(Field(specs[name], _places(item)) for name, item in part.fields.items())


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps that come with the driver, sorted."""
    return shipped(MAPS)


def load_redfish_map(name: str, config_dir: Path = Path()) -> RedfishMap:
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
    return RedfishMap(path.stem, file)


def _places(item: Read | tuple[Read, ...]) -> tuple[Read, ...]:
    return (item,) if isinstance(item, Read) else item


def _problems(document: Document, file: MapFile) -> Iterator[ConfigError]:
    for name, part in file.parts.items():
        key: Key = ("parts", name)
        for place in _PLACE.findall(part.device):
            if place not in _PLACES:
                text = f"no placeholder '{{{place}}}'"
                yield document.error((*key, "device"), text, sorted(_PLACES))
        if part.kind == "event":
            yield document.error((*key, "kind"), "events come from 'watch', not from fields")
            continue
        specs = FIELDS[part.kind]
        for field, item in part.fields.items():
            for place in _places(item):
                at = (*key, "fields", field)
                yield from field_problems(document, at, place, part.kind, specs)
                if place.words and UNITS.get(place.unit) != UNITS["1"]:
                    yield document.error(at, "words become plain numbers: leave out the unit")
