# SPDX-License-Identifier: Apache-2.0
"""Names by pattern: `r1-[01-08]`, `{rack}-pdu-[a-b]`."""

import re
from typing import Final

_RANGE: Final = re.compile(r"\[([0-9]+|[a-z])-([0-9]+|[a-z])\]")


def expand(pattern: str) -> tuple[str, ...]:
    """Every name that `pattern` stands for, in order; several ranges vary like digits.

    `[01-08]` keeps its leading zeros, `[a-c]` are letters.

    Raises:
        ValueError: a range runs backwards or mixes digits and letters.
    """
    match = _RANGE.search(pattern)
    if match is None:
        return (pattern,)
    first, last = match[1], match[2]
    if first.isdigit() != last.isdigit():
        raise ValueError(f"range {match[0]!r} mixes digits and letters")
    if first.isdigit():
        parts = [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
    else:
        parts = [chr(i) for i in range(ord(first), ord(last) + 1)]
    if not parts:
        raise ValueError(f"range {match[0]!r} runs backwards")
    head, tail = pattern[: match.start()], pattern[match.end() :]
    return tuple(head + part + rest for part in parts for rest in expand(tail))
