# SPDX-License-Identifier: Apache-2.0
"""Names by pattern: `r1-[01-08]-pdu-[a-b]` is sixteen names.

A bracket holds items separated by commas; an item is a word or a range. Numeric ranges keep their
zero padding (`[01-10]` gives 01 ... 10), letters run alphabetically (`[a-d]`). `{rack}` and
`{row}` stand for the name of the rack or row that the pattern belongs to. Brackets multiply from
left to right, the last one running fastest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Final

from rackwatt.wire.config import nearest

LIMIT: Final = 250_000
"""Names that one pattern may give: more is a slip of the pen, not a site."""

_PART: Final = re.compile(r"\[([^\[\]{}]*)\]|\{([^\[\]{}]*)\}|([^\[\]{}]+)|(.)")
_PLAIN: Final = re.compile(r"[^\[\]{}]+")
_NUMBERS: Final = re.compile(r"([0-9]+)-([0-9]+)")
_LETTERS: Final = re.compile(r"([a-z])-([a-z])|([A-Z])-([A-Z])")
_WORD: Final = re.compile(r"[A-Za-z0-9._]+")


class PatternError(ValueError):
    """A pattern that cannot be expanded."""


def expand(pattern: str, names: Mapping[str, str] | None = None) -> list[str]:
    """All names of `pattern`, in order.

    Args:
        pattern: the pattern.
        names: what the placeholders in braces stand for.

    Raises:
        PatternError: the pattern is empty, malformed, gives a name twice or too many names, or
            has a placeholder that is not in `names`.
    """
    return substitute(brackets(pattern, tuple(names or ())), names or {})


def substitute(templates: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """Put `names` in the place of their placeholders."""
    result = list(templates)
    for name, value in names.items():
        mark = "{" + name + "}"
        if any(mark in text for text in result):
            result = [text.replace(mark, value) for text in result]
    return result


def brackets(pattern: str, placeholders: Sequence[str] = ()) -> list[str]:
    """Expand the brackets only, keeping the placeholders: one parse serves thousands of racks.

    Raises:
        PatternError: as `expand`.
    """
    if not pattern.strip():
        raise PatternError("the pattern is empty")
    if _PLAIN.fullmatch(pattern) is not None:
        return [pattern]  # a name written out: what a long file is full of
    choices: list[list[str]] = []
    size = 1
    for match in _PART.finditer(pattern):
        inside, placeholder, literal, stray = match.groups()
        if stray is not None:
            raise PatternError(f"pattern {pattern!r}: {stray!r} has no partner, or is nested")
        if inside is not None:
            choices.append(_items(pattern, inside))
            size *= len(choices[-1])
        elif placeholder is not None:
            choices.append([_placeholder(pattern, placeholder, placeholders)])
        else:
            choices.append([literal])
        if size > LIMIT:
            raise PatternError(f"pattern {pattern!r} gives more than {LIMIT:,} names")
    result = ["".join(parts) for parts in product(*choices)]
    if len(set(result)) != len(result):
        raise PatternError(f"pattern {pattern!r} gives the same name twice")
    return result


def _placeholder(pattern: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        hint = nearest(name, known) if known else "no placeholder has a meaning here"
        raise PatternError(f"pattern {pattern!r}: unknown placeholder {{{name}}} ({hint})")
    return "{" + name + "}"


def _items(pattern: str, inside: str) -> list[str]:
    result: list[str] = []
    for raw in inside.split(","):
        item = raw.strip()
        if not item:
            raise PatternError(f"pattern {pattern!r}: an item between the brackets is empty")
        result += _range(pattern, item)
        if len(result) > LIMIT:
            raise PatternError(f"pattern {pattern!r} gives more than {LIMIT:,} names")
    if len(set(result)) != len(result):
        raise PatternError(f"pattern {pattern!r}: an item stands twice in [{inside}]")
    return result


def _range(pattern: str, item: str) -> list[str]:
    if match := _NUMBERS.fullmatch(item):
        low, high = match.groups()
        width = len(low)
        padded = low.startswith("0") and width > 1
        if int(low) > int(high):
            raise PatternError(f"pattern {pattern!r}: [{item}] runs backwards")
        if padded and len(high) != width:
            raise PatternError(f"pattern {pattern!r}: [{item}] must have as many digits both ends")
        if not padded and high.startswith("0") and len(high) > width:
            proper = f"{low.zfill(len(high))}-{high}"
            raise PatternError(f"pattern {pattern!r}: [{item}]: did you mean [{proper}]?")
        if int(high) - int(low) >= LIMIT:
            raise PatternError(f"pattern {pattern!r} gives more than {LIMIT:,} names")
        return [str(n).zfill(width if padded else 1) for n in range(int(low), int(high) + 1)]
    if match := _LETTERS.fullmatch(item):
        low, high = (letter for letter in match.groups() if letter is not None)
        if low > high:
            raise PatternError(f"pattern {pattern!r}: [{item}] runs backwards")
        return [chr(code) for code in range(ord(low), ord(high) + 1)]
    if _WORD.fullmatch(item) is None:
        raise PatternError(
            f"pattern {pattern!r}: [{item}] is neither a word nor a range like 01-08 or a-d"
        )
    return [item]
