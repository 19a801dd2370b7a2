# SPDX-License-Identifier: Apache-2.0
"""Of the messages of which there are many, the fields that the accountant uses, and no others.

A reading of a GPU has some 20 fields, of which eight are used. What is not used is skipped where it
stands in the bytes. A message of which anything is not as the contract has it is left to the codec,
which rejects field by field: so what comes out is the same, only sooner.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from rackwatt.collector.accounting.channels import POWER_FIELDS
from rackwatt.collector.live.devices import CURRENTS, QUALITY
from rackwatt.collector.live.fleet import GpuReading, gpu_reading
from rackwatt.collector.meters.readings import PHASES
from rackwatt.wire.codec import Envelope, ReceivedReading, decode_envelope, decode_readings
from rackwatt.wire.readings import FIELDS, Kind

UNSET: Final = msgspec.UNSET
_MAX_INTEGER: Final = 2**53 - 1
_Device = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INTEGER)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=_MAX_INTEGER)]
_UNSAID: Final = -1
_CLIMATE: Final = ("humidity_ratio", "temperature_celsius")
_POWER: Final = tuple(
    sorted((POWER_FIELDS | {*CURRENTS, *PHASES, *QUALITY}) & FIELDS["power"].keys())
)


def _readings(kind: Kind, names: Iterable[str]) -> Any:
    """A decoder of messages of a kind, with some of its fields, each within its bounds."""
    fields: list[tuple[str, Any, Any]] = [("device", _Device, ""), ("time", _Time, _UNSAID)]
    for name in names:
        spec = FIELDS[kind][name]
        value = Annotated[float, msgspec.Meta(ge=spec.low, le=spec.high)]
        fields.append((name, value | None | msgspec.UnsetType, UNSET))
    return fields


def _decoder(kind: Kind, names: Iterable[str], base: type | None = None) -> Any:
    fields = _readings(kind, names)
    bases = () if base is None else (base,)
    reading = msgspec.defstruct(f"{kind.title()}Part", fields, bases=bases, gc=False)
    message = msgspec.defstruct(
        f"{kind.title()}Message",
        [("epoch", _Number), ("seq", _Number), ("time", _Time), ("readings", list[reading])],  # type: ignore[valid-type]
        gc=False,
    )
    return msgspec.json.Decoder(message)


_GPU: Final = _decoder("gpu", GpuReading.__struct_fields__[2:], GpuReading)
_SOME: Final[dict[Kind, tuple[Any, Sequence[str]]]] = {
    "power": (_decoder("power", _POWER), _POWER),
    "climate": (_decoder("climate", _CLIMATE), _CLIMATE),
}


def decode_gpus(payload: bytes) -> tuple[int, int, Sequence[GpuReading]]:
    """Epoch, number and readings of a message of GPUs, their times set.

    Raises:
        UnreadableEnvelope: no JSON, or not an envelope.
    """
    try:
        message = _GPU.decode(payload)
    except (msgspec.MsgspecError, RecursionError):
        return _gpus_in_full(payload)
    found: list[GpuReading] = message.readings
    time_ms = message.time
    for item in found:
        if not item.device.isprintable() or not item.device:
            return _gpus_in_full(payload)
        if item.time == _UNSAID:
            item.time = time_ms
    return message.epoch, message.seq, found


def _gpus_in_full(payload: bytes) -> tuple[int, int, Sequence[GpuReading]]:
    envelope = decode_envelope(payload)
    found = [gpu_reading(reading) for reading in decode_readings("gpu", envelope).readings]
    return envelope.epoch, envelope.seq, found


def decode_some(kind: Kind, payload: bytes) -> tuple[int, int, list[ReceivedReading]]:
    """Epoch, number and readings of a message; of many kinds only the fields that are used.

    Raises:
        UnreadableEnvelope: no JSON, or not an envelope.
    """
    known = _SOME.get(kind)
    if known is None:
        return _in_full(kind, decode_envelope(payload))
    decoder, names = known
    try:
        message = decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError):
        return _in_full(kind, decode_envelope(payload))
    readings: list[ReceivedReading] = []
    for item in message.readings:
        device: str = item.device
        if not device.isprintable() or not device:
            return _in_full(kind, decode_envelope(payload))
        time_ms = message.time if item.time == _UNSAID else item.time
        said = ((name, getattr(item, name)) for name in names)
        values = {name: value for name, value in said if value is not UNSET}
        readings.append(ReceivedReading(device, time_ms, values))
    return message.epoch, message.seq, readings


def _in_full(kind: Kind, envelope: Envelope) -> tuple[int, int, list[ReceivedReading]]:
    return envelope.epoch, envelope.seq, decode_readings(kind, envelope).readings
