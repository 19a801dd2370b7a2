# SPDX-License-Identifier: Apache-2.0
"""Spool records on their way to the accountant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.ingest.frames import pack, unpack
from rackwatt.collector.ingest.spool import Record

records = st.builds(
    Record,
    id=st.integers(1, 2**63 - 1),
    received_ms=st.integers(0, 2**53),
    topic=st.text(st.characters(codec="utf-8"), max_size=60),
    payload=st.binary(max_size=200),
)


@given(st.lists(records, max_size=8))
def test_records_survive(sent: list[Record]) -> None:
    assert list(unpack(pack(sent))) == sent


@given(st.lists(records, min_size=1, max_size=4), st.data())
def test_what_was_cut_off_is_noticed(sent: list[Record], data: st.DataObject) -> None:
    whole = pack(sent)
    ends = {len(pack(sent[:count])) for count in range(len(sent) + 1)}
    cut = data.draw(st.integers(0, len(whole) - 1))
    if cut in ends:
        assert list(unpack(whole[:cut])) == sent[: len(list(unpack(whole[:cut])))]
        return
    with pytest.raises(ValueError, match="the data ends inside a record"):
        list(unpack(whole[:cut]))


def test_nothing_is_nothing() -> None:
    assert pack([]) == b""
    assert list(unpack(b"")) == []
