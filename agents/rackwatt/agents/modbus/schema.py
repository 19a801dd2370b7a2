# SPDX-License-Identifier: Apache-2.0
"""The file format of a register map: what may stand in `maps/*.yaml`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rackwatt.agents.devicemaps import Origin, Strict
from rackwatt.agents.modbus.words import NumberType, WordOrder
from rackwatt.wire.readings import Kind

Function = Literal["input", "holding"]
Address = Annotated[int, Field(ge=0, le=0xFFFF)]
Register = Annotated[int, Field(ge=0, le=0xFFFF, alias="register")]
Exponent = Annotated[int, Field(ge=-10, le=10)]


class Factor(Strict):
    """A second register that multiplies the value, for example a rating beside a percentage."""

    address: Register
    type: NumberType = "uint16"
    scale: float = 1.0
    typical: float = 1.0
    """The value (after `scale`) that `encode` writes: simulators need one."""


class FieldMap(Strict):
    """One value of a device."""

    address: Register
    """As the manual prints it; `register_offset` of the map makes the address on the wire."""
    type: NumberType = "uint16"
    function: Function | None = None
    word_order: WordOrder | None = None
    unit: str
    """The device's unit (see `units.py`)."""
    scale: float = 1.0
    """value = number * scale, in the device's unit."""
    scale_register: Address | None = None
    """A register with a power of ten (SunSpec `sunssf`): value = number * 10**it."""
    typical_exponent: Exponent = 0
    """The power of ten that `encode` writes into `scale_register`."""
    factor: Factor | None = None
    bit: Annotated[int, Field(ge=0, le=63)] | None = None
    """The value is this bit (0 or 1) of the number."""
    negative: str = ""
    """Field that takes the absolute value of negative numbers; the first field then holds 0."""
    not_available: tuple[int | Literal["nan"], ...] | None = None
    """Bit patterns (0x8000) by which the device says "I do not have this"; `nan` for floats.

    In a SunSpec map the default is the pattern that the standard gives each type.
    """
    modulus_watt_hours: Annotated[float, Field(gt=0)] | None = None
    """Where an energy register rolls over, if not at the end of its unsigned type."""
    resolution_watt_hours: Annotated[float, Field(gt=0)] | None = None
    """Smallest step of an energy register, if not one count."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bit is not None and (self.type.startswith("float") or self.negative):
            raise ValueError("a bit is taken from an integer, and has no negative")
        if "nan" in (self.not_available or ()) and not self.type.startswith("float"):
            raise ValueError("only a float can be nan")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        return self


class IdentityMap(Strict):
    """A text or number of the nameplate, for the inventory."""

    address: Register
    length: Annotated[int, Field(ge=1, le=64)] = 1
    """Registers of a text; ignored for numbers."""
    type: Literal["text", "uint16", "uint32", "uint64"] = "text"
    function: Function | None = None
    word_order: WordOrder | None = None


class Identity(Strict):
    """The nameplate."""

    model: IdentityMap | None = None
    serial: IdentityMap | None = None
    firmware: IdentityMap | None = None


class Block(Strict):
    """One SunSpec model (or several of one layout); registers count from its ID register."""

    models: Annotated[tuple[Annotated[int, Field(ge=1, le=0xFFFE)], ...], Field(min_length=1)]
    """Model IDs with this layout; the first is the one that `encode` writes."""
    length: Annotated[int, Field(ge=1, le=0xFFFE)]
    """Registers after ID and length, as the model states it."""
    fields: Annotated[dict[str, FieldMap], Field(min_length=1)]


class SunSpec(Strict):
    """A device that describes itself: `SunS`, then models one after the other."""

    bases: Annotated[tuple[Address, ...], Field(min_length=1)] = (40000, 50000, 0)
    """Addresses at which to look for the marker."""
    blocks: Annotated[tuple[Block, ...], Field(min_length=1)]
    """A field comes from the first block that has it and that the device has."""


class MapFile(Strict):
    """One device's register map."""

    device: str = Field(min_length=1)
    manufacturer: str = Field(min_length=1)
    kind: Kind
    source: Origin
    unit_id: Annotated[int, Field(ge=0, le=255)] = 1
    function: Function = "holding"
    word_order: WordOrder = "big"
    register_offset: Annotated[int, Field(ge=-50000, le=1)] = 0
    """Added to every register to make the address on the wire: -1 where a manual counts from 1."""
    max_registers: Annotated[int, Field(ge=2, le=125)] = 125
    """Registers that the device gives in one request."""
    identity: Identity = Identity()
    fields: dict[str, FieldMap] = Field(default_factory=dict)
    sunspec: SunSpec | None = None

    @model_validator(mode="after")
    def _one_layout(self) -> Self:
        if bool(self.fields) == (self.sunspec is not None):
            raise ValueError("a map has either fields or sunspec")
        if self.sunspec is not None and (self.register_offset or self.identity != Identity()):
            raise ValueError("a SunSpec map needs no register_offset and no identity")
        return self
