# SPDX-License-Identifier: Apache-2.0
"""From one frame to the next: on a campus most of a frame is what it was a second ago."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

TABLES: Final = ("racks", "agents", "commitments")
"""Parts of a frame with a row for each of thousands of things."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """What makes one frame of another.

    Returns:
        All of the frame but its tables, and under ``changed`` for each table the rows in which
        anything is new, by number (``at``), with the new values of these rows, field by field
        (``set``). None: a table has other rows or fields than before; send the frame.
    """
    tables: dict[str, Any] = {}
    for name in TABLES:
        if name in before or name in after:
            table = _changed(before.get(name), after.get(name))
            if table is None:
                return None
            tables[name] = table
    return {**{key: after[key] for key in after if key not in TABLES}, "changed": tables}


def _changed(before: object, after: object) -> dict[str, Any] | None:
    if not isinstance(before, Sequence) or not isinstance(after, Sequence):
        return None
    if len(before) != len(after):
        return None
    at: list[int] = []
    fields: dict[str, None] = {}
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            continue
        if old.keys() != new.keys():
            return None
        at.append(number)
        for name in new:
            if name not in fields and old[name] != new[name]:
                fields[name] = None
    return {"at": at, "set": {name: [after[number][name] for number in at] for name in fields}}


def merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The frame that `changes` was made of; as `merge` in ``static/js/stream.js`` does it."""
    frame = {key: value for key, value in change.items() if key != "changed"}
    for name, table in change["changed"].items():
        rows = list(before[name])
        for place, number in enumerate(table["at"]):
            own = {field: values[place] for field, values in table["set"].items()}
            rows[number] = {**rows[number], **own}
        frame[name] = rows
    return frame
