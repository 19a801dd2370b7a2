# SPDX-License-Identifier: Apache-2.0
"""What the simulation's processes tell each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rackwatt.twin.simulate.instruments import Reading
from rackwatt.twin.simulate.pieces import Array, Piece
from rackwatt.twin.simulate.sampling import Sampled


@dataclass(frozen=True, slots=True)
class Booking:
    """Readings for the ledger, and up to where it may close.

    Attributes:
        times_ms: Of the readings.
        readings: By device.
        counter_times_ms: Of GPU counters.
        gpus: Whose counters.
        counters: times x GPUs, Wh.
        close_ms: The present once these have come.
        samples: Of inlets and GPUs.
    """

    times_ms: Sequence[int]
    readings: Sequence[Reading]
    counter_times_ms: Sequence[int]
    gpus: Sequence[str]
    counters: Array
    close_ms: int
    samples: Sequence[Sampled] = ()


@dataclass(frozen=True, slots=True)
class Filling:
    """Pieces for the store, in order of time."""

    pieces: list[Piece] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Done:
    """A part of the work is done.

    Attributes:
        who: The process.
        through_ms: Up to where, in simulated time.
        count: Entries or rows so far.
    """

    who: str
    through_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A process is through.

    Attributes:
        who: The process.
        facts: What it has to say.
    """

    who: str
    facts: dict[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Failed:
    """A process cannot go on; `text` is for people."""

    who: str
    text: str
