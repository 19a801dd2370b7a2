# SPDX-License-Identifier: Apache-2.0
"""The `nvml:` section of an agent's configuration."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rackwatt.wire.config import Duration


class Settings(BaseModel):
    """Options of the NVML driver; all durations in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str | None = Field(default=None, min_length=1)
    """First part of the device names `{node}/{uuid}`; default: the name of this machine."""
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
