# SPDX-License-Identifier: Apache-2.0
"""What ingest decoded is given out once, within bounds, and is the same as decoded anew."""

import pytest

from rackwatt.collector.ingest.decoding import Decodings, Message, decode
from rackwatt.collector.ingest.messages import Record
from rackwatt.wire.codec import UnreadableEnvelope, encode, reading_of
from rackwatt.wire.readings import Kind
from rackwatt.wire.sample import Sample
from rackwatt.wire.topics import Topic, TopicError

NOW = 1_800_000_000_000


def record(number: int, kind: Kind = "power", watts: float = 1.0) -> Record:
    payload = encode(7, number, NOW, [reading_of(Sample(kind, "p", {"power_watts": watts}), NOW)])
    return Record(number, NOW, str(Topic("site", "h", "a", kind)), payload)


def kept(item: Record) -> tuple[Message, int]:
    return decode(item), len(item.payload)


def test_what_is_kept_is_what_would_be_decoded() -> None:
    decodings = Decodings()
    decodings.reads(4)
    items = [record(number, watts=float(number)) for number in range(5, 9)]
    decodings.keep(5, [kept(item) for item in items])
    messages = [decodings.decoded(item) for item in items]
    assert messages == [decode(item) for item in items]
    assert [message.seq for message in messages] == [5, 6, 7, 8]
    assert messages[0].topic.agent == "a"
    assert messages[0].readings[0].values == {"power_watts": 5.0}


def test_given_once_then_decoded_anew() -> None:
    decodings = Decodings()
    decodings.reads(0)
    item = record(1)
    first = kept(item)
    decodings.keep(1, [first])
    assert decodings.decoded(item) is first[0]
    assert (len(decodings), decodings.bytes) == (0, 0)
    again = decodings.decoded(item)
    assert again == first[0]
    assert again is not first[0]


def test_beyond_the_bounds_the_oldest_go() -> None:
    items = [record(number) for number in range(1, 11)]
    size = len(items[0].payload)
    small = Decodings(max_bytes=2 * size + size // 2)
    small.reads(0)
    small.keep(1, [kept(item) for item in items])
    assert small.bytes == sum(len(item.payload) for item in items[-len(small) :])
    assert 1 <= len(small) <= 2
    assert [small.decoded(item).seq for item in items] == list(range(1, 11))
    assert (len(small), small.bytes) == (0, 0)


def test_nothing_is_kept_for_nobody_or_for_who_is_far_behind() -> None:
    items = [record(number) for number in range(1, 41)]
    few = Decodings(max_messages=10)
    few.keep(1, [kept(item) for item in items[:5]])
    assert len(few) == 0
    few.reads(0)
    few.keep(6, [kept(item) for item in items[5:20]])
    assert len(few) == 0
    for item in items[:20]:
        few.decoded(item)
    few.keep(21, [kept(item) for item in items[20:28]])
    few.keep(29, [kept(item) for item in items[28:40]])
    assert len(few) == 8
    assert [few.decoded(item).seq for item in items[20:]] == list(range(21, 41))


def test_what_cannot_be_read_says_so() -> None:
    decodings = Decodings()
    with pytest.raises(TopicError):
        decodings.decoded(Record(1, NOW, "other/topic", b"{}"))
    with pytest.raises(UnreadableEnvelope):
        decodings.decoded(Record(1, NOW, "rackwatt/v1/s/h/a/power", b"{}"))


def test_an_inventory_has_no_readings() -> None:
    assert Decodings().decoded(Record(1, NOW, "rackwatt/v1/s/h/a/inventory", b"{}")).readings == []
