# SPDX-License-Identifier: Apache-2.0
"""The `nvml:` section of an agent's configuration."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rackwatt.agents.rows import DeviceName
from rackwatt.wire.config import Duration


class Settings(BaseModel):
    """Options of the NVML driver; all durations in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: DeviceName | None = None
    """First part of the device names `{node}/{uuid}`; default: the agent's node."""
    required: bool = True
    """Without a library, driver or GPU: end with a fatal error, or explain and keep looking."""
    binding: str = Field(default="pynvml", pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$")
    """`pynvml`, or `module:function` that returns an object with the same calls."""
    binding_argument: str | None = None
    """Passed to the function of `binding` as its one argument."""
    slow_every: Annotated[Duration, Field(gt=0)] = 30.0
    """How often limits, error counters, modes and states are read."""
    round_timeout: Annotated[Duration, Field(gt=0)] = 0.9
    """A round that takes longer yields null with quality `timeout` for what is missing."""
    init_retry: Annotated[Duration, Field(ge=0.1)] = 1.0
    """First wait before a lost driver or GPU is looked for again; doubles each time."""
    init_retry_cap: Annotated[Duration, Field(ge=0.1)] = 60.0
    """Longest such wait."""
    events: bool = True
    """Listen for XID errors."""

    @model_validator(mode="after")
    def _caps(self) -> Self:
        if self.init_retry_cap < self.init_retry:
            raise ValueError("init_retry_cap must not be less than init_retry")
        return self
