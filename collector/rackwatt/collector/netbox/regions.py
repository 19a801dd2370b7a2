# SPDX-License-Identifier: Apache-2.0
"""Parts of a site file that come from NetBox, between marks; all else stays as people wrote it."""

import re
from collections.abc import Mapping
from typing import Final

_BEGIN: Final = "# >>> netbox {name}: made by 'rackwatt site import netbox'; edit NetBox instead"
_END: Final = "# <<< netbox {name}"
_MARK: Final = re.compile(r"^[ \t]*# (>>>|<<<) netbox ([a-z-]+)\b.*$", re.MULTILINE)


class RegionError(ValueError):
    """The marks of a file are not as they must be, or a key is written by hand."""


def find(text: str) -> dict[str, tuple[int, int]]:
    """Where each region begins and ends, its marks included.

    Raises:
        RegionError: A mark has no partner, or a region stands twice.
    """
    found: dict[str, tuple[int, int]] = {}
    open_at: tuple[str, int] | None = None
    for mark in _MARK.finditer(text):
        line = text.count("\n", 0, mark.start()) + 1
        name = mark[2]
        if mark[1] == ">>>":
            if open_at is not None or name in found:
                raise RegionError(f"line {line}: the mark of {name!r} begins twice, or in another")
            open_at = (name, mark.start())
        elif open_at is None or open_at[0] != name:
            raise RegionError(f"line {line}: the end of {name!r} has no beginning")
        else:
            found[name] = (open_at[1], mark.end())
            open_at = None
    if open_at is not None:
        raise RegionError(
            f"the mark of {open_at[0]!r} has no end: '{_END.format(name=open_at[0])}'"
        )
    return found


def body(text: str, name: str) -> str:
    """What stands between the marks of a region; empty where there is none."""
    span = find(text).get(name)
    if span is None:
        return ""
    lines = text[span[0] : span[1]].splitlines()
    return "\n".join(lines[1:-1]) + "\n"


def put(text: str, bodies: Mapping[str, str]) -> str:
    """Return a file with other bodies between its marks; new regions come at its end.

    Args:
        text: The file.
        bodies: Whole top-level keys by the name of their region; an empty one takes it out.

    Raises:
        RegionError: As `find`; or a key of a new region stands in the file, by hand.
    """
    for name, made in bodies.items():
        span = find(text).get(name)
        if span is None:
            if not made:
                continue
            _refuse_by_hand(text, name, made)
            text = text.rstrip("\n") + "\n\n" + _marked(name, made) + "\n"
        elif made:
            text = text[: span[0]] + _marked(name, made) + text[span[1] :]
        else:
            text = text[: span[0]].rstrip("\n") + "\n" + text[span[1] :].lstrip("\n")
    return text


def _marked(name: str, made: str) -> str:
    return f"{_BEGIN.format(name=name)}\n{made.rstrip()}\n{_END.format(name=name)}"


def _refuse_by_hand(text: str, name: str, made: str) -> None:
    for key in re.findall(r"^([a-z_]+):", made, re.MULTILINE):
        there = re.search(rf"^{key}:", text, re.MULTILINE)
        if there is not None:
            line = text.count("\n", 0, there.start()) + 1
            raise RegionError(
                f"line {line}: '{key}:' is written by hand, and NetBox has it too: take it out, or"
                f" put it between '{_BEGIN.format(name=name)}' and '{_END.format(name=name)}'"
            )
