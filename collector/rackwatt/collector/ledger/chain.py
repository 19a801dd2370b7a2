# SPDX-License-Identifier: Apache-2.0
"""What the chain is made of: entries, acts, and the text and hash of an entry.

An entry of kind ``interval`` is hashed as ``[start, revision, cause, author, row, previous]``, as
it was before there were kinds; one of another kind as ``[kind, start, revision, ...]``. The two
have a different number of items, so that no entry can pass for one of another kind.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final

import msgspec

AUTHOR: Final = "rackwatt"
GENESIS: Final = "0" * 64

INTERVAL: Final = "interval"
ATTRIBUTION: Final = "attribution"
ACT: Final = "act"

_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
)

_QUICK: Final = msgspec.json.Encoder(order="sorted")
_PACKED: Final = msgspec.msgpack.Encoder()
_PARSER: Final = msgspec.json.Decoder()
_SMALL: Final = "0.0000"
"""In the text of each number from 1e-5 up to 1e-4; Python writes it with an exponent."""
_EXPONENT: Final = re.compile(r"e(?:-\d|\d+)(?=[,\]}])")
"""Python writes ``e-07`` and ``e+16`` where the quick encoder writes ``e-7`` and ``e16``."""
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]", re.DOTALL)
"""Infinities and NaN in MessagePack; in JSON the quick encoder would write null."""


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks, shortest floats.

    Raises:
        ValueError: A number is not finite.
    """
    return _ENCODER.encode(value)


def canonical_row(row: dict[str, Any]) -> str:
    """Return what :func:`canonical` does, in a third of the time.

    A compiled encoder writes floats the same way but for very large and very small ones, which are
    put right; where it would write anything else in another way, it is not asked.

    Args:
        row: Of an interval: strings, numbers, ``None``, in dictionaries and lists.

    Raises:
        ValueError: A number is not finite.
    """
    text = _QUICK.encode(row).decode()
    strange = _SMALL in text or "\\" in text or "\x7f" in text or not text.isascii()
    if strange or _NOT_FINITE.search(_PACKED.encode(row)):
        return canonical(row)
    parts: list[str] = []
    done = 0
    for found in _EXPONENT.finditer(text):
        at, end = found.span()
        start = max(text.rfind(":", 0, at), text.rfind(",", 0, at), text.rfind("[", 0, at)) + 1
        if text.count('"', done, start) % 2 == 0:  # else it stands in a string
            parts += (text[done:start], repr(float(text[start:end])))
            done = end
    return "".join((*parts, text[done:])) if parts else text


def parsed(row: str) -> dict[str, Any]:
    """Return a row that :func:`canonical_row` has written."""
    try:
        found: dict[str, Any] = _PARSER.decode(row)
    except msgspec.MsgspecError:
        found = json.loads(row)
    return found


class _Ended(msgspec.Struct):
    battery: dict[str, Any]


_ENDINGS: Final = msgspec.json.Decoder(_Ended)


def battery_part(row: str) -> dict[str, Any]:
    """Return ``battery`` of a row that :func:`canonical_row` has written, the rest unread."""
    try:
        return _ENDINGS.decode(row).battery
    except msgspec.MsgspecError:
        found: dict[str, Any] = parsed(row)["battery"]
        return found


def entry_hash(
    kind: str, start_ms: int, revision: int, cause: str, author: str, row: str, previous: str
) -> str:
    """Return the hash of a journal entry, which covers the hash of the entry before."""
    numbers, texts = (start_ms, revision), (cause, author, row, previous)
    if kind == INTERVAL and _all(int, numbers) and _all(str, texts):
        # What canonical() makes of such a list, without an encoder of its own for each row.
        text = f"[{start_ms},{revision},{','.join(map(_quoted, texts))}]"
    else:
        items = [*numbers, *texts]
        text = canonical(items if kind == INTERVAL else [kind, *items])
    return sha256(text.encode("ascii")).hexdigest()


def _all(kind: type, values: Iterable[object]) -> bool:
    """Whether values are what the schema says: a forged file may hold anything."""
    return {kind} == {*map(type, values)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal.

    Attributes:
        seq: Its place in the chain, from 1.
        kind: ``interval``, ``attribution`` or ``act``.
        start_ms: Start of the interval or the quarter hour; when the act was done.
        revision: 1, 2, ...; an act's tells it from another one of the same instant.
        cause: Why there is this revision; an act's name.
        author: ``rackwatt``, or who asked for it.
        text: The row as canonical JSON.
    """

    seq: int
    kind: str
    start_ms: int
    revision: int
    cause: str
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody decided, or the ledger found and keeps for ever.

    Attributes:
        seq: Its place in the chain.
        time_ms: When.
        name: ``restate``, ``release``, ``month_final``, ...
        data: What exactly.
        author: Who.
        reason: Why.
    """

    seq: int
    time_ms: int
    name: str
    data: Mapping[str, Any]
    author: str
    reason: str
