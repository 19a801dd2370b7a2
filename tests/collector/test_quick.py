# SPDX-License-Identifier: Apache-2.0
"""What the quick reader takes, it reads as the codec does, to the bit; else it gives up."""

import json
import struct
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rackwatt.collector.ingest.quick import Quick
from rackwatt.wire.codec import (
    MAX_PAYLOAD_BYTES,
    ReceivedReading,
    UnreadableEnvelope,
    decode_envelope,
    decode_readings,
)
from rackwatt.wire.readings import FIELDS, KINDS, Kind, Quality
from rackwatt.wire.status import EpochState, Status

QUICK: Final = Quick()
NUMBERS: Final[list[Kind]] = [kind for kind in KINDS if FIELDS[kind]]

Plain = tuple[str, int, dict[str, bytes | None], dict[str, Quality], bool]


def plain(reading: ReceivedReading) -> Plain:
    """To the bit: 0.0 is not -0.0 here."""
    values = {
        name: None if value is None else struct.pack(">d", value)
        for name, value in reading.values.items()
    }
    assert all(type(value) in {float, type(None)} for value in reading.values.values())
    assert all(type(code) is Quality for code in reading.quality.values())
    return reading.device, reading.time_ms, values, reading.quality, reading.event is None


def same(kind: Kind, payload: bytes) -> bool:
    """Whether the quick reader takes it; then it must be what the codec says."""
    good = QUICK.read(kind, payload)
    if good is None:
        return False
    envelope = decode_envelope(payload)
    decoded = decode_readings(kind, envelope)
    assert decoded.rejects == []
    assert (good.epoch, good.seq, good.time_ms) == (
        envelope.epoch,
        envelope.seq,
        envelope.time_ms,
    )
    assert [plain(item) for item in good.readings] == [plain(item) for item in decoded.readings]
    return True


def message(*readings: str, epoch: str = "7", seq: str = "1", time: str = "5") -> bytes:
    body = ",".join(readings)
    return f'{{"epoch":{epoch},"seq":{seq},"time":{time},"readings":[{body}]}}'.encode()


@pytest.mark.parametrize("kind", NUMBERS)
def test_every_field_at_and_beyond_its_bounds(kind: Kind) -> None:
    for spec in FIELDS[kind].values():
        exact = abs(spec.high) < 2**53
        middle = (spec.low + spec.high) / 2
        for value in (spec.low, middle, spec.high, int(spec.low), int(spec.high), None):
            taken = same(kind, message(json.dumps({"device": "d", spec.name: value})))
            assert taken or (not exact and value in {spec.high, int(spec.high)}), (spec, value)
        for wrong in (spec.high * 1.01, spec.low - 0.5, int(spec.high) + 1, int(spec.high) * 2):
            text = json.dumps({"device": "d", spec.name: wrong})
            assert not same(kind, message(text)), (spec, wrong)


LITERALS: Final = (
    "0", "-0", "-0.0", "1", "1.0", "1e2", "1E400", "-1E400", "1e-400", "5e-324", "01", "1.", ".5",
    "+1", "0x1", "NaN", "Infinity", "-Infinity", "true", "false", "null", '"1"', "[]", "{}", "[1]",
    "9007199254740991", "9007199254740992", "9007199254740993", "9999999999999999",
    "10000000000000000", "10000000000000001", "1000000000000000001", "18446744073709551616",
    "1" + "0" * 400, "-1" + "0" * 400, "0.1", "0.30000000000000004", "179769313486231580793e289",
    "123456789012345678901234567890.5", "2.2250738585072011e-308", "1" * 5000, "", " 1 ", "\t2\n",
    "4.35", "8.5e-1", "0.000000000000000000000000000000000001", "1_000", "1,2", "--1", "1e", "1e+",
)  # fmt: skip


@pytest.mark.parametrize("literal", LITERALS)
def test_every_way_to_write_a_value(literal: str) -> None:
    for name in ("memory_total_bytes", "temperature_celsius", "utilization_ratio"):
        same("gpu", message(f'{{"device":"d","{name}":{literal}}}'))
    same("gpu", message(f'{{"device":"d","time":{literal},"power_watts":1}}'))
    same("gpu", message(f'{{"device":{literal},"power_watts":1}}'))
    same("gpu", message(f'{{"device":"d","quality":{literal}}}'))
    same("gpu", message('{"device":"d"}', epoch=literal))
    same("gpu", message('{"device":"d"}', seq=literal))
    same("gpu", message('{"device":"d"}', time=literal))
    same("gpu", b'{"epoch":1,"seq":1,"time":1,"readings":' + literal.encode() + b"}")


@pytest.mark.parametrize(
    "reading",
    [
        '{"device":"d","power_watts":1,"power_watts":2}',
        '{"device":"d","foo":1}',
        '{"device":"d","power_watts" : 1}',
        '{"device":"d","power_watts":1,"foo":{"a":[1,{"b":2}]}}',
        '{"device":"d","device":"e"}',
        '{"device":"a:b","power_watts":1}',
        '{"device":"a\\u003ab","foo":1}',
        '{"device":"a:b\\u003a","foo":1}',
        '{"device":"d","power\\u005fwatts":1}',
        '{"device":"\\ud800"}',
        '{"device":"\\ud83d\\ude00"}',
        '{"device":"a\\nb"}',
        '{"device":"' + "x" * 201 + '"}',
        '{"device":"' + "é" * 200 + '"}',
        '{"device":""}',
        '{"power_watts":1}',
        "null",
        "[]",
        '{"device":"d","quality":{"power_watts":"timeout"},"power_watts":null}',
        '{"device":"d","quality":{"power_watts":"other"},"power_watts":null}',
        '{"device":"d","quality":{"foo":"timeout"}}',
        '{"device":"d","quality":{"power_watts":"timeout","power_watts":"rejected"}}',
        '{"device":"d","quality":{}}',
        '{"device":"d","quality":null}',
        '{"device":"d","quality":[]}',
        '{"device":"d","a":' * 2 + "1}}",
        '{"device":"d","a":' + "[" * 100_000,
    ],
)
def test_readings_that_are_not_as_they_should_be(reading: str) -> None:
    for payload in (message(reading), message('{"device":"c","power_watts":3}', reading)):
        same("gpu", payload)
        same("gpu", payload[:-1])
        same("gpu", payload + b" ")
        same("gpu", b"\xef\xbb\xbf" + payload)
        same("gpu", payload.replace(b"d", b"\xff"))


def test_the_common_message_is_taken_quickly_and_the_rest_is_not() -> None:
    one = '{"device":"n/GPU-1","power_watts":71.5,"energy_import_watt_hours":12}'
    assert same("gpu", message(one, one.replace("GPU-1", "GPU-2")))
    assert same("gpu", message('{"device":"d","time":4,"quality":{"power_watts":"timeout"}}'))
    assert same("gpu", message())
    assert same("gpu", message(one.replace("n/GPU-1", "a:b:c")))
    assert not same("event", message('{"device":"d","code":"x","severity":"info","text":"t"}'))
    assert not same("gpu", message(one).replace(b'"seq"', b'"extra":1,"seq"'))
    assert not same("gpu", b'{"epoch":1,"seq":1,"time":1,"readings":[]}' + b" " * MAX_PAYLOAD_BYTES)
    with pytest.raises(UnreadableEnvelope):
        decode_envelope(b"")
    assert not same("gpu", b"")


# -- and what nobody has thought of -----------------------------------------------------------

numbers = st.one_of(
    st.floats(allow_nan=True).map(json.dumps),
    st.floats(0, 1).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(LITERALS),
    st.builds(lambda whole, part, power: f"{whole}.{part}e{power}", st.integers(0, 10**20),
              st.integers(0, 10**20), st.integers(-330, 310)),
)  # fmt: skip
names = st.one_of(
    st.sampled_from(sorted(FIELDS["gpu"])),
    st.sampled_from(["device", "time", "quality", "foo", "power\\u005fwatts", "a:b", ""]),
)
devices = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
values = st.one_of(
    numbers,
    devices,
    st.just("null"),
    st.dictionaries(names, st.sampled_from([*Quality, "x"])).map(json.dumps),
)
pairs = st.lists(st.tuples(names, values), max_size=6)
gaps = st.sampled_from(["", "", "", " ", "\n"])


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    readings: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        items: list[tuple[Any, Any]] = [("device", draw(devices)), *draw(pairs)]
        gap = draw(gaps)
        readings.append("{" + ",".join(f'"{k}"{gap}:{gap}{v}' for k, v in items) + "}")
    whole = message(*readings, **draw(st.dictionaries(st.sampled_from(["epoch", "seq"]), numbers)))
    if draw(st.booleans()):
        return whole
    at = draw(st.integers(0, len(whole) - 1))
    byte = draw(st.binary(max_size=2))
    return whole[:at] + byte + whole[at + draw(st.integers(0, 2)) :]


@settings(max_examples=1500, deadline=None)
@given(payloads())
@example(message('{"device":"d","memory_total_bytes":1000000000000000001}'))
@example(message('{"device":"d","clock_event_reasons_bitmask":9007199254740993}'))
def test_whatever_comes(payload: bytes) -> None:
    same("gpu", payload)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted(FIELDS["climate"])),
            st.one_of(st.none(), st.floats(0, 1), st.integers(0, 1)),
        ),
        max_size=4,
    )
)
def test_every_good_message_is_taken(readings: list[dict[str, float | None]]) -> None:
    whole = message(*(json.dumps({"device": f"d{n}", **item}) for n, item in enumerate(readings)))
    assert same("climate", whole)


# -- statuses ---------------------------------------------------------------------------------


def same_status(payload: bytes) -> bool:
    quick = QUICK.status(payload)
    if quick is None:
        return False
    model = Status.model_validate_json(payload)
    assert (quick.state, quick.session, quick.time) == (model.state, model.session, model.time)
    assert [(e.epoch, e.oldest, e.last, e.sent_through) for e in quick.epochs] == [
        (e.epoch, e.oldest, e.last, e.sent_through) for e in model.epochs
    ]
    return True


def test_the_common_status_is_taken_quickly() -> None:
    epoch = EpochState(epoch=7, oldest=1, last=9, sent_through=8)
    for epochs in ((), (epoch,), (epoch, epoch.model_copy(update={"epoch": 8}))):
        status = Status(state="online", session=1, time=5, epochs=epochs)
        assert same_status(status.model_dump_json().encode())
    twice = b'{"state":"online","session":1,"time":5,"epochs":[%s,%s]}'
    one = epoch.model_dump_json().encode()
    assert not same_status(twice % (one, one))


@settings(max_examples=800, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["session", "time", "state", "epochs", "x"]), values),
    st.lists(st.dictionaries(st.sampled_from(["epoch", "oldest", "last", "sent_through", "x"]),
                             st.one_of(numbers, st.integers(0, 5).map(str))), max_size=3),
    st.sampled_from(['"online"', '"offline"', '"away"', "1"]),
)  # fmt: skip
def test_whatever_status_comes(
    more: dict[str, str], epochs: list[dict[str, str]], state: str
) -> None:
    def written(items: dict[str, str]) -> str:
        return "{" + ",".join(f'"{name}":{value}' for name, value in items.items()) + "}"

    listed = ",".join(
        written({"epoch": f"{n + 1}", "oldest": "1", "last": "2", "sent_through": "2"} | item)
        for n, item in enumerate(epochs)
    )
    good = {"state": state, "session": "1", "time": "5", "epochs": f"[{listed}]"}
    for payload in (written(good), written(good | more)):
        same_status(payload.encode())
