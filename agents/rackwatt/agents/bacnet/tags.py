# SPDX-License-Identifier: Apache-2.0
"""The values in an answer: ASHRAE 135's tags, split by bacpypes3, put together here."""

import importlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from rackwatt.agents.bacnet.objectmap import Answer, Problem, Ref

_APPLICATION, _CONTEXT, _OPENING, _CLOSING = range(4)
_NULL, _BOOLEAN, _UNSIGNED, _SIGNED, _REAL, _DOUBLE = range(6)
_TEXT, _BITS, _ENUMERATED, _OBJECT = 7, 8, 9, 12
_MOST_DIGITS: Final = 12


class Malformed(Exception):  # noqa: N818 - it reads as a sentence where it is caught
    """An answer that is none."""


@dataclass(frozen=True, slots=True)
class _Tag:
    form: int
    number: int
    data: bytes
    length: int


@cache
def _library() -> tuple[Any, Any, Any]:
    pdu: Any = importlib.import_module("bacpypes3.pdu")
    primitive: Any = importlib.import_module("bacpypes3.primitivedata")
    errors: Any = importlib.import_module("bacpypes3.errors")
    return pdu.PDUData, primitive.TagList, (errors.DecodingError, errors.RejectException)


def _tags(octets: bytes) -> Sequence[_Tag]:
    data, tag_list, complaints = _library()
    try:
        return [
            _Tag(int(tag.tag_class), tag.tag_number, bytes(tag.tag_data), tag.tag_lvt)
            for tag in tag_list.decode(data(octets))
        ]
    except (*complaints, ValueError, IndexError) as error:
        raise Malformed(f"{error}") from error


def properties(octets: bytes) -> dict[Ref, Answer]:
    """What a ReadPropertyMultiple-ACK says, after its header.

    Raises:
        Malformed: it is none.
    """
    found: dict[Ref, Answer] = {}
    tags = iter(_tags(octets))
    for tag in tags:
        kind, instance = _identifier(tag)
        _expect(next(tags, None), _OPENING, 1)
        for inner in tags:
            if inner.form == _CLOSING and inner.number == 1:
                break
            if inner.form != _CONTEXT or inner.number != 2:
                raise Malformed("no property")
            number = int.from_bytes(inner.data, "big")
            opening = next(tags, None)
            indexed = opening is not None and opening.form == _CONTEXT and opening.number == 3
            if indexed:
                opening = next(tags, None)
            if opening is None or opening.form != _OPENING or opening.number not in {4, 5}:
                raise Malformed("a property without a value")
            value = _problem if opening.number == 5 else _value
            found[Ref(kind, instance, number)] = value(list(_until(tags, opening.number)))
        else:
            raise Malformed("it ends within an object")
    return found


def one_property(octets: bytes, ref: Ref) -> Answer:
    """What a ReadProperty-ACK says, after its header.

    Raises:
        Malformed: it is none, or for another property; any device is a right answer to the
            instance that means any.
    """
    tags = iter(_tags(octets))
    first, second = next(tags, None), next(tags, None)
    if first is None or second is None or second.form != _CONTEXT or second.number != 1:
        raise Malformed("no object and property")
    kind, _ = _identifier(first)
    if (kind, int.from_bytes(second.data, "big")) != (ref.type, ref.property):
        raise Malformed("another property than the one asked for")
    _expect(next(tags, None), _OPENING, 3)
    return _value(list(_until(tags, 3)))


def _identifier(tag: _Tag) -> tuple[int, int]:
    if tag.form != _CONTEXT or tag.number != 0 or len(tag.data) != 4:
        raise Malformed("no object")
    whole = int.from_bytes(tag.data, "big")
    return whole >> 22, whole & 0x3FFFFF


def _expect(tag: _Tag | None, form: int, number: int) -> None:
    if tag is None or (tag.form, tag.number) != (form, number):
        raise Malformed(f"tag {number} is missing")


def _until(tags: Iterator[_Tag], number: int) -> Iterator[_Tag]:
    depth = 0
    for tag in tags:
        if tag.form == _CLOSING and depth == 0:
            if tag.number != number:
                raise Malformed("tags that do not match")
            return
        depth += (tag.form == _OPENING) - (tag.form == _CLOSING)
        yield tag
    raise Malformed("it ends within a value")


def _problem(tags: Sequence[_Tag]) -> Problem:
    if len(tags) != 2:
        raise Malformed("no error")
    return Problem(int.from_bytes(tags[0].data, "big"), int.from_bytes(tags[1].data, "big"))


def _value(tags: Sequence[_Tag]) -> Answer:
    if len(tags) != 1:
        return ""  # a list or a structure: none of what is asked for
    tag = tags[0]
    if tag.form == _CONTEXT:
        return _scale(tag)
    try:
        return _primitive(tag)
    except (struct.error, IndexError) as error:
        raise Malformed(f"a value of {len(tag.data)} octets") from error


def _primitive(tag: _Tag) -> Answer:
    number, data = tag.number, tag.data
    if number == _NULL:
        return None
    if number == _BOOLEAN:
        return float(tag.length)
    if number in {_UNSIGNED, _ENUMERATED}:
        return float(int.from_bytes(data, "big"))
    if number == _SIGNED:
        return float(int.from_bytes(data, "big", signed=True))
    if number == _REAL:
        return float(struct.unpack(">f", data)[0])
    if number == _DOUBLE:
        return float(struct.unpack(">d", data)[0])
    if number == _OBJECT:
        return float(int.from_bytes(data, "big") & 0x3FFFFF)
    if number == _BITS:
        count = (len(data) - 1) * 8 - data[0]
        return tuple(bool(data[1 + at // 8] >> (7 - at % 8) & 1) for at in range(max(count, 0)))
    if number == _TEXT:
        return data[1:].decode("utf-8" if data[0] == 0 else "latin-1", "replace").strip("\0 ")
    return ""


def _scale(tag: _Tag) -> Answer:
    """An accumulator's scale: a number, or a power of ten."""
    if tag.number == 0 and len(tag.data) == 4:
        ratio = float(struct.unpack(">f", tag.data)[0])
        return ratio if 0 < ratio < 10.0**_MOST_DIGITS else ""
    power = int.from_bytes(tag.data, "big", signed=True)
    if tag.number == 1 and abs(power) <= _MOST_DIGITS:
        return float(10.0**power)
    return ""
