# SPDX-License-Identifier: Apache-2.0
"""The `host:` section of an agent's configuration."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rackwatt.agents.rows import DeviceName
from rackwatt.wire.config import Duration


class Settings(BaseModel):
    """Options of the host driver."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: DeviceName | None = None
    """Device name; default: the agent's node."""
    root: Path = Path("/")
    """Where `proc` and `sys` lie; in a container the host's root may be mounted elsewhere."""
    disk: Path = Path("/")
    """File system whose use is read, seen from `root`."""
    timeout: Annotated[Duration, Field(gt=0)] = 0.9
    """A round that takes longer (a sensor on a slow bus) is null with quality `timeout`, in s."""
