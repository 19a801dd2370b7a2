# SPDX-License-Identifier: Apache-2.0
"""The file format of a Redfish map: what may stand in `maps/*.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from rackwatt.agents.devicemaps import Origin, Strict
from rackwatt.wire.config import Duration
from rackwatt.wire.readings import Kind

Way = Annotated[str, Field(pattern=r"^[^/\s]+(/[^/\s]+)*$")]
"""Steps from a resource to others: `Chassis/tray_*/EnvironmentMetrics`. A step at a collection
picks its members by their `Id` (`*` and `?` as in file names); any other names a link."""

Pointer = Annotated[str, Field(pattern=r"^[^/\s]+(/[^/]+)*$")]
"""Where a value stands in a resource: `PowerWatts/Reading`; of a list, `[0]`, `[*]` or
`[PhysicalContext=Intake]`."""

Fold = Literal["only", "max", "min", "mean", "sum", "count"]


class Read(Strict):
    """Where a value stands."""

    way: Way | None = None
    """From the device's resource; none: the resource itself."""
    value: Pointer
    unit: str = "1"
    """The service's unit (see `rackwatt.agents.units`)."""
    scale: float = Field(default=1.0, gt=0)
    words: dict[str, float] = Field(default_factory=dict)
    """Words of the service to numbers: `{OK: 0, Critical: 1}`."""
    fold: Fold = "only"
    """How several values become one; `count`: how many are above 0."""

    modulus_watt_hours: Annotated[float, Field(gt=0)] | None = None
    """Where an energy counter rolls over, if that is known."""
    resolution_watt_hours: Annotated[float, Field(gt=0)] | None = None

    @property
    def negative(self) -> str:
        """No field for negative numbers: Redfish has properties of their own for directions."""
        return ""


class Watch(Strict):
    """Something whose state is told as an event when it changes."""

    code: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,80}$")]
    """`psu` becomes `psu_critical`, `psu_warning`, `psu_absent`, `psu_unknown`, `psu_ok`."""
    name: str = Field(min_length=1)
    """For a person: `power supply`."""
    way: Way | None = None
    value: Pointer = "Status/Health"
    """`OK`, `Warning` or `Critical`."""


class Identity(Strict):
    """The nameplate, read when a device is found."""

    model: Pointer | None = "Model"
    serial: Pointer | None = "SerialNumber"
    firmware: Pointer | None = "FirmwareVersion"


class Part(Strict):
    """A sort of device of the service: its shelves, its trays."""

    kind: Kind
    way: Way
    """From the service's root to the devices' resources."""
    device: str = Field(pattern=r"^[A-Za-z0-9._/{}-]+$")
    """Name on the wire: `{device}` is the row's, `{id}` and `{number}` the last picked member's,
    `{id1}`, `{number1}` the first picked one's, `{uuid}` the resource's."""
    every: Duration = Field(default=5.0, ge=0.1, le=3600)
    optional: bool = False
    """Read only where a row asks for it: `with: [NAME]`."""
    identity: Identity = Identity()
    fields: Annotated[dict[str, Read | tuple[Read, ...]], Field(min_length=1)]
    """A field's place, or several: the first whose links are there."""
    watch: tuple[Watch, ...] = ()


class MapFile(Strict):
    """What is read of one sort of service."""

    device: str = Field(min_length=1)
    manufacturer: str = Field(min_length=1)
    source: Origin
    firmware: Way | None = "UpdateService/FirmwareInventory/*"
    """The firmware inventory; read once an hour."""
    parts: Annotated[dict[str, Part], Field(min_length=1)]
