# SPDX-License-Identifier: Apache-2.0
"""The file format of an object map: what may stand in `maps/*.yaml`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rackwatt.agents.devicemaps import Origin, Strict
from rackwatt.wire.readings import Kind

ObjectName = Annotated[str, Field(pattern=r"^[a-z-]+,([0-9]+|\{[a-z_0-9]+\})$")]
"""Type and instance: `analog-input,3`, or with an index of the map: `analog-input,{supply}`."""


class FieldMap(Strict):
    """One value of a device, of one object or of several."""

    object: ObjectName | None = None
    objects: tuple[ObjectName, ...] = ()
    """Several objects that make one value by `rule`."""
    rule: Literal["sum", "any"] = "sum"
    """`any`: the largest; one silent object leaves it unknown unless another says 1 already."""
    unit: str = ""
    """The device's unit (see `rackwatt.agents.units`); empty: what the object's `units` says."""
    scale: float = Field(default=1.0, gt=0)
    states: dict[int, float] = Field(default_factory=dict)
    """What a state means: `{0: 1, 1: 0}` for a contact that opens; others are out of range."""
    negative: str = ""
    """Field that takes the absolute value of negative numbers; the first field then holds 0."""
    modulus_watt_hours: Annotated[float, Field(gt=0)] | None = None
    """Where an energy register rolls over; an accumulator tells itself."""
    resolution_watt_hours: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if (self.object is None) == (not self.objects):
            raise ValueError("needs one of object, objects")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All objects."""
        return self.objects if self.object is None else (self.object,)


class MapFile(Strict):
    """One device's object map."""

    device: str = Field(min_length=1)
    manufacturer: str = Field(min_length=1)
    kind: Kind
    source: Origin
    index: dict[str, Annotated[int, Field(ge=0, le=4194302)]] = Field(default_factory=dict)
    """Values of the `{names}` in objects; a configuration row may give others."""
    fields: Annotated[dict[str, FieldMap], Field(min_length=1)]
