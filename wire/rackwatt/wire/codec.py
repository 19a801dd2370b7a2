# SPDX-License-Identifier: Apache-2.0
"""Messages to bytes, strictly, and bytes to messages, in two steps.

A message is one agent's readings of one kind at one instant:
`{"epoch", "seq", "time", "readings": [...]}`. Sending is strict: only what the contract knows
leaves an agent. Receiving forgives in two steps: an envelope that parses counts as received, and
then each bad field or reading is rejected by itself, with a reason from a bounded set.
"""

import json
import math
import reprlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from rackwatt.wire.readings import FIELDS, MODELS, EventReading, Kind, Quality, Reading
from rackwatt.wire.sample import Event, Sample

MAX_PAYLOAD_BYTES: Final = 1_000_000
"""A message of a whole rack has some 10 kB; beyond this a payload is not ours."""
_MAX_INTEGER: Final = 2**53
_QUALITIES: Final = frozenset(Quality)


class Reason(StrEnum):
    """Why a message, a reading or a field was rejected: the label of the counter."""

    BAD_TOPIC = "bad_topic"
    WRONG_SITE = "wrong_site"
    WRONG_HALL = "wrong_hall"
    TOO_MANY_AGENTS = "too_many_agents"
    TOO_MANY_GAPS = "too_many_gaps"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    BAD_READING = "bad_reading"
    BAD_VALUE = "bad_value"
    UNKNOWN_FIELD = "unknown_field"
    OUT_OF_RANGE = "out_of_range"
    DEVICE_CONFLICT = "device_conflict"
    BAD_STATUS = "bad_status"
    BAD_INVENTORY = "bad_inventory"
    REFUSED_BY_STORE = "refused_by_store"


class UnreadableEnvelope(ValueError):  # noqa: N818 - it names what arrived
    """A payload whose envelope does not parse.

    Attributes:
        reason: `unreadable` or `too_large`.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message after the first step: who counts it, and when it was taken."""

    epoch: int
    seq: int
    time_ms: int
    readings: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """One thing that was refused."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class ReceivedReading:
    """One reading after the second step; every value is a float or None."""

    device: str
    time_ms: int
    values: dict[str, float | None] = field(default_factory=dict)
    quality: dict[str, Quality] = field(default_factory=dict)
    event: Event | None = None


@dataclass(slots=True)
class Decoded:
    """The readings of a message, and what of it was refused."""

    readings: list[ReceivedReading] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def reading_of(sample: Sample, message_time_ms: int) -> Reading:
    """A sample as the model of its kind.

    Raises:
        pydantic.ValidationError: a field that the contract does not know, or beyond its bounds.
    """
    data: dict[str, Any] = {"device": sample.device}
    if sample.time_ms is not None and sample.time_ms != message_time_ms:
        data["time"] = sample.time_ms
    if sample.quality:
        data["quality"] = dict(sample.quality)
    if sample.event is not None:
        data |= {
            "code": sample.event.code,
            "severity": sample.event.severity,
            "text": sample.event.text,
        }
    return MODELS[sample.kind].model_validate(data | dict(sample.values))


def encode(epoch: int, seq: int, time_ms: int, readings: Sequence[Reading]) -> bytes:
    """A message as bytes; a null value is sent, a field that was never set is not."""
    body = ",".join(item.model_dump_json(exclude_unset=True) for item in readings)
    return f'{{"epoch":{epoch},"seq":{seq},"time":{time_ms},"readings":[{body}]}}'.encode()


def _show(value: object) -> str:
    """A value for a message: short, however large or deep what came is."""
    return reprlib.repr(value)


def decode_envelope(payload: bytes) -> Envelope:
    """The first step.

    Raises:
        UnreadableEnvelope: no JSON, or not an envelope.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        detail = f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read"
        raise UnreadableEnvelope(Reason.TOO_LARGE, detail)
    try:
        # Decoded here, because `json.loads` would guess UTF-16 and 32 and let surrogates pass.
        data = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableEnvelope(Reason.UNREADABLE, f"no JSON: {error}"[:300]) from error
    if not isinstance(data, dict):
        raise UnreadableEnvelope(Reason.UNREADABLE, "not an object")
    numbers: list[int] = []
    for name, low in (("epoch", 1), ("seq", 1), ("time", 0)):
        value = data.get(name)
        if type(value) is not int or not low <= value < _MAX_INTEGER:
            raise UnreadableEnvelope(Reason.UNREADABLE, f"{name} is {_show(value)}")
        numbers.append(value)
    readings = data.get("readings")
    if not isinstance(readings, list):
        raise UnreadableEnvelope(Reason.UNREADABLE, "readings is no list")
    return Envelope(numbers[0], numbers[1], numbers[2], readings)


def decode_readings(kind: Kind, envelope: Envelope) -> Decoded:
    """The second step: what is good is kept, what is not is named."""
    decoded = Decoded()
    for raw in envelope.readings:
        reading = _reading(kind, raw, envelope.time_ms, decoded.rejects)
        if reading is not None:
            decoded.readings.append(reading)
    return decoded


def _reading(
    kind: Kind, raw: object, time_ms: int, rejects: list[Reject]
) -> ReceivedReading | None:
    if not isinstance(raw, dict):
        rejects.append(Reject(Reason.BAD_READING, "not an object"))
        return None
    device = raw.get("device")
    if not isinstance(device, str) or not 0 < len(device) <= 200 or not device.isprintable():
        # A lone surrogate cannot be stored, a line break would break the store's line protocol.
        rejects.append(Reject(Reason.BAD_READING, f"device is {_show(device)}"))
        return None
    own_time = raw.get("time", time_ms)
    if type(own_time) is not int or not 0 <= own_time < _MAX_INTEGER:
        rejects.append(Reject(Reason.BAD_READING, f"{device}: time is {_show(own_time)}"))
        return None
    reading = ReceivedReading(device, own_time)
    if kind == "event":
        return _event(reading, raw, rejects)
    specs = FIELDS[kind]
    _quality(reading, raw.get("quality"), specs, rejects)
    for name, value in raw.items():
        if name in {"device", "time", "quality"}:
            continue
        spec = specs.get(name)
        if spec is None:
            rejects.append(Reject(Reason.UNKNOWN_FIELD, f"{device}: {_show(name)}"))
        elif value is None:
            reading.values[spec.name] = None
        elif (type(value) is float or type(value) is int) and spec.low <= value <= spec.high:
            reading.values[spec.name] = float(value)  # our own name: its hash is known
        else:
            # An integer may be too large for a float: it is a number, and out of range.
            number = type(value) is int or (type(value) is float and math.isfinite(value))
            reason = Reason.OUT_OF_RANGE if number else Reason.BAD_VALUE
            rejects.append(Reject(reason, f"{device}: {name} is {_show(value)}"))
            reading.values[name] = None
            reading.quality[name] = Quality.REJECTED
    return reading


def _quality(
    reading: ReceivedReading, raw: object, known: Container[str], rejects: list[Reject]
) -> None:
    if raw is None:
        return
    if not isinstance(raw, dict):
        rejects.append(Reject(Reason.BAD_VALUE, f"{reading.device}: quality is no object"))
        return
    for name, code in raw.items():
        if name not in known:
            detail = f"{reading.device}: quality of {_show(name)}"
            rejects.append(Reject(Reason.UNKNOWN_FIELD, detail))
        elif isinstance(code, str) and code in _QUALITIES:
            reading.quality[name] = Quality(code)
        else:
            detail = f"{reading.device}: quality of {name} is {_show(code)}"
            rejects.append(Reject(Reason.BAD_VALUE, detail))


def encode_received(envelope: Envelope, readings: Sequence[ReceivedReading]) -> bytes:
    """A message that came, as bytes, with these of its readings; what was refused is left out."""
    body: list[dict[str, object]] = []
    for item in readings:
        raw: dict[str, object] = {"device": item.device}
        if item.time_ms != envelope.time_ms:
            raw["time"] = item.time_ms
        if item.quality:
            raw["quality"] = item.quality
        if item.event is not None:
            event = item.event
            raw |= {"code": event.code, "severity": event.severity, "text": event.text}
        body.append(raw | item.values)
    message = {
        "epoch": envelope.epoch,
        "seq": envelope.seq,
        "time": envelope.time_ms,
        "readings": body,
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _event(
    reading: ReceivedReading, raw: Mapping[str, Any], rejects: list[Reject]
) -> ReceivedReading | None:
    try:
        model = EventReading.model_validate({k: v for k, v in raw.items() if k != "quality"})
    except ValueError as error:
        detail = str(error).replace("\n", " ")
        rejects.append(Reject(Reason.BAD_READING, f"{reading.device}: {detail}"[:300]))
        return None
    reading.event = Event(model.code, model.severity, model.text)
    return reading
