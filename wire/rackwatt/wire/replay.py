# SPDX-License-Identifier: Apache-2.0
"""What a collector asks of an agent: "send 4711 to 4790 again", on `…/replay`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Seq = Annotated[int, Field(ge=1, lt=2**53)]


class ReplayRequest(BaseModel):
    """A request; the replies are the original messages on their original topics."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    request: Annotated[int, Field(ge=1)]
    """Grows with each request of a collector: an agent drops an older one it has not finished."""
    epoch: Annotated[int, Field(ge=1, lt=2**53)]
    ranges: Annotated[tuple[tuple[_Seq, _Seq], ...], Field(min_length=1, max_length=1000)]
    """Closed ranges of sequence numbers."""
