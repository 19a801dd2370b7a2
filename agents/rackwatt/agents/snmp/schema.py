# SPDX-License-Identifier: Apache-2.0
"""The file format of an OID map: what may stand in `maps/*.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from rackwatt.agents.devicemaps import Origin, Strict
from rackwatt.wire.readings import Kind

AsnType = Literal["integer", "gauge32", "unsigned32", "counter32", "counter64", "text"]

Oid = Annotated[str, Field(pattern=r"^1(\.([0-9]+|\{[a-z_0-9]+\}))+$")]
"""Dotted numbers without a leading dot; `{pdu}` stands for an index of the map."""


class Requirement(Strict):
    """An object that says whether a reading means anything: a probe may be unplugged."""

    oid: Oid
    equals: Annotated[tuple[int, ...], Field(min_length=1)]
    """Values at which the reading counts; the first is the one that `encode` writes."""


class FieldMap(Strict):
    """One value of a device."""

    oid: Oid
    type: AsnType = "integer"
    """`text` for a number written as text; a device may give any of the types."""
    unit: str
    """The device's unit (see `rackwatt.agents.units`)."""
    scale: float = Field(default=1.0, gt=0)
    decimals_oid: Oid | None = None
    """An object with the number of decimal digits: value = number / 10**it. Read once."""
    typical_decimals: Annotated[int, Field(ge=0, le=9)] = 0
    """The number of digits that `encode` writes."""
    negative: str = ""
    """Field that takes the absolute value of negative numbers; the first field then holds 0."""
    not_available: tuple[int, ...] = ()
    """Numbers by which the device says "I do not have this", often -1."""
    requires: Requirement | None = None
    modulus_watt_hours: Annotated[float, Field(gt=0)] | None = None
    """Where an energy counter rolls over, if not at the end of its unsigned type."""
    resolution_watt_hours: Annotated[float, Field(gt=0)] | None = None


class Identity(Strict):
    """The nameplate."""

    model: Oid | None = None
    serial: Oid | None = None
    firmware: Oid | None = None


class MapFile(Strict):
    """One device's OID map."""

    device: str = Field(min_length=1)
    manufacturer: str = Field(min_length=1)
    kind: Kind
    source: Origin
    index: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Values of the `{names}` in OIDs; a configuration row may give others."""
    identity: Identity = Identity()
    fields: Annotated[dict[str, FieldMap], Field(min_length=1)]
