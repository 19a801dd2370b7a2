# SPDX-License-Identifier: Apache-2.0
"""Decoded once: what ingest has read of the newest messages, for those who read the spool.

To check a message it must be decoded, and whoever stores it needs the same readings a moment
later. They wait here, within bounds; a message that is no longer here is decoded anew.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rackwatt.collector.ingest.messages import Record
from rackwatt.collector.ingest.quick import Quick
from rackwatt.wire.codec import ReceivedReading, decode_envelope, decode_readings
from rackwatt.wire.readings import KINDS
from rackwatt.wire.topics import Topic

MAX_MESSAGES: Final = 8_000
MAX_BYTES: Final = 16_000_000
"""Of payload: what is decoded takes some five times as much memory."""


class Message(NamedTuple):
    """A message of the spool, decoded."""

    topic: Topic
    readings: list[ReceivedReading]
    """Checked; what was refused is not among them. Empty for what carries no readings."""
    epoch: int = 0
    seq: int = 0
    """Of the agent's numbering; 0 for what carries no readings."""


def decode(record: Record, quick: Quick | None = None) -> Message:
    """Decode a message of the spool; with `quick`, in the quick way where that does.

    Raises:
        TopicError: a topic outside the contract.
        UnreadableEnvelope: no JSON, or not an envelope.
    """
    topic = Topic.parse(record.topic)
    if topic.last not in KINDS:
        return Message(topic, [])
    good = None if quick is None else quick.read(topic.last, record.payload)
    if good is not None:
        return Message(topic, good.readings, good.epoch, good.seq)
    envelope = decode_envelope(record.payload)
    readings = decode_readings(topic.last, envelope).readings
    return Message(topic, readings, envelope.epoch, envelope.seq)


class Decodings:
    """The newest messages as they were decoded, by their id in the spool.

    Characteristics: each is given out once and forgotten then, whoever reads it again decodes it
    anew. Nothing is kept for a reader that is too far behind to come for it within the bounds, nor
    where nobody reads: it would only push what is useful out of the processor's caches.

    Args:
        max_messages: kept at most.
        max_bytes: of payload.
    """

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._kept: dict[int, tuple[Message, int]] = {}
        self._quick = Quick()
        self._asked: int | None = None
        """The newest message that was asked for."""
        self.bytes = 0
        """Of payload, of the messages that are kept."""

    def __len__(self) -> int:
        """How many messages are kept."""
        return len(self._kept)

    def reads(self, after: int) -> None:
        """Somebody is about to read what comes after this message."""
        self._asked = after if self._asked is None else max(after, self._asked)

    def keep(self, first: int, messages: Sequence[tuple[Message, int]]) -> None:
        """Keep messages and the sizes of their payloads; the first has the id `first`."""
        if self._asked is None or first + len(messages) - self._asked > self._max_messages:
            return
        kept = self._kept
        for number, item in enumerate(messages, first):
            kept[number] = item
            self.bytes += item[1]
        while kept and (len(kept) > self._max_messages or self.bytes > self._max_bytes):
            self.bytes -= kept.pop(next(iter(kept)))[1]

    def decoded(self, record: Record) -> Message:
        """A message of the spool: from memory, else decoded anew.

        Raises:
            TopicError: a topic outside the contract.
            UnreadableEnvelope: no JSON, or not an envelope.
        """
        self.reads(record.id)
        kept = self._kept.pop(record.id, None)
        if kept is None:
            return decode(record, self._quick)
        self.bytes -= kept[1]
        return kept[0]
