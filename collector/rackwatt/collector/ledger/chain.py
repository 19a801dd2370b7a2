# SPDX-License-Identifier: Apache-2.0
"""What the chain is made of: entries, acts, and the text and hash of an entry.

An entry of kind ``interval`` is hashed as ``[start, revision, cause, author, row, previous]``, as
it was before there were kinds; one of another kind as ``[kind, start, revision, ...]``. The two
have a different number of items, so that no entry can pass for one of another kind.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

AUTHOR: Final = "rackwatt"
GENESIS: Final = "0" * 64

INTERVAL: Final = "interval"
ATTRIBUTION: Final = "attribution"
ACT: Final = "act"

_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
)


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks, shortest floats.

    Raises:
        ValueError: A number is not finite.
    """
    return _ENCODER.encode(value)


def entry_hash(
    kind: str, start_ms: int, revision: int, cause: str, author: str, row: str, previous: str
) -> str:
    """Return the hash of a journal entry, which covers the hash of the entry before."""
    items = [start_ms, revision, cause, author, row, previous]
    text = canonical(items if kind == INTERVAL else [kind, *items])
    return sha256(text.encode("ascii")).hexdigest()


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
