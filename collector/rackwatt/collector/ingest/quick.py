# SPDX-License-Identifier: Apache-2.0
"""The quick way to read a message in which everything is as it should be (ADR 0007).

`rackwatt.wire.codec` says what a message means and what is refused of it, and why. Here a compiled
parser reads the same bytes with the same fields and bounds; where anything at all is not as it
should be it gives up, and the codec reads them. So what is accepted here must be read exactly as
the codec reads it, and nothing need be explained.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict

import msgspec

from rackwatt.wire.codec import MAX_PAYLOAD_BYTES, ReceivedReading
from rackwatt.wire.readings import FIELDS, FieldSpec, Kind, Quality

_MAX_INTEGER: Final = 2**53
_ENVELOPE_KEYS: Final = 4

_Number = Annotated[int, msgspec.Meta(ge=1, lt=_MAX_INTEGER)]
_Time = Annotated[int, msgspec.Meta(ge=0, lt=_MAX_INTEGER)]


class Good(NamedTuple):
    """A message of which nothing is refused."""

    epoch: int
    seq: int
    time_ms: int
    readings: list[ReceivedReading]


class _Envelope(msgspec.Struct, gc=False):
    epoch: _Number
    seq: _Number
    time: _Time
    readings: list[dict[str, Any]]


class QuickEpoch(msgspec.Struct, frozen=True, gc=False):
    """As `EpochState`."""

    epoch: _Number
    oldest: _Number
    last: _Time
    sent_through: _Time


class QuickStatus(msgspec.Struct, frozen=True, gc=False):
    """As `Status`."""

    state: Literal["online", "offline"]
    session: _Time
    time: _Time
    epochs: Annotated[tuple[QuickEpoch, ...], msgspec.Meta(max_length=1000)] = ()


def _bounds(spec: FieldSpec) -> msgspec.Meta:
    """An integer is compared as a float: where not each is one, the bound itself is left out."""
    low, high = spec.low, spec.high
    return msgspec.Meta(
        ge=low if abs(low) < _MAX_INTEGER else math.nextafter(low, math.inf),
        le=high if abs(high) < _MAX_INTEGER else math.nextafter(high, -math.inf),
    )


def _decoder(specs: Mapping[str, FieldSpec]) -> msgspec.json.Decoder[Any]:
    """Reads messages of readings with these fields; others are skipped."""
    fields: dict[str, Any] = {"device": str, "time": _Time, "quality": dict[str, Quality] | None}
    fields |= {name: Annotated[float, _bounds(spec)] | None for name, spec in specs.items()}
    reading = TypedDict("reading", fields, total=False)  # type: ignore[misc]
    envelope = msgspec.defstruct(
        "envelope", [("readings", list[reading])], bases=(_Envelope,), gc=False
    )
    return msgspec.json.Decoder(envelope)


def _read(
    decoder: msgspec.json.Decoder[_Envelope], specs: Mapping[str, FieldSpec], payload: bytes
) -> Good | None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        envelope = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    time_ms = envelope.time
    readings: list[ReceivedReading] = []
    keys = _ENVELOPE_KEYS
    for raw in envelope.readings:
        keys += len(raw)
        device = raw.pop("device", "")
        if not 0 < len(device) <= 200 or not device.isprintable():
            return None
        quality: dict[str, Quality] | None = raw.pop("quality", None)
        if quality:
            keys += len(quality)
            if not quality.keys() <= specs.keys():
                return None
        own_time = raw.pop("time", time_ms)
        readings.append(ReceivedReading(device, own_time, raw, quality or {}))
    # Each key has one colon. More of them: a key that is not known, one that came twice, or a
    # name that holds a colon; which, if none of them may be hidden behind an escape, can be told.
    extra = payload.count(b":") - keys
    if extra and (b"\\" in payload or extra != sum(item.device.count(":") for item in readings)):
        return None
    return Good(envelope.epoch, envelope.seq, time_ms, readings)


class Quick:
    """Reads statuses, and messages of every kind that carries numbers."""

    def __init__(self) -> None:
        self._status = msgspec.json.Decoder(QuickStatus)
        self._kinds = {
            kind: partial(_read, _decoder(specs), specs) for kind, specs in FIELDS.items() if specs
        }

    def read(self, kind: Kind, payload: bytes) -> Good | None:
        """A message as the codec would read it; None: ask the codec."""
        reads = self._kinds.get(kind)
        return None if reads is None else reads(payload)

    def status(self, payload: bytes) -> QuickStatus | None:
        """A status as its model would read it; None: ask the model."""
        try:
            status = self._status.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        epochs = status.epochs
        if len(epochs) > 1 and len({item.epoch for item in epochs}) != len(epochs):
            return None
        return status
