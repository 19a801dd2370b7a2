# SPDX-License-Identifier: Apache-2.0
"""What an agent says of itself: `…/status`, retained, which is also its last will."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Count = Annotated[int, Field(ge=0, lt=2**53)]


class EpochState(BaseModel):
    """What an agent holds of one of its epochs. All sequence numbers count from 1."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: Annotated[int, Field(ge=1, lt=2**53)]
    oldest: Annotated[int, Field(ge=1, lt=2**53)]
    """The oldest message still kept; older ones cannot be replayed."""
    last: _Count
    """The newest message taken."""
    sent_through: _Count
    """All messages up to here were handed to a broker, which acknowledged them."""


class Status(BaseModel):
    """One status message; `session` grows with each connection of the agent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Literal["online", "offline"]
    session: _Count
    time: _Count
    epochs: Annotated[tuple[EpochState, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _each_once(self) -> "Status":
        if len({item.epoch for item in self.epochs}) != len(self.epochs):
            msg = "an epoch stands twice"
            raise ValueError(msg)
        return self
