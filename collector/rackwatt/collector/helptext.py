# SPDX-License-Identifier: Apache-2.0
"""What every command's `--help` ends with: examples, and what its exit code means."""

from typing import Any, Final

NARROW: Final[dict[str, Any]] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}
"""Settings of every command: `-h` too, and lines that a wide terminal does not stretch."""

_AS_IT_STANDS: Final = "\b\n"
"""Keeps the lines of a paragraph from being wrapped."""


def more(
    *examples: str,
    done: str = "done",
    failed: str = "the work failed; the message says why",
    wrong: str = "wrong input or usage; nothing was started",
) -> str:
    """The end of a command's help.

    Args:
        examples: commands that can be typed as they are, or nearly.
        done: what exit code 0 means.
        failed: what exit code 1 means; empty where it does not occur.
        wrong: what exit code 2 means.
    """
    shown = "\n".join(f"  {example}" for example in examples)
    codes = [f"  0  {done}", *([f"  1  {failed}"] if failed else []), f"  2  {wrong}"]
    parts = [f"{_AS_IT_STANDS}Examples:\n{shown}"] if examples else []
    return "\n\n".join([*parts, f"{_AS_IT_STANDS}Exit codes:\n" + "\n".join(codes)])
