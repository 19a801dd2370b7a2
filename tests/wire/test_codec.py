# SPDX-License-Identifier: Apache-2.0
"""The codec: strict when it sends, forgiving in two steps when it receives."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rackwatt.wire.codec import (
    MAX_PAYLOAD_BYTES,
    Decoded,
    Envelope,
    Reason,
    UnreadableEnvelope,
    decode_envelope,
    decode_readings,
    encode,
    encode_received,
    reading_of,
)
from rackwatt.wire.readings import FIELDS, KINDS, Kind, Quality
from rackwatt.wire.sample import Event, Sample

TIME = 1_790_000_000_000
NUMERIC: list[Kind] = [kind for kind in KINDS if kind != "event"]
counts = st.integers(1, 2**53 - 1)
devices = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@st.composite
def samples(draw: st.DrawFn, kind: Kind) -> Sample:
    values = {
        name: draw(st.none() | st.floats(spec.low, spec.high) | st.integers(0, 1))
        for name, spec in FIELDS[kind].items()
        if draw(st.booleans())
    }
    quality = {
        name: draw(st.sampled_from(Quality)) for name, value in values.items() if value is None
    }
    time = draw(st.none() | st.integers(0, 2**53 - 1))
    return Sample(kind, draw(devices), values, quality, time_ms=time)


@st.composite
def messages(draw: st.DrawFn) -> tuple[Kind, list[Sample]]:
    kind = draw(st.sampled_from(NUMERIC))
    return kind, draw(st.lists(samples(kind), max_size=4))


def receive(kind: Kind, payload: bytes) -> tuple[Envelope, Decoded]:
    envelope = decode_envelope(payload)
    return envelope, decode_readings(kind, envelope)


def power(**reading: Any) -> Decoded:
    """One power reading as it comes."""
    raw = json.dumps({"device": "m1", **reading})
    payload = f'{{"epoch":1,"seq":1,"time":{TIME},"readings":[{raw}]}}'
    return receive("power", payload.encode())[1]


@given(messages(), counts, counts, st.integers(0, 2**53 - 1))
def test_what_is_sent_is_what_comes(
    message: tuple[Kind, list[Sample]], epoch: int, seq: int, time: int
) -> None:
    kind, sent = message
    payload = encode(epoch, seq, time, [reading_of(sample, time) for sample in sent])
    envelope, decoded = receive(kind, payload)
    assert (envelope.epoch, envelope.seq, envelope.time_ms) == (epoch, seq, time)
    assert decoded.rejects == []
    assert [(r.device, r.values, r.quality) for r in decoded.readings] == [
        (s.device, s.values, s.quality) for s in sent
    ]
    assert [r.time_ms for r in decoded.readings] == [
        time if s.time_ms is None else s.time_ms for s in sent
    ]
    assert all(
        value is None or type(value) is float
        for reading in decoded.readings
        for value in reading.values.values()
    )
    again = decode_readings(kind, decode_envelope(encode_received(envelope, decoded.readings)))
    assert again == decoded


def test_an_event_survives_the_wire() -> None:
    event = Event("xid_79", "critical", "GPU has fallen off the bus\nsecond line, عربي")
    sample = Sample("event", "n1/GPU-1", event=event, time_ms=TIME + 5)
    envelope, decoded = receive("event", encode(1, 1, TIME, [reading_of(sample, TIME)]))
    assert [(r.event, r.time_ms) for r in decoded.readings] == [(event, TIME + 5)]
    rebuilt = encode_received(envelope, decoded.readings)
    assert receive("event", rebuilt)[1] == decoded


def test_null_is_sent_and_what_was_never_read_is_not() -> None:
    sample = Sample("power", "m1", {"power_watts": None}, {"power_watts": Quality.TIMEOUT})
    (reading,) = json.loads(encode(1, 1, TIME, [reading_of(sample, TIME)]))["readings"]
    assert reading == {
        "device": "m1", "power_watts": None, "quality": {"power_watts": "timeout"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "sample",
    [
        Sample("power", "m1", {"power_kilowatts": 1.0}),
        Sample("power", "m1", {"power_watts": -1.0}),
        Sample("power", "m1", {"power_watts": math.nan}),
        Sample("power", "m1", {"power_watts": math.inf}),
        Sample("power", "", {"power_watts": 1.0}),
        Sample("climate", "m1", {"power_watts": 1.0}),
        Sample("event", "m1", event=Event("Not A Code", "info", "")),
        Sample("event", "m1", {"power_watts": 1.0}, event=Event("code", "info", "")),
        Sample("event", "m1"),
    ],
)
def test_only_what_the_contract_knows_can_be_sent(sample: Sample) -> None:
    with pytest.raises(ValidationError):
        reading_of(sample, TIME)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("12", Reason.BAD_VALUE),
        (True, Reason.BAD_VALUE),
        ([1], Reason.BAD_VALUE),
        ({"a": 1}, Reason.BAD_VALUE),
        (math.nan, Reason.BAD_VALUE),
        (math.inf, Reason.BAD_VALUE),
        (-math.inf, Reason.BAD_VALUE),
        (-0.001, Reason.OUT_OF_RANGE),
        (1e11, Reason.OUT_OF_RANGE),
        (10**400, Reason.OUT_OF_RANGE),  # no float is that large
        (-(10**4000), Reason.OUT_OF_RANGE),
        ("x" * 100_000, Reason.BAD_VALUE),
        ("\ud800", Reason.BAD_VALUE),
    ],
)
def test_a_bad_value_costs_only_its_field(value: object, reason: Reason) -> None:
    decoded = power(power_watts=value, voltage_volts=230)
    (reading,) = decoded.readings
    assert reading.values == {"power_watts": None, "voltage_volts": 230.0}
    assert reading.quality == {"power_watts": Quality.REJECTED}
    (reject,) = decoded.rejects
    assert reject.reason is reason
    assert reject.detail.startswith("m1: power_watts is ")
    assert len(reject.detail) < 400


def test_an_unknown_field_costs_only_itself() -> None:
    decoded = power(power_watts=1, colour=3)
    assert decoded.readings[0].values == {"power_watts": 1.0}
    assert [(x.reason, x.detail) for x in decoded.rejects] == [
        (Reason.UNKNOWN_FIELD, "m1: 'colour'")
    ]


@pytest.mark.parametrize(
    ("quality", "kept", "reasons"),
    [
        ({"power_watts": "estimated"}, {"power_watts": "estimated"}, []),
        ({"power_watts": "guessed"}, {}, [Reason.BAD_VALUE]),
        ({"power_watts": 3}, {}, [Reason.BAD_VALUE]),
        ({"colour": "timeout"}, {}, [Reason.UNKNOWN_FIELD]),
        ("timeout", {}, [Reason.BAD_VALUE]),
        (None, {}, []),
    ],
)
def test_a_bad_quality_does_not_cost_the_value(
    quality: object, kept: dict[str, str], reasons: list[Reason]
) -> None:
    decoded = power(power_watts=1, quality=quality)
    assert decoded.readings[0].values == {"power_watts": 1.0}
    assert decoded.readings[0].quality == kept
    assert [reject.reason for reject in decoded.rejects] == reasons


@pytest.mark.parametrize(
    "bad",
    [
        "3",
        "null",
        "[]",
        "{}",
        '{"device": 5}',
        '{"device": ""}',
        '{"device": NaN}',
        '{"device": "%s"}' % ("d" * 201),
        '{"device": "a\\nb"}',
        '{"device": "\\ud800"}',
        '{"device": "\\u0000"}',
        '{"device": "m2", "time": -1}',
        '{"device": "m2", "time": 1.5}',
        '{"device": "m2", "time": "now"}',
        '{"device": "m2", "time": true}',
        '{"device": "m2", "time": 9007199254740992}',
    ],
)
def test_a_bad_reading_does_not_cost_its_neighbours(bad: str) -> None:
    good = '{"device":"m1","power_watts":1}'
    payload = f'{{"epoch":1,"seq":1,"time":{TIME},"readings":[{good},{bad},{good}]}}'
    _, decoded = receive("power", payload.encode())
    assert [reading.device for reading in decoded.readings] == ["m1", "m1"]
    assert [reject.reason for reject in decoded.rejects] == [Reason.BAD_READING]


@pytest.mark.parametrize(
    "bad",
    [
        {"code": "xid_79", "severity": "info"},
        {"code": "XID 79", "severity": "info", "text": ""},
        {"code": "xid_79", "severity": "fatal", "text": ""},
        {"code": "xid_79", "severity": "info", "text": "\ud800"},
        {"code": "xid_79", "severity": "info", "text": "x" * 2001},
        {"code": "xid_79", "severity": "info", "text": "", "power_watts": 1},
    ],
)
def test_a_bad_event_is_refused(bad: dict[str, object]) -> None:
    payload = json.dumps(
        {"epoch": 1, "seq": 1, "time": TIME, "readings": [{"device": "n1", **bad}]}
    )
    _, decoded = receive("event", payload.encode())
    assert decoded.readings == []
    assert [reject.reason for reject in decoded.rejects] == [Reason.BAD_READING]


DEEP = "[" * 100_000 + "]" * 100_000
HEAD = f'"epoch":1,"seq":1,"time":{TIME}'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"[1]",
        b"{}",
        f'{{{HEAD},"readings":[]}}'.encode("utf-16"),
        f'{{{HEAD},"readings":"\xff"}}'.encode("latin-1"),
        b"\xed\xa0\x80",
        f"{{{HEAD}}}".encode(),
        f'{{{HEAD},"readings":{{}}}}'.encode(),
        f'{{{HEAD},"readings":{DEEP}}}'.encode(),
        DEEP.encode(),
        b'{"epoch":0,"seq":1,"time":1,"readings":[]}',
        b'{"epoch":1,"seq":0,"time":1,"readings":[]}',
        b'{"epoch":1,"seq":1,"time":-1,"readings":[]}',
        b'{"epoch":1.0,"seq":1,"time":1,"readings":[]}',
        b'{"epoch":true,"seq":1,"time":1,"readings":[]}',
        b'{"epoch":"1","seq":1,"time":1,"readings":[]}',
        b'{"epoch":9007199254740992,"seq":1,"time":1,"readings":[]}',
        b'{"epoch":1,"seq":NaN,"time":1,"readings":[]}',
        b'{"epoch":1,"seq":' + b"9" * 5000 + b',"time":1,"readings":[]}',
    ],
)
def test_an_envelope_that_does_not_parse_is_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableEnvelope) as caught:
        decode_envelope(payload)
    assert caught.value.reason is Reason.UNREADABLE
    assert len(str(caught.value)) <= 400


def test_two_megabytes_are_too_large() -> None:
    payload = b'{"epoch":1,"seq":1,"time":1,"readings":[' + b" " * 2_000_000 + b"]}"
    with pytest.raises(UnreadableEnvelope, match=f"at most {MAX_PAYLOAD_BYTES}") as caught:
        decode_envelope(payload)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("depth", [50, 900, 960, 970, 975, 980, 985, 990, 995])
def test_a_deeply_nested_value_costs_only_its_field_or_the_message(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    reading = f'{{"device":"m1","power_watts":{nested},"voltage_volts":1}}'
    payload = f'{{{HEAD},"readings":[{reading}]}}'.encode()
    try:
        envelope, decoded = receive("power", payload)
    except UnreadableEnvelope as error:
        assert error.reason is Reason.UNREADABLE  # noqa: PT017
    else:
        assert decoded.readings[0].values == {"power_watts": None, "voltage_volts": 1.0}
        encode_received(envelope, decoded.readings)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
names = st.sampled_from(["device", "time", "quality", "power_watts", "code", "text", "x"])


@given(st.sampled_from(KINDS), st.lists(st.dictionaries(names, json_values) | json_values))
def test_no_reading_can_break_the_receiver(kind: Kind, readings: list[object]) -> None:
    payload = json.dumps({"epoch": 1, "seq": 1, "time": TIME, "readings": readings}).encode()
    envelope, decoded = receive(kind, payload)
    assert len(decoded.readings) <= len(readings)
    encode_received(envelope, decoded.readings)


@given(st.binary(max_size=60))
def test_no_payload_can_break_the_receiver(payload: bytes) -> None:
    with pytest.raises(UnreadableEnvelope):
        decode_envelope(payload)
