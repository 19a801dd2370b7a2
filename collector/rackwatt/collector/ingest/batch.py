# SPDX-License-Identifier: Apache-2.0
"""What goes into the spool in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rackwatt.collector.ingest.changes import ClockRow
from rackwatt.collector.ingest.deadletters import DeadLetter
from rackwatt.collector.ingest.decoding import Message
from rackwatt.collector.ingest.state import Note
from rackwatt.collector.ingest.watch import AgentWatch, Loss


@dataclass(slots=True)
class Batch:
    """What one transaction appends."""

    messages: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Receive time in ms, topic, payload."""
    deadletters: list[DeadLetter] = field(default_factory=list)
    watches: list[AgentWatch] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    """What else belongs into the transaction."""
    tallies: Mapping[str, int] = field(default_factory=dict)
    """Totals as they stand with this batch."""
    replayed: list[int] = field(default_factory=list)
    """Dead letters whose message is in this batch, or was written: they go."""
    dropped: list[int] = field(default_factory=list)
    """Dead letters that go."""
    decoded: list[Message] = field(default_factory=list)
    """The messages once more, decoded; empty: nobody has."""
    clocks: list[ClockRow] = field(default_factory=list)
    """Agents' clocks as they stand."""

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        kept = self.messages or self.deadletters or self.watches or self.losses or self.clocks
        return bool(kept or any(note.rows for note in self.notes) or self.replayed or self.dropped)
