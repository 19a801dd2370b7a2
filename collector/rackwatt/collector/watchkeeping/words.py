# SPDX-License-Identifier: Apache-2.0
"""Words of people and of other programs, made fit for one line of a document or a terminal."""

from typing import Final
from unicodedata import category

MOST: Final = 2_000
"""Letters of one note: the journal is kept for ever."""
_JOINERS: Final = "\u200c\u200d"
_ODD: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str) -> str:
    """A text without line breaks, control characters and marks that turn a line around.

    What is written into a handover must not look like another line of it, nor move the cursor.
    """
    shown = (
        " " if letter.isspace() and letter not in " \u00a0\u202f" else letter for letter in text
    )
    return "".join(one for one in shown if one in _JOINERS or category(one) not in _ODD)
