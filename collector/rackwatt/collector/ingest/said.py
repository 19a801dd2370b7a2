# SPDX-License-Identifier: Apache-2.0
"""What an agent says of itself, whoever read it: `rackwatt.wire.status`, or `quick`."""

from collections.abc import Sequence
from typing import Literal, Protocol


class Held(Protocol):
    """What an agent says of one of its epochs: see `EpochState`."""

    @property
    def epoch(self) -> int:
        """Its number."""

    @property
    def oldest(self) -> int:
        """The oldest message still kept."""

    @property
    def last(self) -> int:
        """The newest message taken."""

    @property
    def sent_through(self) -> int:
        """All up to here were handed to a broker."""


class Said(Protocol):
    """What an agent says of itself: see `Status`."""

    @property
    def state(self) -> Literal["online", "offline"]:
        """Whether it is there."""

    @property
    def session(self) -> int:
        """Grows with each connection."""

    @property
    def time(self) -> int:
        """Its clock, in ms since 1970 UTC."""

    @property
    def epochs(self) -> Sequence[Held]:
        """What it holds, each epoch once."""
