# SPDX-License-Identifier: Apache-2.0
"""The `blueprint:` section of an agent's configuration.

Step 1 of a new agent: what must an operator say? Refuse everything else (`extra="forbid"`), and
check here what can be checked without touching a device: `rackwatt-agent check` then names file
and line.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rackwatt.agents.rows import DeviceName, Host, doubled, rows_of
from rackwatt.wire.config import ConfigError, Document, Duration


class Device(BaseModel):
    """One device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: DeviceName
    """Unique in the site, as the site file has it."""
    host: Host
    port: int = Field(ge=1, le=65535)


class Settings(BaseModel):
    """Options of the driver."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: tuple[Device, ...] = Field(min_length=1)
    timeout: Annotated[Duration, Field(gt=0)] = 0.8
    """For one device and one round, connecting included, in seconds."""


def misfits(document: Document) -> Iterator[ConfigError]:
    """What rows show only together: here, a name that stands twice."""
    yield from doubled(
        document,
        rows_of(document, "blueprint"),
        "name",
        lambda row: row.get("name"),
        "device '{name}' stands twice: see line {line}",
    )
