# SPDX-License-Identifier: Apache-2.0
"""What a protocol has to offer to become an agent: the seam between drivers and the shared loop."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample


class StartError(Exception):
    """A source could not start.

    Attributes:
        kind: `fatal` ends the agent with a message (a wrong setting); `retry` tries again with
            back-off (a device that is still booting).
    """

    def __init__(self, kind: Literal["fatal", "retry"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One value as the device gave it, beside what we make of it."""

    device: str
    field: str
    where: str
    """Register, OID or call."""
    raw: str
    value: float | None
    unit: str
    quality: Quality | None = None


class ErrorCounter:
    """Counts values that could not be read, by their quality code."""

    def __init__(self) -> None:
        self.counts: Counter[Quality] = Counter()

    def count(self, device: str, reason: Quality) -> None:
        """Count one failed value of `device`."""
        del device  # a label per device would be unbounded
        self.counts[reason] += 1


@dataclass(frozen=True, slots=True)
class Context:
    """What the loop gives to a driver."""

    node: str
    """Name of this machine, or of the node that the agent speaks for."""
    clock: Clock = SYSTEM_CLOCK
    config_dir: Path = Path()
    """Relative paths in the configuration start here."""
    errors: ErrorCounter = field(default_factory=ErrorCounter)


class Source(Protocol):
    """A protocol driver: reads devices, knows nothing of MQTT."""

    def inventory(self) -> Sequence[InventoryItem]:
        """The devices as known so far; it may grow as devices answer."""

    async def start(self) -> None:
        """Connect.

        One dead device of many is no error.

        Raises:
            StartError: nothing can be read.
        """

    async def sample(self) -> Sequence[Sample]:
        """Read every device once.

        A device that fails yields None with a quality code and never an exception; each device
        has its own time-out.
        """

    async def probe(self) -> Sequence[ProbeRow]:
        """Read every device once, raw and decoded values side by side."""

    async def aclose(self) -> None:
        """Let go of connections and threads; may be called at any time, more than once."""
