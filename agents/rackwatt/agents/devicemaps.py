# SPDX-License-Identifier: Apache-2.0
"""What the maps of all protocols share: where they lie, where their facts come from, their fields.

A map is data (`maps/*.yaml`) that says how the numbers of a device become fields of the wire.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from rackwatt.agents.units import UNITS
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, Key, nearest
from rackwatt.wire.readings import FieldSpec, Kind


class Strict(BaseModel):
    """A part of a map's file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(Strict):
    """Where the facts of a map come from."""

    title: str = Field(min_length=1)
    """Title of the manual, specification, register list or MIB."""
    revision: str = Field(min_length=1)
    """Its revision, date, or the commit that was read."""
    where: str = Field(min_length=1)
    """Where it can be had, and which chapter or table."""
    notes: str = ""
    """What is not certain."""
    verified_on_hardware: bool = False


class MappedField(Protocol):
    """What every protocol's field has."""

    @property
    def unit(self) -> str:
        """The device's unit."""

    @property
    def negative(self) -> str:
        """The field that takes the absolute value of negative numbers, or nothing."""

    @property
    def modulus_watt_hours(self) -> float | None:
        """Where an energy register rolls over."""

    @property
    def resolution_watt_hours(self) -> float | None:
        """The smallest step of an energy register."""


def shipped(maps: Path) -> tuple[str, ...]:
    """Names of the maps in a driver's folder, sorted."""
    return tuple(sorted(path.stem for path in maps.glob("*.yaml")))


def find_map(name: str, maps: Path, config_dir: Path) -> Path:
    """The file of a map.

    Args:
        name: of a shipped map, or the path of a `.yaml` file.
        maps: the driver's folder of maps.
        config_dir: where a relative path starts.

    Raises:
        ConfigErrors: no shipped map has that name.
    """
    if name.endswith((".yaml", ".yml")):
        return config_dir / name
    path = maps / f"{name}.yaml"
    if not path.is_file():
        hint = nearest(name, shipped(maps))
        raise ConfigErrors([ConfigError(str(path), 1, "map", f"no map named '{name}'", hint)])
    return path


def field_problems(
    document: Document,
    key: Key,
    item: MappedField,
    kind: Kind,
    specs: Mapping[str, FieldSpec],
) -> Iterator[ConfigError]:
    """What is wrong in a field, whatever the protocol; `key` ends in the field's name."""
    name = str(key[-1])
    if name not in specs:
        yield document.error(key, f"no field of kind '{kind}'", specs)
        return
    if item.negative and item.negative not in specs:
        message = f"'{item.negative}': no field of kind '{kind}'"
        hint = nearest(item.negative, specs)
        yield document.error((*key, "negative"), message, hint=hint)
    unit = UNITS.get(item.unit)
    if unit is None:
        hint = nearest(item.unit, UNITS)
        yield document.error((*key, "unit"), f"unknown unit '{item.unit}'", hint=hint)
    elif unit.ours != specs[name].unit:
        message = f"unit '{item.unit}' cannot become '{specs[name].unit}' of {name}"
        yield document.error((*key, "unit"), message)
    if specs[name].unit != "Wh" and (item.modulus_watt_hours or item.resolution_watt_hours):
        yield document.error(key, "only an energy register has modulus and resolution")
