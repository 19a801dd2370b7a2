# SPDX-License-Identifier: Apache-2.0
"""How spool records travel from a collector to the accountant: length-prefixed, back to back.

Each record: id (8 bytes), receive time in ms (8), length of the topic (2), length of the payload
(4), all big-endian and unsigned; then topic (UTF-8) and payload as received.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from rackwatt.collector.ingest.spool import Record

MEDIA_TYPE: Final = "application/vnd.rackwatt.spool"
CLOCKS: Final = "Rackwatt-Clocks"
"""The header with the collector's `clocks`, as its state has it."""
_HEADER: Final = struct.Struct(">QQHI")


def pack(records: Iterable[Record]) -> bytes:
    """Records as bytes."""
    parts: list[bytes] = []
    for record in records:
        topic = record.topic.encode()
        parts.append(_HEADER.pack(record.id, record.received_ms, len(topic), len(record.payload)))
        parts += (topic, record.payload)
    return b"".join(parts)


def unpack(data: bytes) -> Iterator[Record]:
    """Bytes as records.

    Raises:
        ValueError: the data ends inside a record.
    """
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise ValueError("the data ends inside a record's header")
        number, received_ms, topic_size, payload_size = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        end = at + topic_size + payload_size
        if end > len(data):
            raise ValueError("the data ends inside a record")
        topic = data[at : at + topic_size].decode()
        yield Record(number, received_ms, topic, data[at + topic_size : end])
        at = end
