# SPDX-License-Identifier: Apache-2.0
"""What comes into the ledger, and the spans of time it works in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

INTERVAL_MS: Final = 60_000
GRACE_MS: Final = 30_000
"""An interval closes this long after its end, complete or not."""

FUTURE_MS: Final = 300_000
"""A reading further than this ahead of its receipt is kept, but not booked."""

RETENTION_MS: Final = 35 * 86_400_000
"""A reading older than this is kept, but not booked: what it would restate is compacted."""

MINIMUM_CADENCE_MS: Final = 10_000
"""Readings this close are interpolated whatever cadence the site file states."""


class Refusal(ValueError):  # noqa: N818 - an answer, not a fault
    """What was asked of the ledger cannot be done; the text says why and what can."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One power reading of one device.

    Attributes:
        device: Its name on the wire.
        time_ms: The reading's own time, ms since 1970 UTC.
        values: Fields by name, in their wire units; ``None`` = could not be read.
        received_ms: When the collector received it.
        trusted: ``False`` while the agent's clock is off: kept, but not booked until released.
        agent: Who read it; empty if it is not known.
    """

    device: str
    time_ms: int
    values: Mapping[str, float | None]
    received_ms: int
    trusted: bool = True
    agent: str = ""

    @property
    def held(self) -> bool:
        """Whether it is kept without being booked."""
        ahead = self.time_ms - self.received_ms
        return not self.trusted or ahead > FUTURE_MS or ahead < -RETENTION_MS


def interval_of(time_ms: int) -> int:
    """The start of the interval that holds an instant."""
    return time_ms // INTERVAL_MS * INTERVAL_MS
