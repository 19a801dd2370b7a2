# SPDX-License-Identifier: Apache-2.0
"""The `blueprint:` section of an agent's configuration.

Step 1 of a new agent: what must an operator say? Refuse everything else (`extra="forbid"`), and
check here what can be checked without I/O: `rackwatt-agent check` then names file and line.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rackwatt.wire.config import Duration


class Device(BaseModel):
    """One device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    """Unique in the site, as the site file has it."""
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)


class Settings(BaseModel):
    """Options of the driver."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: tuple[Device, ...] = Field(min_length=1)
    timeout: Annotated[Duration, Field(gt=0)] = 0.8
    """For one device and one round, connecting included, in seconds."""

    @field_validator("devices")
    @classmethod
    def _names_once(cls, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        names = [device.name for device in devices]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"device {name!r} stands here twice")
        return devices
