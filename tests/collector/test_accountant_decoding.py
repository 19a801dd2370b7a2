# SPDX-License-Identifier: Apache-2.0
"""The accountant's quick reading of messages: the same as the codec's, whatever comes."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.channels import POWER_FIELDS
from rackwatt.collector.live.fleet import UNSET, GpuReading, gpu_reading
from rackwatt.collector.roles.decoding import decode_gpus, decode_some
from rackwatt.wire.codec import UnreadableEnvelope, decode_envelope, decode_readings
from rackwatt.wire.readings import FIELDS, Kind

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([0, -0.0, 1e10, 1e10 + 1, -90.0, -90.1, 1e16, 1e400, 1.0, 1000.0]),
)
USED: Mapping[Kind, frozenset[str]] = {
    "power": POWER_FIELDS,
    "climate": frozenset({"temperature_celsius"}),
}


@st.composite
def messages(draw: st.DrawFn, kind: Kind) -> bytes:
    names = st.sampled_from([*FIELDS[kind], "device", "time", "quality", "unknown_field"])
    body = []
    for _ in range(draw(st.integers(0, 3))):
        reading: dict[str, Any] = {"device": draw(st.text(max_size=3))}
        reading |= draw(st.dictionaries(names, st.floats(0.0, 1.0), max_size=6))
        if draw(st.booleans()):
            reading |= draw(st.dictionaries(names, ODD, max_size=2))
        if isinstance(reading["device"], float):
            reading["device"] = "d"
        reading["time"] = draw(st.one_of(st.integers(0, 2**60), ODD))
        if draw(st.booleans()):
            del reading["time"]
        body.append(draw(st.one_of(st.just(reading), ODD)) if draw(st.booleans()) else reading)
    envelope = {"epoch": 5, "seq": 7, "time": 1_790_000_000_000, "readings": body}
    if draw(st.integers(0, 9)) == 0:
        envelope[draw(st.sampled_from(["epoch", "seq", "time", "readings"]))] = draw(ODD)
    return json.dumps(envelope).encode()


def in_full(kind: Kind, payload: bytes) -> Any:
    envelope = decode_envelope(payload)
    return envelope, decode_readings(kind, envelope).readings


@given(payload=messages("gpu"))
def test_gpus_are_read_as_the_codec_reads_them(payload: bytes) -> None:
    try:
        envelope, readings = in_full("gpu", payload)
    except UnreadableEnvelope:
        with pytest.raises(UnreadableEnvelope):
            decode_gpus(payload)
        return
    epoch, seq, found = decode_gpus(payload)
    assert (epoch, seq) == (envelope.epoch, envelope.seq)
    assert [shown(one) for one in found] == [shown(gpu_reading(one)) for one in readings]


def shown(reading: GpuReading) -> list[Any]:
    return [getattr(reading, name) for name in GpuReading.__struct_fields__]


@pytest.mark.parametrize("kind", ["power", "climate", "coolant"])
@given(data=st.data())
def test_other_kinds_have_the_fields_that_are_used(kind: Kind, data: st.DataObject) -> None:
    payload = data.draw(messages(kind))
    try:
        envelope, readings = in_full(kind, payload)
    except UnreadableEnvelope:
        with pytest.raises(UnreadableEnvelope):
            decode_some(kind, payload)
        return
    used = USED.get(kind, frozenset(FIELDS[kind]))
    epoch, seq, found = decode_some(kind, payload)
    assert (epoch, seq) == (envelope.epoch, envelope.seq)
    assert [(one.device, one.time_ms, wanted(one.values, used)) for one in found] == [
        (one.device, one.time_ms, wanted(one.values, used)) for one in readings
    ]


def wanted(values: Mapping[str, float | None], used: frozenset[str]) -> dict[str, str]:
    """As text: that tells 0.0 from -0.0."""
    return {name: repr(value) for name, value in values.items() if name in used}


def test_what_is_not_said_differs_from_what_could_not_be_read() -> None:
    body = '{"device":"n/G","power_watts":null,"ecc_corrected_errors_total":3}'
    payload = f'{{"epoch":1,"seq":1,"time":9,"readings":[{body}]}}'.encode()
    (one,) = decode_gpus(payload)[2]
    assert (one.device, one.time, one.power_watts) == ("n/G", 9, None)
    assert one.energy_import_watt_hours is UNSET
